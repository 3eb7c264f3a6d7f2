//! What can go wrong between a trained model and its scores.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each variant names the place, what was expected and what was there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// A task name or its settings are wrong.
    #[error("task: {text}")]
    Task {
        /// What is wrong and what there is.
        text: String,
    },
    /// A view, a batch or a model does not fit the task.
    #[error("{place}: expected {expected}, got {got}")]
    Misfit {
        /// The view, track or tensor.
        place: String,
        /// What the task needs.
        expected: String,
        /// What was there.
        got: String,
    },
    /// A model said something that is not a number.
    #[error("{key}: the model's output is not finite; its weights or this track are damaged")]
    NotFinite {
        /// Key of the example.
        key: String,
    },
    /// Nothing to score.
    #[error("{place}: no examples; check the split with `etude check`")]
    Empty {
        /// The view or file.
        place: String,
    },
    /// A table of embeddings, or a file beside it, could not be written.
    #[error("{path}: {why}")]
    Table {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The stage was asked to end.
    #[error("stopped after {done} of {total} tracks; the same command goes on")]
    Stopped {
        /// Tracks done.
        done: u64,
        /// Tracks to do.
        total: u64,
    },
    /// Scores and labels do not go together.
    #[error(transparent)]
    Metrics(#[from] crate::metrics::Error),
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// The edge to libtorch failed.
    #[error(transparent)]
    Aten(#[from] etude_aten::Error),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] etude_models::Error),
    /// Reading audio failed.
    #[error(transparent)]
    Shards(#[from] etude_shards::Error),
}
