//! `etude mel`: the front end of a published model on one file, as `.npy`; with `--corpus`, the published mel files of a
//! whole corpus.

use crate::commands::audio;
use crate::progress::StageBar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::{Context, Result};
use etude_features::{MelConfig, MelSpec};
use etude_ingest::{Config, Resample, Resampler, stage};
use npyz::WriterBuilder;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude mel`.
#[derive(clap::Args)]
pub struct Args {
    /// Front end, e.g. musicfm_24k_db; of a corpus: shards.mel, or vgg_16k_db
    #[arg(long, required_unless_present = "corpus",
        value_parser = clap::builder::PossibleValuesParser::new(MelConfig::NAMES))]
    preset: Option<String>,
    /// Resampler to the front end's rate
    #[arg(long, default_value = "fir", value_parser = audio::resampler)]
    resampler: Resampler,
    /// Corpus config: a file {id}.npy of every track, in the transfer study's published form
    #[arg(long, value_name = "CONFIG", conflicts_with = "resampler")]
    corpus: Option<PathBuf>,
    /// Override one key of the corpus config
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "corpus")]
    sets: Vec<String>,
    /// Where the float32 array [F, T] goes; of a corpus, the folder
    #[arg(long, value_name = "FILE.npy|DIR")]
    out: PathBuf,
    /// Audio file to read
    #[arg(required_unless_present = "corpus", conflicts_with = "corpus")]
    audio: Option<PathBuf>,
}

/// One file or a corpus.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let Some(corpus) = &args.corpus else { return one_file(&args, ui) };
    let stop = stop_on_signal()?;
    let mut config = Config::read(corpus, &args.sets)?;
    config.shards.mel = args.preset.or(config.shards.mel);
    let report = stage::mel_files::run(&config, &args.out, &StageBar::new(ui), &stop)?;
    ui.result(&report.to_string(), &serde_json::to_value(&report)?)?;
    Ok(exit(report.above_max_bad))
}

/// Decodes, resamples to the preset's rate, writes the spectrogram.
fn one_file(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let (preset, audio) =
        args.preset.as_ref().zip(args.audio.as_ref()).context("clap asks for both")?;
    let config = MelConfig::preset(preset).context("clap checked the name")?;
    let pcm = Resample::new(args.resampler).run(audio::read(audio)?, config.rate)?;
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
    ui.result(&text, &json!({"out": args.out, "preset": preset, "shape": [bands, frames]}))?;
    Ok(exit(false))
}
