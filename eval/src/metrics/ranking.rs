//! How well scores rank positives above negatives: ROC-AUC and average precision, ties exact.
//!
//! ROC-AUC = P(positive above negative) + P(tie) / 2. Average precision = sum over distinct scores, highest first, of
//! (gain in recall) * precision, all items of one score entering together, no interpolation. A class without
//! positives has neither; one without negatives has no ROC-AUC and an average precision of 1. Macro averages run over
//! the classes where the value exists (scikit-learn counts an average precision of 0 for a class without positives).
//! Letters: N items, C classes.

use super::{Error, Result, mean, rows, same};
use serde::Serialize;

/// Both values of one ranking; `None` where undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranking {
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
}

/// One class of a tagging task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassRanking {
    /// Area under the ROC curve; needs a positive and a negative.
    pub roc_auc: Option<f64>,
    /// Average precision; needs a positive.
    pub average_precision: Option<f64>,
    /// Items that carry the tag.
    pub positives: u64,
}

/// Scores of a tagging task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaggingScores {
    /// Mean over the classes where the value is defined: what papers report.
    #[serde(rename = "macro")]
    pub macro_avg: Ranking,
    /// All N * C cells as one ranking.
    #[serde(rename = "micro")]
    pub micro_avg: Ranking,
    /// Mean over defined classes, weighted by positives.
    #[serde(rename = "weighted")]
    pub weighted_avg: Ranking,
    /// Class by class, in the order of the columns.
    pub per_class: Vec<ClassRanking>,
    /// Classes where at least one value is undefined, ascending.
    pub undefined: Vec<usize>,
}

/// Area under the ROC curve; `None` without a positive, without a negative, or with a score that is not a number.
/// Panics when the slices differ in length.
pub fn roc_auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), labels.len(), "one label per score");
    if scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    rank(&mut pairs(scores.iter().copied(), labels.iter().copied())).roc_auc
}

/// Average precision; `None` without a positive or with a score that is not a number. Panics when the slices differ
/// in length.
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), labels.len(), "one label per score");
    if scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    rank(&mut pairs(scores.iter().copied(), labels.iter().copied())).average_precision
}

/// All of them for scores and labels `[N, C]`, row-major. Fails on a NaN, naming item and class, and on lengths that
/// do not fit.
pub fn tagging(scores: &[f32], labels: &[bool], classes: usize) -> Result<TaggingScores> {
    rows("scores", scores.len(), classes)?;
    same("labels", scores.len(), labels.len())?;
    if let Some(at) = scores.iter().position(|s| s.is_nan()) {
        return Err(Error::NotANumber { item: at / classes, class: at % classes });
    }
    let per_class: Vec<ClassRanking> = (0..classes)
        .map(|class| {
            let column = |x: usize| x * classes + class;
            let items = 0..scores.len() / classes;
            let mut pairs: Vec<Pair> =
                items.map(|i| (ordered(scores[column(i)]), labels[column(i)])).collect();
            let positives = pairs.iter().filter(|p| p.1).count() as u64;
            let Ranking { roc_auc, average_precision } = rank(&mut pairs);
            ClassRanking { roc_auc, average_precision, positives }
        })
        .collect();
    let undefined = |c: &ClassRanking| c.roc_auc.is_none() || c.average_precision.is_none();
    Ok(TaggingScores {
        macro_avg: Ranking {
            roc_auc: mean(per_class.iter().filter_map(|c| c.roc_auc)),
            average_precision: mean(per_class.iter().filter_map(|c| c.average_precision)),
        },
        micro_avg: rank(&mut pairs(scores.iter().copied(), labels.iter().copied())),
        weighted_avg: Ranking {
            roc_auc: weighted(&per_class, |c| c.roc_auc),
            average_precision: weighted(&per_class, |c| c.average_precision),
        },
        undefined: (0..classes).filter(|&c| undefined(&per_class[c])).collect(),
        per_class,
    })
}

fn weighted(classes: &[ClassRanking], value: fn(&ClassRanking) -> Option<f64>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for class in classes {
        if let Some(v) = value(class) {
            sum += v * class.positives as f64;
            total += class.positives as f64;
        }
    }
    (total > 0.0).then(|| sum / total)
}

/// A score as an integer in the same order, and its label.
type Pair = (u32, bool);

fn pairs(scores: impl Iterator<Item = f32>, labels: impl Iterator<Item = bool>) -> Vec<Pair> {
    scores.map(ordered).zip(labels).collect()
}

/// Bits that compare as unsigned integers the way the numbers compare; both zeros are one.
fn ordered(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn rank(pairs: &mut [Pair]) -> Ranking {
    pairs.sort_unstable_by_key(|p| std::cmp::Reverse(p.0));
    let positives = pairs.iter().filter(|p| p.1).count() as u64;
    let negatives = pairs.len() as u64 - positives;
    // counted so far, from the highest score down; `beaten` holds twice the pairs that are in the right order
    let (mut above_positive, mut above, mut beaten, mut precision) = (0u64, 0u64, 0u128, 0.0);
    for tied in pairs.chunk_by(|a, b| a.0 == b.0) {
        let here = tied.iter().filter(|p| p.1).count() as u64;
        let wrong = tied.len() as u64 - here;
        beaten += u128::from(wrong) * u128::from(2 * above_positive + here);
        above_positive += here;
        above += tied.len() as u64;
        precision += here as f64 * (above_positive as f64 / above as f64);
    }
    Ranking {
        roc_auc: (positives > 0 && negatives > 0)
            .then(|| beaten as f64 / (2.0 * positives as f64 * negatives as f64)),
        average_precision: (positives > 0).then(|| precision / positives as f64),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_perfect_ranking_is_one_a_reversed_one_zero_and_a_tie_one_half() {
        let labels = [true, true, false];
        assert_eq!(roc_auc(&[3.0, 2.0, 1.0], &labels), Some(1.0));
        assert_eq!(roc_auc(&[1.0, 2.0, 3.0], &labels), Some(0.0));
        assert_eq!(roc_auc(&[5.0, 5.0, 5.0], &labels), Some(0.5));
        assert_eq!(average_precision(&[5.0, 5.0, 5.0], &labels), Some(2.0 / 3.0));
        assert_eq!(average_precision(&[3.0, 2.0, 1.0], &labels), Some(1.0));
    }

    #[test]
    fn what_is_undefined_is_none() {
        assert_eq!(roc_auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(average_precision(&[1.0, 2.0], &[true, true]), Some(1.0));
        assert_eq!(average_precision(&[1.0, 2.0], &[false, false]), None);
        assert_eq!(roc_auc(&[], &[]), None);
        assert_eq!(roc_auc(&[f32::NAN, 1.0], &[true, false]), None);
    }

    #[test]
    fn infinities_and_signed_zeros_rank_as_numbers_do() {
        let scores = [f32::NEG_INFINITY, -1.0, -0.0, 0.0, 1e-40, f32::INFINITY];
        let order: Vec<u32> = scores.into_iter().map(ordered).collect();
        assert!(order.is_sorted() && order[2] == order[3] && order[3] < order[4]);
    }

    #[test]
    fn roc_auc_equals_counting_every_pair() {
        let scores: Vec<f32> = (0..200).map(|i| (i * 37 % 23) as f32).collect();
        let labels: Vec<bool> = (0..200).map(|i| i * i % 7 < 3).collect();
        let (mut won, mut all) = (0.0, 0.0);
        for i in (0..200).filter(|&i| labels[i]) {
            for j in (0..200).filter(|&j| !labels[j]) {
                all += 1.0;
                won += if scores[i] > scores[j] { 1.0 } else { 0.0 };
                won += if scores[i] == scores[j] { 0.5 } else { 0.0 };
            }
        }
        assert_eq!(roc_auc(&scores, &labels), Some(won / all));
    }

    #[test]
    fn a_score_that_is_not_a_number_is_named_by_item_and_class() {
        let error = tagging(&[0.0, 1.0, 2.0, f32::NAN], &[true; 4], 2).unwrap_err();
        assert_eq!(error.to_string(), "score of item 1, class 1: expected a number, got NaN");
    }

    #[test]
    fn lengths_that_do_not_fit_are_errors() {
        assert!(tagging(&[0.0; 5], &[true; 5], 2).is_err());
        assert!(tagging(&[0.0; 4], &[true; 5], 2).is_err());
        assert!(tagging(&[0.0; 4], &[true; 4], 0).is_err());
        assert_eq!(tagging(&[], &[], 2).unwrap().undefined, [0, 1]);
    }

    #[test]
    fn the_json_has_null_where_a_value_is_undefined() {
        let scores = tagging(&[0.9, 0.1, 0.2, 0.8], &[true, false, false, false], 2).unwrap();
        let json = serde_json::to_value(&scores).unwrap();
        assert_eq!(json["macro"]["roc_auc"], 1.0);
        assert!(json["per_class"][1]["average_precision"].is_null());
        assert_eq!(json["per_class"][0]["positives"], 1);
        assert_eq!(json["undefined"], serde_json::json!([1]));
    }
}
