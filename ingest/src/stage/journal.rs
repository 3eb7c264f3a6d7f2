//! What was decoded so far: one line per file, written as it comes, so that a killed run loses only what was under way.
//!
//! A line is eight hex digits of CRC-32C, a space and JSON. The first line says under which decoder and limits the rest
//! holds; another context starts afresh. A line that is cut off or damaged is as good as none; of two lines for one file
//! the later counts.

use crate::error::{Error, Result};
use crate::policy::Outcome;
use etude_manifests::{Status, Track};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Size and time of a file: unchanged if both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub bytes: u64,
    /// Of the last modification, nanoseconds since 1970, negative before.
    mtime_ns: i128,
}

/// One decoded file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    path: String,
    stamp: Stamp,
    /// The digest it was compared with.
    published: Option<String>,
    outcome: Outcome,
}

/// The open file and what was in it.
pub(super) struct Journal {
    path: PathBuf,
    known: HashMap<String, Line>,
    file: Mutex<File>,
}

impl Stamp {
    /// `None` if the file cannot be looked at, e.g. because it is not there.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|m| Self { bytes: m.len(), mtime_ns: mtime_ns(&m) })
    }

    /// Of the files of all tracks.
    pub fn of_all(root: &Path, tracks: &[Track]) -> Vec<Option<Self>> {
        tracks.iter().map(|t| Self::of(&root.join(&t.path))).collect()
    }
}

fn mtime_ns(metadata: &Metadata) -> i128 {
    let nanos = |d: std::time::Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
    match metadata.modified().map(|t| t.duration_since(UNIX_EPOCH)) {
        Ok(Ok(since)) => nanos(since),
        Ok(Err(before)) => -nanos(before.duration()),
        Err(_) => 0, // no such clock on this system: the size alone counts
    }
}

impl Journal {
    /// Reads what is there for `context`, drops the rest, and opens the file for more.
    pub fn open(path: &Path, context: &str, fresh: bool) -> Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) if !fresh => bytes,
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path)(e)),
            _ => Vec::new(),
        };
        let (known, clean) = parse(&bytes, context);
        if !clean {
            rewrite(path, context, &known)?;
        }
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_path_buf(), known, file: Mutex::new(file) })
    }

    /// What is known of a file that has not changed since.
    pub fn get(&self, path: &str, stamp: Stamp, published: Option<&str>) -> Option<&Outcome> {
        let line = self.known.get(path)?;
        let same = line.stamp == stamp && line.published.as_deref() == published;
        same.then_some(&line.outcome)
    }

    /// Keeps an outcome, unless it may be another one next time. Returns it as a later run will read it.
    pub fn put(
        &self,
        path: &str,
        stamp: Option<Stamp>,
        published: Option<&str>,
        outcome: Outcome,
    ) -> Result<Outcome> {
        let Some(stamp) = stamp else { return Ok(outcome) };
        if matches!(outcome.status, Status::IoError | Status::MissingFile) {
            return Ok(outcome);
        }
        let published = published.map(str::to_owned);
        let line = Line { path: path.to_owned(), stamp, published, outcome };
        let text = encode(&line, &self.path)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(Error::io(&self.path))?;
        // Numbers may lose a little in JSON; every run goes through it, so that all write the same table.
        Ok(decode::<Line>(text.trim_end().as_bytes()).map_or(line.outcome, |line| line.outcome))
    }

    /// Makes what was kept survive a loss of power.
    pub fn sync(&self) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.sync_data().map_err(Error::io(&self.path))
    }
}

/// Lines that hold, and whether there was nothing else.
fn parse(bytes: &[u8], context: &str) -> (HashMap<String, Line>, bool) {
    let mut known = HashMap::new();
    let mut lines = bytes.split_inclusive(|&b| b == b'\n');
    if lines.next().and_then(whole).and_then(decode::<String>).as_deref() != Some(context) {
        return (known, false);
    }
    let mut clean = true;
    for line in lines {
        match whole(line).and_then(decode::<Line>) {
            Some(line) => clean &= known.insert(line.path.clone(), line).is_none(),
            None => clean = false,
        }
    }
    (known, clean)
}

/// A line without its end; `None` if it was cut off.
fn whole(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\n")
}

fn decode<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Option<T> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32c::crc32c(json)).then(|| serde_json::from_slice(json).ok())?
}

fn encode(value: &impl Serialize, path: &Path) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| Error::io(path)(e.into()))?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())))
}

/// A journal with these lines only.
fn rewrite(path: &Path, context: &str, known: &HashMap<String, Line>) -> Result<()> {
    let mut text = encode(&context, path)?;
    let mut lines: Vec<&Line> = known.values().collect();
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    for line in lines {
        text.push_str(&encode(line, path)?);
    }
    super::write(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::Facts;

    fn stamp(bytes: u64) -> Option<Stamp> {
        Some(Stamp { bytes, mtime_ns: 1_700_000_000_123_456_789 })
    }

    fn outcome(peak: f32) -> Outcome {
        let facts = Facts { peak: Some(peak), sha256: Some([7; 32]), ..Facts::default() };
        Outcome { facts, status: Status::Ok, ..Outcome::default() }
    }

    fn filled(path: &Path) -> Vec<Outcome> {
        let journal = Journal::open(path, "a", false).unwrap();
        (1..=3)
            .map(|i| journal.put(&i.to_string(), stamp(i), None, outcome(0.1 * i as f32)).unwrap())
            .collect()
    }

    fn known(path: &Path, context: &str) -> Vec<bool> {
        let journal = Journal::open(path, context, false).unwrap();
        (1..=3).map(|i| journal.get(&i.to_string(), stamp(i).unwrap(), None).is_some()).collect()
    }

    #[test]
    fn what_was_kept_is_found_again_unless_file_digest_or_context_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let kept = filled(&path);
        let journal = Journal::open(&path, "a", false).unwrap();
        assert_eq!(journal.get("2", stamp(2).unwrap(), None), Some(&kept[1]));
        assert_eq!(journal.get("2", stamp(3).unwrap(), None), None);
        assert_eq!(journal.get("2", stamp(2).unwrap(), Some("md5:0")), None);
        assert_eq!(known(&path, "b"), [false; 3]);
    }

    #[test]
    fn a_journal_cut_off_anywhere_gives_the_whole_lines_and_can_be_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        filled(&path);
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|&&e| e < cut).count().saturating_sub(1);
            let expected: Vec<bool> = (0..3).map(|i| i < whole).collect();
            assert_eq!(known(&path, "a"), expected, "cut at {cut}");
            let journal = Journal::open(&path, "a", false).unwrap();
            journal.put("3", stamp(3), None, outcome(0.5)).unwrap();
            assert!(known(&path, "a")[2], "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_loses_one_line_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        filled(&path);
        let mut bytes = fs::read(&path).unwrap();
        let second = bytes.iter().position(|&b| b == b'\n').unwrap() + 40;
        bytes[second] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(known(&path, "a"), [false, true, true]);
    }

    #[test]
    fn the_later_of_two_lines_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let journal = Journal::open(&path, "a", false).unwrap();
        for i in 1..=2 {
            journal.put("x", stamp(i), None, outcome(0.5)).unwrap();
        }
        let journal = Journal::open(&path, "a", false).unwrap();
        assert!(journal.get("x", stamp(1).unwrap(), None).is_none());
        assert!(journal.get("x", stamp(2).unwrap(), None).is_some());
    }
}
