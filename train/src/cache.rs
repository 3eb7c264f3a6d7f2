//! What the frozen beginning of a network makes of every window of the audio, computed once and kept on disk.
//!
//! Under a tuning method that leaves the first hidden states alone, and with frozen parts in evaluation mode, hidden
//! state number `state` ([`etude_models::Model::fixed_state`]) is a fixed function of the window. A cache is a shard set
//! of embeddings, one track per window, beside a `cache.json` that says what it was made from; its folder carries the
//! digest of that, so other weights, settings or shards are another cache. It is filled before the first step, file by
//! file: what is finished survives whatever happens to the run, and a run that goes on ends with the same bytes.
//!
//! Letters: B windows, T' hidden states, D width.

use crate::atomic;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::{Log, Pace, Phase};
use crate::setup::Setup;
use crate::trainer::event;
use etude_manifests::Split;
use etude_models::Start;
use etude_shards::{
    Batch, FileEntry, Index, Kind, LoaderState, Number, Reader, ShardFile, Spec, TrackRow, Window,
    windows,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tch::Tensor;

/// Keeps the output of the frozen beginning of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// How one number is stored: `bf16` (default), half the size and rounded to 8 bits, or `f32`, with which a run has
    /// the same numbers as without a cache.
    #[serde(default)]
    pub dtype: CacheNumber,
    /// Folder of the caches; `<data.dir>/cache` when left out.
    #[serde(default)]
    pub dir: Option<PathBuf>,
}

/// How one number of a cache is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheNumber {
    /// bfloat16.
    #[default]
    Bf16,
    /// 32-bit float.
    F32,
}

/// Version of the files; another one is another cache.
const VERSION: u32 = 1;
/// What a cache was made from, in its folder.
const ABOUT: &str = "cache.json";
/// Bytes after which a file of a cache ends.
const FILE_BYTES: u64 = 64 << 20;
/// Bytes that a window takes beside its numbers, at most.
const ROW_BYTES: u64 = 1024;

/// Everything that the numbers of a cache depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    version: u32,
    backbone: serde_json::Value,
    /// Digest of the weight file, or the seed that the weights were drawn from.
    weights: String,
    state: usize,
    precision: String,
    dtype: CacheNumber,
    /// Digest of the shard files.
    shards: String,
    /// Number and digest of the windows.
    windows: (usize, String),
    /// Windows that go through the network together.
    batch: usize,
}

/// `cache.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    made_from: Key,
    /// Element type in the network: `f32` or `bf16`.
    kind: String,
    dim: u32,
    /// T' by the length of a window.
    frames: BTreeMap<u64, u64>,
}

/// A cache and what is to go into it.
struct Plan<'a> {
    exp: &'a Experiment,
    setup: &'a Setup,
    dir: PathBuf,
    key: Key,
    digest: String,
    /// Windows of training and of validation; all of one list have one length.
    lists: [Vec<Window>; 2],
}

/// Finds the cache of an experiment or fills it; `None` when asked to stop before it is full.
///
/// # Errors
/// [`Error::Cache`] when nothing of the network is fixed, or the disk has no room for it.
pub(crate) fn open(
    exp: &Experiment,
    setup: &Setup,
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Option<(Index, Start)>> {
    let plan = Plan::new(exp, setup)?;
    fs::create_dir_all(&plan.dir).map_err(Error::io(&plan.dir))?;
    let Some(_lock) = lock(&plan.dir, log, stop)? else { return Ok(None) };
    let about = match plan.about()? {
        Some(about) => about,
        None => plan.begin()?,
    };
    let spec = plan.spec(&about);
    let bytes: u64 = plan.bytes(&about, &spec).sum();
    let place = format!(
        "cache {}: hidden state {} of {} windows, {} as {}",
        plan.dir.display(),
        plan.key.state,
        plan.windows(),
        size(bytes),
        if spec.number == Number::F32 { "f32" } else { "bf16" },
    );
    let index = match Index::open(&plan.dir) {
        Ok(index) if *index.spec() == spec => {
            log.row(&event(0, "cache", format!("{place}; all there")));
            index
        }
        _ => {
            let others = plan.others()?;
            log.row(&event(0, "cache", format!("{place}{others}")));
            match plan.fill(&about, &spec, log, stop)? {
                Some(index) => index,
                None => return Ok(None),
            }
        }
    };
    let kind = if about.kind == "bf16" { tch::Kind::BFloat16 } else { tch::Kind::Float };
    Ok(Some((index, Start { state: plan.key.state, kind })))
}

impl<'a> Plan<'a> {
    fn new(exp: &'a Experiment, setup: &'a Setup) -> Result<Self> {
        let cfg = exp.data.cache.clone().unwrap_or_default();
        let model = &setup.model;
        let waves = !matches!(setup.index.spec().kind, Kind::Embedding { .. });
        let state = model.fixed_state().filter(|_| waves).ok_or_else(|| Error::Cache {
            text: format!(
                "data.cache: expected a network with a frozen beginning, got {} under {} on {}",
                model.backbone.spec().name,
                exp.tuning.name(),
                exp.data.shards,
            ),
        })?;
        let of = |split, crop| windows(&setup.index, &setup.view, split, &crop);
        let train = of(Split::Train, exp.train_loader().crop)?;
        let seen: HashSet<_> = train.iter().copied().collect();
        let mut valid = of(Split::Valid, exp.eval_loader().crop)?;
        valid.retain(|w| !seen.contains(w));
        let lists = [train, valid];
        let mut listed = blake3::Hasher::new();
        for w in lists.iter().flatten() {
            listed.update(format!("{} {} {}\n", w.track, w.start, w.steps).as_bytes());
        }
        let backbone = serde_json::to_value(&exp.model.without_weights()?.backbone);
        let key = Key {
            version: VERSION,
            backbone: backbone.map_err(garbage)?,
            weights: match &setup.identity.base {
                Some(digest) => digest.clone(),
                None => format!("seed {}", exp.run.seed),
            },
            state,
            precision: format!("{:?}", model.precision).to_lowercase(),
            dtype: cfg.dtype,
            shards: setup.identity.shards_hash.clone(),
            windows: (lists.iter().map(Vec::len).sum(), listed.finalize().to_hex().to_string()),
            batch: exp.data.batch,
        };
        let text = serde_json::to_vec(&key).map_err(garbage)?;
        let digest = blake3::hash(&text).to_hex().to_string();
        let root = cfg.dir.unwrap_or_else(|| exp.data.dir.join("cache"));
        let dir = root.join(format!("{}-{}", family(exp), &digest[..16]));
        Ok(Self { exp, setup, dir, key, digest, lists })
    }

    fn windows(&self) -> usize {
        self.key.windows.0
    }

    /// What is known of the cache from an earlier run.
    fn about(&self) -> Result<Option<About>> {
        let path = self.dir.join(ABOUT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let about = serde_json::from_slice::<About>(&text).ok();
        Ok(about.filter(|about| about.made_from == self.key))
    }

    /// Runs one window of each length, to know what a window becomes.
    fn begin(&self) -> Result<About> {
        let (mut frames, mut last) = (BTreeMap::new(), None);
        let reader = Reader::new(&self.setup.index);
        for list in &self.lists {
            let Some(first) = list.first() else { continue };
            let hidden = self.hidden(&reader, std::slice::from_ref(first))?; // [1, T', D]
            frames.insert(first.steps, hidden.size()[1] as u64);
            last = Some(hidden);
        }
        let (kind, dim) = match &last {
            Some(hidden) => (hidden.f_kind()?, hidden.size()[2] as u32),
            None => return Err(Error::Cache { text: "data.cache: no windows".to_owned() }),
        };
        let kind = if kind == tch::Kind::BFloat16 { "bf16" } else { "f32" }.to_owned();
        let about = About { made_from: self.key.clone(), kind, dim, frames };
        let mut text = serde_json::to_vec_pretty(&about).map_err(garbage)?;
        text.push(b'\n');
        atomic::write(&self.dir.join(ABOUT), &text)?;
        Ok(about)
    }

    fn spec(&self, about: &About) -> Spec {
        let fps = self.setup.model.backbone.spec().frame_rate.unwrap_or(0.0);
        let longest = about.frames.values().max().copied().unwrap_or(1) as f64;
        Spec {
            corpus: self.setup.index.spec().corpus.clone(),
            kind: Kind::Embedding { fps, dim: about.dim },
            number: match self.key.dtype {
                CacheNumber::Bf16 => Number::Bf16,
                CacheNumber::F32 => Number::F32,
            },
            block_s: if fps > 0.0 { (longest + 1.0) / fps } else { 1.0 }, // a window is a row
            row_group_bytes: FILE_BYTES,
            resampler: "none".to_owned(),
            config_digest: self.digest.clone(),
            manifest_hash: self.setup.index.spec().manifest_hash.clone(),
        }
    }

    /// Windows file by file; a file ends with a batch, so that what goes through the network together is the same
    /// wherever a run was stopped.
    fn files(&self, about: &About, spec: &Spec) -> Vec<&[Window]> {
        let mut files = Vec::new();
        for list in self.lists.iter().filter(|list| !list.is_empty()) {
            let each = window_bytes(about, spec, &list[0]);
            let batches = (FILE_BYTES / each / self.key.batch as u64).max(1) as usize;
            files.extend(list.chunks(batches * self.key.batch));
        }
        files
    }

    /// Bytes of each file.
    fn bytes(&self, about: &About, spec: &Spec) -> impl Iterator<Item = u64> {
        let files = self.files(about, spec).into_iter();
        files.map(|file| file.iter().map(|w| window_bytes(about, spec, w)).sum())
    }

    /// Writes what is missing; `None` when asked to stop.
    fn fill(
        &self,
        about: &About,
        spec: &Spec,
        log: &mut dyn Log,
        stop: &AtomicBool,
    ) -> Result<Option<Index>> {
        let files = self.files(about, spec);
        let tracks: Vec<_> = self.setup.index.tracks().collect();
        let name = |w: &Window| {
            let track = tracks[w.track];
            (track.key.as_str(), w.variant(&track.variant))
        };
        let mut entries = Vec::with_capacity(files.len());
        let mut needed = 0;
        for (n, (file, bytes)) in files.iter().zip(self.bytes(about, spec)).enumerate() {
            let names: Vec<_> = file.iter().map(name).collect();
            let identity = spec.identity(names.iter().map(|(key, variant)| row(key, variant)));
            let found = FileEntry::read_finished(&self.dir, n, &identity)?;
            needed += if found.is_some() { 0 } else { bytes };
            entries.push((identity, found));
        }
        room(&self.dir, needed)?;
        let reader = Reader::new(&self.setup.index);
        let (begun, total) = (Instant::now(), self.windows() as u64);
        let (mut there, mut done) = (0, 0);
        for (n, file) in files.iter().enumerate() {
            if entries[n].1.is_some() {
                there += file.len() as u64;
                continue;
            }
            let mut out = ShardFile::create(&self.dir, n, spec)?.planned(entries[n].0.as_str());
            for batch in file.chunks(self.key.batch) {
                let hidden = self.hidden(&reader, batch)?; // [B, T', D]
                let rows = Vec::<f32>::try_from(
                    hidden.f_to_kind(tch::Kind::Float)?.f_contiguous()?.f_view(-1)?,
                )?;
                for (window, row_of) in batch.iter().zip(rows.chunks(rows.len() / batch.len())) {
                    let (key, variant) = name(window);
                    out.push(&row(key, &variant), row_of)?;
                }
                done += batch.len() as u64;
                log.pace(&pace(begun, done, there + done, total));
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
            }
            entries[n].1 = Some(out.finish()?);
        }
        let entries = entries.into_iter().filter_map(|(_, entry)| entry).collect();
        Ok(Some(Index::assemble(&self.dir, spec, entries)?))
    }

    /// windows of one length -> hidden states `[B, T', D]` on the CPU
    fn hidden(&self, reader: &Reader, windows: &[Window]) -> Result<Tensor> {
        let kind = self.setup.index.spec().kind;
        let (width, steps) = (kind.width(), windows[0].steps as usize);
        let mut data = vec![0f32; windows.len() * steps * width];
        for (window, row) in windows.iter().zip(data.chunks_mut(steps * width)) {
            let there = (reader.steps(window.track) - window.start).min(window.steps) as usize;
            reader.read(window.track, window.start, &mut row[..there * width])?;
        }
        let mut shape = vec![windows.len(), steps];
        if !matches!(kind, Kind::Wave { .. }) {
            shape.push(width);
        }
        let batch = Batch {
            keys: Vec::new(),
            starts: Vec::new(),
            data,
            shape,
            lengths: Vec::new(),
            targets: Vec::new(),
            after: LoaderState::default(),
        };
        let Setup { model, device, .. } = self.setup;
        let inputs = etude_eval::inputs(&batch, *device)?;
        Ok(model.hidden(&inputs.x, self.key.state)?.f_to_device(tch::Device::Cpu)?)
    }

    /// A word on the caches of other weights, settings or shards for the same shard set and backbone.
    fn others(&self) -> Result<String> {
        let (Some(root), family) = (self.dir.parent(), family(self.exp)) else {
            return Ok(String::new());
        };
        let mut others = 0;
        for found in fs::read_dir(root).map_err(Error::io(root))? {
            let path = found.map_err(Error::io(root))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let kin = name.is_some_and(|n| n.starts_with(&format!("{family}-")));
            others += usize::from(kin && path != self.dir && path.join(ABOUT).exists());
        }
        Ok(match others {
            0 => String::new(),
            1 => "; one beside it is of other weights, settings or shards".to_owned(),
            n => format!("; {n} beside it are of other weights, settings or shards"),
        })
    }
}

/// What the names of caches of one shard set and backbone begin with.
fn family(exp: &Experiment) -> String {
    format!("{}-{}", exp.data.shards, exp.model.backbone.name())
}

fn row<'a>(key: &'a str, variant: &'a str) -> TrackRow<'a> {
    TrackRow { key, variant, tags: &[], split: None }
}

fn window_bytes(about: &About, spec: &Spec, window: &Window) -> u64 {
    let frames = about.frames.get(&window.steps).copied().unwrap_or(1);
    frames * spec.step_bytes() as u64 + ROW_BYTES
}

/// Refuses to begin what the disk cannot hold.
fn room(dir: &Path, needed: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(dir).map_err(|e| Error::io(dir)(e.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    match needed <= free {
        true => Ok(()),
        false => Err(Error::Cache {
            text: format!(
                "{}: the cache needs {needed} bytes ({}), the disk has {free} left ({}); \
                 set data.cache.dir to a larger one, data.cache.dtype to bf16, or leave out data.cache",
                dir.display(),
                size(needed),
                size(free),
            ),
        }),
    }
}

/// Only one run fills a cache at a time; another one waits for it. `None` when asked to stop.
fn lock(dir: &Path, log: &mut dyn Log, stop: &AtomicBool) -> Result<Option<File>> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(Error::io(&path))?;
    let mut said = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                if !std::mem::replace(&mut said, true) {
                    let text = format!("cache {}: another run is filling it", dir.display());
                    log.row(&event(0, "cache", text));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(e) => return Err(Error::io(&path)(e.into())),
        }
    }
}

fn pace(begun: Instant, now: u64, done: u64, total: u64) -> Pace {
    let samples_s = now as f64 / begun.elapsed().as_secs_f64().max(1e-9);
    let eta_s = (total - done) as f64 / samples_s;
    Pace { phase: Phase::Caching, done, total, samples_s, stall: 0.0, eta_s }
}

fn garbage(e: serde_json::Error) -> Error {
    Error::Cache { text: format!("data.cache: {e}") }
}

/// Bytes for people: `1.49 GB`.
fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    match unit {
        "bytes" => format!("{bytes} bytes"),
        _ => format!("{value:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_does_not_fit_the_disk_is_refused_with_the_bytes_it_needs() {
        let tmp = tempfile::tempdir().unwrap();
        room(tmp.path(), 1).unwrap();
        let text = room(tmp.path(), 1 << 60).unwrap_err().to_string();
        assert!(text.contains("needs 1152921504606846976 bytes (1152921.50 TB)"), "{text}");
        assert!(text.contains("data.cache.dir"), "{text}");
    }

    #[test]
    fn sizes_have_three_digits_or_more() {
        let table = [(999, "999 bytes"), (1_490_944, "1.49 MB"), (27_900_000_000, "27.90 GB")];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }
}
