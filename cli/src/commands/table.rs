//! `etude table`: our rows beside the published ones.

use crate::ui::{Ui, exit};
use anyhow::{Context, Result, bail};
use etude_eval::bootstrap::Bootstrap;
use etude_eval::paper::{self, CompareConfig};
use etude_manifests::atomic;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude table`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder below configs/ and runs/, e.g. peft or demo
    paper: PathBuf,
    /// Markdown instead of aligned text
    #[arg(long, conflicts_with = "csv")]
    md: bool,
    /// CSV with every number in full
    #[arg(long)]
    csv: bool,
    /// Also write one self-contained page with learning curves and bars per tag
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Row that the others are tested against, e.g. mtat/musicfm_probe; default the best of each table
    #[arg(long, value_name = "ROW")]
    baseline: Option<String>,
    /// Bootstrap resamples behind intervals and tests
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: usize,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Folder of the experiments; rows not run yet come from there
    #[arg(long, value_name = "DIR", default_value = "configs")]
    configs: PathBuf,
}

/// Reads the runs' predictions and compares them; nothing is trained or predicted.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let (configs, runs) = (args.configs.join(&args.paper), args.runs.join(&args.paper));
    let rows = etude_train::paper_rows(&configs, &runs)?;
    if let Some(name) = args.baseline.as_ref().filter(|n| rows.iter().all(|r| &r.name != *n)) {
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        bail!("--baseline {name}: no such row; there are {}", names.join(", "));
    }
    let bootstrap = Bootstrap { resamples: args.resamples, seed: args.seed };
    let cfg = CompareConfig { bootstrap, baseline: args.baseline };
    let found = paper::compare(&args.paper.to_string_lossy(), rows, &cfg)?;
    if let Some(path) = &args.html {
        atomic::write(path, paper::html(&found).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = match (args.md, args.csv) {
        (true, _) => paper::markdown(&found),
        (_, true) => paper::csv(&found),
        _ => paper::text(&found),
    };
    ui.result(&text, &serde_json::to_value(&found)?)?;
    Ok(exit(false))
}
