//! Filling a cache, group by group: from the shards, or from the batches of a run as they come.

use super::disk::room;
use super::plan::{Group, Place, Plan};
use super::{ABOUT, About, CacheNumber, Kept};
use crate::error::{Error, Result};
use crate::log::{Log, Pace, Phase};
use crate::setup::Setup;
use etude_manifests::atomic;
use etude_models::Start;
use etude_shards::{
    Batch, FileEntry, Index, Kind, LoaderState, Reader, ShardFile, Spec, TrackRow, Window,
};
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::Tensor;

/// Writes what is missing of a cache, in the order of its groups. Dropped before it is finished, it leaves finished files
/// behind and nothing of the one being written.
pub(crate) struct Filler {
    plan: Plan,
    about: About,
    spec: Spec,
    reader: Reader,
    /// Key and variant of each track of the shards.
    names: Vec<(String, String)>,
    files: Vec<OneFile>,
    /// The file being written.
    out: Option<ShardFile>,
    /// The next group, and the file it belongs to.
    next: usize,
    file: usize,
    /// Only one run fills a cache at a time.
    _lock: File,
}

struct OneFile {
    groups: Range<usize>,
    identity: String,
    /// Once it is finished.
    entry: Option<FileEntry>,
}

/// Hidden states `[B, T', D]` as they are stored, row-major.
struct Rows {
    data: Vec<f32>,
    shape: Vec<usize>,
}

impl Filler {
    /// Finds what earlier runs have finished of the cache.
    ///
    /// # Errors
    /// [`Error::Cache`] when the disk has no room for the rest.
    pub(super) fn new(
        plan: Plan,
        setup: &Setup,
        about: About,
        spec: Spec,
        lock: File,
    ) -> Result<Self> {
        let names: Vec<_> =
            setup.index.tracks().map(|t| (t.key.clone(), t.variant.clone())).collect();
        let (mut files, mut needed) = (Vec::new(), 0);
        for (n, (groups, bytes)) in plan.files(&about, &spec).into_iter().enumerate() {
            let stored = plan.groups[groups.clone()].iter().flat_map(Group::stored);
            let named: Vec<_> = stored.map(|window| named(&names, window)).collect();
            let identity = spec.identity(named.iter().map(|(key, variant)| row(key, variant)));
            let entry = FileEntry::read_finished(&plan.dir, n, &identity)?;
            needed += if entry.is_some() { 0 } else { bytes };
            files.push(OneFile { groups, identity, entry });
        }
        room(&plan.dir, needed)?;
        Index::remove(&plan.dir)?; // that of an earlier filling, whose files are about to change
        let reader = Reader::new(&setup.index);
        let (out, next, file) = (None, 0, 0);
        Ok(Self { plan, about, spec, reader, names, files, out, next, file, _lock: lock })
    }

    /// Where in the network the batches of [`Filler::keep`] go on from.
    pub(crate) fn start(&self) -> Start {
        self.plan.start(&self.about)
    }

    /// Fills in the groups up to number `end`, or all, from the shards; false when asked to stop.
    pub(crate) fn fill(
        &mut self,
        setup: &Setup,
        end: Option<usize>,
        log: &mut dyn Log,
        stop: &AtomicBool,
    ) -> Result<bool> {
        let end = end.unwrap_or(self.plan.groups.len());
        let begun = Instant::now();
        let total = self.plan.key.windows.0 as u64;
        let mut there: usize =
            self.plan.groups[..self.next].iter().map(|group| group.stored().count()).sum();
        let mut done = 0;
        while self.next < end {
            let windows = self.plan.groups[self.next].stored().count();
            there += windows;
            if self.files[self.file].entry.is_some() {
                self.pass_on()?;
                continue;
            }
            self.group(setup, None)?;
            done += windows;
            log.pace(&pace(begun, done as u64, there as u64, total));
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next batch of the first epoch, with hidden states for audio: those that are stored.
    pub(crate) fn keep(&mut self, setup: &Setup, audio: &Batch) -> Result<Batch> {
        let Rows { data, shape } = self.group(setup, Some(audio))?;
        Ok(Batch {
            keys: audio.keys.clone(),
            starts: audio.starts.clone(),
            data: data.into(),
            lengths: vec![shape[1]; shape[0]],
            shape,
            targets: audio.targets.clone(),
            after: audio.after,
        })
    }

    /// The full cache, once every group has been filled in.
    pub(crate) fn finish(self) -> Result<Kept> {
        let start = self.start();
        let entries = self.files.into_iter().filter_map(|file| file.entry).collect();
        Ok((Index::assemble(&self.plan.dir, &self.spec, entries)?, start))
    }

    /// Computes the next group, and stores it unless its file is finished. The audio of its first pass may have been read
    /// already; what became of that pass.
    fn group(&mut self, setup: &Setup, audio: Option<&Batch>) -> Result<Rows> {
        let Self { plan, spec, reader, names, .. } = self;
        let compute = |pass: &[Place]| hidden(plan, setup, &read(reader, setup, pass)?);
        let passes = &plan.groups[self.next].passes;
        let first = match audio {
            Some(audio) => {
                let planned = passes[0].iter().map(|place| place.window.start);
                expect_starts(self.next, planned.collect(), &audio.starts)?;
                hidden(plan, setup, audio)?
            }
            None => compute(&passes[0])?,
        };
        let file = &self.files[self.file];
        if file.entry.is_none() {
            let out = match &mut self.out {
                Some(out) => out,
                none => {
                    let out = ShardFile::create(&plan.dir, self.file, spec)?;
                    none.insert(out.planned(file.identity.as_str()))
                }
            };
            store(out, names, &passes[0], &first)?;
            for pass in &passes[1..] {
                store(out, names, pass, &compute(pass)?)?;
            }
        }
        self.pass_on()?;
        Ok(first)
    }

    /// The group is done; and with the last one of a file, the file.
    fn pass_on(&mut self) -> Result<()> {
        self.next += 1;
        let file = &mut self.files[self.file];
        if self.next == file.groups.end {
            if let Some(out) = self.out.take() {
                file.entry = Some(out.finish()?);
            }
            self.file += 1;
        }
        Ok(())
    }
}

/// A batch that is not the one of its group would be stored under other windows' names.
fn expect_starts(group: usize, planned: Vec<u64>, got: &[u64]) -> Result<()> {
    match planned == got {
        true => Ok(()),
        false => Err(Error::Cache {
            text: format!(
                "data.cache: batch {group} of the first epoch: expected windows from {planned:?}, got {got:?}"
            ),
        }),
    }
}

fn store(
    out: &mut ShardFile,
    names: &[(String, String)],
    pass: &[Place],
    rows: &Rows,
) -> Result<()> {
    for (place, numbers) in pass.iter().zip(rows.data.chunks(rows.data.len() / pass.len())) {
        if place.new {
            let (key, variant) = named(names, &place.window);
            out.push(&row(key, &variant), numbers)?;
        }
    }
    Ok(())
}

/// Runs one window, to know what a window becomes; writes that down.
pub(super) fn begin(plan: &Plan, setup: &Setup) -> Result<About> {
    let first = plan.groups.iter().flat_map(|group| &group.passes).flatten().next();
    let first = first.ok_or_else(|| Error::Cache { text: "data.cache: no windows".to_owned() })?;
    let audio = read(&Reader::new(&setup.index), setup, std::slice::from_ref(first))?;
    let x = etude_eval::inputs(&audio, setup.device)?.x;
    let hidden = setup.model.hidden(&x, plan.key.state)?; // [1, T', D]
    let kind = if hidden.f_kind()? == tch::Kind::BFloat16 { "bf16" } else { "f32" }.to_owned();
    let (frames, dim) = (hidden.size()[1] as u64, hidden.size()[2] as u32);
    let about = About { made_from: plan.key.clone(), kind, dim, frames };
    let path = plan.dir.join(ABOUT);
    atomic::write_json(&path, &about).map_err(Error::io(&path))?;
    Ok(about)
}

/// The audio of windows of one length.
fn read(reader: &Reader, setup: &Setup, places: &[Place]) -> Result<Batch> {
    let kind = setup.index.spec().kind;
    let (width, steps) = (kind.width(), places[0].window.steps as usize);
    let mut data = vec![0f32; places.len() * steps * width];
    for (Place { window, .. }, row) in places.iter().zip(data.chunks_mut(steps * width)) {
        let there = (reader.steps(window.track) - window.start).min(window.steps) as usize;
        reader.read(window.track, window.start, &mut row[..there * width])?;
    }
    let mut shape = vec![places.len(), steps];
    if !matches!(kind, Kind::Wave { .. }) {
        shape.push(width);
    }
    Ok(Batch {
        keys: Vec::new(),
        starts: Vec::new(),
        data: data.into(),
        shape,
        lengths: Vec::new(),
        targets: Vec::new(),
        after: LoaderState::default(),
    })
}

/// audio -> hidden states `[B, T', D]` as they are stored: rounded to the numbers of the cache, which a run trains on from
/// the start
fn hidden(plan: &Plan, setup: &Setup, audio: &Batch) -> Result<Rows> {
    let mut x = etude_eval::inputs(audio, setup.device)?.x;
    let rows = x.size()[0];
    let missing = (plan.rows as i64 - rows).max(0);
    if missing > 0 {
        let first = x.f_narrow(0, 0, 1)?;
        let copies: Vec<_> = std::iter::repeat_n(&first, missing as usize).collect();
        x = Tensor::f_cat(&[&[&x], &copies[..]].concat(), 0)?;
    }
    let hidden = setup.model.hidden(&x, plan.key.state)?.f_narrow(0, 0, rows)?;
    let stored = match plan.key.dtype {
        CacheNumber::Bf16 => tch::Kind::BFloat16,
        CacheNumber::F32 => tch::Kind::Float,
    };
    let stored = hidden.f_to_kind(stored)?.f_to_device(tch::Device::Cpu)?;
    let flat = stored.f_to_kind(tch::Kind::Float)?.f_contiguous()?.f_view(-1)?;
    let shape = hidden.size().iter().map(|&n| n as usize).collect();
    Ok(Rows { data: Vec::<f32>::try_from(flat)?, shape })
}

/// Key and variant of a window.
fn named<'a>(names: &'a [(String, String)], window: &Window) -> (&'a str, String) {
    let (key, variant) = &names[window.track];
    (key, window.variant(variant))
}

fn row<'a>(key: &'a str, variant: &'a str) -> TrackRow<'a> {
    TrackRow { key, variant, tags: &[], split: None }
}

fn pace(begun: Instant, now: u64, done: u64, total: u64) -> Pace {
    let samples_s = now as f64 / begun.elapsed().as_secs_f64().max(1e-9);
    let eta_s = (total - done) as f64 / samples_s;
    Pace { phase: Phase::Caching, done, total, samples_s, stall: 0.0, eta_s }
}
