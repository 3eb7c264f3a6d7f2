//! Regression of several targets at once, such as arousal and valence. Letters: N items, D targets.

use super::{Error, Result, mean, rows, same};
use serde::Serialize;

/// Scores of a regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegressionScores {
    /// 1 - SS_res / SS_tot per target; of a constant target 1 for perfect answers and 0 otherwise.
    pub r2: Vec<f64>,
    /// Their mean: what papers report.
    pub r2_mean: f64,
    /// Their mean weighted by SS_tot; the plain mean when all targets are constant.
    pub r2_variance_weighted: f64,
    /// Mean square of all differences.
    pub mse: f64,
}

/// Scores of answers and truths `[N, D]`, row-major. Fails on lengths that do not fit, on no items, and on a NaN.
pub fn regression(answers: &[f64], truths: &[f64], targets: usize) -> Result<RegressionScores> {
    let items = rows("answers", answers.len(), targets)?;
    same("truths", answers.len(), truths.len())?;
    if items == 0 {
        return Err(Error::Length { what: "answers", expected: targets.max(1), got: 0 });
    }
    if let Some(at) = answers.iter().zip(truths).position(|(a, t)| a.is_nan() || t.is_nan()) {
        return Err(Error::NotANumber { item: at / targets, class: at % targets });
    }
    let (mut r2, mut spread, mut missed) = (Vec::new(), Vec::new(), 0.0);
    for d in 0..targets {
        let column = |x: &'_ [f64]| x.iter().skip(d).step_by(targets).copied().collect::<Vec<_>>();
        let (answers, truths) = (column(answers), column(truths));
        let middle = truths.iter().sum::<f64>() / items as f64;
        let total: f64 = truths.iter().map(|t| (t - middle).powi(2)).sum();
        let rest: f64 = truths.iter().zip(&answers).map(|(t, a)| (t - a).powi(2)).sum();
        r2.push(match (rest == 0.0, total == 0.0) {
            (true, _) => 1.0,
            (false, true) => 0.0,
            (false, false) => 1.0 - rest / total,
        });
        spread.push(total);
        missed += rest;
    }
    let none = || Error::Length { what: "targets", expected: 1, got: 0 };
    let r2_mean = mean(r2.iter().copied()).ok_or_else(none)?;
    let all: f64 = spread.iter().sum();
    let weighted = r2.iter().zip(&spread).map(|(r, s)| r * s).sum::<f64>() / all;
    Ok(RegressionScores {
        r2_variance_weighted: if all > 0.0 { weighted } else { r2_mean },
        r2_mean,
        r2,
        mse: missed / answers.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_constant_target_is_one_when_perfect_and_zero_otherwise() {
        assert_eq!(regression(&[2.0, 2.0], &[2.0, 2.0], 1).unwrap().r2, [1.0]);
        assert_eq!(regression(&[2.0, 2.5], &[2.0, 2.0], 1).unwrap().r2, [0.0]);
    }

    #[test]
    fn answering_the_mean_scores_zero() {
        assert_eq!(regression(&[2.0, 2.0], &[1.0, 3.0], 1).unwrap().r2_mean, 0.0);
    }

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        assert!(regression(&[], &[], 2).is_err());
        assert!(regression(&[1.0; 3], &[1.0; 3], 2).is_err());
        assert_eq!(
            regression(&[1.0, f64::NAN], &[1.0, 1.0], 2),
            Err(Error::NotANumber { item: 0, class: 1 })
        );
    }
}
