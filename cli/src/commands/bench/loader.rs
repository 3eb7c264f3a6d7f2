//! Batches from a shard set, beside plain reading of the same bytes in the same run.

use super::{Row, timed};
use anyhow::{Context, Result, bail};
use etude_manifests::{Example, Split, Target, View, Vocab};
use etude_shards::{Crop, Index, Kind, Loader, LoaderConfig, Number, ShardFile, Spec, TrackRow};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes read at once by the plain reader.
const CHUNK: usize = 1 << 20;

/// Arguments of `etude bench loader`.
#[derive(clap::Args)]
pub struct Args {
    /// Shard set; without one, noise is written and removed again
    shards: Option<PathBuf>,
    /// Clips of noise to write
    #[arg(long, default_value_t = 600)]
    clips: usize,
    /// Length of such a clip, seconds
    #[arg(long, default_value_t = 29.124)]
    clip: f64,
    /// Clips per batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Random crops of this many time steps instead of whole tracks
    #[arg(long)]
    crop: Option<u64>,
    /// Loader threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Read ahead at most this much, MiB of float32
    #[arg(long, default_value_t = LoaderConfig::default().prefetch_bytes >> 20)]
    prefetch_mb: u64,
    /// Epochs a run
    #[arg(long, default_value_t = 1)]
    epochs: u64,
    /// Runs
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where noise goes
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// One loader for all runs, as in training; the page cache and its buffers are warm after the run that is not counted.
pub fn run(args: &Args) -> Result<Vec<Row>> {
    match &args.shards {
        Some(dir) => measure(args, dir),
        None => {
            let dir = args.scratch.join(format!("etude-bench-{}", std::process::id()));
            let rows = noise(&dir, args.clips, args.clip).and_then(|()| measure(args, &dir));
            let _ = std::fs::remove_dir_all(&dir);
            rows
        }
    }
}

fn measure(args: &Args, dir: &Path) -> Result<Vec<Row>> {
    let index = Index::open(dir)?;
    let view = everything(&index);
    let crop = args.crop.map_or(Crop::Whole, |steps| Crop::Random { steps });
    let config = LoaderConfig {
        batch: args.batch,
        crop,
        threads: args.threads,
        prefetch_bytes: args.prefetch_mb << 20,
        ..LoaderConfig::default()
    };
    let begun = Instant::now();
    let mut loader = Loader::train(&index, &view, &config, 1)?;
    let batches = args.epochs.max(1) * loader.batches_per_epoch();
    if batches == 0 {
        bail!("{}: no batches", dir.display());
    }
    let mut take = || {
        let batch = loader.next().context("the training loader never ends")??;
        let samples = batch.keys.len();
        loader.recycle(batch);
        anyhow::Ok(samples)
    };
    take()?;
    let first_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut samples = 0;
    let times = timed(args.runs, || {
        samples = 0;
        for _ in 0..batches {
            samples += take()?;
        }
        Ok(())
    })?;
    let stats = loader.stats();
    let used = stats.bytes_used as f64 / stats.samples.max(1) as f64 * samples as f64 / 1e6;
    let threads = args.threads;
    let mut rows = vec![
        Row::rate("loader", samples as f64, "clips/s", times.clone()).note(format!(
            "batches of {}, {threads} threads, {} MiB ahead{}",
            args.batch,
            args.prefetch_mb,
            peak()
        )),
        Row::rate("loader", used, "MB/s stored", times).note(format!(
            "read {:.2} x used, first batch after {first_ms:.0} ms",
            stats.read_overhead()
        )),
    ];
    if args.crop.is_none() {
        rows.extend(plain(args, &index, view.examples.len() as f64)?);
    }
    Ok(rows)
}

/// The largest this process has been so far, on Linux.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| format!(", peak memory {} MB", kib >> 10)).unwrap_or_default()
}

/// The same files by one thread: reading alone, and reading with conversion into a buffer that is used again.
fn plain(args: &Args, index: &Index, clips: f64) -> Result<Vec<Row>> {
    let paths: Vec<PathBuf> = index.files().iter().map(|f| index.dir().join(&f.name)).collect();
    let mut bytes = vec![0u8; CHUNK];
    let mut floats = vec![0f32; CHUNK / 2];
    let mut each = |convert: bool| -> Result<()> {
        for path in &paths {
            let mut file = File::open(path)?;
            loop {
                let n = file.read(&mut bytes)?;
                if n == 0 {
                    break;
                }
                if convert {
                    for (to, from) in floats.iter_mut().zip(bytes[..n].chunks_exact(2)) {
                        *to = f32::from(i16::from_le_bytes([from[0], from[1]])) / 32_768.0;
                    }
                    std::hint::black_box(&floats);
                }
            }
        }
        Ok(())
    };
    let reading = timed(args.runs, || each(false))?;
    let converting = timed(args.runs, || each(true))?;
    Ok(vec![
        Row::rate("read and convert", clips, "clips/s", converting).note("one thread, no batches"),
        Row::rate("read alone", clips, "clips/s", reading).note("one thread"),
    ])
}

/// A view of every track, all of it for training.
fn everything(index: &Index) -> View {
    let mut examples: Vec<Example> = index
        .tracks()
        .map(|t| Example {
            key: t.key.clone(),
            track: t.key.clone(),
            variant: t.variant.clone(),
            split: Split::Train,
            target: Target::None,
        })
        .collect();
    examples.sort_by(|a, b| a.key.cmp(&b.key));
    View {
        name: "everything".into(),
        corpus: index.spec().corpus.clone(),
        vocab: Vocab { id: "none".into(), classes: Vec::new(), order: "published".into() },
        examples,
        sources: Vec::new(),
    }
}

/// Key of a track of noise.
pub(super) fn noise_key(clip: usize) -> String {
    format!("noise:{clip:06}")
}

/// Shards of `clips` tracks of uniform noise at 24 kHz, `seconds` long, 64 a file.
pub(super) fn noise(dir: &Path, clips: usize, seconds: f64) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let spec = Spec {
        corpus: "noise".into(),
        kind: Kind::Wave { rate: 24_000 },
        number: Number::S16,
        block_s: 10.0,
        row_group_bytes: 16 << 20,
        resampler: "none".into(),
        config_digest: String::new(),
        manifest_hash: "noise".into(),
    };
    let wave = super::noise((seconds * 24_000.0).round() as usize);
    let mut files = Vec::new();
    for (n, clips) in (0..clips).collect::<Vec<_>>().chunks(64).enumerate() {
        let mut shard = ShardFile::create(dir, n, &spec)?;
        for clip in clips {
            let key = noise_key(*clip);
            shard.push(&TrackRow { key: &key, variant: "orig", tags: &[], split: None }, &wave)?;
        }
        files.push(shard.finish()?);
    }
    Index::assemble(dir, &spec, files)?;
    Ok(())
}
