//! What can go wrong between files as downloaded and finished manifests and shards.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that stops a stage. A bad audio file is no error: it is a line in the report, unless the config says
/// `bad = "fail"`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}{}", advice(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A config cannot be used.
    #[error("{place}: {text}")]
    Config {
        /// `file:line`, the file, or `--set`.
        place: String,
        /// What is wrong and what would be right.
        text: String,
    },
    /// An annotation file is not in its published form.
    #[error("{place}: expected {expected}, got {got}")]
    Annotation {
        /// `file:line`, or the file.
        place: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        got: String,
    },
    /// Another run writes into the same folder.
    #[error(
        "{path}: another étude run is writing here; wait for it to end, or give this one another `data` folder"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The shard stage needs what `etude ingest` writes.
    #[error("{path}: no such manifest; run `etude ingest` with this config first")]
    NoManifest {
        /// Where the manifest should be.
        path: PathBuf,
    },
    /// A manifest no longer belongs to the config or to the annotation files.
    #[error("{path}: made from {got}, this config asks for {expected}; run `etude ingest` again")]
    Stale {
        /// The manifest.
        path: PathBuf,
        /// What the config asks for.
        expected: String,
        /// What the manifest was made from.
        got: String,
    },
    /// A file was refused and the config says `bad = "fail"`.
    #[error(
        "{key} ({path}): {status}: {text}; set ingest.bad to \"skip\", \"quarantine\" or \"keep_good\" to go on without it"
    )]
    BadFile {
        /// Key of the track.
        key: String,
        /// Path below the corpus root.
        path: String,
        /// Status code.
        status: String,
        /// Message of the decoder or checker.
        text: String,
    },
    /// Not one track is usable.
    #[error("none of {tracks} tracks is usable; the first: {first}")]
    NothingLeft {
        /// Number of tracks.
        tracks: u64,
        /// Key, status and message of the first.
        first: String,
    },
    /// The user asked to stop.
    #[error(
        "stopped after {done} of {total} tracks; run the same command again to go on from there"
    )]
    Stopped {
        /// Tracks finished and recorded.
        done: u64,
        /// Tracks in all.
        total: u64,
    },
    /// A rate nothing can be resampled from or to.
    #[error("resample {from} Hz to {to} Hz: expected rates of 1 to 768000 Hz")]
    Rate {
        /// Rate of the input, Hz.
        from: u32,
        /// Rate that was asked for, Hz.
        to: u32,
    },
    /// The resampler refused its input.
    #[error("resample {from} Hz to {to} Hz with {how}: {reason}")]
    Resample {
        /// Rate of the input, Hz.
        from: u32,
        /// Rate that was asked for, Hz.
        to: u32,
        /// Id of the resampler.
        how: String,
        /// What it said.
        reason: String,
    },
    /// From the manifests.
    #[error("{source}{advice}", advice = advice_within(source))]
    Manifests {
        /// What happened there.
        #[from]
        source: etude_manifests::Error,
    },
    /// From the shards.
    #[error("{source}{advice}", advice = advice_within(source.as_ref()))]
    Shards {
        /// What happened there.
        source: Box<etude_shards::Error>,
    },
}

impl From<etude_shards::Error> for Error {
    fn from(source: etude_shards::Error) -> Self {
        Error::Shards { source: Box::new(source) }
    }
}

impl Error {
    /// For `map_err`: an input or output error at `path`.
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }
}

/// What to do about an input or output error, where that is known.
fn advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            "; nothing that was finished is lost: make room and run the same command again"
        }
        PermissionDenied | ReadOnlyFilesystem => {
            "; make it writable, or choose another `data` folder with --set data=\"…\""
        }
        _ => "",
    }
}

/// The same for an error of another crate, if an input or output error is behind it.
fn advice_within(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return advice(io);
        }
        at = error.source();
    }
    ""
}
