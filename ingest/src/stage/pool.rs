//! Work on many threads, results in order.
//!
//! Items come in units (a unit is what becomes one file). A few units are open at a time, each with a thread of its own
//! that sends its items to the workers' bounded queue and takes the results in order. What a unit sees never depends on
//! the number of threads. An item is sent only when there is room for it, by number and by bytes, in order within its
//! unit; so the item a unit waits for is always under way, and a reply never waits.

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a waiting thread looks whether the run has ended.
const POLL: Duration = Duration::from_millis(50);

/// Bounds of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Workers.
    pub threads: usize,
    /// Units open at a time.
    pub lanes: usize,
    /// Bytes that items under way or waiting may take together; in each open unit, one larger item runs alone.
    pub bytes: u64,
}

/// An item on its way to a worker, and where its result goes.
struct Job<R> {
    item: usize,
    reply: Sender<(usize, R)>,
}

/// Both ends of the way results come back.
type Replies<R> = (Sender<(usize, R)>, Receiver<(usize, R)>);

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
    let threads = bounds.threads.max(1);
    let end = End { stop, failed: AtomicBool::new(false) };
    let (jobs, queue) = bounded::<Job<R>>(threads);
    let (errors, error) = bounded(lanes);
    let (waiting, next_unit) = bounded(units.len());
    for unit in 0..units.len() {
        // There is room for all of them, and this function holds the other end.
        let _ = waiting.send(unit);
    }
    drop(waiting);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            let (jobs, next_unit, errors) = (jobs.clone(), next_unit.clone(), errors.clone());
            let (end, cost, sink) = (&end, &cost, &sink);
            scope.spawn(move || {
                let _alarm = Alarm(end);
                while let (false, Ok(unit)) = (end.is_near(), next_unit.try_recv()) {
                    let window = threads * 2;
                    let mut feed = Feed {
                        jobs: &jobs,
                        cost,
                        end,
                        replies: bounded(window),
                        window,
                        bytes: bounds.bytes / lanes as u64,
                        used: 0,
                        held: 0,
                        begun: units[unit].start,
                        consumed: units[unit].start,
                        stop_at: units[unit].end,
                        early: BTreeMap::new(),
                    };
                    if let Err(e) = sink(unit, &mut feed) {
                        let _ = errors.try_send(e);
                        end.failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..threads {
            let (queue, end, worker, work) = (queue.clone(), &end, &worker, &work);
            scope.spawn(move || {
                let _alarm = Alarm(end);
                let mut state = worker();
                // The queue ends when the last lane is done.
                for job in queue {
                    if !end.is_near() {
                        let result = work(&mut state, job.item);
                        let _ = job.reply.send((job.item, result)); // a unit that failed takes no more
                    }
                }
            });
        }
        drop((jobs, queue));
    });
    match error.try_recv() {
        Ok(e) => Err(e),
        Err(_) => Ok(!stop.load(Ordering::Relaxed)),
    }
}

/// Results of one unit, in order.
pub(super) struct Feed<'a, R> {
    jobs: &'a Sender<Job<R>>,
    cost: &'a (dyn Fn(usize) -> u64 + Sync),
    end: &'a End<'a>,
    replies: Replies<R>,
    /// Items that may be under way or waiting.
    window: usize,
    /// Bytes they may take.
    bytes: u64,
    /// Bytes they take.
    used: u64,
    /// Bytes of the result handed out last.
    held: u64,
    /// Items below were sent to the workers.
    begun: usize,
    /// Items below were handed out.
    consumed: usize,
    stop_at: usize,
    /// Results before their turn.
    early: BTreeMap<usize, R>,
}

impl<R> Feed<'_, R> {
    /// Index of the next item and its result; `None` when the unit is complete or the run was stopped. The room of the
    /// result before is given back, so it should be gone by now.
    pub fn next(&mut self) -> Option<(usize, R)> {
        self.used -= std::mem::take(&mut self.held);
        while self.consumed < self.stop_at {
            self.early.extend(self.replies.1.try_iter());
            if let Some(result) = self.early.remove(&self.consumed) {
                let item = self.consumed;
                self.consumed += 1;
                self.held = (self.cost)(item);
                self.send();
                return Some((item, result));
            }
            if self.end.is_near() {
                return None; // after what was finished before
            }
            self.send();
            if let Ok((item, result)) = self.replies.1.recv_timeout(POLL) {
                self.early.insert(item, result);
            }
        }
        None
    }

    /// Whether every result of the unit was handed out.
    pub fn is_complete(&self) -> bool {
        self.consumed == self.stop_at
    }

    /// Sends items as long as there is room for them; waits for the workers only if they have none of this unit's.
    fn send(&mut self) {
        let room = |feed: &Self| feed.begun - feed.consumed < feed.window && !feed.end.is_near();
        while self.begun < self.stop_at && room(self) {
            let cost = (self.cost)(self.begun);
            if self.used > 0 && self.used.saturating_add(cost) > self.bytes {
                return;
            }
            let job = Job { item: self.begun, reply: self.replies.0.clone() };
            let sent = match self.jobs.try_send(job) {
                Err(TrySendError::Full(job)) if self.begun == self.consumed => {
                    self.jobs.send_timeout(job, POLL).is_ok()
                }
                other => other.is_ok(),
            };
            if !sent {
                return;
            }
            self.used += cost;
            self.begun += 1;
        }
    }
}

/// Why a run may end before its work is done.
struct End<'a> {
    /// The user's wish.
    stop: &'a AtomicBool,
    /// A sink returned an error, or a thread panicked.
    failed: AtomicBool,
}

impl End<'_> {
    fn is_near(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// Ends the run if its thread panics; without it the others would wait for ever.
struct Alarm<'a>(&'a End<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use std::sync::Mutex;
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
