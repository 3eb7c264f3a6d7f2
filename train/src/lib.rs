//! Objectives, optimizers, the loop and its checkpoints.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod clip;
mod error;
pub mod optim;
mod run_dir;
mod schedule;
mod stopping;

pub use clip::clip_grad_norm;
pub use error::{Error, Result};
pub use run_dir::RunDir;
pub use schedule::{
    Constant, Decay, Plateau, Schedule, ScheduleConfig, ScheduleState, Stage, Staged, Watch,
};
pub use stopping::{Mode, Stopping, StoppingConfig};
