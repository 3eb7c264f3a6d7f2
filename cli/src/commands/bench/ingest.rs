//! Audio files to blocks in a shard, on one core: the parts and the whole.

use super::{Row, timed};
use crate::commands::audio;
use anyhow::{Context, Result, bail};
use etude_ingest::{DecodeLimits, Resample, Resampler, decode};
use etude_shards::{Kind, Number, ShardFile, Spec, TrackRow};
use std::path::{Path, PathBuf};

/// Arguments of `etude bench ingest`.
#[derive(clap::Args)]
pub struct Args {
    /// Audio files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Target rate, Hz
    #[arg(long, default_value_t = 24_000)]
    rate: u32,
    /// fft, torchaudio-hann or torchaudio-kaiser
    #[arg(long, default_value = "fft", value_parser = audio::resampler)]
    resampler: Resampler,
    /// Runs
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where the shard of each run goes; removed afterwards
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// Decoding with digests and quality facts; the same with resampling; the same into a shard.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    let mut files = Vec::new();
    for path in &args.paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let limits = DecodeLimits::default();
    let mut audio_s = 0.0;
    for file in &files {
        audio_s += decode(file, None, &limits).facts.duration_s.unwrap_or(0.0);
    }
    if audio_s == 0.0 {
        bail!("{} files, none of them audio that can be decoded", files.len());
    }
    let note = format!("{} files, {audio_s:.0} s, one core", files.len());

    let decoding = timed(args.runs, || {
        files.iter().for_each(|f| drop(decode(f, None, &limits)));
        Ok(())
    })?;
    let mut resample = Resample::new(args.resampler);
    let resampling = timed(args.runs, || {
        for file in &files {
            resample.run(decode(file, None, &limits).pcm, args.rate)?;
        }
        Ok(())
    })?;
    let scratch = args.scratch.join(format!("etude-bench-{}", std::process::id()));
    let spec = Spec {
        corpus: "bench".into(),
        kind: Kind::Wave { rate: args.rate },
        number: Number::S16,
        block_s: 10.0,
        row_group_bytes: 16 << 20,
        resampler: args.resampler.id().to_string(),
        config_digest: String::new(),
        manifest_hash: String::new(),
    };
    let writing = timed(args.runs, || {
        std::fs::create_dir_all(&scratch)?;
        let mut shard = ShardFile::create(&scratch, 0, &spec)?;
        for (n, file) in files.iter().enumerate() {
            let pcm = resample.run(decode(file, None, &limits).pcm, args.rate)?;
            let key = format!("bench:{n}");
            let row = TrackRow { key: &key, variant: "orig", tags: &[], split: None };
            shard.push(&row, &pcm.samples)?;
        }
        shard.finish()?;
        Ok(())
    });
    let _ = std::fs::remove_dir_all(&scratch);
    let x = "x real time";
    Ok(vec![
        Row::rate("decode, digests, facts", audio_s, x, decoding).note(&note),
        Row::rate(&format!("the same, to {} Hz", args.rate), audio_s, x, resampling).note(&note),
        Row::rate("the same, into a shard", audio_s, x, writing?).note(&note),
    ])
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}
