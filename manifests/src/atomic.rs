//! Files that appear whole or not at all: `.part`, fsync, rename.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Writes `path` through `fill`. A kill at any moment leaves the old file, or the new one, never a mixture.
pub(crate) fn write(path: &Path, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let staged = Staged::new(path, fill)?;
    staged.publish()
}

/// A finished file that still bears its `.part` name.
pub(crate) struct Staged {
    part: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Fills and syncs `<path>.part`; removes it when `fill` fails.
    pub(crate) fn new(path: &Path, fill: impl FnOnce(&File) -> Result<()>) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(dir).map_err(io)?;
        }
        let mut name = OsString::from(path);
        name.push(".part");
        let staged = Self { part: PathBuf::from(name), path: path.to_owned() };
        let file = File::create(&staged.part).map_err(io)?;
        match fill(&file).and_then(|()| file.sync_all().map_err(io)) {
            Ok(()) => Ok(staged),
            Err(why) => {
                // The first error is the one worth reporting.
                let _ = fs::remove_file(&staged.part);
                Err(why)
            }
        }
    }

    /// Gives the file its name.
    pub(crate) fn publish(self) -> Result<()> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        fs::rename(&self.part, &self.path).map_err(io)?;
        // Some network file systems cannot sync a folder; the rename itself has been done by then.
        if let Some(dir) = self.path.parent().and_then(|d| File::open(d).ok()) {
            let _ = dir.sync_all();
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_no_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let failed = write(&path, |mut file| {
            file.write_all(b"half").unwrap();
            Err(Error::Invalid { path: "a.json".into(), what: "stopped".into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn missing_folders_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/manifests/a.json");
        write(&path, |mut file| {
            file.write_all(b"new").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
