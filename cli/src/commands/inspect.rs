//! `etude inspect`: what a manifest, a shard set, a run or any Parquet file holds.

use crate::ui::{Ui, exit};
use anyhow::Result;
use etude_manifests::inspect::{Options, inspect};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude inspect`.
#[derive(clap::Args)]
pub struct Args {
    /// Tracks or view (.parquet), shard set, run folder, folder of manifests
    path: PathBuf,
    /// Query instead of the report; the table is `t`, also `tracks`, `view` or `shards`
    #[arg(long, value_name = "QUERY", conflicts_with = "head")]
    sql: Option<String>,
    /// The first rows instead of the report
    #[arg(long, value_name = "N")]
    head: Option<usize>,
}

/// Prints tables, or the rows of a query.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let report = inspect(&args.path, &Options { sql: args.sql, head: args.head })?;
    ui.result(&report.text, &report.json)?;
    Ok(exit(false))
}
