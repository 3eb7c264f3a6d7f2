//! A cache's folder: whether the disk has room for it, who fills it, and what lies beside it.

use super::plan::Plan;
use super::{ABOUT, About, Key};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::trainer::event;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Refuses to begin what the disk cannot hold.
pub(super) fn room(dir: &Path, needed: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(dir).map_err(|e| Error::io(dir)(e.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    match needed <= free {
        true => Ok(()),
        false => Err(Error::Cache {
            text: format!(
                "{}: the cache needs {needed} bytes ({}), the disk has {free} left ({}); \
                 set data.cache.dir to a larger one, data.cache.dtype to bf16, or leave out data.cache",
                dir.display(),
                size(needed),
                size(free),
            ),
        }),
    }
}

/// Only one run fills a cache at a time; another one waits for it. `None` when asked to stop.
pub(super) fn lock(dir: &Path, log: &mut dyn Log, stop: &AtomicBool) -> Result<Option<File>> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(Error::io(&path))?;
    let mut said = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                if !std::mem::replace(&mut said, true) {
                    let text = format!("cache {}: another run is filling it", dir.display());
                    log.row(&event(0, "cache", text));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(e) => return Err(Error::io(&path)(e.into())),
        }
    }
}

/// A word on the caches of other weights, settings, shards or versions for the same shard set and backbone.
pub(super) fn others(plan: &Plan) -> Result<String> {
    let Some(root) = plan.dir.parent() else { return Ok(String::new()) };
    let mut others = 0;
    for found in fs::read_dir(root).map_err(Error::io(root))? {
        let path = found.map_err(Error::io(root))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        let kin = name.is_some_and(|n| n.starts_with(&format!("{}-", plan.family)));
        let about = fs::read(path.join(ABOUT)).ok();
        let about = about.map(|text| serde_json::from_slice::<About>(&text));
        // that of another split is none of them, one that is not understood is
        let Key { split, windows, batch, .. } = &plan.key;
        let (windows, split, batch) = (windows.clone(), *split, *batch);
        let other = about.is_some_and(|about| {
            about.map_or(true, |About { made_from, .. }| {
                plan.key != Key { windows, split, batch, ..made_from }
            })
        });
        others += usize::from(kin && other);
    }
    Ok(match others {
        0 => String::new(),
        1 => "; one beside it is of other weights, settings, shards or version".to_owned(),
        n => format!("; {n} beside it are of other weights, settings, shards or version"),
    })
}

/// Bytes for people: `1.49 GB`.
pub(super) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    match unit {
        "bytes" => format!("{bytes} bytes"),
        _ => format!("{value:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_does_not_fit_the_disk_is_refused_with_the_bytes_it_needs() {
        let tmp = tempfile::tempdir().unwrap();
        room(tmp.path(), 1).unwrap();
        let text = room(tmp.path(), 1 << 60).unwrap_err().to_string();
        assert!(text.contains("needs 1152921504606846976 bytes (1152921.50 TB)"), "{text}");
        assert!(text.contains("data.cache.dir"), "{text}");
    }

    #[test]
    fn sizes_have_three_digits_or_more() {
        let table = [(999, "999 bytes"), (1_490_944, "1.49 MB"), (27_900_000_000, "27.90 GB")];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }
}
