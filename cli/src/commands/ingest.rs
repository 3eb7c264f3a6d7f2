//! `etude ingest`: tracks, views and what one full decode of every file found.

use crate::progress::StageBar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::Result;
use etude_ingest::{Config, stage};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude ingest`.
#[derive(clap::Args)]
pub struct Args {
    /// Corpus config, e.g. configs/data/mtat.toml
    config: PathBuf,
    /// Override one key, e.g. --set root='"/music/mtat"'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// Runs the stage and prints its report, refused tracks included.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let config = Config::read(&args.config, &args.sets)?;
    let report = stage::tables::run(&config, &StageBar::new(ui), &stop)?;
    ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
    Ok(exit(report.above_max_bad))
}
