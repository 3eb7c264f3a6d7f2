//! Learning rates over time. Letters: g optimizer step from 0, W warm-up steps, M steps of the decay.
//!
//! Warm-up (every kind but `plateau` and `staged`): `lr (g + 1) / W` for g < W, then s = g - W counts from 0.
//! `constant`: lr. `linear`: from lr down to `lr_min` at s = M. `cosine`:
//! `lr_min + (lr - lr_min) (1 + cos(pi s / M)) / 2` for s < M; both stay at `lr_min` afterwards.
//! `plateau`: lr is multiplied by `factor` when the watched value has not fallen for more than `patience` epochs.
//! `epoch_decay`: up to lr in jumps, later multiplied by `factor` with every epoch.
//! `staged`: another optimizer from a given epoch on; the rate is constant inside a stage.

use crate::optim::Rule;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate moves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// The same rate throughout.
    Constant(Constant),
    /// A straight line down.
    Linear(Decay),
    /// Half a cosine down.
    Cosine(Decay),
    /// Down when nothing improves.
    Plateau(Plateau),
    /// Down with every epoch, after a warm-up in jumps.
    EpochDecay(EpochDecay),
    /// One optimizer after the other.
    Staged(Staged),
}

/// A constant rate, after an optional warm-up.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// W, steps; 0 = none.
    #[serde(default)]
    pub warmup: u64,
}

/// A decay over a known number of steps, after an optional warm-up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// W, steps; 0 = none.
    #[serde(default)]
    pub warmup: u64,
    /// M, steps from the end of the warm-up to `lr_min`; the whole training after the warm-up when left out.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Rate at and after the end.
    #[serde(default)]
    pub lr_min: f64,
}

/// torch's `ReduceLROnPlateau` with an absolute or relative threshold of 0.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// Multiplies the rate.
    #[serde(default = "half")]
    pub factor: f64,
    /// Epochs without improvement that are tolerated.
    #[serde(default = "ten")]
    pub patience: u64,
    /// Value looked at after every epoch: `train_loss` (mean over the epoch) or `valid_loss`.
    #[serde(default)]
    pub watch: Watch,
    /// The rate never falls below.
    #[serde(default)]
    pub lr_min: f64,
}

/// The audio spectrogram transformer's own: the rate climbs in jumps, stays, and falls by a factor with every epoch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochDecay {
    /// W, steps.
    pub warmup: u64,
    /// Steps from jump to jump.
    pub every: u64,
    /// Multiplies the rate with every epoch.
    pub factor: f64,
    /// First epoch with a lower rate, from 0.
    pub from_epoch: u64,
    /// What published code comes to that sets the rate anew at every step: lr, but for lr g / W at each jump.
    #[serde(default)]
    pub overwritten: bool,
}

impl EpochDecay {
    fn at(&self, lr: f64, step: u64, epoch: u64) -> f64 {
        let share = |steps: u64| steps.min(self.warmup) as f64 / self.warmup as f64;
        if self.overwritten {
            let jump = step > 0 && step <= self.warmup && step.is_multiple_of(self.every);
            return if jump { lr * share(step) } else { lr };
        }
        let risen = match step < self.warmup {
            true => lr * share((step / self.every + 1) * self.every),
            false => lr,
        };
        let falls = (epoch + 1).saturating_sub(self.from_epoch);
        risen * self.factor.powi(falls.min(i32::MAX as u64) as i32)
    }
}

/// What a plateau is a plateau of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// Mean training loss of the epoch, as in the limited-data study.
    #[default]
    TrainLoss,
    /// Validation loss.
    ValidLoss,
}

/// Stages in the order of their first epoch; before the first one the `[optim]` section rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// At least one.
    pub stages: Vec<Stage>,
}

/// An optimizer that takes over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// First epoch of this stage, from 0.
    pub from_epoch: u64,
    /// Rate of this stage.
    pub lr: f64,
    /// The update rule; its moments start at zero unless it equals the rule before.
    pub rule: Rule,
    /// Whether the best weights so far are loaded first, as the mixed schedule of the short-chunk CNNs does.
    #[serde(default)]
    pub reload_best: bool,
}

fn half() -> f64 {
    0.5
}

fn ten() -> u64 {
    10
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Constant(Constant::default())
    }
}

impl ScheduleConfig {
    /// Whether rates change when the training is made longer.
    pub(crate) fn depends_on_length(&self) -> bool {
        matches!(self, Self::Linear(d) | Self::Cosine(d) if d.steps.is_none())
    }
}

/// What a schedule has seen; part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleState {
    /// Product of all plateau factors so far.
    pub scale: f64,
    /// Lowest value seen at a plateau check.
    pub best: Option<f64>,
    /// Epochs since then.
    pub bad_epochs: u64,
}

/// The learning rate of every step.
#[derive(Debug, Clone)]
pub struct Schedule {
    cfg: ScheduleConfig,
    lr: f64,
    steps: u64,
    state: ScheduleState,
}

impl Schedule {
    /// `lr` is the rate of the `[optim]` section, `steps` the length of the training.
    pub fn new(cfg: &ScheduleConfig, lr: f64, steps: u64) -> Self {
        let state = ScheduleState { scale: 1.0, best: None, bad_epochs: 0 };
        Self { cfg: cfg.clone(), lr, steps, state }
    }

    /// Rate of step `step` (from 0), which lies in epoch `epoch` (from 0).
    pub fn at(&self, step: u64, epoch: u64) -> f64 {
        match &self.cfg {
            ScheduleConfig::Constant(c) => warm(self.lr, step, c.warmup).unwrap_or(self.lr),
            ScheduleConfig::Linear(d) => {
                self.decay(d, step, |x, lr| d.lr_min + (lr - d.lr_min) * (1.0 - x))
            }
            ScheduleConfig::Cosine(d) => self
                .decay(d, step, |x, lr| d.lr_min + 0.5 * (lr - d.lr_min) * (1.0 + (PI * x).cos())),
            ScheduleConfig::Plateau(p) => (self.lr * self.state.scale).max(p.lr_min),
            ScheduleConfig::EpochDecay(d) => d.at(self.lr, step, epoch),
            ScheduleConfig::Staged(s) => self.stage(epoch).map_or(self.lr, |n| s.stages[n].lr),
        }
    }

    /// Number of the stage that rules in an epoch; `None` = the `[optim]` section.
    pub fn stage(&self, epoch: u64) -> Option<usize> {
        self.stages().iter().rposition(|s| s.from_epoch <= epoch)
    }

    /// The stages; none unless the schedule is staged.
    pub fn stages(&self) -> &[Stage] {
        match &self.cfg {
            ScheduleConfig::Staged(s) => &s.stages,
            _ => &[],
        }
    }

    /// What a plateau wants to see after each epoch; `None` for every other kind.
    pub fn watches(&self) -> Option<Watch> {
        match &self.cfg {
            ScheduleConfig::Plateau(p) => Some(p.watch),
            _ => None,
        }
    }

    /// The watched value of an epoch that has just ended.
    pub fn observe(&mut self, value: f64) {
        let ScheduleConfig::Plateau(p) = &self.cfg else { return };
        if self.state.best.is_none_or(|best| value < best) {
            self.state.best = Some(value);
            self.state.bad_epochs = 0;
            return;
        }
        self.state.bad_epochs += 1;
        if self.state.bad_epochs > p.patience {
            self.state.scale *= p.factor;
            self.state.bad_epochs = 0;
        }
    }

    /// For a checkpoint.
    pub fn state(&self) -> ScheduleState {
        self.state
    }

    /// From a checkpoint.
    pub fn restore(&mut self, state: ScheduleState) {
        self.state = state;
    }

    fn decay(&self, d: &Decay, step: u64, curve: impl Fn(f64, f64) -> f64) -> f64 {
        if let Some(lr) = warm(self.lr, step, d.warmup) {
            return lr;
        }
        let (s, m) = (step - d.warmup, d.steps.unwrap_or(self.steps.saturating_sub(d.warmup)));
        if s < m { curve(s as f64 / m as f64, self.lr) } else { d.lr_min }
    }
}

/// Rate during the warm-up, `None` after it.
fn warm(lr: f64, step: u64, warmup: u64) -> Option<f64> {
    (step < warmup).then(|| lr * (step + 1) as f64 / warmup as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Rule;

    fn cosine(warmup: u64, steps: u64) -> Schedule {
        let decay = Decay { warmup, steps: Some(steps), lr_min: 1e-7 };
        Schedule::new(&ScheduleConfig::Cosine(decay), 1e-4, 0)
    }

    #[test]
    fn cosine_starts_at_lr_passes_the_middle_and_ends_at_lr_min() {
        let s = cosine(0, 20000);
        assert_eq!(s.at(0, 0), 1e-4);
        assert!((s.at(10000, 0) - (1e-7 + 0.5 * (1e-4 - 1e-7))).abs() < 1e-15);
        assert_eq!(s.at(20000, 0), 1e-7);
        assert_eq!(s.at(1_000_000, 0), 1e-7);
    }

    #[test]
    fn warm_up_counts_from_one_and_the_decay_starts_after_it() {
        let s = cosine(10, 100);
        assert!((s.at(0, 0) - 1e-5).abs() < 1e-18);
        assert!((s.at(9, 0) - 1e-4).abs() < 1e-18);
        assert_eq!(s.at(10, 0), 1e-4);
        assert_eq!(s.at(110, 0), 1e-7);
        assert!(s.at(109, 0) > 1e-7);
    }

    #[test]
    fn linear_covers_the_training_when_no_length_is_given() {
        let decay = Decay { warmup: 2, steps: None, lr_min: 0.0 };
        let s = Schedule::new(&ScheduleConfig::Linear(decay), 1.0, 12);
        let rates: Vec<f64> = (0..13).map(|g| s.at(g, 0)).collect();
        let want = [0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0];
        for (r, w) in rates.iter().zip(want) {
            assert!((r - w).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_plateau_halves_the_rate_after_more_than_patience_epochs() {
        let p = Plateau { factor: 0.5, patience: 2, watch: Watch::TrainLoss, lr_min: 0.3 };
        let mut s = Schedule::new(&ScheduleConfig::Plateau(p), 1.0, 0);
        for value in [5.0, 4.0, 4.0, 4.5] {
            s.observe(value);
            assert_eq!(s.at(0, 0), 1.0);
        }
        s.observe(4.0);
        assert_eq!(s.at(0, 0), 0.5);
        let saved = s.state();
        for _ in 0..3 {
            s.observe(9.0);
        }
        assert_eq!(s.at(0, 0), 0.3, "held by lr_min");
        s.restore(saved);
        assert_eq!(s.at(0, 0), 0.5);
    }

    #[test]
    fn a_stage_rules_from_its_first_epoch() {
        let stage = |from_epoch, lr| Stage { from_epoch, lr, rule: Rule::sgd(), reload_best: true };
        let staged = Staged { stages: vec![stage(80, 1e-3), stage(100, 1e-4)] };
        let s = Schedule::new(&ScheduleConfig::Staged(staged), 1e-4, 0);
        assert_eq!((s.stage(79), s.stage(80), s.stage(100)), (None, Some(0), Some(1)));
        assert_eq!((s.at(0, 79), s.at(0, 80), s.at(0, 99)), (1e-4, 1e-3, 1e-3));
        assert_eq!(s.at(0, 500), 1e-4);
    }

    #[test]
    fn the_transformers_rate_climbs_in_jumps_and_falls_with_every_epoch() {
        let cfg =
            EpochDecay { warmup: 1000, every: 50, factor: 0.85, from_epoch: 5, overwritten: false };
        let of = |cfg: &EpochDecay, step, epoch| {
            Schedule::new(&ScheduleConfig::EpochDecay(cfg.clone()), 1e-5, 9).at(step, epoch) / 1e-5
        };
        let at = |step, epoch| of(&cfg, step, epoch);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        for (step, share) in
            [(0, 0.05), (49, 0.05), (50, 0.1), (949, 0.95), (950, 1.0), (2000, 1.0)]
        {
            near(at(step, 0), share);
        }
        near(at(2000, 4), 1.0);
        near(at(2000, 5), 0.85);
        near(at(2000, 7), 0.85f64.powi(3));
        let published = EpochDecay { overwritten: true, ..cfg };
        for (step, share) in [(0, 1.0), (49, 1.0), (50, 0.05), (51, 1.0), (1000, 1.0), (1050, 1.0)]
        {
            near(of(&published, step, 9), share);
        }
    }
}
