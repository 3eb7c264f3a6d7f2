//! The best states of a run: `kept/step-00000120.safetensors`, and the very best again as `best.safetensors`.

use crate::checkpoint::Kept;
use crate::error::{Error, Result};
use crate::experiment::KeepConfig;
use crate::run_dir::{RunDir, step_file};
use etude_manifests::atomic;
use etude_models::Model;
use etude_models::weights::{self, TensorFile};
use std::fs;
use std::path::Path;
use tch::Tensor;

/// Takes the outcome of a validation into the list, best first, equals in order of their steps. Returns its place, or
/// `None` when it is not among the best.
pub(crate) fn rank(list: &mut Vec<Kept>, cfg: &KeepConfig, new: Kept) -> Option<usize> {
    let place = list.iter().position(|k| cfg.mode.better(new.score, k.score, 0.0));
    let place = place.unwrap_or(list.len());
    if place >= cfg.best {
        return None;
    }
    list.insert(place, new);
    list.truncate(cfg.best);
    Some(place)
}

/// Writes the state of a step that is on the list.
pub(crate) fn write(
    dir: &RunDir,
    kept: &Kept,
    state: &[(String, Tensor)],
    base: &str,
) -> Result<()> {
    let folder = dir.kept();
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let about = [
        ("step", kept.step.to_string()),
        ("score", kept.score.to_string()),
        ("base", base.to_owned()),
    ];
    let about = about.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(weights::write(&folder.join(step_file(kept.step)), state, &about)?)
}

/// The tensors of a kept state or of `best.safetensors`.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Tensor)>> {
    Ok(TensorFile::open(path)?.tensors()?)
}

/// As [`read`], with the steps the state was trained for.
pub(crate) fn read_with_step(path: &Path) -> Result<(Vec<(String, Tensor)>, u64)> {
    let file = TensorFile::open(path)?;
    let step = file.metadata().get("step").and_then(|s| s.parse().ok()).unwrap_or_default();
    Ok((file.tensors()?, step))
}

/// Puts a state that was read from `path` into the model.
pub(crate) fn restore(model: &Model, state: &[(String, Tensor)], path: &Path) -> Result<()> {
    let fitted = model.restore(state).map_err(|e| match e {
        etude_models::Error::Names(mut report) => {
            report.source = path.to_path_buf();
            etude_models::Error::Names(report)
        }
        other => other,
    });
    Ok(fitted?)
}

/// Makes `best.safetensors` the first of the list; removes it when the list is empty.
pub(crate) fn link_best(dir: &RunDir, list: &[Kept]) -> Result<()> {
    let (best, part) = (dir.best(), dir.path().join("best.safetensors.part"));
    let gone = |path: &Path| atomic::remove(path).map_err(Error::io(path));
    let Some(first) = list.first() else { return gone(&best) };
    let from = dir.kept().join(step_file(first.step));
    gone(&part)?;
    // A second name for the same bytes; a copy where the file system has no such thing.
    if fs::hard_link(&from, &part).is_err() {
        fs::copy(&from, &part).map_err(Error::io(&from))?;
    }
    fs::rename(&part, &best).map_err(Error::io(&best))?;
    gone(&part) // renaming a file onto itself leaves both names
}

/// Removes states that are on none of the lists: of the checkpoint now, and of the one before, which may still be
/// needed.
pub(crate) fn prune(dir: &RunDir, lists: [&[Kept]; 2]) -> Result<()> {
    let folder = dir.kept();
    let wanted: Vec<String> = lists.into_iter().flatten().map(|k| step_file(k.step)).collect();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(&folder)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io(&folder))?;
        if !wanted.iter().any(|w| entry.file_name().to_str() == Some(w)) {
            fs::remove_file(entry.path()).map_err(Error::io(&entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stopping::Mode;

    fn kept(step: u64, score: f64) -> Kept {
        Kept { step, score, scores: Default::default() }
    }

    #[test]
    fn the_list_holds_the_best_k_and_the_earlier_of_equals_first() {
        let cfg = KeepConfig { best: 3, by: "mAP".into(), mode: Mode::Max };
        let mut list = Vec::new();
        let scores = [0.5, 0.7, 0.7, 0.6, 0.4, 0.8];
        let places: Vec<_> =
            (1..).zip(scores).map(|(step, s)| rank(&mut list, &cfg, kept(step, s))).collect();
        assert_eq!(places, [Some(0), Some(0), Some(1), Some(2), None, Some(0)]);
        assert_eq!(list.iter().map(|k| k.step).collect::<Vec<_>>(), [6, 2, 3]);
    }

    #[test]
    fn best_is_the_first_of_the_list_and_pruning_spares_both_lists() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = RunDir::create(tmp.path()).unwrap();
        for step in 1..=4 {
            let w = vec![("w".to_owned(), Tensor::from(step as f32))];
            write(&dir, &kept(step, 0.5), &w, "").unwrap();
        }
        for step in [3, 3, 2] {
            link_best(&dir, &[kept(step, 0.5)]).unwrap();
            assert_eq!(read(&dir.best()).unwrap()[0].1.double_value(&[]), step as f64);
        }
        prune(&dir, [&[kept(2, 0.5)], &[kept(3, 0.4)]]).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.kept()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["step-00000002.safetensors", "step-00000003.safetensors"]);
        assert!(!tmp.path().join("best.safetensors.part").exists());
        link_best(&dir, &[]).unwrap();
        assert!(!dir.best().exists());
    }
}
