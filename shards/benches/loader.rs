//! Clips per second of the loader beside plain reading of the same bytes, page cache warm.
//!
//! `cargo bench -p etude-shards` writes 600 clips of 29.124 s at 24 kHz (839 MB) and 12 tracks of 4 minutes to a temporary
//! folder and prints medians of three epochs. `ETUDE_BENCH_CLIPS` makes it smaller.
#![allow(clippy::unwrap_used, reason = "a bench that fails should stop")]

use etude_manifests::{Example, Split, Target, View, Vocab};
use etude_shards::{Crop, Index, Kind, Loader, LoaderConfig, Number, ShardFile, Spec, TrackRow};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

const CLIP: usize = 698_976;
const BATCH: usize = 16;
const EPOCHS: usize = 3;

fn main() {
    let clips = std::env::var("ETUDE_BENCH_CLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let dir = tempfile::tempdir().unwrap();
    let (short, long) = (dir.path().join("clips"), dir.path().join("tracks"));
    let begin = Instant::now();
    write(&short, clips, CLIP);
    let s = begin.elapsed().as_secs_f64();
    let megabytes = (clips * CLIP * 2) as f64 / 1e6;
    println!("write {clips} clips of 29.124 s: {:.0} MB/s of s16, digest included", megabytes / s);
    write(&long, 12, 240 * 24_000);
    let raw = dir.path().join("raw");
    plain_files(&raw, clips);

    plain("limit: read only, 1 thread", &raw, clips, false);
    plain("limit: read and convert, 1 thread", &raw, clips, true);
    for threads in [1, 2, 4] {
        let cfg = LoaderConfig { batch: BATCH, threads, ..LoaderConfig::default() };
        load(&format!("clips, {threads} threads"), &short, clips, &cfg, true);
    }
    let cfg = LoaderConfig { batch: BATCH, ..LoaderConfig::default() };
    load("clips, 2 threads, nothing recycled", &short, clips, &cfg, false);
    let crop = Crop::Random { steps: 30 * 24_000 };
    for threads in [1, 2] {
        let cfg = LoaderConfig { batch: 12, threads, crop, ..LoaderConfig::default() };
        load(&format!("random 30 s of 4 minutes, {threads} threads"), &long, 12, &cfg, true);
    }
    println!("peak resident memory {} MB", peak_mb());
}

/// One set of noise, 48 tracks a file.
fn write(dir: &Path, tracks: usize, steps: usize) {
    let spec = Spec {
        corpus: "bench".into(),
        kind: Kind::Wave { rate: 24_000 },
        number: Number::S16,
        block_s: 10.0,
        row_group_bytes: 16 << 20,
        resampler: "none".into(),
        config_digest: String::new(),
        manifest_hash: "bench".into(),
    };
    let noise: Vec<f32> = (0..steps + 7919 * tracks).map(noise).collect();
    let mut files = Vec::new();
    for first in (0..tracks).step_by(48) {
        let mut file = ShardFile::create(dir, files.len(), &spec).unwrap();
        for t in first..tracks.min(first + 48) {
            let row = TrackRow { key: &key(t), variant: "orig", tags: &[], split: None };
            file.push(&row, &noise[7919 * t..][..steps]).unwrap();
        }
        files.push(file.finish().unwrap());
    }
    Index::assemble(dir, &spec, files).unwrap();
}

fn noise(i: usize) -> f32 {
    let x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x >> 40) as f32 / (1 << 24) as f32 - 0.5) * 1.2
}

fn key(t: usize) -> String {
    format!("bench:{t:05}")
}

fn plain_files(dir: &Path, clips: usize) {
    fs::create_dir(dir).unwrap();
    let bytes: Vec<u8> =
        (0..CLIP).flat_map(|i| ((noise(i) * 32768.0) as i16).to_le_bytes()).collect();
    (0..clips).for_each(|t| fs::write(dir.join(t.to_string()), &bytes).unwrap());
}

/// What the machine allows: files into one buffer, and from there into the rows of one batch.
fn plain(name: &str, dir: &Path, clips: usize, convert: bool) {
    let mut bytes = vec![0u8; CLIP * 2];
    let mut batch = vec![0f32; BATCH * CLIP];
    report(name, clips, CLIP * 2, || {
        for t in 0..clips {
            File::open(dir.join(t.to_string())).unwrap().read_exact(&mut bytes).unwrap();
            if convert {
                let row = &mut batch[t % BATCH * CLIP..][..CLIP];
                for (x, b) in row.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *x = f32::from(i16::from_le_bytes(*b)) / 32768.0;
                }
            }
            black_box((&mut bytes, &mut batch));
        }
    });
}

fn load(name: &str, dir: &Path, tracks: usize, cfg: &LoaderConfig, recycle: bool) {
    let example = |t| Example {
        key: key(t),
        track: key(t),
        variant: "orig".into(),
        split: Split::Train,
        target: Target::Tags(vec![1, 2, 3]),
    };
    let view = View {
        name: "bench".into(),
        corpus: "bench".into(),
        vocab: Vocab { id: "none".into(), classes: vec![], order: "none".into() },
        examples: (0..tracks).map(example).collect(),
        sources: vec![],
    };
    let begin = Instant::now();
    let index = Index::open(dir).unwrap();
    let mut loader = Loader::train(&index, &view, cfg, 1).unwrap();
    let first = loader.next().unwrap().unwrap();
    let first_s = begin.elapsed().as_secs_f64();
    let bytes = first.data.len() / first.keys.len() * 2;
    loader.recycle(first);
    let epochs = if tracks < 100 { 40 } else { 1 };
    report(name, tracks * epochs, bytes, || {
        for _ in 0..loader.batches_per_epoch() * epochs as u64 {
            let batch = black_box(loader.next().unwrap().unwrap());
            if recycle {
                loader.recycle(batch);
            }
        }
    });
    let s = loader.stats();
    println!(
        "    first batch {:.0} ms with opening; read {:.2} s, convert {:.2} s, threads wait {:.2} s, consumer waits {:.0} %, bytes read/used {:.3}, allocations {}",
        first_s * 1e3,
        s.read_s,
        s.convert_s,
        s.worker_wait_s,
        s.stall_share() * 100.0,
        s.read_overhead(),
        s.allocations,
    );
}

/// Median and range over the epochs, the first not counted.
fn report(name: &str, clips: usize, bytes: usize, mut epoch: impl FnMut()) {
    epoch();
    let mut rates: Vec<f64> = (0..EPOCHS)
        .map(|_| {
            let begin = Instant::now();
            epoch();
            clips as f64 / begin.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (low, mid, high) = (rates[0], rates[EPOCHS / 2], rates[EPOCHS - 1]);
    let mb = mid * bytes as f64 / 1e6;
    println!("{name:36} {mid:7.0} clips/s [{low:.0}..{high:.0}] {mb:7.0} MB/s of s16");
}

fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
