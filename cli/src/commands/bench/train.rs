//! Training steps of an experiment, its loader included.

use super::{Row, made_up};
use anyhow::{Context, Result, bail};
use etude_models::nn::watch_attention;
use etude_train::{Experiment, Log, Pace, Row as LogRow, RunDir, Timing};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Arguments of `etude bench train`.
#[derive(clap::Args)]
pub struct Args {
    /// Experiment whose shards are there, or with --noise any
    config: PathBuf,
    /// Made-up clips of so many seconds at 24 kHz and random weights in place of the experiment's
    #[arg(long, value_name = "SECONDS")]
    noise: Option<f64>,
    /// Where the clips go; removed afterwards
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
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

/// Batches of made-up clips in an epoch.
const EPOCH: usize = 4;

/// The median step, in a run folder that is removed afterwards.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    crate::commands::begin();
    let dir = args.scratch.join(format!("etude-bench-train-{}", std::process::id()));
    let measured = experiment(args, &dir).and_then(|exp| {
        let speed = measure(exp.clone(), args.warmup, args.steps)?;
        Ok((exp, speed))
    });
    let _ = std::fs::remove_dir_all(&dir);
    let (exp, Speed { times, stall, accumulate, memory, attention, .. }) = measured?;
    let clips = exp.data.batch as f64 * accumulate;
    let memory = memory.map_or(String::new(), |m| format!(", peak memory {}", mib(m)));
    let attention = attention.map_or(String::new(), |kernel| format!(", attention: {kernel}"));
    let note = format!(
        "batches of {clips}, {} steps, stall {:.1} %{memory}{attention}",
        times.len(),
        stall * 100.0
    );
    Ok(vec![
        Row::rate("training", clips, "clips/s", times.clone()).note(&note),
        Row::seconds("a training step", times).note(note),
    ])
}

/// The experiment asked for; with --noise on what this writes into `dir`.
fn experiment(args: &Args, dir: &Path) -> Result<Experiment> {
    let Some(seconds) = args.noise else {
        return Ok(Experiment::read(&args.config, &args.sets)?);
    };
    let place = || args.config.display().to_string();
    let text = std::fs::read_to_string(&args.config).with_context(place)?;
    let steps = args.warmup + args.steps + 1;
    let exp = made_up::experiment((&place(), &text), dir, steps, &args.sets)?;
    made_up::write(dir, EPOCH * exp.data.batch, seconds)?;
    Ok(exp)
}

/// How fast an experiment trains.
pub(super) struct Speed {
    /// Of each step that counts, with everything that belongs to it: the device is waited for.
    pub times: Vec<Duration>,
    /// Share of that time that was spent waiting for the loader.
    pub stall: f64,
    /// Batches a step.
    pub accumulate: f64,
    /// Most memory in tensors of the GPU, or of this process where there is none, bytes.
    pub memory: Option<u64>,
    /// Losses of the steps that count.
    pub losses: Vec<f64>,
    /// What computed the attention, for people; nothing where there is none.
    pub attention: Option<String>,
}

/// Trains for `warmup` + `steps` steps; validations do not count.
pub(super) fn measure(mut exp: Experiment, warmup: usize, steps: usize) -> Result<Speed> {
    let wanted = warmup + steps.max(1);
    exp.trainer.log_steps = 1; // a row waits for the device
    exp.trainer.steps = exp.trainer.steps.map(|n| n.max(wanted as u64 + 1));
    exp.trainer.save_steps = u64::MAX / 2;
    let dir = std::env::temp_dir().join(format!("etude-bench-run-{}", std::process::id()));
    let stop = AtomicBool::new(false);
    let mut watch = Watch { rows: Vec::new(), wanted, stop: &stop };
    forget_peak(&exp)?;
    let (outcome, kernels) = watch_attention(|| {
        let run = RunDir::create(&dir)?;
        anyhow::Ok(etude_train::run(&exp, &run, &mut watch, &stop)?)
    });
    let _ = std::fs::remove_dir_all(&dir);
    outcome?;
    let memory = peak(&exp)?;
    if watch.rows.len() < wanted {
        bail!("the run ended after {} steps; lower --warmup or --steps", watch.rows.len());
    }
    let counted = &watch.rows[warmup..wanted];
    let seconds: f64 = counted.iter().map(|(t, _)| t.seconds).sum();
    Ok(Speed {
        times: counted.iter().map(|(t, _)| Duration::from_secs_f64(t.seconds)).collect(),
        stall: counted.iter().map(|(t, _)| t.stall * t.seconds).sum::<f64>() / seconds,
        accumulate: exp.trainer.accumulate as f64,
        memory,
        losses: counted.iter().map(|(_, loss)| *loss).collect(),
        attention: (!kernels.is_empty())
            .then(|| kernels.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")),
    })
}

/// Timing and loss of every step, until there are enough.
struct Watch<'a> {
    rows: Vec<(Timing, f64)>,
    wanted: usize,
    stop: &'a AtomicBool,
}

impl Log for Watch<'_> {
    fn row(&mut self, row: &LogRow) {
        if let LogRow::Step { timing, loss, .. } = row {
            self.rows.push((*timing, *loss));
            if self.rows.len() >= self.wanted {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn pace(&mut self, _: &Pace) {}
}

/// Number of the GPU that an experiment runs on.
fn gpu(exp: &Experiment) -> Result<Option<usize>> {
    Ok(match etude_aten::device(&exp.run.device)? {
        tch::Device::Cuda(index) => Some(index),
        _ => None,
    })
}

/// Makes the peak of the memory start again from what is held now.
fn forget_peak(exp: &Experiment) -> Result<()> {
    match gpu(exp)? {
        Some(index) => etude_aten::cuda_reset_peak(index)?,
        None => etude_aten::host_reset_peak(),
    }
    Ok(())
}

fn peak(exp: &Experiment) -> Result<Option<u64>> {
    Ok(match gpu(exp)? {
        Some(index) => Some(etude_aten::cuda_memory(index)?.allocated_peak as u64),
        None => etude_aten::host_peak(),
    })
}

/// Bytes for people.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}
