//! Tasks, metrics, prediction.
//!
//! A [`Task`] says what a model's outputs mean, what they cost and how they are scored; [`predict`] runs a model over
//! windows of every track of a split; [`score`] turns the predictions into [`Scores`]; [`windows`] is for one recording
//! outside any corpus; [`embed`](mod@embed) keeps what a pretrained model hears. [`paper`] sets runs beside each other and
//! beside what was published.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod bootstrap;
pub mod embed;
mod error;
mod inputs;
mod memory;
pub mod metrics;
pub mod paper;
mod predict;
mod predictions;
mod table;
mod task;
pub mod tasks;
mod windows;

pub use error::{Error, Result};
pub use inputs::{Inputs, inputs};
pub use memory::BatchMemory;
pub use predict::{Predictions, predict, score};
pub use predictions::{Stored, read_predictions, score_file, write_predictions};
pub use table::score_table;
pub use task::{ClassScores, Scorer, Scores, Task};
pub use tasks::TaskConfig;
pub use windows::{Windowed, windows};
