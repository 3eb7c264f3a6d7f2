//! What can go wrong between an array in memory, a shard on disk and a batch.

use parquet::errors::ParquetError;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with shards. Each variant names the place, what was expected and what was there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The Parquet layer refused a file.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet layer said.
        source: ParquetError,
    },
    /// A file is not in the form it should have.
    #[error("{path}: expected {expected}, got {got}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        got: String,
    },
    /// A shard set was written by another version of étude.
    #[error(
        "{path}: shard format {got}, this étude reads format {expected}; run `etude shards` again"
    )]
    Version {
        /// The index.
        path: PathBuf,
        /// The version this build reads.
        expected: u32,
        /// The version found.
        got: String,
    },
    /// A file that the index lists is not there.
    #[error("{path}: listed in index.json, but there is no such file; run `etude shards` again")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file has another size than the index says: it was cut off, or changed.
    #[error(
        "{path}: expected {expected} bytes, got {got}; the file is truncated or changed, run `etude shards` again"
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes according to the index.
        expected: u64,
        /// Bytes on disk.
        got: u64,
    },
    /// A file has other bytes than the index says.
    #[error(
        "{path}: expected blake3 {expected}, got {got}; the file is damaged or changed, run `etude shards` again"
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// Digest according to the index, hex.
        expected: String,
        /// Digest of the bytes on disk, hex.
        got: String,
    },
    /// Two artefacts that belong together disagree.
    #[error("{what}: {left_name} has {left}, {right_name} has {right}")]
    Mismatch {
        /// Which property, e.g. `corpus`.
        what: String,
        /// Name of the first artefact.
        left_name: String,
        /// Its value.
        left: String,
        /// Name of the second artefact.
        right_name: String,
        /// Its value.
        right: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{key}: expected {expected}, got {got}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What would do.
        expected: &'static str,
        /// What was there.
        got: String,
    },
    /// A track cannot be stored as it is.
    #[error("track {track}: expected {expected}, got {got}")]
    Track {
        /// Key of the track, with `#variant` unless it is the original.
        track: String,
        /// What would do.
        expected: String,
        /// What was there.
        got: String,
    },
    /// A view names tracks that the shard set neither holds nor refused.
    #[error(
        "view {view}: {count} of {of} examples have no track in the shards of {corpus}, e.g. {}; \
         view and shards come from different manifests, run `etude shards` again",
        examples.join(", ")
    )]
    UnknownTracks {
        /// Name of the view.
        view: String,
        /// Corpus of the shards.
        corpus: String,
        /// How many examples are concerned.
        count: usize,
        /// How many examples the loader wanted.
        of: usize,
        /// The first of them, at most ten.
        examples: Vec<String>,
    },
    /// Nothing to load.
    #[error(
        "view {view}: no example of split {split} in the shards ({refused} refused by `etude shards`)"
    )]
    NoExamples {
        /// Name of the view.
        view: String,
        /// The split asked for.
        split: &'static str,
        /// Examples whose audio was refused.
        refused: usize,
    },
    /// A loader thread stopped without an answer.
    #[error("batch {batch}: a loader thread stopped: {why}")]
    Worker {
        /// Number of the batch, from 0 over all epochs.
        batch: u64,
        /// What is known.
        why: String,
    },
}

impl Error {
    /// Turns what the system said into an error that names the file.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// Turns what the Parquet layer said into an error that names the file.
    pub(crate) fn parquet(path: impl Into<PathBuf>) -> impl FnOnce(ParquetError) -> Self {
        let path = path.into();
        move |source| Error::Parquet { path, source }
    }
}
