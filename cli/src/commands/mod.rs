//! One file per command: read the arguments, run a stage, print its result.

mod resample;
mod score;

use crate::ui::Ui;
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// What `etude` can do.
#[derive(Subcommand)]
pub enum Command {
    /// Resample one file the way the pipeline does, to a float32 WAV
    Resample(resample::Args),
    /// Metrics from tensors `scores` and `labels`
    Score(score::Args),
}

impl Command {
    /// Runs the command; the exit code tells whether too many inputs were refused.
    pub fn run(self, ui: &Ui) -> Result<ExitCode> {
        match self {
            Command::Resample(args) => resample::run(args, ui),
            Command::Score(args) => score::run(args, ui),
        }
    }
}
