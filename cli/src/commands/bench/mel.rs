//! A published mel front end on noise, on one core.

use super::{Row, noise, timed};
use anyhow::{Context, Result};
use etude_features::{MelConfig, MelSpec};

/// Arguments of `etude bench mel`.
#[derive(clap::Args)]
pub struct Args {
    /// Front end
    #[arg(long, default_value = "musicfm_24k_db",
          value_parser = clap::builder::PossibleValuesParser::new(MelConfig::NAMES))]
    preset: String,
    /// Length of a clip, seconds
    #[arg(long, default_value_t = 29.124)]
    clip: f64,
    /// Clips per run
    #[arg(long, default_value_t = 8)]
    clips: usize,
    /// Runs
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Uniform noise in -0.5..0.5, clip by clip.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    let config = MelConfig::preset(&args.preset).context("clap checked the name")?;
    let samples = (args.clip * f64::from(config.rate)) as usize;
    let wave = noise(samples);
    let mut spec = MelSpec::new(&config)?;
    let mut out = Vec::new();
    let times = timed(args.runs, || {
        for _ in 0..args.clips {
            spec.run(&wave, &mut out)?;
        }
        Ok(())
    })?;
    let seconds = args.clip * args.clips as f64;
    let frames = (spec.frames(samples) * args.clips) as f64;
    Ok(vec![
        Row::rate(&args.preset, seconds, "s of audio/s", times.clone())
            .note(format!("{} clips of {} s", args.clips, args.clip)),
        Row::rate(&args.preset, frames, "frames/s", times).note(format!("{} bands", config.bands)),
    ])
}
