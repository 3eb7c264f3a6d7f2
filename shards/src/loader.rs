//! Batches in a fixed order, whatever the number of threads, read ahead within a number of bytes.
//!
//! The consumer's own thread hands out jobs when it takes a batch: as many as fit into the bytes allowed, across the end
//! of an epoch. Threads finish them in any order; the loader hands them over in order of their numbers.

use crate::batch::{Batch, LoaderState};
use crate::buffer::Lender;
use crate::config::LoaderConfig;
use crate::entry::Refused;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::plan::Plan;
use crate::stats::{Counters, Stats};
use crate::window::Window;
use crate::worker::{Crew, Job};
use crossbeam::channel::{Receiver, Sender, bounded};
use etude_manifests::{Split, View};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Buffers kept for reuse; the consumer holds one batch at a time, two leave room for a late return.
const SPARES: usize = 2;

/// An iterator over batches. Threads start with the first batch asked for and end when the loader is dropped. After an
/// error there are no further batches; [`Loader::state`] still says where to go on.
#[derive(Debug)]
pub struct Loader {
    plan: Arc<Plan>,
    cfg: LoaderConfig,
    skipped: Vec<Refused>,
    state: LoaderState,
    /// Number of the batch to hand over next.
    next: u64,
    /// Number of the batch to give to the threads next.
    give: u64,
    /// Samples to leave out of the first batch.
    skip: u64,
    /// Bytes of the batches given and not yet handed over.
    ahead: VecDeque<u64>,
    ahead_bytes: u64,
    /// Finished before their turn.
    early: BTreeMap<u64, Result<Batch>>,
    crew: Option<Crew>,
    ended: bool,
    spares: (Sender<Batch>, Receiver<Batch>),
    lender: Option<Arc<dyn Lender>>,
    counters: Arc<Counters>,
    begin: Option<Instant>,
    waited: Duration,
    batches: u64,
    prefetch_peak: u64,
}

impl Loader {
    /// Epoch after epoch over the training split, without an end.
    ///
    /// The order is a function of the shards' manifest, `seed` and the epoch; a random crop of `seed`, the epoch and the
    /// place of the example among those of the split.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if view and shards are of different corpora, [`Error::UnknownTracks`] if the view names
    /// tracks that the shards neither hold nor refused, [`Error::NoExamples`], [`Error::Config`].
    pub fn train(index: &Index, view: &View, cfg: &LoaderConfig, seed: u64) -> Result<Self> {
        Self::new(index, view, Split::Train, cfg, seed, true)
    }

    /// Once over a split in order of the example keys; nothing is shuffled or dropped. Random crops are those of seed 0,
    /// epoch 0.
    ///
    /// # Errors
    /// As [`Loader::train`].
    pub fn tracks(index: &Index, view: &View, split: Split, cfg: &LoaderConfig) -> Result<Self> {
        Self::crops(index, view, split, cfg, 0)
    }

    /// As [`Loader::tracks`], with the random crops of `seed`, epoch 0.
    ///
    /// # Errors
    /// As [`Loader::train`].
    pub fn crops(
        index: &Index,
        view: &View,
        split: Split,
        cfg: &LoaderConfig,
        seed: u64,
    ) -> Result<Self> {
        Self::new(index, view, split, cfg, seed, false)
    }

    fn new(
        index: &Index,
        view: &View,
        split: Split,
        cfg: &LoaderConfig,
        seed: u64,
        endless: bool,
    ) -> Result<Self> {
        let (plan, skipped) = Plan::new(index, view, split, cfg, seed, endless)?;
        Ok(Self {
            plan: Arc::new(plan),
            cfg: *cfg,
            skipped,
            state: LoaderState::default(),
            next: 0,
            give: 0,
            skip: 0,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            early: BTreeMap::new(),
            crew: None,
            ended: false,
            spares: bounded(SPARES),
            lender: None,
            counters: Arc::default(),
            begin: None,
            waited: Duration::ZERO,
            batches: 0,
            prefetch_peak: 0,
        })
    }

    /// The same batches with what `kept` holds of each window ([`crate::Window::variant`]) in place of its samples; the
    /// loader was made for `source`. Order, keys, starts, targets and states stay.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a window that `kept` does not hold, [`Error::Config`] for random crops.
    pub fn instead(self, source: &Index, kept: &Index) -> Result<Self> {
        let Self { mut plan, .. } = self;
        // Threads that share the plan start with the first batch.
        let own = Arc::get_mut(&mut plan).ok_or_else(|| Error::Config {
            key: "loader",
            expected: "one that has not given a batch yet",
            got: "a running one".to_owned(),
        })?;
        own.instead(source, kept)?;
        Ok(Self { plan, ..self })
    }

    /// The same batches; what they need of new memory comes from `lender`.
    pub fn with_lender(self, lender: Arc<dyn Lender>) -> Self {
        Self { lender: Some(lender), ..self }
    }

    /// Goes on at exactly the sample `at` points to, at once. Batches keep their boundaries: in the middle of a batch,
    /// the first one holds what is left of it.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if there is no such sample.
    pub fn resume(mut self, at: LoaderState) -> Result<Self> {
        let (number, skip) = self.plan.find(at)?;
        self.crew = None; // what was read ahead is of no use
        self.early.clear();
        self.ahead.clear();
        self.ahead_bytes = 0;
        self.ended = false;
        (self.next, self.give, self.skip, self.state) = (number, number, skip, at);
        Ok(self)
    }

    /// Where the loader stands: after the last batch handed over.
    pub fn state(&self) -> LoaderState {
        self.state
    }

    /// Batches of a whole epoch, the last short one included unless `drop_last` leaves it out.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch()
    }

    /// Samples of a whole epoch: examples, or sliding pieces, without those that `drop_last` leaves out.
    pub fn samples_per_epoch(&self) -> u64 {
        self.plan.samples()
    }

    /// The windows of batch `number`, row by row; batches are numbered over all epochs.
    pub fn batch_windows(&self, number: u64) -> Vec<Window> {
        self.plan.windows(number)
    }

    /// Examples of the split that are not loaded because `etude shards` refused their audio, and why.
    pub fn skipped(&self) -> &[Refused] {
        &self.skipped
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            wall_s: self.begin.map_or(0.0, |b| b.elapsed().as_secs_f64()),
            consumer_wait_s: self.waited.as_secs_f64(),
            batches: self.batches,
            prefetch_peak: self.prefetch_peak,
            ..Stats::default()
        };
        self.counters.fill(&mut stats);
        stats
    }

    /// Gives the buffers of a batch back, so that the next one needs no new memory.
    pub fn recycle(&self, batch: Batch) {
        // With enough spares at hand, this one is freed.
        let _ = self.spares.0.try_send(batch);
    }

    /// Gives out jobs while there is room.
    fn give_jobs(&mut self) -> Result<()> {
        if self.crew.is_none() {
            self.crew = Some(Crew::start(&self.plan, self.cfg.threads, &self.counters)?);
        }
        let Some(crew) = &self.crew else { return Ok(()) };
        while self.plan.has(self.give) {
            let needed = self.plan.bytes(self.give, self.skip);
            let room = self.cfg.prefetch_bytes.saturating_sub(self.ahead_bytes);
            if needed > room && !self.ahead.is_empty() {
                break;
            }
            // A buffer counts with all it holds; one that is too large for the room left is freed.
            let fits = |spare: &Batch| spare.bytes() <= room.max(needed);
            let spare = self.spares.1.try_recv().ok().filter(fits);
            let bytes = spare.as_ref().map_or(needed, Batch::bytes).max(needed);
            let skip = std::mem::take(&mut self.skip);
            let spare = spare.unwrap_or_else(|| Batch::empty(self.lender.clone()));
            crew.give(Job { number: self.give, skip, spare });
            self.give += 1;
            self.ahead.push_back(bytes);
            self.ahead_bytes += bytes;
            self.prefetch_peak = self.prefetch_peak.max(self.ahead_bytes);
        }
        Ok(())
    }

    /// Waits for batch `self.next`.
    fn take(&mut self) -> Result<Batch> {
        let begin = Instant::now();
        let batch = loop {
            if let Some(batch) = self.early.remove(&self.next) {
                break batch;
            }
            match self.crew.as_ref().and_then(Crew::take) {
                Some((number, batch)) => {
                    self.early.insert(number, batch);
                }
                None => {
                    let why = "all of them are gone".to_string();
                    break Err(Error::Worker { batch: self.next, why });
                }
            }
        };
        self.waited += begin.elapsed();
        batch
    }

    fn step(&mut self) -> Result<Batch> {
        self.give_jobs()?;
        let batch = self.take()?;
        self.next += 1;
        self.ahead_bytes -= self.ahead.pop_front().unwrap_or_default();
        self.state = batch.after;
        self.batches += 1;
        // Room has become free: the threads go on while the consumer works.
        self.give_jobs()?;
        Ok(batch)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || !self.plan.has(self.next) {
            self.crew = None;
            return None;
        }
        self.begin.get_or_insert_with(Instant::now);
        let batch = self.step();
        if batch.is_err() {
            self.ended = true;
            self.crew = None;
        }
        Some(batch)
    }
}
