//! A whole corpus: wave shards in, embedding shards with the same tracks out, file by file.
//!
//! Each file of the wave set becomes one file. Finished files survive whatever happens to the run; the index is written
//! last. What goes through the model together depends on the file alone, so a resumed run ends with the same bytes.

use crate::embed::{EmbedConfig, Embedder, Embedding};
use crate::error::{Error, Result};
use etude_manifests::{Status, View};
use etude_models::Pretrained;
use etude_shards::{FileEntry, Index, Kind, Labels, Number, Reader, Refused, ShardFile, Spec};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What to do.
#[derive(Debug, Clone)]
pub struct CorpusConfig {
    /// Folder of the wave shards.
    pub source: PathBuf,
    /// Folder of the embedding shards.
    pub out: PathBuf,
    /// Only the tracks of this view; all when left out.
    pub view: Option<View>,
    /// How one number is stored.
    pub number: Number,
    /// How recordings become embeddings.
    pub embed: EmbedConfig,
    /// What happens to every recording first; nothing when left out.
    pub deform: Option<Deform>,
}

/// A change of recordings before they are embedded, such as added noise.
#[derive(Clone)]
pub struct Deform {
    /// Everything it depends on, in words; part of the shard set's identity.
    pub id: String,
    /// Changes the wave of the track of this key; a function of key, rate (Hz) and wave alone.
    pub apply: Change,
}

/// Changes a wave in place, given the key of its track and its rate, Hz.
pub type Change = Arc<dyn Fn(&str, u32, &mut [f32]) + Send + Sync>;

impl fmt::Debug for Deform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deform").field(&self.id).finish()
    }
}

/// How far the stage is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Tracks done.
    pub done: u64,
    /// Tracks to do.
    pub total: u64,
    /// Seconds of audio of the tracks done now.
    pub audio_s: f64,
}

/// What the stage did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Folder of the embedding shards.
    pub dir: PathBuf,
    /// The backbone's name.
    pub model: String,
    /// Number of the hidden state.
    pub layer: usize,
    /// Width of a vector.
    pub dim: usize,
    /// Vectors per second; 0 for one a track.
    pub fps: f64,
    /// Tracks with an embedding.
    pub stored: u64,
    /// Of these, tracks in files of an earlier run.
    pub reused: u64,
    /// Tracks without one, and why.
    pub refused: Vec<Refused>,
    /// Audio that went through the model, seconds.
    pub audio_s: f64,
    /// Time spent, seconds.
    pub seconds: f64,
    /// Whether everything was there already.
    pub nothing_to_do: bool,
}

/// Bytes of data after which a row group ends.
const ROW_GROUP: u64 = 16 << 20;
/// Seconds a row holds.
const BLOCK_S: f64 = 10.0;

/// Fills `cfg.out`. After every few tracks `progress` is told; a raised `stop` ends the stage resumably.
///
/// # Errors
/// [`Error::Misfit`] when shards and model do not go together, [`Error::Empty`] without a track, [`Error::NotFinite`]
/// for an embedding that is no number, [`Error::Stopped`].
pub fn run(
    cfg: &CorpusConfig,
    model: &Pretrained,
    progress: &mut dyn FnMut(&Pace),
    stop: &AtomicBool,
) -> Result<Report> {
    let begun = Instant::now();
    let embedder = Embedder::new(model, &cfg.embed)?;
    let source = Index::open(&cfg.source)?;
    check(cfg, &source, &embedder)?;
    let spec = spec(cfg, &source, model, &embedder)?;
    let units = plan(cfg, &source, &spec)?;
    let mut entries = finished(cfg, &spec, &units)?;
    let total: u64 = units.iter().map(|u| u.tracks.len() as u64).sum();
    let reused: u64 = entries.iter().flatten().map(|e| e.tracks.len() as u64).sum();
    let nothing_to_do = entries.iter().all(Option::is_some) && cfg.out.join(INDEX).exists();
    let mut pace = Pace { done: 0, total, audio_s: 0.0 };
    let mut audio_s = 0.0;
    let index = if nothing_to_do {
        Index::open(&cfg.out)?
    } else {
        keep(cfg, &entries)?;
        let reader = Reader::new(&source);
        for (n, unit) in units.iter().enumerate() {
            if entries[n].is_some() {
                pace = Pace { done: pace.done + unit.tracks.len() as u64, total, audio_s: 0.0 };
                progress(&pace);
                continue;
            }
            let mut tell = |tracks: usize, seconds: f64| {
                audio_s += seconds;
                pace = Pace { done: pace.done + tracks as u64, total, audio_s: seconds };
                progress(&pace);
                !stop.load(Ordering::Relaxed)
            };
            match write(cfg, &spec, n, unit, &embedder, &reader, &mut tell)? {
                Some(entry) => entries[n] = Some(entry),
                None => return Err(Error::Stopped { done: pace.done, total }),
            }
        }
        Index::assemble(&cfg.out, &spec, entries.into_iter().flatten().collect())?
    };
    let stored = index.tracks().count() as u64;
    if stored == 0 {
        return Err(Error::Empty { place: cfg.source.display().to_string() });
    }
    Ok(Report {
        dir: cfg.out.clone(),
        model: model.spec().name.to_owned(),
        layer: embedder.layer(),
        dim: embedder.dim(),
        fps: embedder.fps(),
        stored,
        reused,
        refused: index.refused().cloned().collect(),
        audio_s,
        seconds: begun.elapsed().as_secs_f64(),
        nothing_to_do,
    })
}

/// Name of the file that makes a folder a shard set.
const INDEX: &str = "index.json";

/// One file to be.
struct Unit {
    /// Number in the source's index, labels, samples.
    tracks: Vec<(usize, Labels, usize)>,
    /// Tracks that the source refused.
    refused: Vec<Refused>,
    identity: String,
}

/// Whether the shards hold what the model takes, and the folder may be written to.
fn check(cfg: &CorpusConfig, source: &Index, embedder: &Embedder) -> Result<()> {
    let rate = embedder.rate();
    if source.spec().kind != (Kind::Wave { rate }) {
        return Err(Error::Misfit {
            place: cfg.source.display().to_string(),
            expected: format!("waves at {rate} Hz, as the model takes"),
            got: format!("{:?}", source.spec().kind),
        });
    }
    match Index::open(&cfg.out).map(|index| index.spec().kind) {
        Err(_) | Ok(Kind::Embedding { .. }) => Ok(()),
        Ok(other) => Err(Error::Misfit {
            place: cfg.out.display().to_string(),
            expected: "a new folder, or one of embeddings".to_owned(),
            got: format!("a shard set of {other:?}"),
        }),
    }
}

fn spec(
    cfg: &CorpusConfig,
    source: &Index,
    model: &Pretrained,
    embedder: &Embedder,
) -> Result<Spec> {
    let mut about = serde_json::json!({
        "model": model.digest()?, "layer": embedder.layer(), "window": embedder.window,
        "pool": cfg.embed.pool, "batch": cfg.embed.batch, "source": source.spec(),
    });
    if cfg.embed.pad {
        about["pad"] = true.into();
    }
    if let Some(deform) = &cfg.deform {
        about["deform"] = deform.id.as_str().into();
    }
    let from = source.spec();
    Ok(Spec {
        corpus: from.corpus.clone(),
        kind: Kind::Embedding { fps: embedder.fps(), dim: embedder.dim() as u32 },
        number: cfg.number,
        block_s: BLOCK_S.max(1.0 / embedder.fps().max(f64::MIN_POSITIVE)).min(3600.0),
        row_group_bytes: ROW_GROUP,
        resampler: from.resampler.clone(),
        config_digest: blake3::hash(about.to_string().as_bytes()).to_hex().to_string(),
        manifest_hash: from.manifest_hash.clone(),
    })
}

/// A unit for every file of the source that has a track of the view.
fn plan(cfg: &CorpusConfig, source: &Index, spec: &Spec) -> Result<Vec<Unit>> {
    let wanted: Option<HashSet<(&str, &str)>> = cfg
        .view
        .as_ref()
        .map(|v| v.examples.iter().map(|e| (e.track.as_str(), e.variant.as_str())).collect());
    let keep =
        |key: &str, variant: &str| wanted.as_ref().is_none_or(|w| w.contains(&(key, variant)));
    let (mut units, mut number) = (Vec::new(), 0);
    for file in source.files() {
        let mut tracks = Vec::new();
        for (labels, entry) in source.labels(file)?.into_iter().zip(&file.tracks) {
            if keep(&labels.key, &labels.variant) {
                tracks.push((number, labels, entry.steps as usize));
            }
            number += 1;
        }
        let refused: Vec<Refused> =
            file.refused.iter().filter(|r| keep(&r.key, &r.variant)).cloned().collect();
        if tracks.is_empty() && refused.is_empty() {
            continue;
        }
        let bytes: Vec<&str> = refused.iter().map(|r| r.key.as_str()).collect();
        let rows = tracks.iter().map(|(_, labels, _)| labels.row());
        let identity = format!("{} {}", spec.identity(rows), file.blake3);
        let identity = format!("{identity} {}", bytes.join(" "));
        let identity = blake3::hash(identity.as_bytes()).to_hex().to_string();
        units.push(Unit { tracks, refused, identity });
    }
    if units.iter().all(|u| u.tracks.is_empty()) {
        return Err(Error::Empty { place: cfg.source.display().to_string() });
    }
    Ok(units)
}

/// Files of earlier runs that are what this run would write.
fn finished(cfg: &CorpusConfig, spec: &Spec, units: &[Unit]) -> Result<Vec<Option<FileEntry>>> {
    let index = Index::open(&cfg.out).ok().filter(|index| index.spec() == spec);
    let find = |n: usize, unit: &Unit| match &index {
        Some(index) => {
            let name = FileEntry::file_name(n);
            let ours = |f: &&FileEntry| f.name == name && f.identity == unit.identity;
            Ok(index.files().iter().find(ours).cloned())
        }
        None => FileEntry::read_finished(&cfg.out, n, &unit.identity),
    };
    Ok(units.iter().enumerate().map(|(n, unit)| find(n, unit)).collect::<Result<_, _>>()?)
}

/// Takes the index away before any file changes, and leaves the entries of finished files beside them.
fn keep(cfg: &CorpusConfig, entries: &[Option<FileEntry>]) -> Result<()> {
    let index = cfg.out.join(INDEX);
    if !index.exists() {
        return Ok(());
    }
    let fail = |path: &PathBuf, e: String| Error::Table { path: path.clone(), why: e };
    for entry in entries.iter().flatten() {
        let path = cfg.out.join(&entry.name).with_extension("json");
        let text = serde_json::to_vec(entry).map_err(|e| fail(&path, e.to_string()))?;
        fs::write(&path, text).map_err(|e| fail(&path, e.to_string()))?;
    }
    fs::remove_file(&index).map_err(|e| fail(&index, e.to_string()))
}

/// Writes file `n`; `None` if `go_on` (told tracks and seconds just done) says no before its end.
fn write(
    cfg: &CorpusConfig,
    spec: &Spec,
    n: usize,
    unit: &Unit,
    embedder: &Embedder,
    reader: &Reader,
    go_on: &mut dyn FnMut(usize, f64) -> bool,
) -> Result<Option<FileEntry>> {
    let mut file = ShardFile::create(&cfg.out, n, spec)?.planned(unit.identity.as_str());
    unit.refused.iter().for_each(|r| file.refuse(r.clone()));
    for group in groups(unit, embedder) {
        let mut waves = Vec::with_capacity(group.len());
        for (number, labels, samples) in group {
            let mut wave = vec![0.0; *samples];
            reader.read(*number, 0, &mut wave)?;
            if let Some(deform) = &cfg.deform {
                (deform.apply)(&labels.key, embedder.rate(), &mut wave);
            }
            waves.push(wave);
        }
        for ((_, labels, _), made) in group.iter().zip(embed(embedder, &waves)?) {
            match made {
                Ok(embedding) if embedding.data.iter().all(|x| x.is_finite()) => {
                    file.push(&labels.row(), &embedding.data)?;
                }
                Ok(_) => return Err(Error::NotFinite { key: labels.key.clone() }),
                Err(text) => file.refuse(Refused {
                    key: labels.key.clone(),
                    variant: labels.variant.clone(),
                    status: Status::TooShort,
                    text,
                }),
            }
        }
        let samples: usize = group.iter().map(|(_, _, samples)| samples).sum();
        if !go_on(group.len(), samples as f64 / f64::from(embedder.rate())) {
            return Ok(None);
        }
    }
    Ok(Some(file.finish()?))
}

/// Tracks that go through the model together: until they fill a batch.
fn groups<'a>(
    unit: &'a Unit,
    embedder: &Embedder,
) -> impl Iterator<Item = &'a [(usize, Labels, usize)]> {
    let mut ends = Vec::new();
    let mut windows = 0;
    for (i, (_, _, samples)) in unit.tracks.iter().enumerate() {
        windows += embedder.windows(*samples);
        if windows >= embedder.batch || i + 1 == unit.tracks.len() {
            ends.push(i + 1);
            windows = 0;
        }
    }
    let mut start = 0;
    ends.into_iter().map(move |end| &unit.tracks[std::mem::replace(&mut start, end)..end])
}

/// Embeddings of a group; for a wave that is too short, in words what it lacks.
fn embed(embedder: &Embedder, waves: &[Vec<f32>]) -> Result<Vec<Result<Embedding, String>>> {
    let long = |wave: &&Vec<f32>| !embedder.too_short(wave.len());
    let fit: Vec<&[f32]> = waves.iter().filter(long).map(Vec::as_slice).collect();
    let mut made: Vec<Result<Embedding, String>> = match embedder.run(&fit) {
        Ok(all) => all.into_iter().map(Ok).collect(),
        // one wave too short for this model must not cost the others theirs
        Err(Error::Model(etude_models::Error::Shape { .. })) => {
            let mut made = Vec::with_capacity(fit.len());
            for wave in fit {
                made.push(match embedder.run(&[wave]) {
                    Ok(mut one) => Ok(one.remove(0)),
                    Err(Error::Model(e @ etude_models::Error::Shape { .. })) => Err(e.to_string()),
                    Err(e) => return Err(e),
                });
            }
            made
        }
        Err(e) => return Err(e),
    };
    for (i, wave) in waves.iter().enumerate().filter(|(_, wave)| !long(wave)) {
        made.insert(i, Err(format!("{} samples are too short for an embedding", wave.len())));
    }
    Ok(made)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, model, layer, dim, fps, stored, reused, refused, .. } = self;
        let rate =
            if *fps == 0.0 { "one a track".to_owned() } else { format!("{fps:.3} a second") };
        writeln!(f, "{}: {stored} tracks, vectors of {dim} numbers, {rate}", dir.display())?;
        writeln!(f, "  model    {model}, hidden state {layer}")?;
        if self.nothing_to_do {
            write!(f, "  everything was there already")?;
        } else {
            let speed = self.audio_s / self.seconds.max(1e-9);
            write!(
                f,
                "  audio    {:.0} s in {:.1} s, {speed:.1} x real time",
                self.audio_s, self.seconds
            )?;
            if *reused > 0 {
                write!(f, "; {reused} tracks of an earlier run")?;
            }
        }
        for r in refused.iter().take(20) {
            write!(f, "\n  refused  {}: {}", r.key, r.text)?;
        }
        if refused.len() > 20 {
            write!(f, "\n  refused  and {} more", refused.len() - 20)?;
        }
        Ok(())
    }
}
