//! What is known of one finished shard file: `shard-00000.json` while a set is being written, a line of `index.json` after.

use crate::error::{Error, Result};
use crate::spec::{Spec, track_name};
use etude_manifests::{Status, atomic};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// One file of a shard set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// File name, without folders.
    pub name: String,
    /// Identity of the plan this file was made from ([`Spec::identity`]); empty if none was given.
    pub identity: String,
    /// Parquet rows.
    pub rows: u64,
    /// Parquet row groups.
    pub row_groups: u64,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, lower-case hex.
    pub blake3: String,
    /// Tracks in the file, in the order of their rows.
    pub tracks: Vec<TrackEntry>,
    /// Tracks that were planned for this file and left out, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// One stored track. In JSON: `[key, variant, first row, steps, overs]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "TrackTuple", into = "TrackTuple")]
pub struct TrackEntry {
    /// Key in the manifest.
    pub key: String,
    /// `orig`, `key-3`, …
    pub variant: String,
    /// Row of block 0, counted within the file.
    pub first_row: u64,
    /// Length in time steps (samples, frames or vectors).
    pub steps: u64,
    /// Values that had to be saturated to be stored.
    pub overs: u64,
}

type TrackTuple = (String, String, u64, u64, u64);

/// A track that was planned and left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Key in the manifest.
    pub key: String,
    /// `orig`, `key-3`, …
    pub variant: String,
    /// What was found.
    pub status: Status,
    /// In words; empty if the status says it all.
    pub text: String,
}

impl From<TrackTuple> for TrackEntry {
    fn from((key, variant, first_row, steps, overs): TrackTuple) -> Self {
        Self { key, variant, first_row, steps, overs }
    }
}

impl From<TrackEntry> for TrackTuple {
    fn from(t: TrackEntry) -> Self {
        (t.key, t.variant, t.first_row, t.steps, t.overs)
    }
}

impl FileEntry {
    /// Name of file `n` of a set: `shard-00000.parquet`.
    pub fn file_name(n: usize) -> String {
        format!("shard-{n:05}.parquet")
    }

    /// The entry of file `n` if an earlier run finished it to the same plan: its identity equals `expected_identity`
    /// and the file has the size it was written with. Anything else, leftovers of a killed run included, is `None`:
    /// the file has to be written again.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn read_finished(dir: &Path, n: usize, expected_identity: &str) -> Result<Option<Self>> {
        let path = entry_path(dir, n);
        let text = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io(&path))?,
        };
        let Ok(entry) = serde_json::from_slice::<FileEntry>(&text) else { return Ok(None) };
        let whole = entry.name == Self::file_name(n)
            && !entry.identity.is_empty()
            && entry.identity == expected_identity
            && fs::metadata(dir.join(&entry.name)).is_ok_and(|m| m.len() == entry.bytes);
        Ok(whole.then_some(entry))
    }

    /// Keeps the entry beside its file, whole or not at all.
    pub(crate) fn write(&self, dir: &Path, n: usize) -> Result<()> {
        let path = entry_path(dir, n);
        let mut text = serde_json::to_vec(self).map_err(|e| Error::io(&path)(e.into()))?;
        text.push(b'\n');
        atomic::write(&path, &text).map_err(Error::io(&path))
    }

    /// Refuses an entry that contradicts itself; `place` is the file it was read from.
    pub(crate) fn check(&self, spec: &Spec, place: &Path) -> Result<()> {
        let bad = |expected: String, got: String| {
            Err(Error::Format { path: place.to_path_buf(), expected, got })
        };
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return bad("a file name without folders".into(), format!("{:?}", self.name));
        }
        let mut row = 0u64;
        for t in &self.tracks {
            if t.steps == 0 || t.first_row != row {
                let name = track_name(&t.key, &t.variant);
                let expected = format!("{}: track {name} with steps, from row {row}", self.name);
                return bad(expected, format!("{} steps from row {}", t.steps, t.first_row));
            }
            row = row.saturating_add(spec.rows_of(t.steps));
        }
        if row != self.rows {
            return bad(format!("{}: {row} rows for its tracks", self.name), self.rows.to_string());
        }
        Ok(())
    }
}

/// Where the entry of file `n` waits for the index.
pub(crate) fn entry_path(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("shard-{n:05}.json"))
}
