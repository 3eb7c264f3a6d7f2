//! The transfer study: a map of every model's scores over targets and sources, and the published report of each row.

use super::heat::{Map, draw};
use super::{Drawn, Published, Shown, drawn, macro_scores, mean, number};
use crate::error::Result;
use crate::metrics::report::{report, rounded};
use crate::predictions::Stored;
use crate::tasks::tagging::{MAP, ROC_AUC};
use etude_manifests::table::Table;
use std::fmt::Write;

/// Everything known of a transfer study.
#[derive(Debug, Clone, Default)]
pub struct Transfer {
    /// Its name.
    pub name: String,
    /// Models, in the order of the figures.
    pub models: Vec<String>,
    /// Corpora, in the order of the maps.
    pub corpora: Vec<String>,
    /// What was measured.
    pub cells: Vec<TransferCell>,
    /// What was published, by target, model, source and kind.
    pub published: Published,
    /// Rows done and planned.
    pub done: (usize, usize),
}

/// One score.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferCell {
    /// Corpus it is scored on.
    pub target: String,
    /// Name of the model.
    pub model: String,
    /// Corpus it comes from; the target itself for one that began there.
    pub source: String,
    /// `scratch`, `full` or `last`.
    pub kind: &'static str,
    /// Seed.
    pub seed: u64,
    /// Name of the score.
    pub score: String,
    /// Its value.
    pub value: f64,
}

/// Columns of the published scores before `score` and `value`.
pub const TRANSFER_COLUMNS: [&str; 4] = ["target", "model", "source", "kind"];
/// Scores that are drawn.
const SCORES: [&str; 2] = [ROC_AUC, MAP];
/// Kinds of transfer, and what they are called.
const KINDS: [(&str, &str); 2] = [("full", "whole network"), ("last", "last layer only")];

impl Transfer {
    /// Mean over seeds.
    fn value(&self, at: [&str; 4], score: &str) -> Option<f64> {
        let is = |c: &&TransferCell| {
            [c.target.as_str(), &c.model, &c.source, c.kind] == at && c.score == score
        };
        mean(&self.cells.iter().filter(is).map(|c| c.value).collect::<Vec<_>>())
    }

    /// `[target][source]`, with the networks that began on the target on the diagonal.
    fn map(&self, get: impl Fn(&str, &str, bool) -> Option<f64>) -> Vec<Vec<Option<f64>>> {
        let row = |target: &String| {
            self.corpora.iter().map(|source| get(target, source, target == source)).collect()
        };
        self.corpora.iter().map(row).collect()
    }
}

/// Figures, page, CSV and tables.
pub fn transfer(study: &Transfer) -> Drawn {
    let mut figures = Vec::new();
    for score in SCORES {
        for (kind, words) in KINDS {
            figures.extend(figure(study, score, kind, words));
        }
    }
    let (done, planned) = study.done;
    let about = format!(
        "{done} of {planned} rows scored on the test split of their target. Each network is trained on one corpus and \
         tuned to another; on the diagonal stand the networks that know the target only."
    );
    drawn(&study.name, &about, &figures, csv(study), text(study))
}

/// A map per model; beside each the published one, if there are published numbers at all.
fn figure(study: &Transfer, score: &str, kind: &str, words: &str) -> Option<Shown> {
    let kind_of = |own: bool| if own { "scratch" } else { kind };
    let theirs = |model: &str| {
        study.map(|t, s, own| study.published.get(&[t, model, s, kind_of(own)], score))
    };
    let beside = study.models.iter().any(|m| theirs(m).iter().flatten().any(Option::is_some));
    let mut maps = Vec::new();
    for model in &study.models {
        let ours = study.map(|t, s, own| study.value([t, model, s, kind_of(own)], score));
        maps.push(Map { title: model.clone(), cells: ours });
        if beside {
            maps.push(Map { title: format!("{model} as published"), cells: theirs(model) });
        }
    }
    let title = format!("{score} after transfer that trains the {words}");
    let svg = draw(&title, &study.corpora, &maps, if beside { 2 } else { 3 })?;
    let mut caption = "Rows are targets, columns sources.".to_owned();
    if beside {
        caption += " Of the published transfers only the best source of each target is known.";
    }
    Some(Shown { name: format!("{score}_{kind}"), title, caption, svg })
}

fn csv(study: &Transfer) -> String {
    let mut out = "target,model,source,kind,seed,score,value,published\n".to_owned();
    let mut cells: Vec<&TransferCell> = study.cells.iter().collect();
    let place = |list: &[String], name: &str| list.iter().position(|n| n == name);
    cells.sort_by_key(|c| {
        let (target, model) = (place(&study.corpora, &c.target), place(&study.models, &c.model));
        ((target, model, place(&study.corpora, &c.source)), (c.kind, c.seed, c.score.clone()))
    });
    for c in cells {
        let names = [c.target.as_str(), &c.model, &c.source, c.kind];
        let published = study.published.get(&names, &c.score).map(|v| v.to_string());
        let _ = writeln!(
            out,
            "{},{},{},{},{},{},{},{}",
            c.target,
            c.model,
            c.source,
            c.kind,
            c.seed,
            c.score,
            c.value,
            published.unwrap_or_default()
        );
    }
    out
}

/// A table per target: every row with its scores beside the published ones.
fn text(study: &Transfer) -> String {
    let mut out = String::new();
    for target in &study.corpora {
        let heads = ["model", "from", "trains", ">ROC-AUC", ">published", ">mAP", ">published"];
        let mut table = Table::new(heads).indent(2);
        for model in &study.models {
            let mut rows = vec![(target.as_str(), "scratch", "all, from the seed")];
            for (kind, words) in KINDS {
                let others = study.corpora.iter().filter(|c| *c != target);
                rows.extend(others.map(|source| (source.as_str(), kind, words)));
            }
            for (source, kind, words) in rows {
                let at = [target.as_str(), model, source, kind];
                let values =
                    SCORES.map(|score| [study.value(at, score), study.published.get(&at, score)]);
                if values.iter().flatten().any(Option::is_some) {
                    let from = if kind == "scratch" { "–" } else { source };
                    let lead = [model.as_str(), from, words].map(str::to_owned);
                    table.row(lead.into_iter().chain(values.into_iter().flatten().map(number)));
                }
            }
        }
        if !table.is_empty() {
            let _ = writeln!(out, "{target}\n\n{table}");
        }
    }
    out
}

/// The published report of a row, `evaluation/<dataset>/<model>.txt`: both scores in full, then precision, recall and F1
/// of probabilities above one half, class by class; classes of a `numbered` dataset are numbers.
///
/// # Errors
/// [`crate::Error::Misfit`] when a tag never occurs, or always: the published scores are not defined then.
pub fn evaluation_text(
    model: &str,
    dataset: &str,
    predictions: &Stored,
    numbered: bool,
) -> Result<String> {
    let (roc, ap) = macro_scores(predictions, &format!("test split of {dataset}"))?;
    let Stored { scores, labels, classes, .. } = predictions;
    let table = report(&rounded(scores), labels, classes.len())?;
    let table = table.text((!numbered).then_some(classes))?;
    Ok(format!(
        "\nEvaluation of model \"{model}\" on \"{dataset}\" test set:\n\
         ROC-AUC score: {roc:?}\nPR-AUC score: {ap:?}\n\n{table}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_per_score_and_kind_has_a_map_per_model_with_the_published_best_beside_it() {
        let corpora = ["fma", "lyra"].map(str::to_owned).to_vec();
        let mut cells = Vec::new();
        for (t, target) in corpora.iter().enumerate() {
            for (s, source) in corpora.iter().enumerate() {
                let kinds = if t == s { &["scratch"][..] } else { &["full", "last"] };
                for kind in kinds.iter().copied() {
                    for score in SCORES {
                        cells.push(TransferCell {
                            target: target.clone(),
                            model: "vggish".into(),
                            source: source.clone(),
                            kind,
                            seed: 1,
                            score: score.into(),
                            value: 0.8 + 0.01 * (t + 2 * s) as f64,
                        });
                    }
                }
            }
        }
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("p.csv");
        let text = "target,model,source,kind,score,value\nlyra,vggish,fma,full,ROC-AUC,0.854\n";
        std::fs::write(&path, text).unwrap();
        let published = super::super::read_published(&path, &TRANSFER_COLUMNS).unwrap();
        let name = "ccml".to_owned();
        let models = vec!["vggish".to_owned()];
        let d = transfer(&Transfer { name, models, corpora, cells, published, done: (6, 6) });
        let names: Vec<&str> = d.figures.iter().map(|f| f.0.as_str()).collect();
        assert_eq!(names, ["ROC-AUC_full.svg", "ROC-AUC_last.svg", "mAP_full.svg", "mAP_last.svg"]);
        assert!(d.figures[0].1.contains(">vggish as published<"));
        assert!(!d.figures[1].1.contains("as published"));
        assert!(d.csv.contains("lyra,vggish,fma,full,1,ROC-AUC,0.81,0.854\n"), "{}", d.csv);
        let line = d.text.lines().filter(|l| l.contains("whole network")).nth(1).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, ["vggish", "fma", "whole", "network", "0.8100", "0.8540", "0.8100", "–"]);
    }

    #[test]
    fn a_tag_that_never_occurs_has_no_published_report() {
        let stored = Stored {
            keys: vec!["a:1".into(), "a:2".into()],
            classes: vec!["x".into(), "y".into()],
            scores: vec![0.1, 0.9, 0.7, 0.2],
            labels: vec![false, true, true, true],
        };
        let text = evaluation_text("vggish", "fma", &stored, false).unwrap_err().to_string();
        assert!(text.contains("every tag at least once") && text.ends_with("got y"), "{text}");
    }
}
