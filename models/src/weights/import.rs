//! Published weights into a folder of ours, once: checked against the model, converted to its types, written as
//! safetensors under the published names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use tch::{Device, Tensor};

use crate::BackboneConfig;
use crate::error::{Error, Result};
use crate::nn::{Scope, Store};
use crate::peft::Probe;
use crate::weights::{LoadReport, WeightFile, load, restore, write};

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
    let source = WeightFile::open(file)?;
    let (report, classifier) = match backbone.adopt(&source)? {
        Some(tensors) => put(&store, backbone, file, tensors)?,
        None => {
            let report = load(&store, file, &backbone.names(false))?;
            let names = report.skipped.iter().filter(|name| is_head(backbone, name));
            let kept = names.map(|name| Ok((name.clone(), source.tensor(name)?)));
            let kept = kept.collect::<Result<Vec<_>>>()?;
            (report, kept)
        }
    };
    let mut tensors = store.select(|_, _| true);
    tensors.extend(classifier);
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

/// Puts tensors that were given our names into the network; the report, and the classifier among what was left out.
fn put(
    store: &Store,
    backbone: &BackboneConfig,
    file: &Path,
    tensors: Vec<(String, Tensor)>,
) -> Result<(LoadReport, Vec<(String, Tensor)>)> {
    let names = backbone.names(false);
    let (mut ours, mut left) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        match names.apply(&name) {
            Some(name) => ours.push((name, tensor)),
            None => left.push((name, tensor)),
        }
    }
    let given: BTreeSet<String> = ours.iter().map(|(name, _)| name.clone()).collect();
    let report = match restore(store, &ours, |name, v| !v.computed || given.contains(name)) {
        Err(Error::Names(mut report)) => {
            report.source = file.to_owned();
            return Err(Error::Names(report));
        }
        report => report?,
    };
    let skipped = left.iter().map(|(name, _)| name.clone()).collect();
    left.retain(|(name, _)| is_head(backbone, name));
    Ok((LoadReport { source: file.to_owned(), skipped, ..report }, left))
}

fn is_head(backbone: &BackboneConfig, name: &str) -> bool {
    backbone.published_head().is_some_and(|(head, _)| name.starts_with(&format!("{head}.")))
}
