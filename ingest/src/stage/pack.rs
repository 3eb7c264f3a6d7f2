//! `etude shards`: manifest to Parquet shards; decode, resample, write.
//!
//! Tracks go into files in key order. A finished file survives whatever happens to the run; the index is written last. A
//! manifest without decode facts (`check = "header"`) gets them here, in the same pass over the audio.

use super::journal::{Journal, Stamp};
use super::manifest::{self, Note};
use super::mels::{Front, Maker};
use super::plan::{Plan, row};
use super::pool::{self, Bounds, Feed};
use super::tables::allowed;
use super::{Lock, cost, decode, hidden, open_journal, remove, write};
use crate::config::{Check, Config};
use crate::corpus::Durations;
use crate::error::{Error, Result};
use crate::policy::{self, Outcome};
use crate::progress::{Progress, Step};
use crate::report::{Overs, Refused, Report};
use etude_manifests::{Status, Track, read_tracks};
use etude_shards::{FileEntry, Index, ShardFile};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Fills `<data>/shards/<dataset>-<rate>`, `<dataset>-<front end>` with mel frames, or
/// `<dataset>-<rate>-<features>` with one vector a track.
///
/// # Errors
/// No manifest, or one made from another config; an output folder that cannot be written or that another run writes to;
/// no track left; a refused file under `bad = "fail"`; [`Error::Stopped`]. Refused files are lines of the report
/// otherwise.
pub fn run(cfg: &Config, progress: &dyn Progress, stop: &AtomicBool) -> Result<Report> {
    let begun = Instant::now();
    let path = cfg.tracks_path();
    if !path.exists() {
        return Err(Error::NoManifest { path });
    }
    let _locks = locks(cfg)?;
    let pack = Pack::new(cfg, read_manifest(cfg)?)?;
    let mut entries = pack.finished()?;
    let todo: Vec<usize> = (0..entries.len()).filter(|&n| entries[n].is_none()).collect();
    let reused: u64 =
        entries.iter().flatten().map(|e| (e.tracks.len() + e.refused.len()) as u64).sum();
    let whole = todo.is_empty() && pack.is_tidy();
    if !whole {
        pack.keep_entries(&entries)?;
        progress.start("shards", pack.plan.tracks.len() as u64);
        for entry in entries.iter().flatten() {
            let ok = entry.tracks.iter().map(|_| true).chain(entry.refused.iter().map(|_| false));
            ok.for_each(|ok| progress.done(&Step { audio_s: 0.0, bytes: 0, ok }));
        }
        pack.write(&todo, &mut entries, progress, stop)?;
        progress.finish();
    }
    let entries: Vec<FileEntry> = entries.into_iter().flatten().collect();
    if entries.iter().all(|e| e.tracks.is_empty()) {
        return Err(pack.nothing_left(&entries));
    }
    pack.complete_manifest()?;
    let index = match whole {
        true => Index::open(&cfg.shards_dir())?,
        false => Index::assemble(&cfg.shards_dir(), &pack.plan.spec, entries)?,
    };
    let report = Report { nothing_to_do: whole, reused, ..pack.report(&index) };
    Ok(report.closed(cfg.ingest.max_bad, begun.elapsed().as_secs_f64()))
}

/// Name of the file that makes a folder a shard set.
const INDEX: &str = "index.json";

/// The table of tracks, made from this config.
pub(super) fn read_manifest(cfg: &Config) -> Result<Vec<Track>> {
    let path = cfg.tracks_path();
    let config = manifest::config_digest(cfg);
    match Note::read(cfg).filter(|note| note.config != config) {
        Some(note) => Err(Error::Stale {
            path,
            expected: format!("config {config}"),
            got: format!("config {}", note.config),
        }),
        None => Ok(read_tracks(&path)?),
    }
}

/// One run at a time in the shard folder, and in the manifests if they are to be completed.
fn locks(cfg: &Config) -> Result<Vec<Lock>> {
    let dir = cfg.shards_dir();
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut locks = vec![Lock::take(&cfg.data.join("shards").join(format!(".{name}.lock")))?];
    if cfg.ingest.check == Check::Header {
        locks.push(Lock::take(&hidden(cfg, "lock"))?);
    }
    Ok(locks)
}

struct Pack<'a> {
    cfg: &'a Config,
    scheme: String,
    manifest: Vec<Track>,
    plan: Plan,
    front: Front,
    dir: PathBuf,
    /// Only under `check = "header"`: where decode facts are kept.
    journal: Option<Journal>,
    /// Facts found by this run, by row of the manifest.
    found: Mutex<Vec<(usize, Outcome)>>,
}

/// What a worker made of a track.
struct Done {
    /// `[T]` or `[T, F]`.
    data: Result<Vec<f32>, (Status, String)>,
    audio_s: f64,
    bytes: u64,
}

impl<'a> Pack<'a> {
    fn new(cfg: &'a Config, manifest: Vec<Track>) -> Result<Self> {
        let plan = Plan::new(cfg, &manifest);
        if plan.tracks.is_empty() {
            return Err(manifest::nothing_left(&manifest));
        }
        let front = Front::plan(cfg, &manifest)?;
        let journal = match cfg.ingest.check {
            Check::Header => Some(open_journal(cfg)?),
            Check::Decode => None,
        };
        let scheme = cfg.corpus().scheme(&cfg.place());
        let found = Mutex::default();
        Ok(Self { cfg, scheme, manifest, plan, front, dir: cfg.shards_dir(), journal, found })
    }

    /// The files of earlier runs that are what this run would write.
    fn finished(&self) -> Result<Vec<Option<FileEntry>>> {
        let mut entries = vec![None; self.plan.units.len()];
        if self.cfg.force {
            return Ok(entries);
        }
        let index = Index::open(&self.dir).ok().filter(|index| *index.spec() == self.plan.spec);
        for (unit, slot) in entries.iter_mut().enumerate() {
            let identity = self.plan.identity(unit, &self.scheme, &self.manifest);
            let name = FileEntry::file_name(unit);
            let listed = index.as_ref().and_then(|i| i.files().iter().find(|f| f.name == name));
            let entry = match listed.filter(|f| f.identity == identity) {
                Some(entry) => Some(entry.clone()),
                None if index.is_some() => None,
                None => FileEntry::read_finished(&self.dir, unit, &identity)?,
            };
            *slot = entry.filter(|entry| self.stands(unit, entry));
        }
        Ok(entries)
    }

    /// Whether a finished file is all that can be had: refused tracks may have become readable since, and decode facts
    /// must not be lost.
    fn stands(&self, unit: usize, entry: &FileEntry) -> bool {
        let Some(journal) = &self.journal else { return entry.refused.is_empty() };
        let mut found = Vec::new();
        for &i in &self.plan.tracks[self.plan.units[unit].clone()] {
            let track = &self.manifest[i];
            let stamp = Stamp::of(&self.cfg.root.join(&track.path));
            let published = track.published_digest.as_deref();
            match stamp.and_then(|s| journal.get(&track.path, s, published)) {
                Some(outcome) => found.push((i, outcome.clone())),
                None => return false,
            }
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        true
    }

    /// Whether the folder holds the index and the files of the plan, and nothing that a killed run left.
    fn is_tidy(&self) -> bool {
        let ours = |name: &str| {
            name == INDEX || (0..self.plan.units.len()).any(|n| FileEntry::file_name(n) == name)
        };
        let Ok(found) = fs::read_dir(&self.dir) else { return false };
        let names: Vec<String> =
            found.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.iter().any(|n| n == INDEX) && names.iter().all(|n| ours(n))
    }

    /// Takes the index away before any file changes, and leaves the entries of finished files beside them.
    fn keep_entries(&self, entries: &[Option<FileEntry>]) -> Result<()> {
        let index = self.dir.join(INDEX);
        if !index.exists() {
            return Ok(());
        }
        for entry in entries.iter().flatten() {
            let path = self.dir.join(&entry.name).with_extension("json");
            let text = serde_json::to_vec(entry).map_err(|e| Error::io(&path)(e.into()))?;
            write(&path, &text)?;
        }
        remove(&index)
    }

    /// Writes the files `todo` and fills in their entries.
    fn write(
        &self,
        todo: &[usize],
        entries: &mut [Option<FileEntry>],
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<()> {
        let units: Vec<_> = todo.iter().map(|&n| self.plan.units[n].clone()).collect();
        let threads = self.cfg.workers();
        let lanes = if threads == 1 { 1 } else { (threads / 4).max(2) };
        let planned = self.plan.tracks.len() as u64;
        let waiting: u64 = units.iter().map(|u| u.len() as u64).sum();
        let done = AtomicU64::new(planned - waiting);
        let written = Mutex::new(entries);
        let complete = pool::run(
            &units,
            Bounds { threads, lanes, bytes: self.cfg.memory_mb << 20 },
            stop,
            |n| self.cost(n),
            || Maker::new(self.cfg, self.front.clone()),
            |maker, n| self.make(maker, n),
            |unit, feed| {
                if let Some(entry) = self.fill(todo[unit], feed, progress)? {
                    done.fetch_add(units[unit].len() as u64, Ordering::Relaxed);
                    let mut entries = written.lock().unwrap_or_else(PoisonError::into_inner);
                    entries[todo[unit]] = Some(entry);
                }
                Ok::<(), Error>(())
            },
        )?;
        match complete {
            true => Ok(()),
            false => Err(Error::Stopped { done: done.into_inner(), total: planned }),
        }
    }

    fn cost(&self, n: usize) -> u64 {
        let track = &self.manifest[self.plan.tracks[n]];
        let bytes = track.facts.file_bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0);
        cost(&track.path, bytes)
    }

    /// Decodes one planned track and makes of it what is stored.
    fn make(&self, maker: &mut Maker, n: usize) -> Result<Done> {
        let i = self.plan.tracks[n];
        let track = &self.manifest[i];
        let stamp = Stamp::of(&self.cfg.root.join(&track.path));
        let (content, mut outcome) = decode(self.cfg, track);
        if let Some(journal) = &self.journal {
            let published = track.published_digest.as_deref();
            outcome = journal.put(&track.path, stamp, published, outcome)?;
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.push((i, outcome.clone()));
        }
        let mut judged = Track { clip_id: track.clip_id.clone(), ..Track::default() };
        judged.key.clone_from(&track.key);
        judged.path.clone_from(&track.path);
        let changed = changed(track, &outcome);
        policy::apply(self.cfg.ingest.bad, &Durations::Unknown, outcome, &mut judged);
        if let Some(text) = changed {
            (judged.status, judged.status_text) = (Status::DigestMismatch, Some(text));
        }
        allowed(self.cfg, &judged)?;
        let bytes = stamp.map_or(0, |s| s.bytes);
        if !judged.status.usable() {
            let text = judged.status_text.unwrap_or_default();
            return Ok(Done { data: Err((judged.status, text)), audio_s: 0.0, bytes });
        }
        let audio_s = judged.facts.duration_s.unwrap_or(0.0);
        let data = maker.run(content)?;
        if let Err((status, text)) = &data {
            (judged.status, judged.status_text) = (*status, Some(text.clone()));
            allowed(self.cfg, &judged)?;
        }
        Ok(Done { data, audio_s, bytes })
    }

    /// Writes one file; `None` if the run was stopped before its last track.
    fn fill(
        &self,
        unit: usize,
        feed: &mut Feed<Result<Done>>,
        progress: &dyn Progress,
    ) -> Result<Option<FileEntry>> {
        let identity = self.plan.identity(unit, &self.scheme, &self.manifest);
        let mut file = ShardFile::create(&self.dir, unit, &self.plan.spec)?.planned(identity);
        while let Some((n, done)) = feed.next() {
            let Done { data, audio_s, bytes } = done?;
            let row = row(&self.manifest[self.plan.tracks[n]], &self.scheme);
            let ok = data.is_ok();
            match data {
                Ok(data) => {
                    file.push(&row, &data)?;
                }
                Err((status, text)) => file.refuse(etude_shards::Refused {
                    key: row.key.to_owned(),
                    variant: row.variant.to_owned(),
                    status,
                    text,
                }),
            }
            progress.done(&Step { audio_s, bytes, ok });
        }
        if !feed.is_complete() {
            return Ok(None);
        }
        if let Some(journal) = &self.journal {
            journal.sync()?; // a finished file without its facts would have to be made again
        }
        Ok(Some(file.finish()?))
    }

    /// Under `check = "header"`: writes the decode facts into the tables, unless they are there already.
    fn complete_manifest(&self) -> Result<()> {
        let note = Note::read(self.cfg); // none: an earlier run was killed while it wrote the tables
        let checked = self.manifest.iter().all(|t| t.status != Status::Unchecked);
        if self.journal.is_none() || (checked && note.is_some()) {
            return Ok(());
        }
        let (corpus, place) = (self.cfg.corpus(), self.cfg.place());
        let durations = corpus.durations(&place)?;
        let mut tracks = self.manifest.clone();
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        for (i, outcome) in found {
            policy::apply(self.cfg.ingest.bad, &durations, outcome, &mut tracks[i]);
        }
        let note = match note {
            Some(note) => note,
            None => {
                let stamps = Stamp::of_all(&self.cfg.root, &tracks);
                Note::now(self.cfg, corpus.as_ref(), &tracks, &stamps)?
            }
        };
        manifest::save(self.cfg, corpus.as_ref(), &mut tracks, note).map(|_| ())
    }

    fn nothing_left(&self, entries: &[FileEntry]) -> Error {
        let first = entries.iter().flat_map(|e| &e.refused).next();
        let first =
            first.map(|r| format!("{}: {}", r.key, policy::described(r.status, Some(&r.text))));
        Error::NothingLeft {
            tracks: self.plan.tracks.len() as u64,
            first: first.unwrap_or_default(),
        }
    }

    fn report(&self, index: &Index) -> Report {
        // one vector a track says nothing of its length
        let rate = Some(index.spec().kind.steps_per_s()).filter(|&rate| rate > 0.0);
        let refused = index.refused().map(|r| {
            let row = self.manifest.binary_search_by(|t| t.key.as_str().cmp(&r.key));
            let path = row.map(|i| self.manifest[i].path.clone()).unwrap_or_default();
            Refused {
                key: r.key.clone(),
                path,
                status: policy::name(&r.status),
                text: r.text.clone(),
            }
        });
        let overs = index.tracks().filter(|t| t.overs > 0);
        let files = index.files().iter().map(|f| f.name.clone());
        Report {
            stage: "shards".into(),
            dataset: self.cfg.dataset.clone(),
            dir: self.dir.clone(),
            files: files.chain([INDEX.to_owned()]).collect(),
            tracks: self.plan.tracks.len() as u64,
            stored: index.tracks().count() as u64,
            refused: refused.collect(),
            overs: overs.map(|t| Overs { key: t.key.clone(), values: t.overs }).collect(),
            audio_s: rate
                .map_or(0.0, |rate| index.tracks().map(|t| t.steps as f64).sum::<f64>() / rate),
            ..Report::default()
        }
    }
}

/// In words, if the file is not the one that the manifest describes.
fn changed(track: &Track, outcome: &Outcome) -> Option<String> {
    let (Some(expected), Some(got)) = (track.facts.sha256, outcome.facts.sha256) else {
        return None;
    };
    (expected != got).then(|| {
        format!(
            "the file has changed since the manifest was made: expected sha256 {}…, got {}…; run `etude ingest` again",
            short(expected),
            short(got)
        )
    })
}

fn short(digest: [u8; 32]) -> String {
    digest.iter().take(6).map(|b| format!("{b:02x}")).collect()
}
