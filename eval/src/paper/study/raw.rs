//! The files that the limited-data study was published in: the scores of one probe on one condition of the test audio.
//!
//! `raw_results/<run>/<dataset>_<model>_<size>_model-<probe>/clean_metrics.json`, and `deform_<i>_metrics.json` beside
//! it. Tags: both macro averages. One class per recording: scikit-learn's report of one-hot answers, classes by number,
//! averages behind them; for keys also the weighted score, over recordings and over reference keys.

use super::macro_scores;
use crate::error::Result;
use crate::metrics::key::scores;
use crate::metrics::report::{Line, report};
use crate::predictions::Stored;
use crate::tasks::TaskConfig;
use crate::tasks::class::highest;

/// A file of the published layout; `place` is what errors call the test split.
///
/// # Errors
/// [`crate::Error::Misfit`] when a tag never occurs, or always: its scores are not defined then. [`crate::Error::Metrics`]
/// for a class of a key task that is no key.
pub fn metrics_text(task: &TaskConfig, predictions: &Stored, place: &str) -> Result<String> {
    let fields = match task {
        TaskConfig::Tagging(_) => {
            let (roc_auc, average_precision) = macro_scores(predictions, place)?;
            numbers(&[("roc_auc", roc_auc), ("average_precision", average_precision)])
        }
        TaskConfig::Key(_) => {
            let mut fields = lines(predictions)?;
            fields.push(("weighted_accuracy".to_owned(), keys(predictions)?));
            fields
        }
        _ => lines(predictions)?,
    };
    Ok(object(&fields, 0))
}

/// Every class by number, then the averages.
fn lines(predictions: &Stored) -> Result<Vec<(String, String)>> {
    let width = predictions.classes.len();
    let mut answers = vec![false; predictions.scores.len()];
    for (n, row) in predictions.scores.chunks(width).enumerate() {
        answers[n * width + highest(row)] = true;
    }
    let found = report(&answers, &predictions.labels, width)?;
    let classes = found.per_class.iter().enumerate().map(|(n, line)| (n.to_string(), line));
    let averages = [
        ("micro avg", &found.micro_avg),
        ("macro avg", &found.macro_avg),
        ("weighted avg", &found.weighted_avg),
        ("samples avg", &found.samples_avg),
    ];
    let all = classes.chain(averages.map(|(name, line)| (name.to_owned(), line)));
    Ok(all.map(|(name, line)| (name, entry(line))).collect())
}

fn entry(line: &Line) -> String {
    let Line { precision, recall, f1, support, .. } = *line;
    let fields = [("precision", precision), ("recall", recall), ("f1-score", f1)];
    let mut fields = numbers(&fields);
    fields.extend(numbers(&[("support", support as f64)]));
    object(&fields, 1)
}

fn keys(predictions: &Stored) -> Result<String> {
    let Stored { classes, scores: outputs, labels, .. } = predictions;
    let answers = outputs.chunks(classes.len()).map(highest);
    let truths = labels.chunks(classes.len()).map(|row| row.iter().position(|on| *on));
    let pairs = truths
        .zip(answers)
        .filter_map(|(truth, answer)| Some((classes[truth?].as_str(), classes[answer].as_str())));
    let found = scores(&pairs.collect::<Vec<_>>())?;
    Ok(object(&numbers(&[("micro", found.weighted), ("macro", found.macro_avg)]), 1))
}

fn numbers(fields: &[(&str, f64)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), format!("{value:?}"))).collect()
}

/// JSON with the keys in this order, four spaces a level.
fn object(fields: &[(String, String)], level: usize) -> String {
    let indent = "    ".repeat(level);
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{indent}    \"{name}\": {value}")).collect();
    format!("{{\n{}\n{indent}}}", fields.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(classes: &[&str], scores: &[f32], labels: &[u8]) -> Stored {
        Stored {
            keys: Vec::new(),
            classes: classes.iter().map(|&c| c.to_owned()).collect(),
            scores: scores.to_vec(),
            labels: labels.iter().map(|&on| on == 1).collect(),
        }
    }

    fn text(task: &str, predictions: &Stored) -> String {
        metrics_text(&TaskConfig::named(task).unwrap(), predictions, "test").unwrap()
    }

    #[test]
    fn tags_have_both_macro_averages_as_published() {
        let found = text(
            "tagging",
            &stored(&["x", "y"], &[0.9, 0.1, 0.2, 0.8, 0.1, 0.3], &[1, 0, 0, 1, 0, 0]),
        );
        assert_eq!(found, "{\n    \"roc_auc\": 1.0,\n    \"average_precision\": 1.0\n}");
    }

    #[test]
    fn keys_have_the_report_of_one_hot_answers_and_the_weighted_score_behind_it() {
        let classes = ["C major", "G major", "A minor"];
        let found =
            text("key", &stored(&classes, &[0.1, 0.8, 0.1, 0.9, 0.0, 0.1], &[1, 0, 0, 1, 0, 0]));
        let json: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(json["weighted_accuracy"], serde_json::json!({ "micro": 0.75, "macro": 0.75 }));
        assert_eq!(
            json["0"],
            serde_json::json!({ "precision": 1.0, "recall": 0.5, "f1-score": 2.0 / 3.0, "support": 2.0 })
        );
        let at = |name: &str| found.find(&format!("    \"{name}\": {{\n")).unwrap();
        let names = ["0", "1", "2", "micro avg", "macro avg", "weighted avg", "samples avg"];
        assert!(names.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{found}");
        assert!(at("samples avg") < at("weighted_accuracy") && found.ends_with("    }\n}"));
        let class = text("class", &stored(&["x", "y"], &[0.6, 0.4], &[0, 1]));
        assert!(class.contains("\"micro avg\"") && !class.contains("weighted_accuracy"), "{class}");
    }
}
