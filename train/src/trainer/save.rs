//! Validation and saving: when a state is scored, kept and written.

use super::{Trainer, event, scoring_pace, step_seed};
use crate::LOSS;
use crate::checkpoint::{self, Ending, Kept, Saved, State};
use crate::error::{Error, Result};
use crate::kept;
use crate::log::{Log, Row, Timing, wall};
use crate::schedule::Watch;
use crate::setup::Setup;
use crate::stopping::Mode;
use etude_manifests::Split;
use etude_shards::{Crop, Loader};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::Tensor;

impl Trainer<'_> {
    /// Scores the validation split; given up when asked to stop, to be done again after resuming.
    pub(super) fn validate(&mut self, log: &mut dyn Log, stop: &AtomicBool) -> Result<()> {
        let begun = Instant::now();
        self.open_validation(log, stop)?;
        let kept = self.cached.validation.as_ref().and_then(Option::as_ref);
        let start = kept.map(|(_, start)| *start);
        let trained_from = std::mem::replace(&mut self.setup.model.start, start);
        let Setup { model, view, index, objective, memory, .. } = &self.setup;
        let cfg = self.exp.valid_loader();
        let seed = match cfg.crop {
            Crop::Once { .. } => self.exp.run.seed, // pieces stay where they are
            _ => step_seed(self.exp.run.seed, self.state.step) as u64,
        };
        let loader = memory.lend(Loader::crops(index, view, Split::Valid, &cfg, seed)?);
        let loader = match kept {
            Some((kept, _)) => loader.instead(index, kept)?,
            None => loader,
        };
        let total = loader.samples_per_epoch();
        let mut progress = |done: u64| {
            log.pace(&scoring_pace(begun, done, total));
            !stop.load(Ordering::Relaxed)
        };
        let scores = objective.validate(model, loader, &mut progress)?;
        self.setup.model.start = trained_from;
        let Some(scores) = scores else { return Ok(()) };
        let named = |key: &'static str, by: &String| {
            scores.get(by).copied().ok_or_else(|| Error::NoScore {
                key,
                name: by.clone(),
                known: scores.keys().cloned().collect::<Vec<_>>().join(", "),
            })
        };
        let [(keep_key, keep_by), (stop_key, stop_by)] = self.exp.trainer.watched();
        let (score, watched) = (named(keep_key, keep_by)?, named(stop_key, stop_by)?);
        let place = self.keep(score, &scores)?;
        if self.schedule.watches() == Some(Watch::ValidLoss) {
            self.schedule.observe(scores.get(LOSS).copied().unwrap_or(f64::NAN));
        }
        let seconds = begun.elapsed();
        self.meter.pause(seconds);
        self.state.validated = self.state.step;
        let pace = scoring_pace(begun, total, total);
        let timing = Timing {
            wall: wall(),
            seconds: seconds.as_secs_f64(),
            samples_s: pace.samples_s,
            stall: 0.0,
        };
        let (step, epoch, best) = (self.state.step, self.epoch(), place == Some(0));
        self.push(Row::Valid { step, epoch, scores, best, timing }, log)?;
        let mode = if stop_by == LOSS { Mode::Min } else { Mode::Max };
        if let Some(cfg) = &self.exp.trainer.stop
            && self.state.stopping.observe(cfg, mode, watched)
        {
            self.state.ended = Some(Ending::EarlyStop);
            let text = format!("no better {stop_by} in {} validations", self.state.stopping.bad);
            self.push(event(step, "early_stop", text), log)?;
        }
        self.save()
    }

    /// Writes the state if it is among the best; its place.
    fn keep(&mut self, score: f64, scores: &BTreeMap<String, f64>) -> Result<Option<usize>> {
        let new = Kept { step: self.state.step, score, scores: scores.clone() };
        let place = kept::rank(&mut self.state.kept, &self.exp.trainer.keep, new.clone());
        if place.is_some() {
            let state = self.setup.model.state();
            let base = self.setup.identity.base.as_deref().unwrap_or_default();
            kept::write(self.dir, &new, &state, base)?;
            kept::link_best(self.dir, &self.state.kept)?;
        }
        Ok(place)
    }

    /// Writes the whole state; the files of lists that are no longer needed go.
    pub(super) fn save(&mut self) -> Result<()> {
        self.read_losses()?;
        self.check_weights()?;
        self.file.sync(&self.dir.log())?;
        self.state.schedule = self.schedule.state();
        self.state.seconds +=
            std::mem::replace(&mut self.begun, Instant::now()).elapsed().as_secs_f64();
        let state = State { window: self.window.losses().to_vec(), ..self.state.clone() };
        let saved = Saved { state, model: self.setup.model.state(), optim: self.optim.state() };
        checkpoint::save(self.dir, &saved)?;
        kept::prune(self.dir, [&self.state.kept, &self.kept_before])?;
        self.kept_before.clone_from(&self.state.kept);
        self.saved = Some(self.state.step);
        Ok(())
    }

    /// Never saves a state that cannot go on.
    fn check_weights(&self) -> Result<()> {
        let params = self.optim.params();
        let finite = params.iter().map(|p| p.tensor.detach().f_isfinite()?.f_all());
        let finite = Tensor::f_stack(&finite.collect::<Result<Vec<_>, _>>()?, 0)?;
        match Vec::<bool>::try_from(finite)?.iter().position(|ok| !ok) {
            None => Ok(()),
            Some(i) => Err(Error::Weights {
                step: self.state.step,
                name: params[i].name.clone(),
                kept: self.kept_text(),
            }),
        }
    }
}
