//! `etude mel`: the front end of a published model on one file, as `.npy`.

use crate::commands::audio;
use crate::ui::{Ui, exit};
use anyhow::{Context, Result};
use etude_features::{MelConfig, MelSpec};
use etude_ingest::{Resample, Resampler};
use npyz::WriterBuilder;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude mel`.
#[derive(clap::Args)]
pub struct Args {
    /// Front end, e.g. musicfm_24k_db
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(MelConfig::NAMES))]
    preset: String,
    /// Resampler to the front end's rate
    #[arg(long, default_value = "fft", value_parser = audio::resampler)]
    resampler: Resampler,
    /// Where the float32 array [F, T] goes
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// Audio file to read
    audio: PathBuf,
}

/// Decodes, resamples to the preset's rate, writes the spectrogram.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let config = MelConfig::preset(&args.preset).context("clap checked the name")?;
    let pcm = Resample::new(args.resampler).run(audio::read(&args.audio)?, config.rate)?;
    let mut mel = Vec::new();
    MelSpec::new(&config)?.run(&pcm.samples, &mut mel)?;
    let bands = config.bands;
    let frames = mel.len() / bands;
    audio::write_whole(&args.out, |part| {
        let mut file = BufWriter::new(File::create(part)?);
        let mut npy = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[bands as u64, frames as u64])
            .writer(&mut file)
            .begin_nd()?;
        npy.extend(mel.iter().copied())?;
        npy.finish()?;
        Ok(file.flush()?)
    })?;
    let text = format!("{}: {bands} bands x {frames} frames", args.out.display());
    ui.result(&text, &json!({"out": args.out, "preset": args.preset, "shape": [bands, frames]}))?;
    Ok(exit(false))
}
