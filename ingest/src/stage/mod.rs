//! Stages: `run(&Config, &dyn Progress, &AtomicBool) -> Result<Report>`. They print nothing and read no environment.
//!
//! [`tables`] turns a corpus into a manifest and views, with one full decode of every file. [`pack`] turns the manifest into
//! shards. Both can be killed at any moment and run again: what was finished is kept, and the result has the same bytes
//! as an undisturbed run, with any number of threads.

mod journal;
mod manifest;
pub mod mel_files;
mod mels;
pub mod pack;
mod plan;
mod pool;
pub mod tables;

use crate::config::{Config, Ingest};
use crate::decode::{DecodeLimits, Decoded};
use crate::error::{Error, Result};
use crate::npy;
use crate::policy::Outcome;
use etude_manifests::{Track, atomic};
use journal::Journal;
use mels::Content;
use serde::Serialize;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Decoder and version of our own rules around it: facts of different decoders are not comparable.
const DECODER: &str = "symphonia 0.6.1, etude 1";

/// A lower-case hex digest of anything that serialises.
fn digest(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default(); // plain values: they always serialise
    blake3::hash(&json).to_hex()[..32].to_owned()
}

/// What the config asks of a decode.
fn limits(ingest: &Ingest) -> DecodeLimits {
    DecodeLimits {
        max_channels: ingest.max_channels,
        min_s: ingest.min_s,
        max_s: ingest.max_s,
        verify: ingest.verify,
    }
}

/// The journal of decode facts of this data set.
fn open_journal(cfg: &Config) -> Result<Journal> {
    let Ingest { max_channels, min_s, max_s, verify, .. } = &cfg.ingest;
    let context = digest(&(DECODER, max_channels, min_s, max_s, verify));
    Journal::open(&hidden(cfg, "journal"), &context, cfg.force)
}

/// `<data>/manifests/.<dataset>.<what>`: files of the stages' own.
fn hidden(cfg: &Config, what: &str) -> PathBuf {
    cfg.manifests_dir().join(format!(".{}.{what}", cfg.dataset))
}

/// Decodes the file of a track and splits off what it holds, audio as long as `shards.cap_s` allows; facts are of the
/// whole file.
fn decode(cfg: &Config, track: &Track) -> (Content, Outcome) {
    let path = cfg.root.join(&track.path);
    let published = track.published_digest.as_deref();
    if npy::is_mel_file(&track.path) {
        let (frames, outcome) = npy::read(&path, published, &limits(&cfg.ingest));
        return (Content::Frames(frames), outcome);
    }
    let decoded = crate::decode(&path, published, &limits(&cfg.ingest));
    let Decoded { mut pcm, facts, status, status_text: text, warnings } = decoded;
    if let Some(seconds) = cfg.shards.cap_s {
        pcm.cut(seconds);
    }
    (Content::Wave(pcm), Outcome { facts, status, text, warnings })
}

/// Bytes of memory that decoding a file of this size may take: the file, its channels and their mean as 32-bit floats.
fn cost(path: &str, file_bytes: u64) -> u64 {
    let swell = match extension(path).as_str() {
        "wav" | "aif" | "aiff" | "npy" => 4,
        "flac" => 6,
        _ => 20,
    };
    file_bytes.saturating_mul(swell) + (1 << 16)
}

/// Lower-case extension.
fn extension(path: &str) -> String {
    let extension = Path::new(path).extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

/// A folder that one run at a time writes to. The lock goes when the process does, however it ends.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_path_buf() }),
            Err(TryLockError::Error(e)) => Err(Error::io(path)(e)),
        }
    }
}

/// A whole file or none.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic::write(path, bytes).map_err(Error::io(path))
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<()> {
    atomic::remove(path).map_err(Error::io(path))
}
