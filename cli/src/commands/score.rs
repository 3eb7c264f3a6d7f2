//! `etude score`: metrics from a file of scores and labels.

use crate::ui::{Ui, exit};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude score`.
#[derive(clap::Args)]
pub struct Args {
    /// What the scores are for: tagging, class or key
    #[arg(long, default_value = "tagging")]
    task: String,
    /// Tensors `scores` and `labels`, [N, C] each; class and key: one label a row, names in the metadata `classes`
    file: PathBuf,
}

/// Scores are exact: ties enter together, undefined classes are listed and left out of the mean.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let value = etude_eval::score_file(&args.file, &args.task)?;
    // The contract is JSON with or without --json.
    ui.result(&serde_json::to_string_pretty(&value)?, &serde_json::to_value(&value)?)?;
    Ok(exit(false))
}
