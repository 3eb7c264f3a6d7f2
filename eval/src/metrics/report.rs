//! Precision, recall and F1 of yes-or-no answers, and the text table that the transfer study writes.
//!
//! precision = hits / answers, recall = hits / truths, F1 = 2 hits / (answers + truths); a ratio over nothing is 0.
//! Averages: micro pools all cells, macro is the mean over classes, weighted the mean weighted by truths, samples the
//! mean over items. Letters: N items, C classes.

use super::{Result, rows, same};
use serde::Serialize;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Line {
    /// Share of the answers that are true.
    pub precision: f64,
    /// Share of the truths that are answered.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Truths.
    pub support: u64,
    /// Answers that are not true.
    pub wrong: u64,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Class by class.
    pub per_class: Vec<Line>,
    /// All cells pooled.
    #[serde(rename = "micro")]
    pub micro_avg: Line,
    /// Mean over classes, empty ones included as 0.
    #[serde(rename = "macro")]
    pub macro_avg: Line,
    /// Mean over classes weighted by truths.
    #[serde(rename = "weighted")]
    pub weighted_avg: Line,
    /// Mean over items.
    #[serde(rename = "samples")]
    pub samples_avg: Line,
}

/// Probabilities as answers: above one half is yes (one half itself rounds to the even 0).
pub fn rounded(scores: &[f32]) -> Vec<bool> {
    scores.iter().map(|&s| s > 0.5).collect()
}

/// The table for answers and labels `[N, C]`, row-major. Fails on lengths that do not fit.
pub fn report(answers: &[bool], labels: &[bool], classes: usize) -> Result<Report> {
    let items = rows("answers", answers.len(), classes)?;
    same("labels", answers.len(), labels.len())?;
    let count = |cells: &mut dyn Iterator<Item = usize>| {
        cells.fold(Counts::default(), |c, at| c.add(answers[at], labels[at]))
    };
    let per_class: Vec<Line> =
        (0..classes).map(|c| count(&mut (0..items).map(|i| i * classes + c)).line()).collect();
    let per_item = (0..items).map(|i| count(&mut (i * classes..(i + 1) * classes)).line());
    let micro_avg = count(&mut (0..answers.len())).line();
    Ok(Report {
        macro_avg: average(per_class.iter().map(|l| (*l, 1.0)), micro_avg.support),
        weighted_avg: average(per_class.iter().map(|l| (*l, l.support as f64)), micro_avg.support),
        samples_avg: average(per_item.map(|l| (l, 1.0)), micro_avg.support),
        micro_avg,
        per_class,
    })
}

impl Report {
    /// The table as text, two decimals, names right-aligned; `names` one per class, or numbers from 0.
    pub fn text(&self, names: Option<&[String]>) -> Result<String> {
        let names = match names {
            Some(names) => {
                same("names", self.per_class.len(), names.len())?;
                names.to_vec()
            }
            None => (0..self.per_class.len()).map(|i| i.to_string()).collect(),
        };
        let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let width = longest.max("weighted avg".len());
        let row = |name: &str, l: &Line| {
            format!(
                "{name:>width$}  {:>9.2} {:>9.2} {:>9.2} {:>9}\n",
                l.precision, l.recall, l.f1, l.support
            )
        };
        let mut text = format!(
            "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n\n",
            "", "precision", "recall", "f1-score", "support"
        );
        text.extend(names.iter().zip(&self.per_class).map(|(name, line)| row(name, line)));
        text.push('\n');
        text.extend([
            row("micro avg", &self.micro_avg),
            row("macro avg", &self.macro_avg),
            row("weighted avg", &self.weighted_avg),
            row("samples avg", &self.samples_avg),
        ]);
        Ok(text)
    }
}

#[derive(Default)]
struct Counts {
    hits: u64,
    answers: u64,
    truths: u64,
}

impl Counts {
    fn add(self, answer: bool, truth: bool) -> Self {
        Self {
            hits: self.hits + u64::from(answer && truth),
            answers: self.answers + u64::from(answer),
            truths: self.truths + u64::from(truth),
        }
    }

    fn line(&self) -> Line {
        let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        Line {
            precision: ratio(self.hits, self.answers),
            recall: ratio(self.hits, self.truths),
            f1: ratio(2 * self.hits, self.answers + self.truths),
            support: self.truths,
            wrong: self.answers - self.hits,
        }
    }
}

fn average(lines: impl Iterator<Item = (Line, f64)>, support: u64) -> Line {
    let mut sum = Line { support, ..Line::default() };
    let mut total = 0.0;
    for (line, weight) in lines {
        sum.precision += line.precision * weight;
        sum.recall += line.recall * weight;
        sum.f1 += line.f1 * weight;
        total += weight;
    }
    if total > 0.0 {
        sum.precision /= total;
        sum.recall /= total;
        sum.f1 /= total;
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn one_half_is_no() {
        assert_eq!(
            rounded(&[0.5, 0.500_001, 0.0, 1.0, f32::NAN]),
            [false, true, false, true, false]
        );
    }

    #[test]
    fn a_ratio_over_nothing_is_zero() {
        let report = report(&[false; 4], &[false; 4], 2).unwrap();
        assert_eq!(report.macro_avg, Line::default());
        assert_eq!(report.per_class, [Line::default(); 2]);
    }

    #[test]
    fn one_hit_one_miss_and_one_false_alarm_are_one_half_each() {
        let report = report(&[true, true, false], &[true, false, true], 1).unwrap();
        assert_eq!(
            report.micro_avg,
            Line { precision: 0.5, recall: 0.5, f1: 0.5, support: 2, wrong: 1 }
        );
    }

    #[test]
    fn a_name_too_few_is_an_error() {
        let report = report(&[true, true], &[true, false], 2).unwrap();
        let error = report.text(Some(&["a".into()])).unwrap_err();
        assert_eq!(error.to_string(), "names: expected 2 values, got 1");
    }
}
