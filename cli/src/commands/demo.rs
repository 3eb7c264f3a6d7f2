//! `etude demo`: a small tagged music corpus, synthesised from a seed.

use crate::progress::Bar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the corpus, in MagnaTagATune's published layout
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of clips
    #[arg(long, default_value_t = etude_demo::Config::default().clips)]
    clips: usize,
    /// Length of a clip, seconds
    #[arg(long, default_value_t = etude_demo::Config::default().seconds)]
    seconds: f64,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = etude_demo::Config::default().seed)]
    seed: u64,
}

/// Synthesises the corpus, or says that it is there already.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let bar = Bar::new(ui);
    let cfg = etude_demo::Config { clips: args.clips, seed: args.seed, seconds: args.seconds };
    bar.start("demo", args.clips as u64);
    let tick = |_: usize, _: usize| bar.done(|_| String::new());
    let report = etude_demo::run(&cfg, &args.out, &tick, &stop)?;
    bar.finish();
    ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
    Ok(exit(false))
}
