//! How fast a run goes: samples per second, share of the time spent waiting for the loader, time left.

use crate::log::{Pace, Phase, Timing, wall};
use std::time::{Duration, Instant};

/// Counts training between two rows of the log, and over the whole start.
#[derive(Debug)]
pub(crate) struct Meter {
    since: Instant,
    samples: u64,
    waited: Duration,
    /// Over this start, validations left out.
    steps: u64,
    trained: Duration,
    last: Instant,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let zero = Duration::ZERO;
        Self { since: now, samples: 0, waited: zero, steps: 0, trained: zero, last: now }
    }

    /// A step has been taken.
    pub(crate) fn step(&mut self, samples: usize, waited: Duration) {
        self.samples += samples as u64;
        self.waited += waited;
        self.steps += 1;
        self.trained += self.last.elapsed();
        self.last = Instant::now();
    }

    /// Seconds of training since the latest step was counted do not count: something else was done.
    pub(crate) fn pause(&mut self, paused: Duration) {
        self.since += paused;
        self.last = Instant::now();
    }

    /// For a progress bar.
    pub(crate) fn pace(&self, done: u64, total: u64) -> Pace {
        let Timing { samples_s, stall, .. } = self.timing();
        let per_step = self.trained.as_secs_f64() / self.steps.max(1) as f64;
        let eta_s = per_step * total.saturating_sub(done) as f64;
        Pace { phase: Phase::Training, done, total, samples_s, stall, eta_s }
    }

    /// For a row of the log; the next row starts counting now.
    pub(crate) fn row(&mut self) -> Timing {
        let timing = self.timing();
        (self.since, self.samples, self.waited) = (Instant::now(), 0, Duration::ZERO);
        timing
    }

    fn timing(&self) -> Timing {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let samples_s = self.samples as f64 / seconds;
        Timing { wall: wall(), seconds, samples_s, stall: self.waited.as_secs_f64() / seconds }
    }
}
