//! Files that appear whole or not at all: written under a `.part` name, flushed to disk, renamed, their folder flushed. A
//! kill or a power cut at any moment leaves the old file or the new one, never a mixture.

use crate::error::{Error, Result};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// `a.json` -> `a.json.part`.
pub fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Writes `bytes` as `path`; a failure leaves no `.part` behind.
///
/// # Errors
/// What the file system says.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_path(path);
    let written = File::create(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| publish(&file, path)));
    if written.is_err() {
        let _ = fs::remove_file(&part); // the first error is the one worth reporting
    }
    written
}

/// Writes a value as indented JSON with a line feed at the end, as [`write()`].
///
/// # Errors
/// What the file system says, or a value that is no JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write(path, &text)
}

/// Removes a file; that there is none is fine.
///
/// # Errors
/// What the file system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Gives the finished file [`part_path`] of `path` its name. `part` is a handle on it, to read or to write.
///
/// # Errors
/// What the file system says.
pub fn publish(part: &File, path: &Path) -> io::Result<()> {
    part.sync_all()?;
    rename(path)
}

/// Makes renames inside a folder last.
///
/// # Errors
/// What the file system says, unless it is one that cannot flush a folder.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        flushed => flushed,
    }
}

fn rename(path: &Path) -> io::Result<()> {
    fs::rename(part_path(path), path)?;
    sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Writes `path` through `fill`. A kill at any moment leaves the old file, or the new one, never a mixture.
pub(crate) fn write_through(path: &Path, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
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
        let staged = Self { part: part_path(path), path: path.to_owned() };
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
        rename(&self.path).map_err(|source| Error::Io { path: self.path, source })
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
        let failed = write_through(&path, |mut file| {
            file.write_all(b"half").unwrap();
            Err(Error::Invalid { path: "a.json".into(), what: "stopped".into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let occupied = dir.path().join("folder");
        fs::create_dir(&occupied).unwrap();
        assert!(write(&occupied, b"new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn bytes_replace_the_old_ones_and_leave_no_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        for text in ["old", "new"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(part_path(Path::new("a.json")), Path::new("a.json.part"));
        assert!(!part_path(&path).exists());
    }

    #[test]
    fn missing_folders_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/manifests/a.json");
        write_through(&path, |mut file| {
            file.write_all(b"new").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
