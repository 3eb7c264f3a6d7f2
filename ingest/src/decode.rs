//! One file to mono samples, facts and a verdict, with symphonia as the decoder and our own policy around it.
//!
//! - The file is read once, into memory; digests, container, packets and samples come from those bytes.
//! - Trimming: a LAME tag's delay is cut from the start and its length is kept; an Ogg page's position cuts its packets;
//!   otherwise every sample stays.
//! - Refused packets become zeros, so that what follows keeps its place in time.
//! - A header's promises are compared with what came out; they size no buffer.
//! - Nothing here fails: the outcome is the [`Status`]. The first rule that matches wins, in the order of that enum.

mod container;
mod flac;
mod judge;
mod lame;
mod layout;
mod mpeg;
mod sink;
mod stream;

use crate::digest;
use crate::pcm::Pcm;
use etude_manifests::{Facts, Status, Warning};
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes a thread keeps for its next file; a larger file's buffer is given back.
const KEEP_BYTES: usize = 64 << 20;

/// What a corpus accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeLimits {
    /// More channels than this is [`Status::BadChannels`].
    pub max_channels: u16,
    /// Shorter than this, in seconds, is [`Status::TooShort`].
    pub min_s: f64,
    /// Longer than this, in seconds, gets [`Warning::DurationMismatch`].
    pub max_s: Option<f64>,
    /// Check the MD5 inside FLAC files and digest the decoded samples.
    pub verify: bool,
}

impl Default for DecodeLimits {
    /// 8 channels, 0.1 s, no upper end, verified.
    fn default() -> Self {
        Self { max_channels: 8, min_s: 0.1, max_s: None, verify: true }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What could be decoded, also when the status says not to use it: zeros stand for refused packets and for
    /// NaN and infinite samples. Empty when nothing could.
    pub pcm: Pcm,
    /// What was found on the way.
    pub facts: Facts,
    /// Usable or not.
    pub status: Status,
    /// Why, for every status but `Ok` and `OkWarn`; at most 500 characters, without the path.
    pub status_text: Option<String>,
    /// Oddities, sorted.
    pub warnings: Vec<Warning>,
}

/// Buffers a thread uses again for every file.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    planes: Vec<Vec<f32>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Decodes the file at `path`, compares it with `published_digest` (`sha256:…`, `sha1:…` or `md5:…`) and judges it.
///
/// Never fails and never panics, whatever the bytes: see [`Decoded::status`]. The same bytes give the same answer.
pub fn decode(path: &Path, published_digest: Option<&str>, limits: &DecodeLimits) -> Decoded {
    let mut scratch = SCRATCH.take();
    let extension = path.extension().and_then(|e| e.to_str());
    let decoded = match read_file(path, &mut scratch.bytes) {
        Err((status, text)) => refused(status, text),
        Ok(()) => {
            decode_bytes(&scratch.bytes, &mut scratch.planes, extension, published_digest, limits)
        }
    };
    if scratch.bytes.capacity() > KEEP_BYTES {
        scratch.bytes = Vec::new();
    }
    SCRATCH.set(scratch);
    decoded
}

/// Reads a whole regular file, or says which status it has.
pub(crate) fn read_file(path: &Path, bytes: &mut Vec<u8>) -> Result<(), (Status, String)> {
    bytes.clear();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
    match opened {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err((Status::MissingFile, "expected a file, found nothing at this path".into()))
        }
        Err(e) => Err((Status::IoError, e.to_string())),
        Ok((false, _)) => Err((Status::IoError, "expected a regular file".into())),
        Ok((true, mut file)) => match file.read_to_end(bytes) {
            Ok(_) => Ok(()),
            Err(e) => Err((Status::IoError, e.to_string())),
        },
    }
}

fn refused(status: Status, text: String) -> Decoded {
    let (pcm, facts) = (Pcm::default(), Facts::default());
    Decoded { pcm, facts, status, status_text: Some(judge::clip(text)), warnings: Vec::new() }
}

/// [`decode`] once the bytes are in memory.
fn decode_bytes(
    bytes: &[u8],
    planes: &mut Vec<Vec<f32>>,
    extension: Option<&str>,
    published_digest: Option<&str>,
    limits: &DecodeLimits,
) -> Decoded {
    let sha256 = digest::sha256(bytes);
    let digest_ok = published_digest.map(|d| digest::matches(d, bytes, &sha256).unwrap_or(false));
    let mut found = stream::Found::default();
    let run = AssertUnwindSafe(|| stream::read(bytes, planes, limits, &mut found));
    if let Err(panic) = catch_unwind(run) {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        found.failure = Some((Status::DecodeError, format!("the decoder panicked: {said}")));
    }
    let mut decoded = judge::judge(found, bytes, extension, digest_ok, limits);
    decoded.facts.file_bytes = Some(bytes.len() as i64);
    decoded.facts.sha256 = Some(sha256);
    decoded.facts.digest_ok = digest_ok;
    decoded
}
