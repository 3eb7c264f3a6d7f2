//! Early stopping: the end of a training that no longer improves.

use serde::{Deserialize, Serialize};

/// Which direction of a score is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Higher is better.
    Max,
    /// Lower is better.
    Min,
}

impl Mode {
    /// Whether `new` beats `old` by more than `delta`.
    pub fn better(self, new: f64, old: f64, delta: f64) -> bool {
        match self {
            Mode::Max => new > old + delta,
            Mode::Min => new < old - delta,
        }
    }
}

/// When to give up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoppingConfig {
    /// Validations without improvement that are tolerated.
    pub patience: u64,
    /// Improvement that counts, in units of the score.
    #[serde(default)]
    pub min_delta: f64,
    /// The score looked at, or `loss`; the one by which states are kept when left out.
    #[serde(default)]
    pub by: Option<String>,
}

/// What has been seen; part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopping {
    /// Best score so far.
    pub best: Option<f64>,
    /// Validations since then.
    pub bad: u64,
}

impl Stopping {
    /// Takes the score of a validation; whether training should end.
    pub fn observe(&mut self, cfg: &StoppingConfig, mode: Mode, score: f64) -> bool {
        if self.best.is_none_or(|best| mode.better(score, best, cfg.min_delta)) {
            *self = Self { best: Some(score), bad: 0 };
        } else {
            self.bad += 1;
        }
        self.bad > cfg.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_ends_after_more_than_patience_validations_without_improvement() {
        let cfg = StoppingConfig { patience: 2, min_delta: 0.01, by: None };
        let mut s = Stopping::default();
        let ends: Vec<bool> =
            [0.5, 0.6, 0.605, 0.6, 0.59].iter().map(|&x| s.observe(&cfg, Mode::Max, x)).collect();
        assert_eq!(ends, [false, false, false, false, true]);
        assert_eq!(s.best, Some(0.6));
    }

    #[test]
    fn lower_is_better_in_mode_min() {
        let cfg = StoppingConfig { patience: 0, min_delta: 0.0, by: None };
        let mut s = Stopping::default();
        assert!(!s.observe(&cfg, Mode::Min, 2.0));
        assert!(!s.observe(&cfg, Mode::Min, 1.0));
        assert!(s.observe(&cfg, Mode::Min, 1.0));
    }
}
