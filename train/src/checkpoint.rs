//! Everything needed to go on exactly where a run stopped.
//!
//! `last/` holds `tensors.safetensors` (`model.<name>`: trained tensors and running statistics; `optim.<name>`: the
//! optimizer), `state.json` and `digests.json`. A save writes `last.part/`, syncs it, moves `last` to `last.old` and
//! `last.part` to `last`: at any moment at least one whole state is there, and digests tell a damaged one. There is no
//! generator state: dropout is seeded anew at every step from the run's seed and the step.

use crate::error::{Error, Result};
use crate::run_dir::RunDir;
use crate::schedule::ScheduleState;
use crate::stopping::Stopping;
use etude_manifests::atomic;
use etude_models::weights::{self, TensorFile};
use etude_shards::LoaderState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tch::Tensor;

/// Version of the files.
const VERSION: u32 = 1;
const TENSORS: &str = "tensors.safetensors";
const STATE: &str = "state.json";
const DIGESTS: &str = "digests.json";

/// The numbers of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Of this format.
    pub(crate) version: u32,
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// The next sample.
    pub(crate) loader: LoaderState,
    /// Plateau.
    pub(crate) schedule: ScheduleState,
    /// Early stopping.
    pub(crate) stopping: Stopping,
    /// Stage of a staged schedule whose optimizer this is.
    pub(crate) stage: Option<usize>,
    /// Best states, best first.
    pub(crate) kept: Vec<Kept>,
    /// Step of the latest validation.
    pub(crate) validated: u64,
    /// Losses since the latest row of the log.
    pub(crate) window: Vec<f64>,
    /// Sum and number of the losses of this epoch.
    pub(crate) epoch_loss: (f64, u64),
    /// Samples learned from.
    pub(crate) samples: u64,
    /// Time spent, all starts together.
    pub(crate) seconds: f64,
    /// How the training ended.
    pub(crate) ended: Option<Ending>,
}

/// Why a training is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All steps are done.
    Done,
    /// The score no longer improved.
    EarlyStop,
    /// Asked to stop; it can be resumed.
    Stopped,
}

/// A state that was among the best when it was validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Optimizer steps done.
    pub step: u64,
    /// What it was kept for.
    pub score: f64,
    /// All scores of that validation.
    pub scores: BTreeMap<String, f64>,
}

impl State {
    pub(crate) fn new(schedule: ScheduleState) -> Self {
        Self {
            version: VERSION,
            step: 0,
            loader: LoaderState::default(),
            schedule,
            stopping: Stopping::default(),
            stage: None,
            kept: Vec::new(),
            validated: 0,
            window: Vec::new(),
            epoch_loss: (0.0, 0),
            samples: 0,
            seconds: 0.0,
            ended: None,
        }
    }
}

/// A checkpoint in memory.
pub(crate) struct Saved {
    pub(crate) state: State,
    pub(crate) model: Vec<(String, Tensor)>,
    pub(crate) optim: Vec<(String, Tensor)>,
}

/// Saves; what was saved before becomes `last.old`.
pub(crate) fn save(dir: &RunDir, saved: &Saved) -> Result<()> {
    let part = dir.path().join("last.part");
    remove(&part)?;
    fs::create_dir(&part).map_err(Error::io(&part))?;
    let named = |prefix: &str, list: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
        list.iter().map(|(n, t)| (format!("{prefix}.{n}"), t.shallow_clone())).collect()
    };
    let mut tensors = named("model", &saved.model);
    tensors.extend(named("optim", &saved.optim));
    weights::write(&part.join(TENSORS), &tensors, &BTreeMap::new())?;
    json(&part.join(STATE), &saved.state)?;
    let mut digests = BTreeMap::new();
    for name in [TENSORS, STATE] {
        digests.insert(name.to_owned(), digest(&part.join(name))?);
    }
    json(&part.join(DIGESTS), &digests)?;
    atomic::sync_dir(&part).map_err(Error::io(&part))?;
    let (last, old) = (dir.last(), dir.last_old());
    if last.exists() {
        remove(&old)?;
        fs::rename(&last, &old).map_err(Error::io(&old))?;
    }
    fs::rename(&part, &last).map_err(Error::io(&last))?;
    atomic::sync_dir(dir.path()).map_err(Error::io(dir.path()))
}

/// The latest whole checkpoint; `None` when there never was one. The second value says which damaged one was passed
/// over.
///
/// # Errors
/// [`Error::Damaged`] when there are only damaged ones.
pub(crate) fn latest(dir: &RunDir) -> Result<Option<(Saved, Option<Error>)>> {
    let mut damage = None;
    for path in [dir.last(), dir.last_old()] {
        if !path.exists() {
            continue;
        }
        match load(&path) {
            Ok(saved) => return Ok(Some((saved, damage))),
            Err(why) => damage = damage.or(Some(why)),
        }
    }
    damage.map_or(Ok(None), Err)
}

fn load(path: &Path) -> Result<Saved> {
    let damaged = |name: &str, expected: &str, got: String| Error::Damaged {
        path: path.join(name),
        expected: expected.to_owned(),
        got,
    };
    let read =
        |name: &str| fs::read(path.join(name)).map_err(|e| damaged(name, "a file", e.to_string()));
    let digests: BTreeMap<String, String> = serde_json::from_slice(&read(DIGESTS)?)
        .map_err(|e| damaged(DIGESTS, "digests of the files beside it", e.to_string()))?;
    for name in [TENSORS, STATE] {
        let got = digest(&path.join(name)).map_err(|e| damaged(name, "a file", e.to_string()))?;
        let expected = digests.get(name).map_or("none", String::as_str);
        if got != expected {
            return Err(damaged(name, &format!("digest {expected}"), got));
        }
    }
    let state: State = serde_json::from_slice(&read(STATE)?)
        .map_err(|e| damaged(STATE, &format!("a state of version {VERSION}"), e.to_string()))?;
    if state.version != VERSION {
        let got = format!("version {}", state.version);
        return Err(damaged(STATE, &format!("a state of version {VERSION}"), got));
    }
    let mut saved = Saved { state, model: Vec::new(), optim: Vec::new() };
    for (name, tensor) in TensorFile::open(&path.join(TENSORS))?.tensors()? {
        match name.split_once('.') {
            Some(("model", rest)) => saved.model.push((rest.to_owned(), tensor)),
            Some(("optim", rest)) => saved.optim.push((rest.to_owned(), tensor)),
            _ => return Err(damaged(TENSORS, "names in `model.` and `optim.`", name)),
        }
    }
    Ok(saved)
}

fn json(path: &Path, value: &impl Serialize) -> Result<()> {
    atomic::write_json(path, value).map_err(Error::io(path))
}

/// blake3 of a file, hex.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let file = fs::File::open(path).map_err(Error::io(path))?;
    let mut hash = blake3::Hasher::new();
    hash.update_reader(file).map_err(Error::io(path))?;
    Ok(hash.finalize().to_hex().to_string())
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(step: u64) -> Saved {
        let schedule = ScheduleState { scale: 1.0, best: None, bad_epochs: 0 };
        let w = Tensor::from_slice(&[step as f32, 0.5]);
        Saved {
            state: State { step, window: vec![1.0 / 3.0], ..State::new(schedule) },
            model: vec![("head.weight".to_owned(), w.copy())],
            optim: vec![("exp_avg.head.weight".to_owned(), w)],
        }
    }

    fn run() -> (tempfile::TempDir, RunDir) {
        let tmp = tempfile::tempdir().unwrap();
        let dir = RunDir::create(tmp.path()).unwrap();
        (tmp, dir)
    }

    #[test]
    fn what_is_saved_is_loaded_to_the_last_bit() {
        let (_tmp, dir) = run();
        assert!(latest(&dir).unwrap().is_none());
        save(&dir, &saved(7)).unwrap();
        let (back, damage) = latest(&dir).unwrap().unwrap();
        assert!(damage.is_none());
        assert_eq!(back.state, saved(7).state);
        assert_eq!(back.model[0].0, "head.weight");
        assert!(back.model[0].1.equal(&saved(7).model[0].1));
        assert_eq!(back.optim[0].0, "exp_avg.head.weight");
    }

    #[test]
    fn a_flipped_bit_or_a_cut_file_is_noticed_and_the_state_before_is_used() {
        for name in [TENSORS, STATE, DIGESTS] {
            let (_tmp, dir) = run();
            save(&dir, &saved(1)).unwrap();
            save(&dir, &saved(2)).unwrap();
            let path = dir.last().join(name);
            let whole = fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            for bytes in [&flipped[..], &whole[..whole.len() / 2], &[]] {
                fs::write(&path, bytes).unwrap();
                let (back, damage) = latest(&dir).unwrap().unwrap();
                assert_eq!(back.state.step, 1, "{name}");
                assert!(damage.unwrap().to_string().contains("damaged checkpoint"));
            }
            fs::remove_dir_all(dir.last_old()).unwrap();
            let text = latest(&dir).err().unwrap().to_string();
            assert!(text.contains(name) || name == DIGESTS, "{text}");
        }
    }

    #[test]
    fn a_save_cut_short_at_any_point_leaves_a_whole_state() {
        let (_tmp, dir) = run();
        save(&dir, &saved(1)).unwrap();
        save(&dir, &saved(2)).unwrap();
        // Killed while `last.part` was being written.
        fs::create_dir(dir.path().join("last.part")).unwrap();
        fs::write(dir.path().join("last.part").join(TENSORS), b"half").unwrap();
        assert_eq!(latest(&dir).unwrap().unwrap().0.state.step, 2);
        // Killed between the two renames.
        fs::remove_dir_all(dir.last_old()).unwrap();
        fs::rename(dir.last(), dir.last_old()).unwrap();
        assert_eq!(latest(&dir).unwrap().unwrap().0.state.step, 2);
        save(&dir, &saved(3)).unwrap();
        assert_eq!(latest(&dir).unwrap().unwrap().0.state.step, 3);
    }
}
