//! Files that are whole or absent: written under a `.part` name, flushed to disk, then renamed.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// `shard-00000.parquet` -> `shard-00000.parquet.part`.
pub(crate) fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Writes a small file whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part_path(path);
    let mut file = File::create(&part).map_err(Error::io(&part))?;
    file.write_all(bytes).map_err(Error::io(&part))?;
    publish(&file, path)
}

/// Gives a finished `.part` file its name; after a power cut it is there whole or not at all.
pub(crate) fn publish(part: &File, path: &Path) -> Result<()> {
    part.sync_all().map_err(Error::io(part_path(path)))?;
    fs::rename(part_path(path), path).map_err(Error::io(path))?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}
