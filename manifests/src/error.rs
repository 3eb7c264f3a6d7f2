//! What can go wrong between an annotation file and a manifest row.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with manifests. Each variant names the place, what was expected and what was there.
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
    /// A file is not in the form it should have.
    #[error("{path}: expected {expected}, got {got}")]
    Format {
        /// The file, with `:line` where there is one.
        path: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        got: String,
    },
    /// A manifest was written by another version of étude.
    #[error(
        "{path}: manifest version {got}, this étude reads version {expected}; run `etude ingest` again"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version this build reads.
        expected: u32,
        /// The version found.
        got: String,
    },
    /// A table cannot be read at all: cut off, overwritten, or never a table.
    #[error(
        "{path}: not a readable Parquet file ({why}); delete it and make it again with `etude ingest`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        why: String,
    },
    /// Rows that contradict what a manifest promises.
    #[error("{path}: {what}")]
    Invalid {
        /// The file, or the name of the view.
        path: String,
        /// Which promise is broken, where, expected and got.
        what: String,
    },
    /// A query does not run.
    #[error("query over {path}: {why}")]
    Query {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two artefacts that belong together disagree.
    #[error("{what}: {left_name} has {left}, {right_name} has {right}")]
    Mismatch {
        /// Which property, e.g. `vocabulary hash`.
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
}
