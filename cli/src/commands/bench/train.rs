//! Training steps of an experiment, its loader included.

use super::Row;
use anyhow::{Result, bail};
use etude_train::{Experiment, Log, Pace, Row as LogRow, RunDir};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Arguments of `etude bench train`.
#[derive(clap::Args)]
pub struct Args {
    /// Experiment whose shards are there
    config: PathBuf,
    /// Steps that count
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Steps before those
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// Override one key, e.g. --set run.device="cpu"
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// When each step ended.
struct Watch<'a> {
    ends: Vec<Instant>,
    stall: f64,
    wanted: usize,
    stop: &'a AtomicBool,
}

impl Log for Watch<'_> {
    fn row(&mut self, _: &LogRow) {}

    fn pace(&mut self, pace: &Pace) {
        if pace.phase == etude_train::Phase::Training {
            self.ends.push(Instant::now());
            self.stall = pace.stall;
            if self.ends.len() >= self.wanted {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The median step, in a run folder that is removed afterwards.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    etude_aten::cuda_init();
    let exp = Experiment::read(&args.config, &args.sets)?;
    let dir = std::env::temp_dir().join(format!("etude-bench-{}", std::process::id()));
    let stop = AtomicBool::new(false);
    let wanted = args.warmup + args.steps + 1;
    let mut watch = Watch { ends: Vec::new(), stall: 0.0, wanted, stop: &stop };
    let outcome = match RunDir::create(&dir) {
        Ok(run) => etude_train::run(&exp, &run, &mut watch, &stop),
        Err(e) => Err(e),
    };
    let _ = std::fs::remove_dir_all(&dir);
    outcome?;
    let times: Vec<Duration> =
        watch.ends.windows(2).skip(args.warmup).map(|w| w[1] - w[0]).collect();
    if times.is_empty() {
        bail!("the run ended after {} steps; lower --warmup", watch.ends.len());
    }
    let clips = exp.data.batch as f64;
    let note =
        format!("batches of {clips}, {} steps, stall {:.1} %", times.len(), watch.stall * 100.0);
    Ok(vec![
        Row::rate("training", clips, "clips/s", times.clone()).note(&note),
        Row::rate("training", 1.0, "steps/s", times).note(note),
    ])
}
