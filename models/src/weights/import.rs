//! Published weights into a folder of ours, once: checked against the model, converted to its types, written as
//! safetensors under the published names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use tch::Device;

use crate::backbone::BackboneConfig;
use crate::error::{Error, Result};
use crate::nn::{Scope, Store};
use crate::peft::Probe;
use crate::weights::{LoadReport, WeightFile, load, write};

/// Reads the published file of a backbone, safetensors or PyTorch, and writes `model.safetensors` into `dir`. A
/// classifier the file ends in is kept as it is. The header of the new file names the backbone and the original's
/// blake3 digest; the same original makes the same bytes.
///
/// # Errors
/// [`Error::Names`] when the file is not that backbone at that size, with all that does not fit; [`Error::File`] when
/// a file cannot be read or written.
pub fn import(backbone: &BackboneConfig, file: &Path, dir: &Path) -> Result<LoadReport> {
    let store = Store::new(Device::Cpu);
    let frozen = Probe {};
    backbone.build(&Scope::root(&store, &frozen, 0, false).blank())?;
    let report = load(&store, file, &backbone.names(false))?;
    let mut tensors = store.select(|_, _| true);
    if let Some((head, _)) = backbone.published_head() {
        let source = WeightFile::open(file)?;
        for name in report.skipped.iter().filter(|name| name.starts_with(&format!("{head}."))) {
            tensors.push((name.clone(), source.tensor(name)?));
        }
    }
    let fail =
        |path: &Path, e: std::io::Error| Error::File { path: path.to_owned(), why: e.to_string() };
    let mut digest = blake3::Hasher::new();
    File::open(file)
        .and_then(|f| digest.update_reader(f).map(|_| ()))
        .map_err(|e| fail(file, e))?;
    let about = BTreeMap::from([
        ("backbone".to_owned(), backbone.name().to_owned()),
        ("original_blake3".to_owned(), digest.finalize().to_hex().to_string()),
    ]);
    fs::create_dir_all(dir).map_err(|e| fail(dir, e))?;
    write(&dir.join("model.safetensors"), &tensors, &about)?;
    Ok(report)
}
