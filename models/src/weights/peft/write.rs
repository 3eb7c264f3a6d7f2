//! From a tuned model to a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::ROOT;
use super::config::FILE;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::nn::Part;
use crate::peft::{Lora, Scaling, Tuning};
use crate::pretrained;
use crate::weights::merge::head;

/// Writes what was tuned as an adapter for the network that the model started from, and the head, which is no part of
/// that network, as `head.safetensors` beside it. Layers are named in full, so that the adapter fits exactly these,
/// whatever the depth of the network it is opened on. Returns the number of layers.
///
/// Running statistics that followed the training data go along as modules saved whole.
///
/// # Errors
/// [`Error::Cannot`] for a method that the layout has no form for; [`Error::File`] when a file cannot be written.
pub fn write(model: &Model, tuning: &Tuning, dir: &Path) -> Result<usize> {
    let mut tensors = Vec::new();
    let mut config = match tuning {
        Tuning::Lora(lora) => low_rank(model, lora, false, &mut tensors)?,
        Tuning::Dora(dora) => low_rank(model, &dora.low_rank, true, &mut tensors)?,
        Tuning::Ia3(_) => factors(model, &mut tensors)?,
        _ => {
            return Err(Error::Cannot {
                method: tuning.name(),
                cannot: "has no form in huggingface/peft, which knows lora, dora and ia3; `etude merge` folds what \
                         can be folded into plain weights"
                    .to_owned(),
            });
        }
    };
    let layers = config["target_modules"].as_array().map_or(0, Vec::len);
    let saved = saved_whole(model, &mut tensors);
    config["modules_to_save"] = if saved.is_empty() { Value::Null } else { json!(saved) };
    let common = json!({
        "base_model_name_or_path": null, "inference_mode": true, "task_type": null, "revision": null,
        "fan_in_fan_out": false,
    });
    if let (Some(config), Value::Object(common)) = (config.as_object_mut(), common) {
        config.extend(common);
    }
    let named: Vec<_> = tensors.into_iter().map(|(n, t)| (format!("{ROOT}{n}"), t)).collect();
    fs::create_dir_all(dir)
        .map_err(|e| Error::File { path: dir.to_owned(), why: e.to_string() })?;
    // What the library itself writes: without it, it refuses the file.
    let about = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    crate::weights::write(&dir.join("adapter_model.safetensors"), &named, &about)?;
    crate::weights::write(&dir.join("head.safetensors"), &head(model), &about)?;
    pretrained::write(&dir.join(FILE), &format!("{config:#}\n"))?;
    Ok(layers)
}

/// Added tensors of one last name, by the layer they belong to.
fn added(model: &Model, last: &str) -> Vec<(String, Tensor)> {
    let ending = format!(".{last}");
    let found = model.vs.select(|name, v| v.part == Part::Added && name.ends_with(&ending));
    let cut = |name: String| name[..name.len() - ending.len()].to_owned();
    found.into_iter().map(|(name, tensor)| (cut(name), tensor)).collect()
}

/// Whether a layer is a convolution of kernel 1.
fn is_conv(model: &Model, layer: &str) -> bool {
    model.vs.get(&format!("{layer}.weight")).is_some_and(|w| w.dim() == 3)
}

fn low_rank(
    model: &Model,
    lora: &Lora,
    dora: bool,
    tensors: &mut Vec<(String, Tensor)>,
) -> Result<Value> {
    let mut ranks = BTreeMap::new();
    for last in ["lora_A", "lora_B"] {
        for (layer, tensor) in added(model, last) {
            if last == "lora_A" {
                ranks.insert(layer.clone(), tensor.size()[0]);
            }
            let tensor = match is_conv(model, &layer) {
                true => tensor.f_unsqueeze(-1)?,
                false => tensor,
            };
            tensors.push((format!("{layer}.{last}.weight"), tensor));
        }
    }
    if dora {
        for (layer, tensor) in added(model, "lora_magnitude_vector") {
            let tensor = match is_conv(model, &layer) {
                true => tensor.f_reshape([1, -1, 1])?,
                false => tensor,
            };
            tensors.push((format!("{layer}.lora_magnitude_vector"), tensor));
        }
    }
    let r = ranks.values().next().copied().unwrap_or_default();
    let alpha = |rank: i64| match lora.scaling {
        Scaling::Constant => lora.alpha * rank as f64,
        Scaling::Rank | Scaling::RootRank => lora.alpha,
    };
    let others: Vec<_> = ranks.iter().filter(|&(_, &rank)| rank != r).collect();
    let rank_pattern: Map<_, _> =
        others.iter().map(|(layer, rank)| ((*layer).clone(), json!(rank))).collect();
    let alpha_pattern: Map<_, _> = others
        .iter()
        .filter(|(_, rank)| alpha(**rank) != alpha(r))
        .map(|(layer, rank)| ((*layer).clone(), number(alpha(**rank))))
        .collect();
    Ok(json!({
        "peft_type": "LORA", "r": r, "lora_alpha": number(alpha(r)), "lora_dropout": lora.dropout,
        "rank_pattern": rank_pattern, "alpha_pattern": alpha_pattern,
        "target_modules": ranks.keys().collect::<Vec<_>>(),
        "use_rslora": lora.scaling == Scaling::RootRank, "use_dora": dora,
        "bias": "none", "init_lora_weights": true,
    }))
}

fn factors(model: &Model, tensors: &mut Vec<(String, Tensor)>) -> Result<Value> {
    let (mut layers, mut on_input) = (Vec::new(), Vec::new());
    let linears = model.backbone.linears();
    for (layer, l) in added(model, "ia3_l") {
        if is_conv(model, &layer) {
            return Err(Error::Cannot {
                method: "ia3",
                cannot: format!(
                    "on a convolution, {layer}, has no form in huggingface/peft; `etude merge` folds it"
                ),
            });
        }
        // By the kind of layer, as the method itself: a layer of equal widths does not tell by its shape.
        let input = linears.iter().any(|l| l.name() == layer && l.role().in_feed_forward());
        let l = if input { l.f_unsqueeze(0)? } else { l.f_unsqueeze(1)? };
        tensors.push((format!("{layer}.ia3_l"), l));
        if input {
            on_input.push(layer.clone());
        }
        layers.push(layer);
    }
    Ok(json!({
        "peft_type": "IA3", "target_modules": layers, "feedforward_modules": on_input,
        "init_ia3_weights": true,
    }))
}

/// Modules of the base that training changed, with all their tensors.
fn saved_whole(model: &Model, tensors: &mut Vec<(String, Tensor)>) -> BTreeSet<String> {
    let changed = model.vs.select(|_, v| v.part == Part::Base && v.changes);
    let parent = |name: &str| name.rsplit_once('.').map(|(module, _)| module.to_owned());
    let modules: BTreeSet<String> = changed.iter().filter_map(|(name, _)| parent(name)).collect();
    let of_them = |name: &str| parent(name).is_some_and(|module| modules.contains(&module));
    tensors.extend(model.vs.select(|name, v| v.part == Part::Base && of_them(name)));
    modules
}

/// A whole number without a fraction, as the library writes it.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}
