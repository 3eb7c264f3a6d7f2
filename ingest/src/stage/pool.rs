//! Work on many threads, results in order.
//!
//! Items come in units (a unit is what becomes one file). A few units are open at a time, each with a thread of its own
//! that takes the unit's results in order; the workers serve the open units in turn. What a unit sees never depends on
//! the number of threads. Results that wait are bounded by number and by bytes: an item is begun only when there is room
//! for it, in order within its unit, so the item a unit waits for is always under way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiting thread looks whether the user wants to stop.
const POLL: Duration = Duration::from_millis(50);

/// Bounds of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Workers.
    pub threads: usize,
    /// Units open at a time.
    pub lanes: usize,
    /// Bytes that items under way or waiting may take together; one larger item runs alone.
    pub bytes: u64,
}

/// Runs `work` on every item of every unit and hands each unit's results in order to `sink`. Returns whether everything
/// was done; `false` if `stop` was set. The first error of a sink ends the run.
pub(super) fn run<S, R: Send, E: Send>(
    units: &[Range<usize>],
    bounds: Bounds,
    stop: &AtomicBool,
    cost: impl Fn(usize) -> u64 + Sync,
    worker: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> R + Sync,
    sink: impl Fn(usize, &mut Feed<R>) -> Result<(), E> + Sync,
) -> Result<bool, E> {
    let lanes = bounds.lanes.clamp(1, units.len().max(1));
    let desk = Desk {
        units,
        window: bounds.threads.max(1) * 2,
        bytes: bounds.bytes,
        stop,
        state: Mutex::new(State {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            next_unit: 0,
            turn: 0,
            used: 0,
            halted: false,
        }),
        changed: Condvar::new(),
    };
    let error: Mutex<Option<E>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (desk, sink, error) = (&desk, &sink, &error);
            scope.spawn(move || {
                let _alarm = Alarm(desk);
                while let Some(unit) = desk.open(lane) {
                    let mut feed = Feed { desk, lane, held: 0, end: units[unit].end };
                    if let Err(e) = sink(unit, &mut feed) {
                        error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                        desk.halt();
                    }
                }
            });
        }
        for _ in 0..bounds.threads.max(1) {
            let (desk, cost, worker, work) = (&desk, &cost, &worker, &work);
            scope.spawn(move || {
                let _alarm = Alarm(desk);
                let mut state = worker();
                while let Some(job) = desk.take(cost) {
                    let result = work(&mut state, job.item);
                    desk.hand_in(&job, result);
                }
            });
        }
    });
    match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(e) => Err(e),
        None => Ok(!stop.load(Ordering::Relaxed)),
    }
}

/// Results of one unit, in order.
pub(super) struct Feed<'a, R> {
    desk: &'a Desk<'a, R>,
    lane: usize,
    /// Bytes of the result handed out last.
    held: u64,
    end: usize,
}

impl<R> Feed<'_, R> {
    /// Index of the next item and its result; `None` when the unit is complete or the run was stopped. The room of the
    /// result before is given back, so it should be gone by now.
    pub fn next(&mut self) -> Option<(usize, R)> {
        let mut state = self.desk.lock();
        state.used -= std::mem::take(&mut self.held);
        self.desk.changed.notify_all();
        loop {
            let lane = &mut state.lanes[self.lane];
            let item = lane.consumed;
            if item == self.end {
                return None;
            }
            if let Some((cost, result)) = lane.ready.remove(&item) {
                lane.consumed += 1;
                self.held = cost;
                self.desk.changed.notify_all();
                return Some((item, result));
            }
            if self.desk.is_halted(&state) {
                return None;
            }
            state = self.desk.wait(state);
        }
    }

    /// Whether every result of the unit was handed out.
    pub fn is_complete(&self) -> bool {
        self.desk.lock().lanes[self.lane].consumed == self.end
    }
}

impl<R> Drop for Feed<'_, R> {
    fn drop(&mut self) {
        self.desk.lock().used -= self.held;
        self.desk.changed.notify_all();
    }
}

struct Desk<'a, R> {
    units: &'a [Range<usize>],
    window: usize,
    bytes: u64,
    stop: &'a AtomicBool,
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    lanes: Vec<Lane<R>>,
    next_unit: usize,
    /// Lane that is served next.
    turn: usize,
    /// Bytes of items under way or waiting.
    used: u64,
    halted: bool,
}

/// An open unit: items below `next` were begun, items below `consumed` handed to the sink.
struct Lane<R> {
    next: usize,
    end: usize,
    consumed: usize,
    ready: BTreeMap<usize, (u64, R)>,
}

struct Job {
    lane: usize,
    item: usize,
    cost: u64,
}

impl<R> Default for Lane<R> {
    fn default() -> Self {
        Self { next: 0, end: 0, consumed: 0, ready: BTreeMap::new() }
    }
}

impl<R> Desk<'_, R> {
    /// The next unit for a lane that is done with its last one.
    fn open(&self, lane: usize) -> Option<usize> {
        let mut state = self.lock();
        if self.is_halted(&state) || state.next_unit == self.units.len() {
            return None;
        }
        let unit = state.next_unit;
        state.next_unit += 1;
        let Range { start, end } = self.units[unit];
        state.lanes[lane] = Lane { next: start, end, consumed: start, ready: BTreeMap::new() };
        self.changed.notify_all();
        Some(unit)
    }

    /// The next item, once there is room for it; `None` when there is nothing left to begin.
    fn take(&self, cost: &impl Fn(usize) -> u64) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let all_begun = state.lanes.iter().all(|l| l.next == l.end);
            if self.is_halted(&state) || (all_begun && state.next_unit == self.units.len()) {
                self.changed.notify_all();
                return None;
            }
            let n = state.lanes.len();
            let open = |l: &Lane<R>| l.next < l.end && l.next - l.consumed < self.window;
            let lane = (0..n).map(|i| (state.turn + i) % n).find(|&i| open(&state.lanes[i]));
            if let Some(lane) = lane {
                let item = state.lanes[lane].next;
                let cost = cost(item);
                if state.used == 0 || state.used.saturating_add(cost) <= self.bytes {
                    state.used += cost;
                    state.lanes[lane].next += 1;
                    state.turn = (lane + 1) % n;
                    return Some(Job { lane, item, cost });
                }
            }
            state = self.wait(state);
        }
    }

    fn hand_in(&self, job: &Job, result: R) {
        let mut state = self.lock();
        state.lanes[job.lane].ready.insert(job.item, (job.cost, result));
        self.changed.notify_all();
    }

    fn halt(&self) {
        self.lock().halted = true;
        self.changed.notify_all();
    }

    fn is_halted(&self, state: &State<R>) -> bool {
        state.halted || self.stop.load(Ordering::Relaxed)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State<R>>) -> MutexGuard<'s, State<R>> {
        self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the run if its thread panics; without it the others would wait for ever.
struct Alarm<'a, R>(&'a Desk<'a, R>);

impl<R> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize};

    const UNITS: [Range<usize>; 5] = [0..17, 17..18, 18..18, 18..60, 60..100];

    fn collect(bounds: Bounds, stop: &AtomicBool) -> (bool, Vec<Vec<usize>>) {
        let out: Mutex<Vec<Vec<usize>>> = Mutex::new(vec![Vec::new(); UNITS.len()]);
        let done = run(
            &UNITS,
            bounds,
            stop,
            |item| item as u64 % 7,
            || (),
            |(), item| {
                std::thread::sleep(Duration::from_micros((item as u64 * 7919) % 500));
                item * 2
            },
            |unit, feed| {
                while let Some((item, result)) = feed.next() {
                    assert_eq!(result, item * 2);
                    out.lock().unwrap()[unit].push(item);
                }
                Ok::<(), ()>(())
            },
        );
        (done.unwrap(), out.into_inner().unwrap())
    }

    #[test]
    fn every_unit_gets_its_results_in_order_whatever_the_threads_lanes_and_room() {
        let expected: Vec<Vec<usize>> = UNITS.iter().map(|u| u.clone().collect()).collect();
        for threads in [1, 2, 7] {
            for lanes in [1, 2, 9] {
                for bytes in [0, 3, 10, u64::MAX] {
                    let stop = AtomicBool::new(false);
                    let got = collect(Bounds { threads, lanes, bytes }, &stop);
                    assert_eq!(got, (true, expected.clone()), "{threads} {lanes} {bytes}");
                }
            }
        }
    }

    #[test]
    fn work_under_way_never_takes_more_room_than_allowed() {
        let (used, most) = (AtomicU64::new(0), AtomicU64::new(0));
        run(
            std::slice::from_ref(&(0..200)),
            Bounds { threads: 8, lanes: 1, bytes: 100 },
            &AtomicBool::new(false),
            |item| 10 + item as u64 % 50,
            || (),
            |(), item| {
                let now = used.fetch_add(10 + item as u64 % 50, Ordering::SeqCst);
                most.fetch_max(now + 10 + item as u64 % 50, Ordering::SeqCst);
            },
            |_, feed| {
                while let Some((item, ())) = feed.next() {
                    used.fetch_sub(10 + item as u64 % 50, Ordering::SeqCst);
                }
                Ok::<(), ()>(())
            },
        )
        .unwrap();
        assert!(most.load(Ordering::SeqCst) <= 100, "{most:?}");
    }

    #[test]
    fn a_stop_ends_the_run_and_says_so() {
        let stop = AtomicBool::new(true);
        let (done, out) = collect(Bounds { threads: 2, lanes: 2, bytes: 9 }, &stop);
        assert!(!done);
        assert!(out.iter().all(Vec::is_empty));
    }

    #[test]
    fn the_error_of_a_sink_ends_the_run() {
        let begun = AtomicUsize::new(0);
        let got = run(
            std::slice::from_ref(&(0..1000)),
            Bounds { threads: 3, lanes: 1, bytes: u64::MAX },
            &AtomicBool::new(false),
            |_| 1,
            || (),
            |(), _| {
                begun.fetch_add(1, Ordering::SeqCst);
            },
            |_, feed| {
                feed.next();
                Err("full")
            },
        );
        assert_eq!(got, Err("full"));
        assert!(begun.load(Ordering::SeqCst) < 100, "{begun:?}");
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_in_a_worker_ends_the_run_instead_of_hanging_it() {
        let _ = run(
            std::slice::from_ref(&(0..10)),
            Bounds { threads: 2, lanes: 1, bytes: u64::MAX },
            &AtomicBool::new(false),
            |_| 1,
            || (),
            |(), item| assert!(item != 3, "no such luck"),
            |_, feed| {
                while feed.next().is_some() {}
                Ok::<(), ()>(())
            },
        );
    }
}
