//! Predictions on disk: a safetensors file with `scores` `[N, C]` float32 and `labels` `[N, C]` u8; keys, classes and
//! windows per track are JSON in its metadata. Scores can be recomputed from it at any time.

use crate::error::{Error, Result};
use crate::predict::Predictions;
use crate::task::{Scores, Task};
use crate::tasks::{TaskConfig, tagging};
use etude_manifests::{Target, Vocab};
use etude_models::weights::{self, TensorFile};
use serde_json::json;
use std::path::Path;
use tch::{Kind, Tensor};

/// Writes predictions of a task with classes; the same predictions give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write_predictions(path: &Path, p: &Predictions, task: &dyn Task) -> Result<()> {
    let labels = p.targets.iter().map(|t| task.row(t));
    let labels: Vec<u8> =
        labels.collect::<Result<Vec<_>>>()?.concat().into_iter().map(u8::from).collect();
    let shape = [p.keys.len() as i64, p.width as i64];
    let tensors = [
        ("scores".to_owned(), Tensor::f_from_slice(&p.outputs)?.f_view(shape)?),
        ("labels".to_owned(), Tensor::f_from_slice(&labels)?.f_view(shape)?),
    ];
    let about = [
        ("keys", json!(p.keys)),
        ("classes", json!(task.classes())),
        ("windows", json!(p.windows)),
    ];
    let about = about.map(|(name, value)| (name.to_owned(), value.to_string())).into();
    Ok(weights::write(path, &tensors, &about)?)
}

/// Scores of a file with tensors `scores` (floating point) and `labels` (0 and 1, any type), `[N, C]` each:
/// `{"macro": {"roc_auc", "average_precision"}, "per_class": [{"roc_auc", "average_precision", "positives"}],
/// "undefined": [class indices]}`. Means are over the defined classes; what is undefined is null. Tasks with one class
/// per example give [`Scores`] as they are.
///
/// # Errors
/// [`Error::Task`] for an unknown task, [`Error::Format`] for a file without these tensors, of differing shapes, with
/// scores that are no numbers or labels other than 0 and 1.
pub fn score_file(path: &Path, task: &str) -> Result<serde_json::Value> {
    let (task, file) = (TaskConfig::named(task)?, TensorFile::open(path)?);
    let Cells { scores, labels, classes } = Cells::of(&file, path)?;
    let names = file.metadata().get("classes").and_then(|text| serde_json::from_str(text).ok());
    let names: Vec<String> = names
        .filter(|names: &Vec<String>| names.len() == classes)
        .unwrap_or_else(|| (0..classes).map(|c| c.to_string()).collect());
    let vocab = Vocab { id: "file".to_owned(), classes: names, order: "file".to_owned() };
    let mut scorer = task.build(&vocab)?.scorer();
    for (n, (output, row)) in scores.chunks(classes).zip(labels.chunks(classes)).enumerate() {
        let mut on = (0..classes as u16).filter(|&c| row[usize::from(c)]);
        let target = match (&task, on.next(), on.next()) {
            (TaskConfig::Tagging(_), ..) => {
                Target::Tags((0..classes as u16).filter(|&c| row[usize::from(c)]).collect())
            }
            (_, Some(class), None) => Target::Class(class),
            _ => {
                let got = format!("{} in row {n}", row.iter().filter(|on| **on).count());
                let expected = "one class per row".to_owned();
                return Err(Error::Format { path: path.to_path_buf(), expected, got });
            }
        };
        scorer.add(&target, output, 1)?;
    }
    let found = scorer.finish()?;
    Ok(match task {
        TaskConfig::Tagging(_) => as_json(&found),
        _ => json!(found),
    })
}

/// Predictions as [`write_predictions`] left them.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Example keys.
    pub keys: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `[N, C]` row-major.
    pub scores: Vec<f32>,
    /// `[N, C]` row-major.
    pub labels: Vec<bool>,
}

/// Reads predictions.
///
/// # Errors
/// As [`score_file`], and [`Error::Format`] when keys or class names are missing.
pub fn read_predictions(path: &Path) -> Result<Stored> {
    let file = TensorFile::open(path)?;
    let Cells { scores, labels, classes: width } = Cells::of(&file, path)?;
    let about = file.metadata();
    let names = |name: &str, expected: usize| {
        let text = about.get(name).map_or("", String::as_str);
        let names: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        if names.len() == expected {
            return Ok(names);
        }
        let (expected, got) = (format!("{expected} {name}"), names.len().to_string());
        Err(Error::Format { path: path.to_path_buf(), expected, got })
    };
    let (keys, classes) = (names("keys", scores.len() / width)?, names("classes", width)?);
    Ok(Stored { keys, classes, scores, labels })
}

/// Tensors `scores` and `labels`, checked.
struct Cells {
    scores: Vec<f32>,
    labels: Vec<bool>,
    classes: usize,
}

impl Cells {
    fn of(file: &TensorFile, path: &Path) -> Result<Self> {
        let bad = |expected: &str, got: String| Error::Format {
            path: path.to_path_buf(),
            expected: expected.to_owned(),
            got,
        };
        let tensor = |name: &str| match file.shape(name) {
            Some(_) => Ok(file.tensor(name)?),
            None => Err(bad(
                &format!("a tensor `{name}`"),
                format!("tensors {}", file.names().join(", ")),
            )),
        };
        let (scores, labels) = (tensor("scores")?, tensor("labels")?);
        let (shape, other) = (scores.size(), labels.size());
        let &[n, classes] = shape.as_slice() else {
            return Err(bad("`scores` as [N, C]", format!("{shape:?}")));
        };
        if shape != other || n == 0 || classes == 0 {
            let got = format!("scores {shape:?}, labels {other:?}");
            return Err(bad("`scores` and `labels` of one shape [N, C], not empty", got));
        }
        let classes = classes as usize;
        let (scores, labels) = (numbers(&scores, Kind::Float)?, numbers(&labels, Kind::Float)?);
        if let Some(at) = scores.iter().position(|x| !x.is_finite()) {
            return Err(bad("finite scores", format!("{} in row {}", scores[at], at / classes)));
        }
        if let Some(at) = labels.iter().position(|&x| x != 0.0 && x != 1.0) {
            return Err(bad("labels 0 and 1", format!("{} in row {}", labels[at], at / classes)));
        }
        let labels = labels.into_iter().map(|x| x == 1.0).collect();
        Ok(Self { scores, labels, classes })
    }
}

/// The shape that `etude score` promises.
fn as_json(scores: &Scores) -> serde_json::Value {
    let per_class = scores.per_class.iter().map(|c| {
        json!({
            "roc_auc": c.roc_auc,
            "average_precision": c.average_precision,
            "positives": c.positives,
        })
    });
    json!({
        "macro": {
            "roc_auc": scores.summary.get(tagging::ROC_AUC),
            "average_precision": scores.summary.get(tagging::MAP),
        },
        "per_class": per_class.collect::<Vec<_>>(),
        "undefined": scores.undefined,
    })
}

fn numbers(t: &Tensor, kind: Kind) -> Result<Vec<f32>> {
    Ok(Vec::<f32>::try_from(t.f_to_kind(kind)?.f_reshape([-1])?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    fn predictions() -> (Predictions, Box<dyn Task>) {
        let classes = ["guitar", "slow"].map(str::to_owned).to_vec();
        let vocab = Vocab { id: "t".into(), classes, order: "published".into() };
        let tags = [vec![0], vec![1], vec![0, 1]].map(Target::Tags).to_vec();
        let p = Predictions {
            keys: ["a", "b", "c"].map(str::to_owned).to_vec(),
            outputs: vec![0.9, 0.1, 0.2, 0.3, 0.1, 0.2],
            targets: tags,
            windows: vec![1, 2, 3],
            width: 2,
            loss: 0.5,
        };
        (p, TaskConfig::named("tagging").unwrap().build(&vocab).unwrap())
    }

    #[test]
    fn scores_of_the_file_are_the_scores_of_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("predictions.safetensors");
        let (p, task) = predictions();
        write_predictions(&path, &p, &*task).unwrap();
        let json = score_file(&path, "tagging").unwrap();
        let scores = crate::predict::score(&p, &*task).unwrap();
        assert_eq!(json["macro"]["roc_auc"], scores.summary["ROC-AUC"]);
        assert_eq!(json["per_class"][0]["positives"], 2);
        assert_eq!(json["per_class"][0]["roc_auc"], 0.5);
        let again = dir.path().join("again.safetensors");
        write_predictions(&again, &p, &*task).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
        let stored = read_predictions(&path).unwrap();
        assert_eq!((stored.keys, stored.scores), (p.keys, p.outputs));
        assert_eq!(stored.labels, [true, false, false, true, true, true]);
        assert_eq!(stored.classes, task.classes());
    }

    #[test]
    fn a_file_that_is_not_scores_and_labels_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let fails = |scores: &[f32], labels: Option<&[f32]>| {
            let mut tensors = vec![("scores".to_owned(), Tensor::from_slice(scores).view([-1, 1]))];
            if let Some(labels) = labels {
                tensors.push(("labels".to_owned(), Tensor::from_slice(labels).view([-1, 1])));
            }
            weights::write(&path, &tensors, &BTreeMap::new()).unwrap();
            score_file(&path, "tagging").unwrap_err().to_string()
        };
        let text = fails(&[0.5], None);
        assert!(text.ends_with("expected a tensor `labels`, got tensors scores"), "{text}");
        assert!(fails(&[0.5, 0.1], Some(&[1.0])).contains("scores [2, 1], labels [1, 1]"));
        assert!(fails(&[0.5, f32::NAN], Some(&[1.0, 0.0])).ends_with("NaN in row 1"));
        assert!(fails(&[0.5, 0.1], Some(&[1.0, 2.0])).ends_with("got 2 in row 1"));
        assert!(score_file(&path, "tagging2").unwrap_err().to_string().contains("`tagging`"));
    }
}
