//! The data stages: `etude ingest`, tracks, views and what one full decode of every file found; `etude shards`, waves, mel
//! frames or features in Parquet shards, with their index.

use crate::progress::StageBar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::Result;
use etude_ingest::{Config, Progress, Report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Arguments of both.
#[derive(clap::Args)]
pub struct Args {
    /// Corpus config, e.g. configs/data/mtat.toml
    config: PathBuf,
    /// Override one key, e.g. --set root='"/music/mtat"'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// [`etude_ingest::stage::tables::run`] or [`etude_ingest::stage::pack::run`].
type Stage = fn(&Config, &dyn Progress, &AtomicBool) -> etude_ingest::Result<Report>;

/// Runs the stage and prints its report, refused tracks included.
pub fn run(args: Args, ui: &Ui, stage: Stage) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let config = Config::read(&args.config, &args.sets)?;
    let report = stage(&config, &StageBar::new(ui), &stop)?;
    ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
    Ok(exit(report.above_max_bad))
}
