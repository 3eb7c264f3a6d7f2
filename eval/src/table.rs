//! The score table that `etude eval` prints: a line per class, then the means.

use crate::task::Scores;
use etude_manifests::table::{Table, bar, count};
use std::fmt::Write;

/// Width of a bar, terminal cells.
const BAR: usize = 12;

/// Class, ROC-AUC, average precision with a bar, chance, positives; where an example has one class, precision, recall and
/// F1 instead; then the means. Undefined values are `–`.
pub fn score_table(scores: &Scores) -> String {
    let mut out = String::new();
    if scores.per_class.iter().any(|c| c.f1.is_some()) {
        let mut table =
            Table::new(["class", ">precision", ">recall", ">F1", "", ">share", ">examples"]);
        for c in &scores.per_class {
            table.row([
                c.class.clone(),
                number(c.precision),
                number(c.recall),
                number(c.f1),
                bar(c.f1.unwrap_or(0.0), 1.0, BAR),
                number(Some(c.chance)),
                count(c.positives),
            ]);
        }
        let _ = writeln!(out, "{table}");
    } else if !scores.per_class.is_empty() {
        let mut table = Table::new(["class", ">ROC-AUC", ">AP", "", ">chance", ">positives"]);
        for c in &scores.per_class {
            let ap = c.average_precision;
            table.row([
                c.class.clone(),
                number(c.roc_auc),
                number(ap),
                bar(ap.unwrap_or(0.0), 1.0, BAR),
                number(Some(c.chance)),
                count(c.positives),
            ]);
        }
        let _ = writeln!(out, "{table}");
    }
    let mut means = Table::new(["score", ">mean", ">chance"]);
    for (name, value) in &scores.summary {
        means.row([name.clone(), number(Some(*value)), number(scores.chance.get(name).copied())]);
    }
    let _ = write!(out, "{means}");
    let _ = writeln!(out, "over {} examples", count(scores.examples as u64));
    if !scores.undefined.is_empty() {
        let names = scores.undefined.iter().filter_map(|&i| scores.per_class.get(i));
        let names: Vec<&str> = names.map(|c| c.class.as_str()).collect();
        let names = names.join(", ");
        let _ = writeln!(out, "left out of the means, lacking positives or negatives: {names}");
    }
    out
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ClassScores;

    #[test]
    fn the_table_has_a_line_per_class_and_names_what_is_left_out() {
        let class = |name: &str, roc_auc| ClassScores {
            class: name.to_owned(),
            roc_auc,
            average_precision: roc_auc,
            chance: 0.25,
            positives: 3,
            ..ClassScores::default()
        };
        let scores = Scores {
            summary: [("ROC-AUC".to_owned(), 0.75)].into(),
            chance: [("ROC-AUC".to_owned(), 0.5)].into(),
            per_class: vec![class("guitar", Some(0.75)), class("no vocals", None)],
            undefined: vec![1],
            examples: 12,
        };
        let text = score_table(&scores);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "guitar      0.7500  0.7500  █████████  0.2500          3");
        assert_eq!(lines[3], "no vocals        –       –             0.2500          3");
        assert_eq!(lines[7], "ROC-AUC  0.7500  0.5000");
        assert!(text.ends_with("lacking positives or negatives: no vocals\n"), "{text}");
    }
}
