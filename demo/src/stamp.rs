//! What says that a folder holds a whole demo corpus, and which one.

use crate::corpus::{Config, write};
use crate::error::{Error, Result, at};
use crate::layout::{ANNOTATIONS, CLIP_INFO};
use crate::report::Summary;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Name of the stamp.
const STAMP: &str = "etude-demo.json";

/// What lies in a folder, beside the corpus.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) version: u32,
    pub(crate) config: Config,
    /// Some builds also write MP3, which changes the formats of albums.
    pub(crate) mp3: bool,
    /// `None` while the corpus is being made.
    pub(crate) summary: Option<Summary>,
    /// Path and bytes of every audio file.
    pub(crate) files: Vec<(String, u64)>,
}

/// The corpus already there, if it is whole; an error if something else is.
pub(crate) fn found(out: &Path, wanted: &Stamp) -> Result<Option<Summary>> {
    let entries: Vec<String> = match fs::read_dir(out) {
        Ok(entries) => {
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(at(out)(why)),
    };
    let occupied = |got: String| Err(Error::Occupied { path: out.to_path_buf(), got });
    let stamp = out.join(STAMP);
    if !stamp.exists() {
        let first = entries.iter().find(|name| **name != format!("{STAMP}.part"));
        return first.map_or(Ok(None), |name| occupied(format!("{name} and no {STAMP}")));
    }
    let text = fs::read_to_string(&stamp).map_err(at(&stamp))?;
    let Ok(there) = serde_json::from_str::<Stamp>(&text) else {
        return occupied(format!("a {STAMP} that this version does not read"));
    };
    if (there.version, &there.config, there.mp3) != (wanted.version, &wanted.config, wanted.mp3) {
        let c = &there.config;
        return occupied(format!(
            "a {} demo corpus of {} clips, seed {}, {} s{} (generator {})",
            c.culture.name(),
            c.clips,
            c.seed,
            c.seconds,
            if there.mp3 { ", with MP3" } else { "" },
            there.version
        ));
    }
    let size = |path: &str| fs::metadata(out.join(path)).map(|m| m.len()).ok();
    let whole = there.files.iter().all(|(path, bytes)| size(path) == Some(*bytes))
        && [ANNOTATIONS, CLIP_INFO, "README.txt"].iter().all(|name| size(name).is_some());
    Ok(there.summary.filter(|_| whole))
}

/// Writes the stamp whole.
pub(crate) fn save(out: &Path, stamp: &Stamp) -> Result<()> {
    let path = out.join(STAMP);
    let text = serde_json::to_string_pretty(stamp).map_err(|why| at(&path)(why.into()))?;
    write(&path, format!("{text}\n").as_bytes(), true)
}
