//! What goes into a cache, and filling it.

use super::disk::{lock, room, size};
use super::{ABOUT, About, CacheNumber, FILE_BYTES, Kept, Key, ROW_BYTES, VERSION};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::{Log, Pace, Phase};
use crate::setup::Setup;
use crate::trainer::event;
use etude_manifests::{Split, atomic};
use etude_models::Start;
use etude_shards::{
    Batch, FileEntry, Index, Kind, LoaderState, Number, Reader, ShardFile, Spec, TrackRow, Window,
    windows,
};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::Tensor;

/// A cache and what is to go into it.
pub(super) struct Plan<'a> {
    exp: &'a Experiment,
    setup: &'a Setup,
    dir: PathBuf,
    key: Key,
    digest: String,
    /// Windows; all of one list have one length.
    lists: Vec<Vec<Window>>,
}

impl<'a> Plan<'a> {
    /// For the windows of training and validation.
    pub(super) fn of_run(exp: &'a Experiment, setup: &'a Setup) -> Result<Self> {
        let of = |split, crop| windows(&setup.index, &setup.view, split, &crop);
        let train = of(Split::Train, exp.train_loader().crop)?;
        let seen: HashSet<_> = train.iter().copied().collect();
        let mut valid = of(Split::Valid, exp.valid_loader().crop)?;
        valid.retain(|w| !seen.contains(w));
        Self::new(exp, setup, vec![train, valid], exp.data.batch)
    }

    /// For these windows, so many of which go through the network together.
    pub(super) fn new(
        exp: &'a Experiment,
        setup: &'a Setup,
        lists: Vec<Vec<Window>>,
        batch: usize,
    ) -> Result<Self> {
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
            batch,
        };
        let text = serde_json::to_vec(&key).map_err(garbage)?;
        let digest = blake3::hash(&text).to_hex().to_string();
        let root = cfg.dir.unwrap_or_else(|| exp.data.dir.join("cache"));
        let dir = root.join(format!("{}-{}", family(exp), &digest[..16]));
        Ok(Self { exp, setup, dir, key, digest, lists })
    }

    /// Finds the cache or fills it; `None` when asked to stop.
    pub(super) fn open(&self, log: &mut dyn Log, stop: &AtomicBool) -> Result<Option<Kept>> {
        fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
        let Some(_lock) = lock(&self.dir, log, stop)? else { return Ok(None) };
        let about = match self.about()? {
            Some(about) => about,
            None => self.begin()?,
        };
        let spec = self.spec(&about);
        let bytes: u64 = self.bytes(&about, &spec).sum();
        let place = format!(
            "cache {}: hidden state {} of {} windows, {} as {}",
            self.dir.display(),
            self.key.state,
            self.windows(),
            size(bytes),
            if spec.number == Number::F32 { "f32" } else { "bf16" },
        );
        if let Some(kept) = self.finished(&about) {
            log.row(&event(0, "cache", format!("{place}; all there")));
            return Ok(Some(kept));
        }
        log.row(&event(0, "cache", format!("{place}{}", self.others()?)));
        let index = self.fill(&about, &spec, log, stop)?;
        Ok(index.map(|index| (index, self.start(&about))))
    }

    /// What an earlier run has kept of all the windows.
    pub(super) fn full(&self) -> Result<Option<Kept>> {
        Ok(self.about()?.and_then(|about| self.finished(&about)))
    }

    /// Whether all of these windows are in it.
    pub(super) fn holds(&self, windows: &[Window]) -> bool {
        let held: HashSet<_> = self.lists.iter().flatten().collect();
        windows.iter().all(|w| held.contains(w))
    }

    fn finished(&self, about: &About) -> Option<Kept> {
        let index = Index::open(&self.dir).ok()?;
        (*index.spec() == self.spec(about)).then(|| (index, self.start(about)))
    }

    fn start(&self, about: &About) -> Start {
        let kind = if about.kind == "bf16" { tch::Kind::BFloat16 } else { tch::Kind::Float };
        Start { state: self.key.state, kind }
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
        let path = self.dir.join(ABOUT);
        atomic::write_json(&path, &about).map_err(Error::io(&path))?;
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
            let about = fs::read(path.join(ABOUT)).ok();
            let about = about.and_then(|text| serde_json::from_slice::<About>(&text).ok());
            // that of another split is none of them
            let Key { windows, batch, .. } = &self.key;
            let other = about.is_some_and(|About { made_from, .. }| {
                self.key != Key { windows: windows.clone(), batch: *batch, ..made_from }
            });
            others += usize::from(kin && other);
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

fn pace(begun: Instant, now: u64, done: u64, total: u64) -> Pace {
    let samples_s = now as f64 / begun.elapsed().as_secs_f64().max(1e-9);
    let eta_s = (total - done) as f64 / samples_s;
    Pace { phase: Phase::Caching, done, total, samples_s, stall: 0.0, eta_s }
}

fn garbage(e: serde_json::Error) -> Error {
    Error::Cache { text: format!("data.cache: {e}") }
}
