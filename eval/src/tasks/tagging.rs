//! Multi-label tagging: one sigmoid per class, binary cross-entropy, macro ROC-AUC and average precision.
//!
//! Letters: B crops, C classes, N examples.

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::metrics::ranking;
use crate::task::{ClassScores, Scorer, Scores, Task};
use crate::tasks::Settings;
use etude_aten::to_device;
use etude_manifests::{Split, Target, View, Vocab};
use serde::Deserialize;
use std::collections::BTreeMap;
use tch::{Kind, Reduction, Tensor};

/// Name of the macro mean of the areas under the receiver operating characteristic.
pub const ROC_AUC: &str = "ROC-AUC";
/// Name of the macro mean of the average precisions.
pub const MAP: &str = "mAP";

/// Settings.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggingConfig {
    /// What is averaged over the windows of a track.
    #[serde(default)]
    pub average: Average,
}

impl Settings for TaggingConfig {
    fn scores(&self) -> &'static [&'static str] {
        &[MAP, ROC_AUC]
    }

    fn build(&self, vocab: &Vocab) -> Result<Box<dyn Task>> {
        Ok(Box::new(Tagging::new(self, vocab)?))
    }
}

/// What is averaged over the windows of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Probabilities.
    #[default]
    Probabilities,
    /// Logits, before the sigmoid: what the transfer study does with its transformer.
    Logits,
}

/// Tagging with the classes of one vocabulary.
#[derive(Debug, Clone)]
pub struct Tagging {
    classes: Vec<String>,
    average: Average,
}

impl Tagging {
    /// # Errors
    /// [`Error::Misfit`] when the vocabulary is empty.
    pub fn new(cfg: &TaggingConfig, vocab: &Vocab) -> Result<Self> {
        if vocab.is_empty() {
            return Err(Error::Misfit {
                place: format!("vocabulary {}", vocab.id),
                expected: "at least one class for tagging".to_owned(),
                got: "none".to_owned(),
            });
        }
        Ok(Self { classes: vocab.classes.clone(), average: cfg.average })
    }
}

impl Task for Tagging {
    fn outputs(&self) -> i64 {
        self.classes.len() as i64
    }

    /// `[B, C]`, 1 where the class applies.
    fn target(&self, targets: &[Target], like: &Inputs) -> Result<Tensor> {
        let rows = targets.iter().map(|t| labels(t, self.classes.len()));
        let rows = rows.collect::<Result<Vec<_>>>()?.concat();
        let rows: Vec<f32> = rows.into_iter().map(|on| f32::from(u8::from(on))).collect();
        let target = Tensor::f_from_slice(&rows)?;
        let target = target.f_view([targets.len() as i64, self.outputs()])?;
        Ok(to_device(&target, like.x.device())?)
    }

    /// Binary cross-entropy with logits, mean over batch and classes, in float32.
    fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        let none = None::<&Tensor>;
        Ok(logits.f_binary_cross_entropy_with_logits(target, none, none, Reduction::Mean)?)
    }

    /// Probabilities, or the logits where these are averaged, in float32.
    fn activate(&self, logits: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        Ok(match self.average {
            Average::Probabilities => logits.f_sigmoid()?,
            Average::Logits => logits,
        })
    }

    /// Mean logits to probabilities.
    fn settle(&self, mean: &mut [f32]) {
        if self.average == Average::Logits {
            mean.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
        }
    }

    fn scorer(&self) -> Box<dyn Scorer> {
        Box::new(TaggingScorer {
            classes: self.classes.clone(),
            scores: Vec::new(),
            labels: Vec::new(),
        })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn row(&self, target: &Target) -> Result<Vec<bool>> {
        labels(target, self.classes.len())
    }

    fn check(&self, view: &View) -> Result<()> {
        two_targets(view)
    }
}

struct TaggingScorer {
    classes: Vec<String>,
    scores: Vec<f32>,
    labels: Vec<bool>,
}

impl Scorer for TaggingScorer {
    fn add(&mut self, truth: &Target, output: &[f32], frames: usize) -> Result<()> {
        let classes = self.classes.len();
        if frames != 1 || output.len() != classes {
            return Err(Error::Misfit {
                place: "model output".to_owned(),
                expected: format!("1 row of {classes} scores per example"),
                got: format!("{frames} rows, {} numbers", output.len()),
            });
        }
        self.labels.extend(labels(truth, classes)?);
        self.scores.extend(output);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Scores> {
        if self.labels.is_empty() {
            return Err(Error::Empty { place: "tagging scores".to_owned() });
        }
        scores(&self.scores, &self.labels, &self.classes)
    }
}

/// Scores of `[N, C]` row-major numbers.
fn scores(scores: &[f32], labels: &[bool], classes: &[String]) -> Result<Scores> {
    let n = labels.len() / classes.len();
    let found = ranking::tagging(scores, labels, classes.len())?;
    let per_class: Vec<ClassScores> = classes
        .iter()
        .zip(&found.per_class)
        .map(|(class, c)| ClassScores {
            class: class.clone(),
            roc_auc: c.roc_auc,
            average_precision: c.average_precision,
            chance: c.positives as f64 / n as f64,
            positives: c.positives,
            ..ClassScores::default()
        })
        .collect();
    let ranked = per_class.iter().filter(|c| c.average_precision.is_some()).map(|c| c.chance);
    let (shares, count) = ranked.fold((0.0, 0.0), |(sum, n), share| (sum + share, n + 1.0));
    let mut summary = BTreeMap::new();
    let mut chance = BTreeMap::new();
    if let Some(roc_auc) = found.macro_avg.roc_auc {
        summary.insert(ROC_AUC.to_owned(), roc_auc);
        chance.insert(ROC_AUC.to_owned(), 0.5);
    }
    if let Some(ap) = found.macro_avg.average_precision {
        summary.insert(MAP.to_owned(), ap);
        chance.insert(MAP.to_owned(), shares / count);
    }
    Ok(Scores { summary, chance, per_class, undefined: found.undefined, examples: n })
}

/// Training examples that all have the same tags teach nothing.
fn two_targets(view: &View) -> Result<()> {
    let mut targets = view.only(Split::Train).map(|e| &e.target);
    let (Some(first), Some(second)) = (targets.next(), targets.next()) else { return Ok(()) };
    if first != second || targets.any(|target| target != first) {
        return Ok(());
    }
    let tags = if let Target::Tags(tags) = first { tags.as_slice() } else { &[] };
    let names = tags.iter().filter_map(|tag| view.vocab.classes.get(usize::from(*tag)));
    let names = names.map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(Error::Misfit {
        place: format!("view {}", view.name),
        expected: "training examples that differ in a tag".to_owned(),
        got: match names.as_str() {
            "" => "none with any tag".to_owned(),
            names => format!("only {names}; see its labels with `etude inspect`"),
        },
    })
}

/// One row of the target.
fn labels(target: &Target, classes: usize) -> Result<Vec<bool>> {
    let Target::Tags(tags) = target else {
        return Err(Error::Misfit {
            place: "view".to_owned(),
            expected: "tags as targets for tagging".to_owned(),
            got: format!("{target:?}"),
        });
    };
    let mut row = vec![false; classes];
    for &tag in tags {
        match row.get_mut(usize::from(tag)) {
            Some(on) => *on = true,
            None => {
                return Err(Error::Misfit {
                    place: "view".to_owned(),
                    expected: format!("class indices below {classes}"),
                    got: tag.to_string(),
                });
            }
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etude_manifests::Example;

    fn task() -> Tagging {
        let classes = ["guitar", "slow", "never"].map(str::to_owned).to_vec();
        let cfg = TaggingConfig::default();
        Tagging::new(&cfg, &Vocab { id: "t".into(), classes, order: "published".into() }).unwrap()
    }

    fn inputs() -> Inputs {
        Inputs { x: Tensor::zeros([2, 4], tch::kind::FLOAT_CPU), lengths: vec![4, 4] }
    }

    #[test]
    fn targets_are_a_matrix_of_zeros_and_ones() {
        let t =
            task().target(&[Target::Tags(vec![0, 1]), Target::Tags(vec![])], &inputs()).unwrap();
        assert_eq!(t.size(), [2, 3]);
        assert_eq!(Vec::<f32>::try_from(t.flatten(0, -1)).unwrap(), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_class_outside_the_vocabulary_is_an_error() {
        let text = task().target(&[Target::Tags(vec![3])], &inputs()).unwrap_err().to_string();
        assert_eq!(text, "view: expected class indices below 3, got 3");
        assert!(task().target(&[Target::Class(1)], &inputs()).is_err());
    }

    #[test]
    fn the_loss_of_no_opinion_is_ln_two() {
        let logits = Tensor::zeros([1, 3], tch::kind::FLOAT_CPU);
        let target = Tensor::from_slice(&[1f32, 0.0, 0.0]).view([1, 3]);
        let loss = task().loss(&logits, &target).unwrap().double_value(&[]);
        assert!((loss - std::f64::consts::LN_2).abs() < 1e-7);
    }

    #[test]
    fn a_corpus_whose_tags_are_all_the_same_teaches_nothing_and_defines_no_roc_auc() {
        let tags = |splits: &[(Split, &[u16])]| View {
            name: "v".into(),
            corpus: "c".into(),
            vocab: Vocab { id: "t".into(), classes: task().classes, order: "published".into() },
            examples: splits
                .iter()
                .map(|(split, tags)| Example {
                    key: "c:1".into(),
                    track: "c:1".into(),
                    variant: "orig".into(),
                    split: *split,
                    target: Target::Tags(tags.to_vec()),
                })
                .collect(),
            sources: vec![],
        };
        let (train, valid) = (Split::Train, Split::Valid);
        let view = tags(&[(train, &[0, 1]), (train, &[0, 1]), (valid, &[1]), (valid, &[1])]);
        let text = task().check(&view).unwrap_err().to_string();
        let expected = "view v: expected training examples that differ in a tag, got only guitar, slow; see its labels with `etude inspect`";
        assert_eq!(text, expected);
        assert_eq!(task().defines(&view, valid).unwrap(), [MAP]);
        let view = tags(&[(train, &[]), (train, &[]), (valid, &[]), (valid, &[])]);
        assert!(task().check(&view).unwrap_err().to_string().ends_with("got none with any tag"));
        assert!(task().defines(&view, valid).unwrap().is_empty());
        let view = tags(&[(train, &[0]), (train, &[]), (valid, &[1]), (valid, &[0])]);
        task().check(&view).unwrap();
        assert_eq!(task().defines(&view, valid).unwrap(), [ROC_AUC, MAP]);
    }

    #[test]
    fn averaged_logits_become_probabilities_at_the_end() {
        let vocab = Vocab { id: "t".into(), classes: vec!["a".into()], order: "published".into() };
        let task = Tagging::new(&TaggingConfig { average: Average::Logits }, &vocab).unwrap();
        let x = Tensor::from_slice(&[2f32]);
        assert_eq!(task.activate(&x).unwrap().double_value(&[0]), 2.0);
        let mut mean = [0.0, 2.0];
        task.settle(&mut mean);
        assert!(mean[0] == 0.5 && (f64::from(mean[1]) - 1.0 / (1.0 + (-2f64).exp())).abs() < 1e-7);
    }

    #[test]
    fn a_class_that_never_occurs_is_listed_and_left_out_of_the_means() {
        let mut scorer = task().scorer();
        let rows =
            [(vec![0], [0.9, 0.1, 0.5]), (vec![1], [0.2, 0.3, 0.5]), (vec![0, 1], [0.8, 0.2, 0.4])];
        for (tags, output) in rows {
            scorer.add(&Target::Tags(tags), &output, 1).unwrap();
        }
        let scores = scorer.finish().unwrap();
        assert_eq!(scores.undefined, [2]);
        assert_eq!(scores.per_class[2].roc_auc, None);
        assert_eq!(scores.summary[ROC_AUC], 1.0);
        assert_eq!((scores.per_class[0].positives, scores.examples), (2, 3));
        assert!((scores.chance[MAP] - 2.0 / 3.0).abs() < 1e-12);
    }
}
