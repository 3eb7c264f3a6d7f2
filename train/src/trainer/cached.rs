//! Training on what is kept of the frozen beginning of the network: the cache is filled during the first epoch and read
//! from then on.

use super::{Trainer, event};
use crate::cache::{self, CacheFill, Filler, Kept, Training};
use crate::error::Result;
use crate::log::Log;
use crate::meter::Meter;
use crate::setup::Setup;
use etude_manifests::Split;
use etude_shards::{Batch, Loader};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The caches of a run.
#[derive(Default)]
pub(super) struct Cached {
    /// Until the training windows are all there.
    filler: Option<Box<Filler>>,
    /// Of the validation, from the first one on; `None` inside where its windows are not kept.
    pub(super) validation: Option<Option<Kept>>,
}

impl Cached {
    /// Whether batches are still read as audio.
    pub(super) fn is_filling(&self) -> bool {
        self.filler.is_some()
    }
}

impl Trainer<'_> {
    /// From here on training works on hidden states: those of a full cache, or those that each batch of the first epoch
    /// adds to it. Not for a run that is over.
    pub(super) fn open_cache(&mut self, log: &mut dyn Log, stop: &AtomicBool) -> Result<()> {
        let Some(cfg) = &self.exp.data.cache else { return Ok(()) };
        if self.ending(false).is_some() {
            return Ok(());
        }
        match cache::open(self.exp, &self.setup, self.state.loader, log, stop)? {
            None => return Ok(()), // asked to stop
            Some(Training::Full(kept)) => self.read_from(kept)?,
            Some(Training::Filling(filler)) => {
                self.setup.model.start = Some(filler.start());
                self.cached.filler = Some(filler);
            }
        }
        if cfg.fill == CacheFill::Before {
            self.open_validation(log, stop)?;
        }
        (self.begun, self.meter) = (Instant::now(), Meter::new());
        Ok(())
    }

    /// The batches of a step with hidden states for audio, which the cache takes in.
    pub(super) fn keep_hidden(&mut self, batches: Vec<Batch>) -> Result<Vec<Batch>> {
        let Some(filler) = &mut self.cached.filler else { return Ok(batches) };
        let keep = |audio| {
            let batch = filler.keep(&self.setup, &audio)?;
            self.loader.recycle(audio);
            Ok(batch)
        };
        batches.into_iter().map(keep).collect()
    }

    /// At the end of the first epoch: what it has not reached is filled in, and the cache is read from then on. Asked to
    /// stop, it is left to the run that goes on.
    pub(super) fn complete_cache(&mut self, log: &mut dyn Log, stop: &AtomicBool) -> Result<()> {
        let Some(mut filler) = self.cached.filler.take() else { return Ok(()) };
        let begun = Instant::now();
        if filler.fill(&self.setup, None, log, stop)? {
            let kept = filler.finish()?;
            log.row(&event(
                self.state.step,
                "cache",
                format!("cache {}: full", kept.0.dir().display()),
            ));
            self.read_from(kept)?;
        }
        self.meter.pause(begun.elapsed());
        Ok(())
    }

    /// Fills in the windows of the validation when they are first asked for.
    pub(super) fn open_validation(&mut self, log: &mut dyn Log, stop: &AtomicBool) -> Result<()> {
        if self.cached.validation.is_none() {
            let what = (Split::Valid, &self.exp.valid_loader());
            let kept = cache::open_split(self.exp, &self.setup, what, log, stop)?;
            self.cached.validation = Some(kept);
        }
        Ok(())
    }

    fn read_from(&mut self, (kept, start): Kept) -> Result<()> {
        let Setup { index, view, memory, .. } = &self.setup;
        let loader = Loader::train(index, view, &self.exp.train_loader(), self.exp.run.seed)?;
        self.loader = memory.lend(loader).instead(index, &kept)?.resume(self.state.loader)?;
        self.setup.model.start = Some(start);
        Ok(())
    }
}
