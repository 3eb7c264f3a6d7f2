//! Objectives, optimizers, the loop and its checkpoints.
//!
//! [`Experiment::read`] gives what is to be done, [`RunDir`] where; [`run`] does it and [`resume`] goes on with it, to
//! the same numbers. [`evaluate`] scores the best state of a run, [`Trained`] holds it for other uses,
//! [`paper_rows`] finds the runs of a paper.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod cache;
mod check;
mod checkpoint;
mod clip;
mod curves;
mod error;
mod evaluate;
mod experiment;
mod frame_stats;
mod identity;
mod kept;
mod log;
mod meter;
mod objective;
pub mod objectives;
pub mod optim;
mod report;
mod rows;
mod run_dir;
mod same;
mod schedule;
mod setup;
mod stopping;
pub mod study;
mod trainer;
mod window;

/// Name of the loss among the scores of a validation.
pub const LOSS: &str = "loss";

pub use cache::{CacheConfig, CacheFill, CacheNumber};
pub use checkpoint::{Ending, Kept};
pub use clip::clip_grad_norm;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Trained, evaluate, evaluate_on};
pub use experiment::{
    DataConfig, EvalConfig, Experiment, KeepConfig, RunConfig, TrainerConfig, ValidConfig,
    WindowConfig,
};
pub use frame_stats::frame_stats;
pub use identity::Identity;
pub use log::{Log, Pace, Phase, Row, Timing, read_log};
pub use objective::{Extras, Objective, ObjectiveConfig};
pub use rows::paper_rows;
pub use run_dir::RunDir;
pub use same::same_experiment;
pub use schedule::{
    Constant, Decay, EpochDecay, Plateau, Schedule, ScheduleConfig, ScheduleState, Stage, Staged,
    Watch,
};
pub use stopping::{Mode, Stopping, StoppingConfig};
pub use trainer::{Outcome, resume, run};
