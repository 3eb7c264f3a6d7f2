//! The loop: steps, validations, saves. It knows steps, not music.
//!
//! Everything a step depends on is a function of the experiment and the step: the batch comes from the loader's state,
//! dropout is seeded from seed and step. So a run that was stopped and resumed, anywhere and any number of times,
//! logs the same numbers as one that was not.

mod cached;
mod save;

use crate::checkpoint::{self, Ending, Kept, Saved, State};
use crate::clip::clip_grad_norm;
use crate::curves::Curves;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::kept;
use crate::log::{Log, LogFile, Pace, Phase, Row, Timing, wall};
use crate::meter::Meter;
use crate::objective::Extras;
use crate::optim::{Optimizer, Param, Rule};
use crate::report;
use crate::run_dir::RunDir;
use crate::schedule::{Schedule, Watch};
use crate::setup::Setup;
use crate::window::Window;
use cached::Cached;
use etude_models::Model;
use etude_shards::{Batch, Loader};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// How a run ended, and what it reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// Optimizer steps done.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// Best states, best first.
    pub kept: Vec<Kept>,
    /// Steps that make an epoch.
    pub steps_per_epoch: u64,
    /// Time spent, all starts together.
    pub seconds: f64,
}

impl Outcome {
    /// Mean time of an epoch, its validation included; `None` before the first step.
    pub fn seconds_per_epoch(&self) -> Option<f64> {
        let epochs = self.step as f64 / self.steps_per_epoch as f64;
        (self.step > 0).then(|| self.seconds / epochs)
    }
}

/// Trains from the start in a new folder. A raised `stop` ends the run between two steps, resumably.
///
/// # Errors
/// Whatever cannot be read, built, trained or written; [`Error::NotFinite`] when the loss is lost.
pub fn run(
    exp: &Experiment,
    dir: &RunDir,
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Outcome> {
    exp.check()?;
    let setup = Setup::new(exp, true)?;
    setup.check_scores(exp)?;
    report::start(exp, dir, &setup)?;
    Trainer::new(exp, dir, setup, None)?.train(log, stop)
}

/// Goes on with the run in `dir`; a run that is over is left as it is. `exp` must be the run's own experiment, apart
/// from keys that change no number (see [`crate::same_experiment`]).
///
/// # Errors
/// As [`run`], and [`Error::Mismatch`] for another experiment or other data, [`Error::Damaged`] without a whole
/// checkpoint.
pub fn resume(
    exp: &Experiment,
    dir: &RunDir,
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Outcome> {
    exp.check()?;
    crate::same::same_experiment(exp, dir)?;
    let setup = Setup::new(exp, true)?;
    if dir.identity().exists() {
        crate::Identity::read(dir)?.check(&setup.identity)?;
    }
    report::start(exp, dir, &setup)?;
    let saved = checkpoint::latest(dir)?;
    if let Some((_, Some(damage))) = &saved {
        log.row(&event(0, "damaged", format!("{damage}; going on from the save before")));
    }
    Trainer::new(exp, dir, setup, saved.map(|(saved, _)| saved))?.train(log, stop)
}

struct Trainer<'a> {
    exp: &'a Experiment,
    dir: &'a RunDir,
    setup: Setup,
    loader: Loader,
    /// What the frozen beginning of the network makes of each window, in place of the audio.
    cached: Cached,
    optim: Box<dyn Optimizer>,
    schedule: Schedule,
    steps: u64,
    steps_per_epoch: u64,
    state: State,
    /// The list of the checkpoint before, whose files are still needed.
    kept_before: Vec<Kept>,
    window: Window,
    saved: Option<u64>,
    file: LogFile,
    curves: Curves,
    meter: Meter,
    begun: Instant,
}

impl Trainer<'_> {
    fn train(mut self, log: &mut dyn Log, stop: &AtomicBool) -> Result<Outcome> {
        self.open_cache(log, stop)?;
        loop {
            if self.validation_due() && !stop.load(Ordering::Relaxed) {
                self.validate(log, stop)?;
            }
            if let Some(ending) = self.ending(stop.load(Ordering::Relaxed)) {
                return self.end(ending, log);
            }
            if self.save_due() {
                self.save()?;
            }
            self.enter_stage(log)?;
            let (batches, waited) = self.next_batches()?;
            let batches = self.keep_hidden(batches)?;
            tch::manual_seed(step_seed(self.exp.run.seed, self.state.step));
            let lr = self.schedule.at(self.state.step, self.epoch());
            self.optim.zero_grad()?;
            let (loss, extras) = self.backward(&batches)?;
            let norm = clip_grad_norm(self.optim.params(), self.exp.optim.clip)?;
            self.optim.step(lr)?;
            self.state.step += 1;
            self.end_step(batches, waited, loss, norm);
            if self.state.step.is_multiple_of(self.exp.trainer.log_steps) {
                self.log_step(lr, &extras, log)?;
            }
            if self.state.step.is_multiple_of(self.steps_per_epoch) {
                self.end_epoch()?;
                self.complete_cache(log, stop)?;
            }
            log.pace(&self.meter.pace(self.state.step, self.steps));
        }
    }
}

impl<'a> Trainer<'a> {
    fn new(
        exp: &'a Experiment,
        dir: &'a RunDir,
        setup: Setup,
        saved: Option<Saved>,
    ) -> Result<Self> {
        let cfg = exp.train_loader();
        let loader = Loader::train(&setup.index, &setup.view, &cfg, exp.run.seed)?;
        let mut loader = setup.memory.lend(loader);
        let steps_per_epoch = loader.batches_per_epoch().div_ceil(exp.trainer.accumulate);
        let epochs = exp.trainer.epochs.unwrap_or_default();
        let steps = exp.trainer.steps.unwrap_or(epochs * steps_per_epoch);
        let mut schedule = Schedule::new(&exp.optim.schedule, exp.optim.lr, steps);
        let mut state = State::new(schedule.state());
        let mut optim = build_optim(exp, &exp.optim.rule, &setup.model);
        if let Some(saved) = saved {
            state = saved.state;
            kept::restore(&setup.model, &saved.model, &dir.last())?;
            if let Some(stage) = state.stage.and_then(|n| schedule.stages().get(n)) {
                optim = build_optim(exp, &stage.rule, &setup.model);
            }
            optim.restore(saved.optim)?;
            schedule.restore(state.schedule);
            loader = loader.resume(state.loader)?;
            if state.ended == Some(Ending::Done) && state.step < steps {
                state.ended = None; // the training was made longer
            }
        }
        let (file, rows) = LogFile::open(&dir.log(), state.step)?;
        let curves = Curves::open(dir.path(), wall(), &rows)?;
        kept::link_best(dir, &state.kept)?;
        Ok(Self {
            exp,
            dir,
            loader,
            cached: Cached::default(),
            optim,
            schedule,
            steps,
            steps_per_epoch,
            kept_before: state.kept.clone(),
            window: Window::new(std::mem::take(&mut state.window)),
            saved: (state.step > 0).then_some(state.step),
            state,
            setup,
            file,
            curves,
            meter: Meter::new(),
            begun: Instant::now(),
        })
    }

    /// Epoch of the next step, from 0.
    fn epoch(&self) -> u64 {
        self.state.step / self.steps_per_epoch
    }

    /// The batches of the next step, and how long they took to come; the last step of an epoch takes what is left.
    fn next_batches(&mut self) -> Result<(Vec<Batch>, Duration)> {
        let begun = Instant::now();
        let done = self.state.step % self.steps_per_epoch * self.exp.trainer.accumulate;
        let left = self.loader.batches_per_epoch() - done;
        let mut batches = Vec::new();
        for _ in 0..left.min(self.exp.trainer.accumulate) {
            let batch = self.loader.next();
            batches.push(batch.ok_or(Error::NoBatch { step: self.state.step + 1 })??);
        }
        Ok((batches, begun.elapsed()))
    }

    /// Gradients of the mean loss over all samples of the batches; that loss, and the extras of the last batch.
    fn backward(&self, batches: &[Batch]) -> Result<(Tensor, Extras)> {
        let samples: usize = batches.iter().map(|b| b.keys.len()).sum();
        let zero = Tensor::f_zeros([0i64; 0], (Kind::Float, self.setup.device))?;
        let (mut sum, mut last) = (zero, Extras::new());
        for batch in batches {
            let (loss, extras) = self.setup.objective.loss(&self.setup.model, batch)?;
            let share = loss.f_mul_scalar(batch.keys.len() as f64 / samples as f64)?;
            self.setup.model.backward(&share)?;
            sum = sum.f_add(&share.detach())?;
            last = extras;
        }
        Ok((sum, last))
    }

    /// Counts a step that has been taken.
    fn end_step(&mut self, batches: Vec<Batch>, waited: Duration, loss: Tensor, norm: Tensor) {
        let keys: Vec<String> = batches.iter().flat_map(|b| b.keys.clone()).collect();
        self.state.samples += keys.len() as u64;
        self.meter.step(keys.len(), waited);
        self.window.push(self.state.step, &keys, loss, norm);
        for batch in batches {
            self.state.loader = batch.after;
            if !self.cached.is_filling() {
                self.loader.recycle(batch);
            }
        }
    }

    /// Another optimizer takes over when a stage of the schedule begins.
    fn enter_stage(&mut self, log: &mut dyn Log) -> Result<()> {
        let stage = self.schedule.stage(self.epoch());
        if stage == self.state.stage {
            return Ok(());
        }
        let (Some(n), Some(next)) = (stage, stage.map(|n| self.schedule.stages()[n].clone()))
        else {
            return Ok(());
        };
        let before = self.state.stage.map(|n| &self.schedule.stages()[n].rule);
        if *before.unwrap_or(&self.exp.optim.rule) != next.rule {
            self.optim = build_optim(self.exp, &next.rule, &self.setup.model);
        }
        if next.reload_best && self.dir.best().exists() {
            let best = self.dir.best();
            kept::restore(&self.setup.model, &kept::read(&best)?, &best)?;
        }
        self.state.stage = stage;
        let text = format!("stage {} begins: rate {}, {}", n + 1, next.lr, next.rule);
        self.push(event(self.state.step, "stage", text), log)
    }

    /// The mean of the losses since the row before.
    fn log_step(&mut self, lr: f64, extras: &Extras, log: &mut dyn Log) -> Result<()> {
        self.read_losses()?;
        if let Some(text) = self.setup.memory.news() {
            self.push(event(self.state.step, "memory", text), log)?;
        }
        let (loss, grad_norm) = self.window.take_row();
        let mut numbers = BTreeMap::new();
        for (name, value) in extras {
            numbers.insert((*name).to_owned(), value.f_double_value(&[])?);
        }
        let row = Row::Step {
            step: self.state.step,
            epoch: (self.state.step - 1) / self.steps_per_epoch,
            loss,
            lr,
            grad_norm,
            extras: numbers,
            timing: self.meter.row(),
        };
        self.push(row, log)
    }

    /// Waits for the device and looks at every loss since it was last done.
    fn read_losses(&mut self) -> Result<()> {
        let losses = self.window.read().map_err(|lost| match lost {
            crate::window::Lost::NotFinite(lost) => Error::NotFinite {
                step: lost.step,
                what: lost.what,
                value: lost.value,
                keys: lost.keys.join(", "),
                kept: self.kept_text(),
            },
            crate::window::Lost::Torch(e) => e.into(),
        })?;
        let (sum, count) = &mut self.state.epoch_loss;
        *sum += losses.iter().sum::<f64>();
        *count += losses.len() as u64;
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<()> {
        self.read_losses()?;
        let (sum, count) = std::mem::take(&mut self.state.epoch_loss);
        if self.schedule.watches() == Some(Watch::TrainLoss) && count > 0 {
            self.schedule.observe(sum / count as f64);
        }
        Ok(())
    }

    fn validation_due(&self) -> bool {
        let step = self.state.step;
        let every = self.exp.trainer.validate_steps.unwrap_or(self.steps_per_epoch);
        let due = step.is_multiple_of(every) || step == self.steps;
        step > 0 && due && self.state.validated != step && self.state.ended.is_none()
    }

    fn save_due(&self) -> bool {
        let step = self.state.step;
        step > 0 && step.is_multiple_of(self.exp.trainer.save_steps) && self.saved != Some(step)
    }

    fn kept_text(&self) -> String {
        match self.saved {
            Some(step) => format!("the state after step {step} is kept in last"),
            None => "nothing was saved yet".to_owned(),
        }
    }

    fn ending(&self, stopping: bool) -> Option<Ending> {
        match self.state.ended {
            Some(Ending::EarlyStop) => Some(Ending::EarlyStop),
            _ if stopping => Some(Ending::Stopped),
            _ => (self.state.step >= self.steps).then_some(Ending::Done),
        }
    }

    fn end(mut self, ending: Ending, log: &mut dyn Log) -> Result<Outcome> {
        if ending != Ending::Stopped && self.state.ended.is_none() {
            self.state.ended = Some(ending);
        }
        if self.saved != Some(self.state.step) || ending != Ending::Stopped {
            self.save()?;
        }
        if ending != Ending::Stopped && self.dir.best().exists() {
            let best = self.dir.best();
            kept::restore(&self.setup.model, &kept::read(&best)?, &best)?;
            self.setup.objective.export(&self.setup.model, self.dir.path())?;
        }
        let outcome = Outcome {
            ending,
            step: self.state.step,
            steps: self.steps,
            kept: self.state.kept.clone(),
            steps_per_epoch: self.steps_per_epoch,
            seconds: self.state.seconds,
        };
        report::finish(self.dir, &outcome, &self.setup, &self.state, self.loader.skipped())?;
        log.pace(&self.meter.pace(self.state.step, self.steps));
        Ok(outcome)
    }

    fn push(&mut self, row: Row, log: &mut dyn Log) -> Result<()> {
        self.file.push(&self.dir.log(), &row)?;
        self.curves.push(&row)?;
        log.row(&row);
        Ok(())
    }
}

fn build_optim(exp: &Experiment, rule: &Rule, model: &Model) -> Box<dyn Optimizer> {
    let params = model.trainable().into_iter().map(|(name, tensor)| {
        let lr_scale = exp.optim.lr_scale(&name);
        Param { name, tensor, lr_scale }
    });
    rule.build(params.collect())
}

pub(crate) fn event(step: u64, event: &str, text: String) -> Row {
    let timing = Timing { wall: wall(), ..Timing::default() };
    Row::Event { step, event: event.to_owned(), text, timing }
}

pub(crate) fn scoring_pace(begun: Instant, done: u64, total: u64) -> Pace {
    let seconds = begun.elapsed().as_secs_f64().max(1e-9);
    let eta_s = seconds / done.max(1) as f64 * total.saturating_sub(done) as f64;
    let samples_s = done as f64 / seconds;
    Pace { phase: Phase::Scoring, done, total, samples_s, stall: 0.0, eta_s }
}

/// Seed of everything random on the device during a step (splitmix64 of seed and step).
fn step_seed(seed: u64, step: u64) -> i64 {
    let mut z = seed ^ step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 1) as i64
}
