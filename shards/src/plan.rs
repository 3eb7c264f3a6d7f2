//! Which samples are in which batch: pure, from settings, seed and the number of the batch. Batches are numbered over all
//! epochs: batch g is batch `g % per_epoch` of epoch `g / per_epoch`.

use crate::batch::{Batch, LoaderState};
use crate::config::LoaderConfig;
use crate::crop::Crop;
use crate::entry::Refused;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::kind::Kind;
use crate::order::Order;
use crate::reader::Reader;
use crate::spec::{split_name, track_name};
use crate::stats::Counters;
use crate::window::{Instead, Window};
use etude_manifests::{Split, Target, View};
use std::collections::HashMap;
use std::ops::Range;

/// Everything a thread needs to make any batch; never changes.
#[derive(Debug)]
pub(crate) struct Plan {
    reader: Reader,
    /// What is read in place of the tracks themselves.
    instead: Option<Instead>,
    kind: Kind,
    crop: Crop,
    batch: u64,
    /// Training: epoch after epoch. Otherwise one epoch.
    pub(crate) endless: bool,
    shuffle: bool,
    seed: u64,
    manifest_hash: String,
    /// In order of their keys.
    examples: Vec<Item>,
    /// Where the samples of each example begin, and their number at the end; only if a track gives several.
    windows: Option<Vec<u64>>,
    /// Samples of an epoch, those that `drop_last` and `epoch_batches` leave out not counted.
    samples: u64,
    /// Samples of an epoch, all.
    all_samples: u64,
}

/// One example whose audio is there.
#[derive(Debug)]
pub(crate) struct Item {
    key: String,
    /// As numbered by the reader.
    pub(crate) track: usize,
    target: Target,
}

/// One sample: a stretch of a track.
struct Sample {
    example: usize,
    start: u64,
    /// Time steps that are there, without padding.
    steps: u64,
}

impl Plan {
    /// The examples of one split of `view` that are in the shards, and those whose audio was refused.
    pub(crate) fn new(
        index: &Index,
        view: &View,
        split: Split,
        cfg: &LoaderConfig,
        seed: u64,
        endless: bool,
    ) -> Result<(Self, Vec<Refused>)> {
        cfg.check()?;
        let (examples, refused) = matched(index, view, split)?;
        let reader = Reader::new(index);
        let windows = matches!(cfg.crop, Crop::Sliding { .. }).then(|| {
            let mut ends = vec![0u64];
            for e in &examples {
                ends.push(ends[ends.len() - 1] + cfg.crop.windows(reader.steps(e.track)));
            }
            ends
        });
        let all_samples = windows.as_ref().map_or(examples.len() as u64, |w| w[w.len() - 1]);
        let batch = cfg.batch as u64;
        let drop = if cfg.drop_last && endless { all_samples % batch } else { 0 };
        if drop == all_samples {
            return Err(Error::Config {
                key: "drop_last",
                expected: "at least one full batch in an epoch, or drop_last = false",
                got: format!("{all_samples} samples in batches of {batch}"),
            });
        }
        let limit = cfg.epoch_batches.filter(|_| endless);
        let limit = limit.map_or(u64::MAX, |n| n.saturating_mul(batch));
        let plan = Self {
            kind: index.spec().kind,
            crop: cfg.crop,
            batch,
            endless,
            shuffle: cfg.shuffle && endless,
            seed,
            manifest_hash: index.spec().manifest_hash.clone(),
            reader,
            instead: None,
            examples,
            windows,
            samples: (all_samples - drop).min(limit),
            all_samples,
        };
        Ok((plan, refused))
    }

    /// Reads what `kept` holds of each window in place of the tracks of `source`, which the plan was made for.
    pub(crate) fn instead(&mut self, source: &Index, kept: &Index) -> Result<()> {
        let mut wanted = Vec::new();
        for example in &self.examples {
            let (track, long) = (example.track, self.reader.steps(example.track));
            let starts = self.crop.starts(long).ok_or_else(|| Error::Config {
                key: "crop.kind",
                expected: "grid, centre, sliding or whole: a random crop has no end of places",
                got: "random".to_owned(),
            })?;
            let steps = self.crop.steps().unwrap_or(long);
            wanted.extend(starts.into_iter().map(|start| Window { track, start, steps }));
        }
        let instead = Instead::new(source, kept, wanted.into_iter())?;
        self.kind = instead.kind;
        self.instead = Some(instead);
        Ok(())
    }

    pub(crate) fn batches_per_epoch(&self) -> u64 {
        self.samples.div_ceil(self.batch)
    }

    /// Samples of an epoch that are handed over.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Whether there is a batch `number`.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.endless || number < self.batches_per_epoch()
    }

    /// The batch that holds the sample `at` points to, and how many of its samples come before it.
    pub(crate) fn find(&self, at: LoaderState) -> Result<(u64, u64)> {
        let last = if self.endless { u64::MAX / self.samples.max(1) - 1 } else { 1 };
        let over = !self.endless && at.epoch == last && at.sample > 0;
        if at.sample > self.all_samples || at.epoch > last || over {
            return Err(Error::Mismatch {
                what: "position".to_string(),
                left_name: "the saved state".to_string(),
                left: format!("epoch {}, sample {}", at.epoch, at.sample),
                right_name: "this loader".to_string(),
                right: format!(
                    "{} samples an epoch{}",
                    self.samples,
                    if self.endless { "" } else { ", one epoch" }
                ),
            });
        }
        let first = at.epoch * self.batches_per_epoch();
        if at.sample >= self.samples {
            return Ok((first + self.batches_per_epoch(), 0));
        }
        Ok((first + at.sample / self.batch, at.sample % self.batch))
    }

    /// Where a loader stands after batch `number`.
    fn after(&self, number: u64) -> LoaderState {
        let next = number + 1;
        let epoch = next / self.batches_per_epoch();
        LoaderState { epoch, sample: next % self.batches_per_epoch() * self.batch }
    }

    /// Bytes of memory that batch `number` needs. Samples of one length always get room for a full batch, so that the
    /// buffer of the short batch at the end of an epoch serves again too.
    pub(crate) fn bytes(&self, number: u64, skip: u64) -> u64 {
        let steps = self.instead.as_ref().map(|kept| kept.steps).or(self.crop.steps());
        let numbers = match steps {
            Some(steps) => self.batch.saturating_mul(steps),
            None => {
                let (rows, longest) = self
                    .batch_samples(number, skip)
                    .fold((0, 0), |(rows, longest), s| (rows + 1, s.steps.max(longest)));
                rows * longest
            }
        };
        numbers.saturating_mul((self.kind.width() * size_of::<f32>()) as u64)
    }

    /// Epoch of batch `number`, and its places in the order of that epoch.
    fn places(&self, number: u64, skip: u64) -> (u64, Range<u64>) {
        let (epoch, batch) = (number / self.batches_per_epoch(), number % self.batches_per_epoch());
        let first = batch * self.batch;
        (epoch, first + skip..(first + self.batch).min(self.samples))
    }

    /// The samples of batch `number`, without the first `skip`.
    fn batch_samples(&self, number: u64, skip: u64) -> impl Iterator<Item = Sample> {
        let (epoch, places) = self.places(number, skip);
        let order = self
            .shuffle
            .then(|| Order::new(&self.manifest_hash, self.seed, epoch, self.all_samples));
        places.map(move |place| {
            let sample = order.map_or(place, |o| o.at(place));
            let (example, window) = match &self.windows {
                None => (sample, 0),
                Some(begins) => {
                    let example = begins.partition_point(|b| *b <= sample) - 1;
                    (example as u64, sample - begins[example])
                }
            };
            let track_steps = self.reader.steps(self.examples[example as usize].track);
            let start = self.crop.start(self.seed, epoch, example, window, track_steps);
            let rest = track_steps - start;
            let steps = self.crop.steps().map_or(rest, |s| s.min(rest));
            Sample { example: example as usize, start, steps }
        })
    }

    /// The windows of batch `number`, row by row.
    pub(crate) fn windows(&self, number: u64) -> Vec<Window> {
        let window = |Sample { example, start, steps }| Window {
            track: self.examples[example].track,
            start,
            steps: self.crop.steps().unwrap_or(steps),
        };
        self.batch_samples(number, 0).map(window).collect()
    }

    /// Makes batch `number` in the buffers of `batch`. `go_on` is asked before every sample; `None` if it says no.
    pub(crate) fn fill(
        &self,
        number: u64,
        skip: u64,
        mut batch: Batch,
        counters: &Counters,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<Batch>> {
        let width = self.kind.width();
        batch.starts.clear();
        batch.lengths.clear();
        batch.targets.clear();
        let rows = self.batch_samples(number, skip).count();
        batch.keys.resize_with(rows, String::new);
        for (key, sample) in batch.keys.iter_mut().zip(self.batch_samples(number, skip)) {
            let example = &self.examples[sample.example];
            key.clone_from(&example.key);
            batch.starts.push(sample.start);
            batch.lengths.push(self.place(&sample)?.steps as usize);
            batch.targets.push(example.target.clone());
        }
        let longest = batch.lengths.iter().copied().max().unwrap_or_default();
        let steps = match self.instead {
            Some(_) => longest,
            None => self.crop.steps().map_or(longest, |s| s as usize),
        };
        let numbers = rows * steps * width;
        if batch.data.capacity() < numbers {
            counters.allocated();
            let room = self.bytes(number, skip) as usize / size_of::<f32>();
            batch.data.grow(room);
        }
        batch.data.set_len(numbers);
        batch.shape.clear();
        batch.shape.extend([rows, steps]);
        if !matches!(self.kind, Kind::Wave { .. }) {
            batch.shape.push(width);
        }
        batch.after = self.after(number);
        let rows = batch.data.chunks_mut((steps * width).max(1));
        for (row, sample) in rows.zip(self.batch_samples(number, skip)) {
            if !go_on() {
                return Ok(None);
            }
            let place = self.place(&sample)?;
            let (numbers, padding) = row.split_at_mut(place.steps as usize * width);
            counters.filled(place.reader.read(place.track, place.start, numbers)?);
            padding.fill(0.0);
        }
        Ok(Some(batch))
    }

    /// Where the numbers of a sample are.
    fn place(&self, sample: &Sample) -> Result<Place<'_>> {
        let track = self.examples[sample.example].track;
        let Some(kept) = &self.instead else {
            let Sample { start, steps, .. } = *sample;
            return Ok(Place { reader: &self.reader, track, start, steps });
        };
        let track = kept.place(track, sample.start)?;
        Ok(Place { reader: &kept.reader, track, start: 0, steps: kept.reader.steps(track) })
    }
}

/// A stretch to read.
struct Place<'a> {
    reader: &'a Reader,
    track: usize,
    start: u64,
    steps: u64,
}

/// Joins the examples of a split with the stored tracks.
pub(crate) fn matched(
    index: &Index,
    view: &View,
    split: Split,
) -> Result<(Vec<Item>, Vec<Refused>)> {
    let spec = index.spec();
    if view.corpus != spec.corpus {
        return Err(Error::Mismatch {
            what: "corpus".to_string(),
            left_name: format!("view {}", view.name),
            left: view.corpus.clone(),
            right_name: format!("the shards in {}", index.dir().display()),
            right: spec.corpus.clone(),
        });
    }
    let stored: HashMap<_, _> = index
        .tracks()
        .enumerate()
        .map(|(i, t)| ((t.key.as_str(), t.variant.as_str()), i))
        .collect();
    let left_out: HashMap<_, _> =
        index.refused().map(|r| ((r.key.as_str(), r.variant.as_str()), r)).collect();
    let (mut items, mut refused, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for e in view.only(split) {
        let place = (e.track.as_str(), e.variant.as_str());
        match (stored.get(&place), left_out.get(&place)) {
            (Some(&track), _) => {
                items.push(Item { key: e.key.clone(), track, target: e.target.clone() });
            }
            (None, Some(&why)) => refused.push(why.clone()),
            (None, None) => unknown.push(track_name(&e.track, &e.variant)),
        }
    }
    if !unknown.is_empty() {
        let of = items.len() + refused.len() + unknown.len();
        let count = unknown.len();
        unknown.truncate(10);
        let corpus = spec.corpus.clone();
        return Err(Error::UnknownTracks {
            view: view.name.clone(),
            corpus,
            count,
            of,
            examples: unknown,
        });
    }
    if items.is_empty() {
        let (view, split) = (view.name.clone(), split_name(split));
        return Err(Error::NoExamples { view, split, refused: refused.len() });
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok((items, refused))
}
