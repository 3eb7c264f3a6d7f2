//! From a folder to an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

use super::config::{Config, FILE, Said};
use super::{Change, PeftAdapter, ROOT};
use crate::error::{Error, Result};
use crate::weights::WeightFile;

/// Endings of a layer's tensors in the file.
const ENDINGS: [&str; 6] = [
    "lora_A.weight",
    "lora_B.weight",
    "lora_magnitude_vector",
    "ia3_l",
    "vera_lambda_d",
    "vera_lambda_b",
];

impl PeftAdapter {
    /// Reads a folder that huggingface/peft or [`super::write`] wrote; `adapter_model.bin` will do where there is no
    /// safetensors file.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, a method or a variant that is not known here, and tensors that
    /// do not go together.
    pub fn read(dir: &Path) -> Result<Self> {
        let config = Config::read(&dir.join(FILE))?;
        let files = ["adapter_model.safetensors", "adapter_model.bin"].map(|name| dir.join(name));
        let path = files.iter().find(|path| path.is_file()).unwrap_or(&files[0]);
        let file = WeightFile::open(path)?;
        let fail = |why: String| Error::File { path: path.clone(), why };
        let mut layers: BTreeMap<String, BTreeMap<&str, Tensor>> = BTreeMap::new();
        let (mut shared, mut replaced) = (BTreeMap::new(), Vec::new());
        for name in file.names() {
            let tensor = file.tensor(&name)?;
            if let Some(last) = name.strip_prefix("base_model.vera_") {
                shared.insert(last.to_owned(), tensor);
                continue;
            }
            let bare = name
                .strip_prefix(ROOT)
                .ok_or_else(|| fail(format!("{name}: expected names that begin with {ROOT}")))?;
            let found = ENDINGS
                .into_iter()
                .find_map(|ending| Some((bare.strip_suffix(ending)?.strip_suffix('.')?, ending)));
            match found {
                Some((layer, ending)) => {
                    layers.entry(layer.to_owned()).or_default().insert(ending, tensor);
                }
                None => replaced.push((bare.replace(".base_layer.", "."), tensor)),
            }
        }
        let mut changes = BTreeMap::new();
        for (layer, mut parts) in layers {
            let change = change(&config, &layer, &mut parts, &shared).map_err(fail)?;
            if let Some(ending) = parts.keys().next() {
                return Err(fail(format!("{layer}.{ending} does not belong to this method")));
            }
            changes.insert(layer, change);
        }
        if changes.is_empty() {
            return Err(fail("expected an adapter, got no layer that changes".to_owned()));
        }
        Ok(Self { dir: dir.to_owned(), changes, replaced })
    }
}

/// Takes the tensors of a layer.
fn change(
    config: &Config,
    layer: &str,
    parts: &mut BTreeMap<&str, Tensor>,
    shared: &BTreeMap<String, Tensor>,
) -> Said<Change> {
    let mut take = |ending: &str| {
        parts.remove(ending).ok_or_else(|| format!("{layer}: expected {ending}, got none"))
    };
    match config {
        Config::Lora(lora) => {
            let a = matrix(layer, &take("lora_A.weight")?)?;
            let b = matrix(layer, &take("lora_B.weight")?)?;
            let rank = a.size()[0];
            if b.size()[1] != rank {
                return Err(format!("{layer}: A has rank {rank}, B {}", b.size()[1]));
            }
            let magnitude = match lora.use_dora {
                true => Some(take("lora_magnitude_vector")?.reshape([-1])),
                false => None,
            };
            Ok(Change::LowRank { a, b, scale: lora.scale(layer, rank)?, magnitude })
        }
        Config::Ia3 {} => {
            let l = take("ia3_l")?;
            let on_input = match l.size()[..] {
                [_, 1] => false,
                [1, _] => true,
                _ => {
                    return Err(format!(
                        "{layer}.ia3_l: expected [out, 1] or [1, in], got {:?}",
                        l.size()
                    ));
                }
            };
            Ok(Change::Factor { l: l.reshape([-1]), on_input })
        }
        Config::Vera {} => {
            let (d, b) = (take("vera_lambda_d")?, take("vera_lambda_b")?);
            let both = shared.get("A").zip(shared.get("B")).ok_or(
                "expected the shared matrices vera_A and vera_B, got none: save with save_projection",
            )?;
            let ranks = [both.0.size()[0], both.1.size()[1]];
            if ranks != [d.size()[0]; 2] {
                return Err(format!("{layer}: expected ranks {:?}, got {:?}", ranks, d.size()));
            }
            let (shared_a, shared_b) = (both.0.shallow_clone(), both.1.shallow_clone());
            Ok(Change::Vera { d, b, shared_a, shared_b })
        }
    }
}

/// `[n, m]` or `[n, m, 1]` -> `[n, m]`
fn matrix(layer: &str, tensor: &Tensor) -> Said<Tensor> {
    match tensor.size()[..] {
        [_, _] => Ok(tensor.shallow_clone()),
        [n, m, 1] => Ok(tensor.reshape([n, m])),
        _ => Err(format!("{layer}: expected [n, m] or [n, m, 1], got {:?}", tensor.size())),
    }
}
