//! Where the time goes, counted while loading.

use crate::reader::ReadFacts;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a loader has done since its first batch was asked for. Thread times are sums over threads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Since the first batch was asked for, seconds.
    pub wall_s: f64,
    /// Threads waiting for the disk, seconds.
    pub read_s: f64,
    /// Threads turning bytes into f32, seconds.
    pub convert_s: f64,
    /// Threads waiting for room to read ahead: the consumer is slower than they are, seconds.
    pub worker_wait_s: f64,
    /// The consumer waiting for a batch, seconds.
    pub consumer_wait_s: f64,
    /// Batches handed over.
    pub batches: u64,
    /// Samples filled, those still waiting to be handed over included.
    pub samples: u64,
    /// Bytes of the files that were touched, whole memory pages.
    pub bytes_read: u64,
    /// Bytes of the files that became samples.
    pub bytes_used: u64,
    /// Most bytes of f32 that were ever read ahead or being read.
    pub prefetch_peak: u64,
    /// Batches for which no recycled buffer was large enough.
    pub allocations: u64,
}

impl Stats {
    /// Share of the time in which the consumer waited for data, 0 to 1.
    pub fn stall_share(&self) -> f64 {
        if self.wall_s > 0.0 { self.consumer_wait_s / self.wall_s } else { 0.0 }
    }

    /// Bytes touched for each byte used; 1 is the least.
    pub fn read_overhead(&self) -> f64 {
        if self.bytes_used > 0 { self.bytes_read as f64 / self.bytes_used as f64 } else { 0.0 }
    }
}

/// The threads' part of [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    read_ns: AtomicU64,
    convert_ns: AtomicU64,
    wait_ns: AtomicU64,
    samples: AtomicU64,
    bytes_read: AtomicU64,
    bytes_used: AtomicU64,
    allocations: AtomicU64,
}

impl Counters {
    pub(crate) fn waited(&self, time: Duration) {
        self.wait_ns.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn allocated(&self) {
        self.allocations.fetch_add(1, Relaxed);
    }

    pub(crate) fn filled(&self, facts: ReadFacts) {
        self.samples.fetch_add(1, Relaxed);
        self.read_ns.fetch_add(facts.read_ns, Relaxed);
        self.convert_ns.fetch_add(facts.convert_ns, Relaxed);
        self.bytes_read.fetch_add(facts.bytes_read, Relaxed);
        self.bytes_used.fetch_add(facts.bytes_used, Relaxed);
    }

    /// Writes the threads' part into `stats`.
    pub(crate) fn fill(&self, stats: &mut Stats) {
        let seconds = |ns: &AtomicU64| ns.load(Relaxed) as f64 * 1e-9;
        stats.read_s = seconds(&self.read_ns);
        stats.convert_s = seconds(&self.convert_ns);
        stats.worker_wait_s = seconds(&self.wait_ns);
        stats.samples = self.samples.load(Relaxed);
        stats.bytes_read = self.bytes_read.load(Relaxed);
        stats.bytes_used = self.bytes_used.load(Relaxed);
        stats.allocations = self.allocations.load(Relaxed);
    }
}
