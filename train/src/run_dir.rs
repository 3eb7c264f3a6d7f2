//! The folder of one run.
//!
//! ```text
//! config.toml                  the experiment, overrides applied
//! identity.json                hashes of the view, its vocabulary and splits, and the shards; the class names
//! versions.txt                 what it ran on; a block per start
//! log.jsonl, events.out.…      rows and curves
//! best.safetensors             trained tensors and running statistics of the best validation
//! kept/step-00000120.safetensors …   the best k of them
//! last/, last.old/             everything needed to go on, now and one save earlier
//! report.json                  outcome, scores, minutes, peak memory
//! .lock                        held while training: two runs never write into one folder
//! ```

use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of one run, locked while it is open for training.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Locked until dropped; `None` for a folder that is only read.
    lock: Option<File>,
}

impl RunDir {
    /// A new run.
    ///
    /// # Errors
    /// [`Error::Busy`] when another run has the folder, [`Error::Exists`] when it holds a run already.
    pub fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io(path))?;
        let dir = Self::locked(path)?;
        if dir.config().exists() {
            return Err(Error::Exists { dir: path.to_path_buf() });
        }
        Ok(dir)
    }

    /// A run to go on with.
    ///
    /// # Errors
    /// [`Error::NoRun`] when there is none, [`Error::Busy`] when another run has the folder.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path)?;
        Self::locked(path)
    }

    /// A run to look at or to score; not locked.
    ///
    /// # Errors
    /// [`Error::NoRun`] when there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let dir = Self { path: path.to_path_buf(), lock: None };
        match dir.config().exists() {
            true => Ok(dir),
            false => Err(Error::NoRun { dir: dir.path, missing: "config.toml" }),
        }
    }

    fn locked(path: &Path) -> Result<Self> {
        let file = path.join(".lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = open.map_err(Error::io(&file))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock: Some(lock) }),
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => {
                Err(Error::Busy { dir: path.to_path_buf() })
            }
            Err(e) => Err(Error::io(&file)(e.into())),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process may write into the folder.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// The experiment, overrides applied.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// What the run was trained on.
    pub fn identity(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    /// What it ran on.
    pub fn versions(&self) -> PathBuf {
        self.path.join("versions.txt")
    }

    /// Rows, one JSON object per line.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// The state of the best validation.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The best states, one file per step.
    pub fn kept(&self) -> PathBuf {
        self.path.join("kept")
    }

    /// The latest resumable state.
    pub fn last(&self) -> PathBuf {
        self.path.join("last")
    }

    /// The resumable state before [`RunDir::last`].
    pub fn last_old(&self) -> PathBuf {
        self.path.join("last.old")
    }

    /// Outcome of a finished run.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// Adds a block of `name value` lines to `versions.txt`.
    pub fn note_versions(&self, lines: &[(&str, String)]) -> Result<()> {
        let path = self.versions();
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = open.map_err(Error::io(&path))?;
        let mut block = String::new();
        for (name, value) in lines {
            block += &format!("{name:<10} {value}\n");
        }
        block.push('\n');
        file.write_all(block.as_bytes()).map_err(Error::io(&path))
    }
}

/// Name of a kept state.
pub(crate) fn step_file(step: u64) -> String {
    format!("step-{step:08}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_cannot_have_one_folder() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("run");
        let first = RunDir::create(&path).unwrap();
        assert!(first.is_locked());
        let text = RunDir::create(&path).unwrap_err().to_string();
        assert!(text.contains("another training run is using this folder"), "{text}");
        drop(first);
        RunDir::create(&path).unwrap();
    }

    #[test]
    fn a_folder_with_a_run_is_resumed_not_overwritten() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(matches!(RunDir::open(tmp.path()), Err(Error::NoRun { .. })));
        fs::write(tmp.path().join("config.toml"), "").unwrap();
        assert!(matches!(RunDir::create(tmp.path()), Err(Error::Exists { .. })));
        assert!(RunDir::open(tmp.path()).unwrap().is_locked());
        assert!(!RunDir::read(tmp.path()).unwrap().is_locked());
    }
}
