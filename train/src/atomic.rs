//! Files that appear whole or not at all: `.part`, fsync, rename.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a file so that a kill leaves either the old bytes or the new ones.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::create(&part).map_err(Error::io(&part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(&part))?;
    fs::rename(&part, path).map_err(Error::io(path))?;
    sync_dir(path.parent().unwrap_or(path))
}

/// Makes renames inside a folder last.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}
