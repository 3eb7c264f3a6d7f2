//! A tuned model as one plain network: what the method added is folded into the weights it was added to.
//!
//! The folder holds `model.safetensors`, the network under its published names and the head below `head.`, and
//! `config.json`, the settings of the backbone: a model folder like those of `etude import`. As `model.weights` it
//! starts a run under any method; with `head_weights = true` and `probe` it is the tuned model.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use tch::Tensor;

use crate::BackboneConfig;
use crate::error::{Error, Result};
use crate::model::{Model, ModelConfig};
use crate::nn::Part;
use crate::peft::Tuning;
use crate::pretrained::{self, CONFIG, STATS, WEIGHTS};
use crate::weights::write;

/// Writes the folder; the number of tensors in it. MusicFM's numbers for its mel values go into `stats.json`, where a
/// model that starts from the folder finds them.
///
/// # Errors
/// [`Error::Cannot`] for a method whose additions no weight can hold; [`Error::File`] when a file cannot be written.
pub fn merge(model: &Model, cfg: &ModelConfig, tuning: &Tuning, dir: &Path) -> Result<usize> {
    if let Some(why) = tuning.no_fold() {
        return Err(Error::Cannot {
            method: tuning.name(),
            cannot: format!(
                "cannot be folded into the base: {why}; keep the run, `etude eval` and `etude tag` use it as it is"
            ),
        });
    }
    let mut tensors = model.merged()?;
    tensors.extend(head(model));
    let backbone = cfg.without_weights()?.backbone;
    let about = BTreeMap::from([
        ("backbone".to_owned(), backbone.name().to_owned()),
        ("folded".to_owned(), tuning.name().to_owned()),
    ]);
    fs::create_dir_all(dir)
        .map_err(|e| Error::File { path: dir.to_owned(), why: e.to_string() })?;
    pretrained::write(&dir.join(CONFIG), &backbone.to_json()?)?;
    if let BackboneConfig::MusicFm(cfg) = &backbone {
        let stats = json!({"melspec_2048_mean": cfg.mean(), "melspec_2048_std": cfg.std()});
        pretrained::write(&dir.join(STATS), &format!("{stats:#}\n"))?;
    }
    write(&dir.join(WEIGHTS), &tensors, &about)?;
    Ok(tensors.len())
}

/// The head's tensors by name.
pub(crate) fn head(model: &Model) -> Vec<(String, Tensor)> {
    model.vs.select(|_, v| v.part == Part::Head)
}
