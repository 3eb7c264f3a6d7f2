//! Mean and deviation of the frames that a network standardises, measured once per training split and kept as a file.

use super::{Recipe, Step, Work, push};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::frame_stats::lacks_stats;
use etude_manifests::atomic;
use std::path::{Path, PathBuf};

/// Measures the training split of an experiment, as [`crate::frame_stats`] does, and writes both numbers.
///
/// # Errors
/// As [`crate::frame_stats`].
pub fn write_stats(exp: &Experiment, out: &Path) -> Result<()> {
    let (mean, std) = crate::frame_stats(exp)?;
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    atomic::write(out, format!("[{mean:?}, {std:?}]\n").as_bytes()).map_err(Error::io(out))
}

/// Both numbers of a file that [`write_stats`] wrote.
pub(super) fn read(path: &Path) -> Result<[f64; 2]> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|e| Error::Damaged {
        path: path.to_path_buf(),
        expected: "mean and deviation".to_owned(),
        got: e.to_string(),
    })
}

/// Adds the measuring of what a recipe trains on, if its network standardises and its file does not say by what; the
/// recipe knows the numbers from then on.
pub(super) fn measured(
    plan: &mut Vec<Step>,
    recipe: &mut Recipe,
    name: &str,
    out: PathBuf,
) -> Result<Option<usize>> {
    if !lacks_stats(&recipe.experiment()?.model.backbone) {
        return Ok(None);
    }
    let work = Work::FrameStats { recipe: recipe.clone(), out: out.clone() };
    recipe.stats = Some(out);
    Ok(Some(push(plan, format!("{name} frames"), "frames".to_owned(), Vec::new(), work)))
}
