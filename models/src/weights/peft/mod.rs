//! Adapters in the folder layout of huggingface/peft: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Tensors are named `base_model.model.<layer><ending>`. LoRA, rsLoRA, DoRA and IA3 are written and read, VeRA is read.
//!
//! | file | here | shape |
//! |---|---|---|
//! | `.lora_A.weight`, `.lora_B.weight` | `.lora_A`, `.lora_B` | `[R, in]`, `[out, R]`; with a last axis of 1 for a convolution |
//! | `.lora_magnitude_vector` | the same | `[out]`; `[1, out, 1]` for a convolution |
//! | `.ia3_l` | the same | `[out, 1]` on the output, `[1, in]` on the input; here `[out]` or `[in]` |
//! | `.vera_lambda_d`, `.vera_lambda_b` | folded only | `[R]`, `[out]` |
//!
//! Other tensors below `base_model.model.` stand in for tensors of the base: biases that were trained, modules saved
//! whole.

mod config;
mod read;
mod write;

pub use write::write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tch::{Kind, Tensor, no_grad_guard};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::nn::{Part, Store};
use crate::peft::{Tuning, stretched};
use crate::weights::{LoadReport, restore};

/// Before every name.
const ROOT: &str = "base_model.model.";

/// An adapter as read.
#[derive(Debug)]
pub struct PeftAdapter {
    dir: PathBuf,
    /// By the name of the layer.
    changes: BTreeMap<String, Change>,
    /// Tensors that stand in for those of the base, by name.
    replaced: Vec<(String, Tensor)>,
}

/// What is done to one layer.
#[derive(Debug)]
enum Change {
    /// W + scale B A, with rows of the lengths `magnitude` where there is one.
    LowRank { a: Tensor, b: Tensor, scale: f64, magnitude: Option<Tensor> },
    /// Rows of W and the bias times l, or columns of W.
    Factor { l: Tensor, on_input: bool },
    /// W + diag(b) B diag(d) A, with A `[R, in]` and B `[out, R]` cut from matrices that all layers share.
    Vera { d: Tensor, b: Tensor, shared_a: Tensor, shared_b: Tensor },
}

impl PeftAdapter {
    /// Names of the layers that change, sorted.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.changes.keys().map(String::as_str)
    }

    /// The tensors under our names and in our shapes, sorted.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let copies = self.replaced.iter().map(|(n, t)| (n.clone(), t.shallow_clone()));
        let mut out: Vec<(String, Tensor)> = copies.collect();
        let add = |out: &mut Vec<(String, Tensor)>, layer: &str, last: &str, tensor: &Tensor| {
            out.push((format!("{layer}.{last}"), tensor.shallow_clone()));
        };
        for (layer, change) in &self.changes {
            match change {
                Change::LowRank { a, b, magnitude, .. } => {
                    add(&mut out, layer, "lora_A", a);
                    add(&mut out, layer, "lora_B", b);
                    if let Some(m) = magnitude {
                        add(&mut out, layer, "lora_magnitude_vector", m);
                    }
                }
                Change::Factor { l, .. } => add(&mut out, layer, "ia3_l", l),
                Change::Vera { d, b, .. } => {
                    add(&mut out, layer, "vera_lambda_d", d);
                    add(&mut out, layer, "vera_lambda_b", b);
                }
            }
        }
        out.sort_by(|x, y| x.0.cmp(&y.0));
        out
    }

    /// Puts the adapter into a model that was built with `tuning`, where it can be trained further: its tensors are
    /// exactly what the method added to the model, and its strength is the method's.
    ///
    /// # Errors
    /// [`Error::Names`] with all that does not fit; [`Error::Setting`] for another strength. Nothing is copied then.
    pub fn load(&self, model: &Model, tuning: &Tuning) -> Result<LoadReport> {
        let low_rank = match tuning {
            Tuning::Lora(lora) => Some(lora),
            Tuning::Dora(dora) => Some(&dora.low_rank),
            _ => None,
        };
        for (layer, change) in &self.changes {
            if let (Some(lora), Change::LowRank { a, scale, .. }) = (low_rank, change) {
                let ours = lora.scale(a.size()[0]);
                if (ours - scale).abs() > 1e-6 * scale.abs() {
                    return Err(Error::Setting {
                        key: "tuning.alpha".to_owned(),
                        expected: format!("a factor of {scale} on {layer}, as in {}", self.place()),
                        got: ours.to_string(),
                    });
                }
            }
        }
        let names: Vec<&String> = self.replaced.iter().map(|(name, _)| name).collect();
        restore(&model.vs, &self.tensors(), |name, v| {
            v.part == Part::Added || (v.part == Part::Base && names.iter().any(|n| *n == name))
        })
    }

    /// Folds the adapter into the weights of a model, in place; the number of layers changed.
    ///
    /// # Errors
    /// [`Error::Names`] with the layers that the model does not have or has in another shape. Nothing is changed then.
    pub fn fold(&self, vs: &Store) -> Result<usize> {
        let _guard = no_grad_guard();
        let mut report = LoadReport { source: self.dir.clone(), ..LoadReport::default() };
        let mut changed = Vec::new();
        for (layer, change) in &self.changes {
            let Some(weight) = vs.get(&format!("{layer}.weight")) else {
                report.extra.push(layer.clone());
                continue;
            };
            let matrix = if weight.dim() == 3 { weight.f_squeeze_dim(2)? } else { weight };
            let fits = matrix.dim() == 2 && change.fits(&matrix.size());
            if !fits {
                report.extra.push(format!("{layer}, for another width than {:?}", matrix.size()));
                continue;
            }
            report.matched += 1;
            changed.push((matrix.shallow_clone(), change.folded(&matrix.f_to_kind(Kind::Float)?)?));
            if let (Change::Factor { l, on_input: false }, Some(bias)) =
                (change, vs.get(&format!("{layer}.bias")))
            {
                let scaled = bias.f_mul(&l.f_to_device(bias.device())?)?;
                changed.push((bias, scaled));
            }
        }
        for (name, tensor) in &self.replaced {
            match vs.get(name) {
                Some(ours) if ours.size() == tensor.size() => {
                    changed.push((ours, tensor.shallow_clone()));
                }
                _ => report.extra.push(name.clone()),
            }
        }
        if !report.fits() {
            return Err(Error::Names(Box::new(report)));
        }
        for (mut ours, new) in changed {
            ours.f_copy_(&new)?;
        }
        Ok(report.matched)
    }

    fn place(&self) -> String {
        self.dir.join(config::FILE).display().to_string()
    }
}

impl Change {
    /// Whether this is for a weight of that shape, `[out, in]`.
    fn fits(&self, shape: &[i64]) -> bool {
        let (out, inp) = (shape[0], shape[1]);
        match self {
            Change::LowRank { a, b, magnitude, .. } => {
                a.size()[1] == inp
                    && b.size()[0] == out
                    && magnitude.as_ref().is_none_or(|m| m.size() == [out])
            }
            Change::Factor { l, on_input } => l.size() == [if *on_input { inp } else { out }],
            Change::Vera { b, shared_a, shared_b, .. } => {
                b.size() == [out] && shared_a.size()[1] >= inp && shared_b.size()[0] >= out
            }
        }
    }

    /// W `[out, in]` -> the weight that does the same without the adapter, same shape.
    fn folded(&self, weight: &Tensor) -> Result<Tensor> {
        let here = |t: &Tensor| -> Result<Tensor> {
            Ok(t.f_to_device(weight.device())?.f_to_kind(Kind::Float)?)
        };
        match self {
            Change::LowRank { a, b, scale, magnitude } => {
                let update = here(b)?.f_matmul(&here(a)?)?.f_mul_scalar(*scale)?;
                let turned = weight.f_add(&update)?;
                match magnitude {
                    Some(m) => stretched(&turned, &here(m)?),
                    None => Ok(turned),
                }
            }
            Change::Factor { l, on_input: true } => Ok(weight.f_mul(&here(l)?)?),
            Change::Factor { l, on_input: false } => Ok(weight.f_mul(&here(l)?.f_unsqueeze(1)?)?),
            Change::Vera { d, b, shared_a, shared_b } => {
                let (out, inp) = (weight.size()[0], weight.size()[1]);
                let low = here(shared_a)?.f_narrow(1, 0, inp)?.f_mul(&here(d)?.f_unsqueeze(1)?)?; // [R, in]
                let high = here(shared_b)?.f_narrow(0, 0, out)?.f_mul(&here(b)?.f_unsqueeze(1)?)?; // [out, R]
                Ok(weight.f_add(&high.f_matmul(&low)?)?)
            }
        }
    }
}
