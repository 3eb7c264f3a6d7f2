//! What can go wrong between an experiment file and a trained model.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a run. Each variant names the place, what was expected and what was there.
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
    /// An experiment is not valid TOML, has an unknown key or a value of the wrong type.
    #[error("{place}: {text}")]
    Config {
        /// The file or the override.
        place: String,
        /// What the reader said.
        text: String,
    },
    /// Keys of an experiment contradict each other or are out of range.
    #[error("{place}: {}", problems.join("\n  "))]
    Check {
        /// The file.
        place: String,
        /// One line per problem, each with its key and what to do.
        problems: Vec<String>,
    },
    /// Another process trains in this folder.
    #[error("{dir}: another training run is using this folder; wait for it or choose another seed")]
    Busy {
        /// The run folder.
        dir: PathBuf,
    },
    /// A fresh run was asked for in a folder that already has one.
    #[error("{dir}: already holds a run; go on with `--resume`, or choose another seed or folder")]
    Exists {
        /// The run folder.
        dir: PathBuf,
    },
    /// The folder holds no run.
    #[error("{dir}: holds no run (no {missing}); start one with `etude train`")]
    NoRun {
        /// The folder.
        dir: PathBuf,
        /// The file that a run would have.
        missing: &'static str,
    },
    /// Two things that belong together disagree.
    #[error("{what}: {left}, {right}; {hint}")]
    Mismatch {
        /// Which property, e.g. `vocabulary hash`.
        what: String,
        /// The first artefact and its value, e.g. `the run has 1f…`.
        left: String,
        /// The second artefact and its value.
        right: String,
        /// What to do.
        hint: String,
    },
    /// A saved state is torn, damaged or of another version.
    #[error("{path}: damaged checkpoint: expected {expected}, got {got}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        got: String,
    },
    /// The optimizer's saved tensors are not those of the model.
    #[error("optimizer state: {text}")]
    OptimState {
        /// Which name, expected and got.
        text: String,
    },
    /// The loss or the gradient is no longer a finite number.
    #[error(
        "step {step}: the {what} is {value}; batch: {keys}; {kept}. Look at these tracks, or start a new run with a lower optim.lr or with optim.clip"
    )]
    NotFinite {
        /// Step, from 1.
        step: u64,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// `NaN`, `inf` or `-inf`.
        value: f64,
        /// Keys of the batch, comma separated.
        keys: String,
        /// Which checkpoint is left.
        kept: String,
    },
    /// A trained weight is no longer a finite number.
    #[error(
        "step {step}: {name} holds numbers that are not finite; {kept}. Start a new run with a lower optim.lr or with optim.clip"
    )]
    Weights {
        /// Steps done.
        step: u64,
        /// The tensor.
        name: String,
        /// Which checkpoint is left.
        kept: String,
    },
    /// The loader has ended although training goes on.
    #[error("step {step}: the loader gave no further batch")]
    NoBatch {
        /// Step, from 1.
        step: u64,
    },
    /// A run whose model has no outputs to score.
    #[error(
        "pre-training has nothing to score but its validations (see log.jsonl); start a run from its model.safetensors"
    )]
    NoTask,
    /// What the frozen part of the network makes of the audio cannot be kept.
    #[error("{text}")]
    Cache {
        /// Which setting or folder, and what to do.
        text: String,
    },
    /// The validation split does not define the score that selects checkpoints or ends the run.
    #[error(
        "{key}: the validation split does not define {name:?}, which needs a class that some examples have and some have not; it defines {known}"
    )]
    NoScore {
        /// The setting.
        key: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Device selection failed.
    #[error(transparent)]
    Aten(#[from] etude_aten::Error),
    /// Building or loading a model failed.
    #[error(transparent)]
    Model(#[from] etude_models::Error),
    /// Prediction or scoring failed.
    #[error(transparent)]
    Eval(#[from] etude_eval::Error),
    /// Reading audio failed.
    #[error(transparent)]
    Shards(#[from] etude_shards::Error),
    /// Reading a view failed.
    #[error(transparent)]
    Manifests(#[from] etude_manifests::Error),
}

impl Error {
    /// An adapter for `map_err`: names the file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }
}
