//! `etude resample`: what the pipeline does to one file, as a WAV one can listen to.

use crate::commands::audio;
use crate::ui::{Ui, exit};
use anyhow::{Context, Result};
use etude_ingest::{Resample, Resampler};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude resample`.
#[derive(clap::Args)]
pub struct Args {
    /// Target rate, Hz
    #[arg(long, value_name = "HZ")]
    rate: u32,
    /// fir, fft, torchaudio-hann or torchaudio-kaiser
    #[arg(long, default_value = "fir", value_parser = audio::resampler)]
    resampler: Resampler,
    /// Where the float32 WAV goes
    #[arg(long, value_name = "FILE.wav")]
    out: PathBuf,
    /// Audio file to read
    audio: PathBuf,
}

/// Decodes, averages the channels, resamples, writes.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let pcm = audio::read(&args.audio)?;
    let (from, frames) = (pcm.rate, pcm.samples.len());
    let pcm = Resample::new(args.resampler).run(pcm, args.rate)?;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: pcm.rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    audio::write_whole(&args.out, |part| {
        let mut wav = hound::WavWriter::create(part, spec)?;
        for &s in &pcm.samples {
            wav.write_sample(s)?;
        }
        wav.finalize().context("closing the WAV file")
    })?;
    let text = format!(
        "{}: {frames} frames at {from} Hz -> {} frames at {} Hz ({})",
        args.out.display(),
        pcm.samples.len(),
        pcm.rate,
        args.resampler.id()
    );
    let value = json!({
        "out": args.out, "resampler": args.resampler.id(),
        "from": {"rate": from, "frames": frames}, "to": {"rate": pcm.rate, "frames": pcm.samples.len()},
    });
    ui.result(&text, &value)?;
    Ok(exit(false))
}
