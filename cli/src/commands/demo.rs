//! `etude demo`: a small tagged music corpus, or single notes, synthesised from a seed.

use crate::progress::Bar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::Result;
use etude_demo::CultureName;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the corpus, in MagnaTagATune's published layout (notes: in TinySOL's)
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
    /// Whose music: western, or modal (one line over a drone, scales and cycles of its own)
    #[arg(long, default_value = etude_demo::CultureName::Western.name(), value_parser = culture)]
    culture: CultureName,
    /// Single notes of the demo's instruments in TinySOL's layout, instead of clips
    #[arg(long, conflicts_with_all = ["clips", "seconds", "culture"])]
    notes: bool,
}

fn culture(name: &str) -> Result<CultureName, String> {
    let names = || CultureName::ALL.map(CultureName::name).join(", ");
    let found = CultureName::ALL.into_iter().find(|culture| culture.name() == name);
    found.ok_or_else(|| format!("expected one of {}", names()))
}

/// Synthesises the corpus, or says that it is there already.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let bar = Bar::new(ui);
    if args.notes {
        let tick = |done: usize, of: usize| {
            if done == 1 {
                bar.start("notes", of as u64);
            }
            bar.done(|_| String::new());
        };
        let report = etude_demo::notes(args.seed, &args.out, &tick, &stop)?;
        bar.finish();
        ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
        return Ok(exit(false));
    }
    let Args { clips, seed, seconds, culture, .. } = args;
    let cfg = etude_demo::Config { clips, seed, seconds, culture };
    bar.start("demo", clips as u64);
    let tick = |_: usize, _: usize| bar.done(|_| String::new());
    let report = etude_demo::run(&cfg, &args.out, &tick, &stop)?;
    bar.finish();
    ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
    Ok(exit(false))
}
