//! The threads behind a loader: jobs in, batches out, no lock held while working.

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::stats::Counters;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// One batch to make.
pub(crate) struct Job {
    pub(crate) number: u64,
    /// Samples at its beginning that an earlier run has already seen.
    pub(crate) skip: u64,
    /// Buffers to make it in.
    pub(crate) spare: Batch,
}

/// Running threads. Dropped, it stops them at the next sample and waits for them.
#[derive(Debug)]
pub(crate) struct Crew {
    jobs: Option<Sender<Job>>,
    done: Receiver<(u64, Result<Batch>)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts `threads` threads.
    pub(crate) fn start(
        plan: &Arc<Plan>,
        threads: usize,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        // Neither channel needs a bound of its own: no job is given that the bytes read ahead do not allow.
        let (jobs, todo) = unbounded::<Job>();
        let (out, done) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let mut crew = Self { jobs: Some(jobs), done, stop, threads: Vec::new() };
        for i in 0..threads {
            let (plan, counters, stop) = (plan.clone(), counters.clone(), crew.stop.clone());
            let (todo, out) = (todo.clone(), out.clone());
            let work = move || work(&plan, &todo, &out, &counters, &stop);
            let thread = Builder::new().name(format!("loader {i}")).spawn(work);
            crew.threads.push(thread.map_err(Error::io("starting a loader thread"))?);
        }
        Ok(crew)
    }

    /// Gives a job; they are taken in the order given.
    pub(crate) fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Refused only when every thread is gone, which `take` reports.
            let _ = jobs.send(job);
        }
    }

    /// The next finished batch, whichever that is; `None` if no thread is left.
    pub(crate) fn take(&self) -> Option<(u64, Result<Batch>)> {
        self.done.recv().ok()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was reported when it happened
        }
    }
}

fn work(
    plan: &Plan,
    todo: &Receiver<Job>,
    out: &Sender<(u64, Result<Batch>)>,
    counters: &Counters,
    stop: &AtomicBool,
) {
    let go_on = || !stop.load(Ordering::Relaxed);
    loop {
        let begin = Instant::now();
        let Ok(Job { number, skip, spare }) = todo.recv() else { return };
        counters.waited(begin.elapsed());
        if !go_on() {
            return;
        }
        let made =
            catch_unwind(AssertUnwindSafe(|| plan.fill(number, skip, spare, counters, go_on)));
        let batch = match made {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(batch))) => Ok(batch),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(Error::Worker { batch: number, why: said(panic.as_ref()) }),
        };
        if out.send((number, batch)).is_err() {
            return;
        }
    }
}

/// What a panicking thread said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_string())
}
