//! A small corpus of tones with tags, written through the shards and manifests crates, and a tiny network for it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod kept;

use etude_manifests::{Example, Split, Target, View, Vocab, write_view};
use etude_shards::{Index, Kind, Number, ShardFile, Spec, TrackRow};
use etude_train::{Experiment, Log, Outcome, Pace, Row, RunDir, read_log, run};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Samples per second.
const RATE: u32 = 16_000;
/// Samples per clip, 3 s.
const CLIP: usize = 48_000;
/// Tones, Hz; a clip has any of them.
const TONES: [(&str, f32); 3] = [("low", 300.0), ("middle", 1300.0), ("high", 4200.0)];

/// libtorch's generator and number of threads belong to the whole process: tests that train take turns.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// Writes `manifests/tones.parquet` and `shards/tones-16k/` into `dir`.
pub fn corpus(dir: &Path, clips: [usize; 3]) {
    corpus_at(dir, clips, "tones-16k", RATE);
}

/// The same samples as a set of another name and rate.
pub fn corpus_at(dir: &Path, clips: [usize; 3], name: &str, rate: u32) {
    write(dir, clips, name, rate, wave);
}

/// The same clips with zeros for samples.
pub fn silence(dir: &Path, clips: [usize; 3], name: &str, rate: u32) {
    write(dir, clips, name, rate, |_, _| vec![0.0; CLIP]);
}

fn write(
    dir: &Path,
    clips: [usize; 3],
    name: &str,
    rate: u32,
    wave: impl Fn(usize, &[u16]) -> Vec<f32>,
) {
    let spec = Spec {
        corpus: "tones".into(),
        kind: Kind::Wave { rate },
        number: Number::S16,
        block_s: 1.0,
        row_group_bytes: 1 << 20,
        resampler: "none".into(),
        config_digest: "c".into(),
        manifest_hash: "m".into(),
    };
    let shards = dir.join("shards").join(name);
    let mut file = ShardFile::create(&shards, 0, &spec).unwrap();
    let splits = [Split::Train, Split::Valid, Split::Test];
    let all = splits.iter().zip(clips).flat_map(|(&s, n)| std::iter::repeat_n(s, n));
    let mut examples = Vec::new();
    for (i, split) in all.enumerate() {
        let key = format!("tones:{i:04}");
        let tags = tags(i);
        let row = TrackRow { key: &key, variant: "orig", tags: &[], split: Some(split) };
        file.push(&row, &wave(i, &tags)).unwrap();
        let target = Target::Tags(tags);
        examples.push(Example { track: key.clone(), key, variant: "orig".into(), split, target });
    }
    let entry = file.finish().unwrap();
    Index::assemble(&shards, &spec, vec![entry]).unwrap();
    write_view(&dir.join("manifests"), &view(examples)).unwrap();
}

pub fn view(examples: Vec<Example>) -> View {
    let classes = TONES.iter().map(|(name, _)| (*name).to_owned()).collect();
    View {
        name: "tones".into(),
        corpus: "tones".into(),
        vocab: Vocab { id: "tones3".into(), classes, order: "published".into() },
        examples,
        sources: Vec::new(),
    }
}

/// The tones of a clip as the corpus has them, before they become 16-bit numbers.
pub fn clip(clip: usize) -> Vec<f32> {
    wave(clip, &tags(clip))
}

fn tags(clip: usize) -> Vec<u16> {
    (0..TONES.len() as u16).filter(|t| noise(clip, *t as usize) > 0.0).collect()
}

fn wave(clip: usize, tags: &[u16]) -> Vec<f32> {
    let mut wave: Vec<f32> = (0..CLIP).map(|t| 0.02 * noise(clip, 100 + t)).collect();
    for &tag in tags {
        let (at, from) = (TONES[usize::from(tag)].1, 50 + usize::from(tag));
        let hz = at * (1.0 + 0.1 * noise(clip, from));
        let phase = 3.0 * noise(clip, 10 + from);
        for (t, x) in wave.iter_mut().enumerate() {
            *x += 0.2 * (hz * t as f32 * std::f32::consts::TAU / RATE as f32 + phase).sin();
        }
    }
    wave
}

/// A fixed number from -1 to 1.
fn noise(clip: usize, n: usize) -> f32 {
    let mut z =
        ((clip as u64) << 32 | n as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z >> 40) as f32 / (1u64 << 23) as f32) - 1.0
}

/// A tiny VGGish on the tones; `sets` override keys.
pub fn experiment(dir: &Path, sets: &[&str]) -> Experiment {
    let text = format!(
        r#"
[run]
seed = 7
device = "cpu"
threads = 1
[data]
dir = {dir:?}
view = "tones"
shards = "tones-16k"
crop = {{ kind = "random", steps = 32768 }}
batch = 8
[model]
backbone = {{ name = "vggish", preset = "limited", channels = 2 }}
head = {{ kind = "published" }}
[tuning]
method = "full"
[objective]
kind = "supervised"
task = {{ kind = "tagging" }}
[optim]
kind = "adam"
lr = 0.01
clip = 5.0
[trainer]
epochs = 2
log_steps = 1
"#
    );
    let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
    Experiment::parse("test.toml", &text, &sets).unwrap()
}

/// Raises `stop` when a given step has been taken; keeps the rows.
pub struct StopAt<'a> {
    pub step: u64,
    pub stop: &'a AtomicBool,
    pub rows: Vec<Row>,
    /// Raise it during the validation after that step instead.
    pub in_validation: bool,
}

impl Log for StopAt<'_> {
    fn row(&mut self, row: &Row) {
        if !self.in_validation && matches!(row, Row::Step { step, .. } if *step == self.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.rows.push(row.clone());
    }

    fn pace(&mut self, pace: &Pace) {
        let steps = self.rows.iter().map(Row::step).max().unwrap_or(0);
        if self.in_validation && pace.phase == etude_train::Phase::Scoring && steps >= self.step {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A run from its start to its end.
pub fn train(exp: &Experiment, path: &Path) -> Outcome {
    run(exp, &RunDir::create(path).unwrap(), &mut (), &AtomicBool::new(false)).unwrap()
}

/// The log of a run without its times.
pub fn untimed(dir: &Path) -> Vec<Row> {
    read_log(&dir.join("log.jsonl")).unwrap().into_iter().map(Row::untimed).collect()
}

/// Losses of the logged steps.
pub fn losses(rows: &[Row]) -> Vec<f64> {
    let loss = |row: &Row| match row {
        Row::Step { loss, .. } => Some(*loss),
        _ => None,
    };
    rows.iter().filter_map(loss).collect()
}

/// A new run in `path` that was asked to stop after `step` steps.
pub fn interrupted(exp: &Experiment, path: &Path, step: u64) {
    let stop = AtomicBool::new(false);
    let mut log = StopAt { step, stop: &stop, rows: Vec::new(), in_validation: false };
    run(exp, &RunDir::create(path).unwrap(), &mut log, &stop).unwrap();
}
