//! Resampling alone: a minute of noise, mono float32, on one core.

use super::{Row, noise, timed};
use anyhow::Result;
use etude_ingest::{Pcm, Resample, Resampler};

/// Arguments of `etude bench resample`.
#[derive(clap::Args)]
pub struct Args {
    /// Rate of the noise, Hz
    #[arg(long, default_value_t = 44_100)]
    from: u32,
    /// Target rate, Hz
    #[arg(long, default_value_t = 24_000)]
    rate: u32,
    /// Length of the noise, seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Runs
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Every resampler, its plan made beforehand.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    let samples = noise((args.seconds * args.from) as usize);
    Resampler::ALL
        .into_iter()
        .map(|how| {
            let mut resample = Resample::new(how);
            // a copy for each run, made outside of it
            let copies = args.runs.max(1) + 1;
            let mut waves = vec![Pcm { samples: samples.clone(), rate: args.from }; copies];
            let times = timed(args.runs, || {
                let wave = waves.pop().unwrap_or_default();
                std::hint::black_box(resample.run(wave, args.rate)?);
                Ok(())
            })?;
            let row = Row::rate(how.name(), f64::from(args.seconds), "x real time", times);
            Ok(row.note(format!("{} to {} Hz, {} s, one core", args.from, args.rate, args.seconds)))
        })
        .collect()
}
