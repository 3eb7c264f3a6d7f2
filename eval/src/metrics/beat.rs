//! Beat tracking scores in the form of mir_eval: F-measure, Cemgil's accuracy, and continuity (Hainsworth 2004).
//! Times are seconds, ascending.

use super::{Error, Result};
use serde::Serialize;

/// Beats before this are not scored by convention.
pub const TRIM_S: f64 = 5.0;
/// Half of the F-measure's window.
const WINDOW_S: f64 = 0.07;
/// Width of Cemgil's bell curve.
const SIGMA_S: f64 = 0.04;
/// Largest error of phase and of period that keeps continuity, a share of the beat.
const CONTINUITY: f64 = 0.175;

/// All scores of one track.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BeatScores {
    /// Harmonic mean of precision and recall within 70 ms.
    pub f_measure: f64,
    /// Mean closeness under a bell curve of 40 ms.
    pub cemgil: f64,
    /// Longest correct stretch, at the annotated metrical level.
    pub cmlc: f64,
    /// All correct beats, at the annotated level.
    pub cmlt: f64,
    /// Longest correct stretch, at the best of five levels: as annotated, off-beat, double, half from either beat.
    pub amlc: f64,
    /// All correct beats, at the best level.
    pub amlt: f64,
}

/// Beats from [`TRIM_S`] on.
pub fn trim(beats: &[f64]) -> &[f64] {
    &beats[beats.partition_point(|&b| b < TRIM_S)..]
}

/// All scores of beats as they are given: [`trim`] them first for the conventional ones. An empty side scores 0.
/// Fails on times that do not ascend or are not finite.
pub fn scores(reference: &[f64], estimate: &[f64]) -> Result<BeatScores> {
    check("reference", reference)?;
    check("estimate", estimate)?;
    let levels = levels(reference);
    let continuity = levels.each_ref().map(|level| continuity(level, estimate));
    let best = |pick: fn(&(f64, f64)) -> f64| continuity.iter().map(pick).fold(0.0, f64::max);
    Ok(BeatScores {
        f_measure: f_measure(reference, estimate),
        cemgil: cemgil(reference, estimate),
        cmlc: continuity[0].0,
        cmlt: continuity[0].1,
        amlc: best(|c| c.0),
        amlt: best(|c| c.1),
    })
}

fn check(what: &str, beats: &[f64]) -> Result<()> {
    let ascends = |at: usize| at == 0 || beats[at] >= beats[at - 1];
    match (0..beats.len()).find(|&at| !(beats[at].is_finite() && ascends(at))) {
        None => Ok(()),
        Some(at) => Err(Error::Value {
            what: format!("{what} beat {at}"),
            expected: "a finite time, not before the beat ahead of it",
            got: beats[at].to_string(),
        }),
    }
}

/// 2 hits / (references + estimates); every beat is used at most once and as many as possible are.
fn f_measure(reference: &[f64], estimate: &[f64]) -> f64 {
    let (mut i, mut j, mut hits) = (0, 0, 0);
    while i < reference.len() && j < estimate.len() {
        if (reference[i] - estimate[j]).abs() <= WINDOW_S {
            (i, j, hits) = (i + 1, j + 1, hits + 1);
        } else if reference[i] < estimate[j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    if hits == 0 { 0.0 } else { 2.0 * hits as f64 / (reference.len() + estimate.len()) as f64 }
}

fn cemgil(reference: &[f64], estimate: &[f64]) -> f64 {
    if reference.is_empty() || estimate.is_empty() {
        return 0.0;
    }
    let near = |beat: f64| (nearest(estimate, beat).1 / SIGMA_S).powi(2);
    let sum: f64 = reference.iter().map(|&beat| (-near(beat) / 2.0).exp()).sum();
    sum / (0.5 * (reference.len() + estimate.len()) as f64)
}

/// Index of the beat nearest to a time (the earlier of two) and its distance; `beats` is not empty.
fn nearest(beats: &[f64], time: f64) -> (usize, f64) {
    let after = beats.partition_point(|&b| b < time).min(beats.len() - 1);
    let first = beats.partition_point(|&b| b < beats[after.saturating_sub(1)]); // first of equal beats
    let (before, after_gap) = ((beats[first] - time).abs(), (beats[after] - time).abs());
    if before <= after_gap { (first, before) } else { (after, after_gap) }
}

/// The annotation as it is, off-beat, at double tempo, and every other beat from the first and from the second.
fn levels(beats: &[f64]) -> [Vec<f64>; 5] {
    let middles: Vec<f64> = beats.windows(2).map(|w| w[0] + 0.5 * (w[1] - w[0])).collect();
    let mut double = Vec::new();
    for (i, &beat) in beats.iter().enumerate() {
        double.push(beat);
        double.extend(middles.get(i));
    }
    let every_other = |from: usize| beats.iter().skip(from).step_by(2).copied().collect();
    [beats.to_vec(), middles, double, every_other(0), every_other(1)]
}

/// Share of the longest run of correct beats, and of all correct beats. A beat is correct when its distance to the
/// nearest unused annotation, and its interval, are within 17.5 % of the annotated interval.
fn continuity(reference: &[f64], estimate: &[f64]) -> (f64, f64) {
    if reference.len() < 2 || estimate.len() < 2 {
        return (0.0, 0.0);
    }
    let mut used = vec![false; reference.len()];
    let (mut run, mut longest, mut total) = (0usize, 0, 0);
    for (m, &beat) in estimate.iter().enumerate() {
        let (at, distance) = nearest(reference, beat);
        let start = m == 0 || at == 0; // nothing before: look at the interval ahead
        let expected = interval(reference, at, start);
        let got = interval(estimate, m, start);
        let (phase, period) = if expected == 0.0 {
            let exact = |zero: bool, otherwise: f64| if zero { otherwise } else { f64::INFINITY };
            (exact(distance == 0.0, 1.0), exact(got == 0.0, 0.0))
        } else {
            (distance / expected, (1.0 - got / expected).abs())
        };
        if !used[at] && phase < CONTINUITY && period < CONTINUITY {
            used[at] = true;
            (run, total) = (run + 1, total + 1);
            longest = longest.max(run);
        } else {
            run = 0;
        }
    }
    let beats = reference.len().max(estimate.len()) as f64;
    (longest as f64 / beats, total as f64 / beats)
}

/// Interval at a beat: the one ahead when asked for and there is one, otherwise the one behind.
fn interval(beats: &[f64], at: usize, ahead: bool) -> f64 {
    if ahead && at + 1 < beats.len() {
        beats[at + 1] - beats[at]
    } else {
        beats[at] - beats[at - 1]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn pulse(from: f64, step: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| from + step * i as f64).collect()
    }

    #[test]
    fn a_perfect_estimate_scores_one_everywhere() {
        let beats = pulse(0.3, 0.5, 40);
        let s = scores(&beats, &beats).unwrap();
        assert_eq!([s.f_measure, s.cemgil, s.cmlc, s.cmlt, s.amlc, s.amlt], [1.0; 6]);
    }

    #[test]
    fn double_tempo_is_right_only_at_any_level() {
        let s = scores(&pulse(0.0, 1.0, 20), &pulse(0.0, 0.5, 39)).unwrap();
        assert_eq!((s.cmlt, s.amlc, s.amlt), (0.0, 1.0, 1.0));
    }

    #[test]
    fn seventy_milliseconds_are_a_hit_and_each_beat_hits_once() {
        assert_eq!(f_measure(&[1.0], &[1.0 + 0.0625]), 1.0);
        assert_eq!(f_measure(&[1.0], &[1.08]), 0.0);
        assert_eq!(f_measure(&[1.0], &[1.0, 1.01]), 2.0 / 3.0);
    }

    #[test]
    fn nothing_scores_nothing() {
        for (a, b) in [(vec![], vec![1.0]), (vec![1.0], vec![]), (vec![], vec![])] {
            let s = scores(&a, &b).unwrap();
            assert_eq!([s.f_measure, s.cemgil, s.cmlc, s.amlt], [0.0; 4]);
        }
    }

    #[test]
    fn the_first_five_seconds_are_trimmed() {
        assert_eq!(trim(&[1.0, 4.999, 5.0, 6.0]), [5.0, 6.0]);
        assert!(trim(&[1.0]).is_empty());
    }

    #[test]
    fn times_that_go_back_are_named() {
        let error = scores(&[1.0, 0.5], &[1.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reference beat 1: expected a finite time, not before the beat ahead of it, got 0.5"
        );
    }

    #[test]
    fn the_nearest_beat_is_found_like_a_search_of_all() {
        let beats = [0.0, 1.0, 1.0, 2.0, 4.0];
        for i in -10..60 {
            let time = f64::from(i) * 0.1;
            let all = beats.iter().map(|b| (b - time).abs());
            let slow =
                all.enumerate().fold((0, f64::INFINITY), |m, c| if c.1 < m.1 { c } else { m });
            assert_eq!(nearest(&beats, time), slow, "{time}");
        }
    }
}
