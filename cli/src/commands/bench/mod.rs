//! `etude bench`: the figures of the README on the user's own machine and data. Medians of several runs, with the spread.

#[cfg(feature = "torch")]
mod gpu;
#[cfg(feature = "data")]
mod ingest;
mod loader;
#[cfg(feature = "torch")]
mod made_up;
mod mel;
#[cfg(feature = "data")]
mod resample;
#[cfg(feature = "torch")]
mod train;

use crate::ui::Ui;
use anyhow::Result;
use clap::Subcommand;
use etude_manifests::table::Table;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Arguments of `etude bench`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decode, facts, resample and write audio files: seconds of audio per second, on one core
    #[cfg(feature = "data")]
    Ingest(ingest::Args),
    /// Every resampler on noise: seconds of audio per second, on one core
    #[cfg(feature = "data")]
    Resample(resample::Args),
    /// A published mel front end on noise: seconds of audio per second, on one core
    Mel(mel::Args),
    /// Batches from a shard set beside plain reading of the same bytes
    Loader(loader::Args),
    /// Training steps of an experiment
    #[cfg(feature = "torch")]
    Train(train::Args),
    /// The PEFT study's MusicFM and MERT at full size, on made-up audio: what this GPU is worth
    #[cfg(feature = "torch")]
    Gpu(gpu::Args),
}

/// Measures and prints one table.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let rows = match args.what {
        #[cfg(feature = "data")]
        What::Ingest(args) => ingest::run(&args)?,
        #[cfg(feature = "data")]
        What::Resample(args) => resample::run(&args)?,
        What::Mel(args) => mel::run(&args)?,
        What::Loader(args) => loader::run(&args)?,
        #[cfg(feature = "torch")]
        What::Train(args) => train::run(&args)?,
        #[cfg(feature = "torch")]
        What::Gpu(args) => return gpu::run(&args, ui),
    };
    let mut table = Table::new(["what", ">median", ">worst", ">best", "unit", "of what"]);
    for row in &rows {
        table.row([
            row.what.clone(),
            figure(row.median),
            figure(row.worst),
            figure(row.best),
            row.unit.to_string(),
            row.note.clone(),
        ]);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let value = json!({"cores": cores, "rows": rows.iter().map(Row::value).collect::<Vec<_>>()});
    ui.result(&table.to_string(), &value)?;
    Ok(crate::ui::exit(false))
}

/// At least three digits.
fn figure(v: f64) -> String {
    let digits = match v {
        _ if v >= 100.0 => 0,
        _ if v >= 1.0 => 2,
        _ => 4,
    };
    format!("{v:.digits$}")
}

/// One measured figure: larger is better, but for seconds.
struct Row {
    what: String,
    median: f64,
    worst: f64,
    best: f64,
    unit: &'static str,
    note: String,
}

impl Row {
    /// `amount` of `unit` was done in each of `times`.
    fn rate(what: &str, amount: f64, unit: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort();
        let rate = |t: Option<&Duration>| t.map_or(0.0, |t| amount / t.as_secs_f64().max(1e-9));
        Self {
            what: what.to_string(),
            median: rate(times.get(times.len() / 2)),
            worst: rate(times.last()),
            best: rate(times.first()),
            unit,
            note: format!("{} runs", times.len()),
        }
    }

    /// How long each of `times` was.
    #[cfg(feature = "torch")]
    fn seconds(what: &str, times: Vec<Duration>) -> Self {
        let Self { median, worst, best, note, .. } = Self::rate(what, 1.0, "", times);
        Self {
            what: what.to_string(),
            median: 1.0 / median,
            worst: 1.0 / worst,
            best: 1.0 / best,
            unit: "s",
            note,
        }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn value(&self) -> Value {
        json!({
            "what": self.what, "median": self.median, "worst": self.worst, "best": self.best,
            "unit": self.unit, "note": self.note,
        })
    }
}

/// Uniform noise in -0.5..0.5, the same every time.
fn noise(samples: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    (0..samples).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect()
}

/// Times `runs` calls after one that is not counted.
fn timed(runs: usize, mut f: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    f()?;
    (0..runs.max(1))
        .map(|_| {
            let begun = Instant::now();
            f()?;
            Ok(begun.elapsed())
        })
        .collect()
}
