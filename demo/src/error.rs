//! What can go wrong while a corpus is made.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each variant names the place, what was expected and what was there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting is outside its range.
    #[error("demo corpus: expected {name} of {expected}, got {got}")]
    Setting {
        /// The field of the configuration.
        name: &'static str,
        /// Its range, with unit.
        expected: String,
        /// The value given.
        got: String,
    },
    /// The folder holds something else.
    #[error(
        "{path}: expected an empty folder or the same demo corpus, got {got}; choose another folder or remove this one"
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        got: String,
    },
    /// A clip could not be put into its format.
    #[error("{path}: cannot be written as {format}: {reason}")]
    Encode {
        /// Path of the clip in the corpus.
        path: String,
        /// Codec, rate, channels.
        format: String,
        /// What the encoder said.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("stopped after {done} of {of} clips; the same command makes the corpus anew")]
    Stopped {
        /// Clips written.
        done: usize,
        /// Clips asked for.
        of: usize,
    },
}

/// Attaches the path to an input or output error.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source }
}
