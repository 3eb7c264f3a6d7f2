//! Audio files to blocks in a shard: the parts and the whole on one core, the whole on several.

use super::{Row, timed};
use crate::commands::audio;
use anyhow::{Context, Result, anyhow, bail};
use etude_ingest::{DecodeLimits, Resample, Resampler, decode};
use etude_shards::{Kind, Number, ShardFile, Spec, TrackRow};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Arguments of `etude bench ingest`.
#[derive(clap::Args)]
pub struct Args {
    /// Audio files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Target rate, Hz
    #[arg(long, default_value_t = 24_000)]
    rate: u32,
    /// fir, fft, torchaudio-hann or torchaudio-kaiser
    #[arg(long, default_value = "fir", value_parser = audio::resampler)]
    resampler: Resampler,
    /// Measure the whole with 2, 4, … up to this many threads too
    #[arg(long, default_value_t = 1)]
    threads: usize,
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
        files.iter().for_each(|f| decode(f, None, &limits).pcm.recycle());
        Ok(())
    })?;
    let mut resample = Resample::new(args.resampler);
    let resampling = timed(args.runs, || {
        for file in &files {
            resample.run(decode(file, None, &limits).pcm, args.rate)?;
        }
        Ok(())
    })?;
    let x = "x real time";
    let mut rows = vec![
        Row::rate("decode, digests, facts", audio_s, x, decoding).note(&note),
        Row::rate(&format!("the same, to {} Hz", args.rate), audio_s, x, resampling).note(&note),
    ];
    let scratch = args.scratch.join(format!("etude-bench-{}", std::process::id()));
    let whole = scaling(args, &files, audio_s, &scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    rows.extend(whole?);
    Ok(rows)
}

/// The whole with 1, 2, 4, … threads.
fn scaling(args: &Args, files: &[PathBuf], audio_s: f64, scratch: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut threads = 1;
    while threads <= args.threads.max(1) {
        let before = cpu_s();
        let times = timed(args.runs, || write(args, files, threads, scratch))?;
        let spent = cpu_s().zip(before).map(|(now, before)| now - before);
        // the run that is not counted took its share
        let each = spent.map(|s| s * 1e3 / audio_s / (args.runs.max(1) + 1) as f64);
        let each = each.map(|ms| format!(", {ms:.3} ms of CPU per second")).unwrap_or_default();
        let name = match threads {
            1 => "the same, into a shard".to_owned(),
            n => format!("the same, {n} threads"),
        };
        let row = Row::rate(&name, audio_s, "x real time", times);
        let gain = match rows.first() {
            Some(one) => format!(", {:.2} x one thread", row.median / one.median.max(1e-9)),
            None => String::new(),
        };
        let note = format!("{} files, {audio_s:.0} s{gain}{each}", files.len());
        rows.push(row.note(note));
        threads *= 2;
    }
    Ok(rows)
}

/// Every file once, each thread into a shard of its own.
fn write(args: &Args, files: &[PathBuf], threads: usize, scratch: &Path) -> Result<()> {
    std::fs::create_dir_all(scratch)?;
    let spec = Spec {
        corpus: "bench".into(),
        kind: Kind::Wave { rate: args.rate },
        number: Number::S16,
        block_s: 10.0,
        row_group_bytes: 16 << 20,
        resampler: args.resampler.id(),
        config_digest: String::new(),
        manifest_hash: String::new(),
    };
    let next = AtomicUsize::new(0);
    let one = |shard: usize| -> Result<()> {
        let mut resample = Resample::new(args.resampler);
        let mut shard = ShardFile::create(scratch, shard, &spec)?;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(n) else { break };
            let decoded = decode(file, None, &DecodeLimits::default());
            let pcm = resample.run(decoded.pcm, args.rate)?;
            let key = format!("bench:{n}");
            let row = TrackRow { key: &key, variant: "orig", tags: &[], split: None };
            shard.push(&row, &pcm.samples)?;
        }
        shard.finish()?;
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|n| scope.spawn(move || one(n))).collect();
        let mine = one(0);
        workers
            .into_iter()
            .try_for_each(|w| w.join().map_err(|_| anyhow!("a thread panicked"))?)?;
        mine
    })
}

/// CPU seconds of this process so far, on Linux: fields 14 and 15 of `/proc/self/stat`, in hundredths.
fn cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?; // the name may hold anything
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
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
