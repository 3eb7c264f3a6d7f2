//! One class per example (instrument, pitch, genre): softmax, cross-entropy, accuracy and F1.
//!
//! Accuracy is micro F1 here, since every example has one answer. Macro F1 is the mean over the classes that occur among
//! truths or answers, weighted F1 the mean weighted by truths: the report of scikit-learn. Letters: B crops, C classes.

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::metrics::report::{Line, Report, report};
use crate::task::{ClassScores, Scorer, Scores, Task};
use crate::tasks::Settings;
use etude_aten::to_device;
use etude_manifests::{Split, Target, View, Vocab};
use serde::Deserialize;
use std::collections::BTreeMap;
use tch::{Kind, Reduction, Tensor};

/// Name of the share of right answers.
pub const ACCURACY: &str = "accuracy";
/// Name of the mean F1 weighted by truths.
pub const WEIGHTED_F1: &str = "F1-weighted";
/// Name of the mean F1 over classes.
pub const MACRO_F1: &str = "F1-macro";

/// Classification has no settings.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassConfig {}

impl Settings for ClassConfig {
    fn scores(&self) -> &'static [&'static str] {
        &[ACCURACY, WEIGHTED_F1, MACRO_F1]
    }

    fn build(&self, vocab: &Vocab) -> Result<Box<dyn Task>> {
        Ok(Box::new(Class::new(vocab)?))
    }
}

/// Classification with the classes of one vocabulary.
#[derive(Debug, Clone)]
pub struct Class {
    classes: Vec<String>,
}

impl Class {
    /// # Errors
    /// [`Error::Misfit`] for a vocabulary of fewer than two classes.
    pub fn new(vocab: &Vocab) -> Result<Self> {
        if vocab.len() < 2 {
            return Err(Error::Misfit {
                place: format!("vocabulary {}", vocab.id),
                expected: "at least two classes to tell apart".to_owned(),
                got: vocab.len().to_string(),
            });
        }
        Ok(Self { classes: vocab.classes.clone() })
    }
}

impl Task for Class {
    fn outputs(&self) -> i64 {
        self.classes.len() as i64
    }

    /// `[B]`, class indices.
    fn target(&self, targets: &[Target], like: &Inputs) -> Result<Tensor> {
        indices(targets, self.classes.len(), like)
    }

    /// Cross-entropy with logits, mean over the batch, in float32.
    fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        cross_entropy(logits, target)
    }

    /// Probabilities, in float32.
    fn activate(&self, logits: &Tensor) -> Result<Tensor> {
        Ok(logits.f_softmax(-1, Kind::Float)?)
    }

    fn scorer(&self) -> Box<dyn Scorer> {
        Box::new(ClassScorer { classes: self.classes.clone(), answers: Answers::default() })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn row(&self, target: &Target) -> Result<Vec<bool>> {
        one_hot(target, self.classes.len())
    }

    fn check(&self, view: &View) -> Result<()> {
        two_classes(view)
    }
}

struct ClassScorer {
    classes: Vec<String>,
    answers: Answers,
}

impl Scorer for ClassScorer {
    fn add(&mut self, truth: &Target, output: &[f32], frames: usize) -> Result<()> {
        self.answers.add(truth, output, frames, self.classes.len())
    }

    fn finish(self: Box<Self>) -> Result<Scores> {
        let found = self.answers.report(self.classes.len())?;
        let n = self.answers.0.len();
        Ok(scores(&found, &self.classes, n))
    }
}

/// What was true and what was answered, as class indices.
#[derive(Default)]
pub(super) struct Answers(pub(super) Vec<(usize, usize)>);

impl Answers {
    /// Takes the class with the highest output, the first of equals.
    pub(super) fn add(
        &mut self,
        truth: &Target,
        output: &[f32],
        frames: usize,
        classes: usize,
    ) -> Result<()> {
        if frames != 1 || output.len() != classes {
            return Err(Error::Misfit {
                place: "model output".to_owned(),
                expected: format!("1 row of {classes} scores per example"),
                got: format!("{frames} rows, {} numbers", output.len()),
            });
        }
        self.0.push((index(truth, classes)?, highest(output)));
        Ok(())
    }

    /// Precision, recall and F1 of these answers.
    pub(super) fn report(&self, classes: usize) -> Result<Report> {
        if self.0.is_empty() {
            return Err(Error::Empty { place: "class scores".to_owned() });
        }
        let cells = |of: fn(&(usize, usize)) -> usize| -> Vec<bool> {
            self.0.iter().flat_map(|pair| (0..classes).map(move |c| c == of(pair))).collect()
        };
        Ok(report(&cells(|p| p.1), &cells(|p| p.0), classes)?)
    }
}

/// Scores of a report over `n` examples; guessing means always naming the most frequent class.
fn scores(found: &Report, classes: &[String], n: usize) -> Scores {
    let occurs: Vec<bool> = found.per_class.iter().map(|l| l.support + l.wrong > 0).collect();
    let named = occurs.iter().filter(|on| **on).count() as f64;
    let total: f64 = found.per_class.iter().map(|l| l.f1).sum();
    let most = found.per_class.iter().map(|l| l.support).max().unwrap_or_default() as f64;
    let share = most / n as f64;
    let guess = 2.0 * share / (1.0 + share); // F1 of the class that is always named
    let true_classes = found.per_class.iter().filter(|l| l.support > 0).count() as f64;
    let list = |values: [(&str, f64); 3]| -> BTreeMap<String, f64> {
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    Scores {
        summary: list([
            (ACCURACY, found.micro_avg.f1),
            (WEIGHTED_F1, found.weighted_avg.f1),
            (MACRO_F1, total / named),
        ]),
        chance: list([
            (ACCURACY, share),
            (WEIGHTED_F1, share * guess),
            (MACRO_F1, guess / true_classes),
        ]),
        per_class: per_class(found, classes, n),
        undefined: (0..occurs.len()).filter(|&c| !occurs[c]).collect(),
        examples: n,
    }
}

/// One entry per class.
pub(super) fn per_class(found: &Report, classes: &[String], n: usize) -> Vec<ClassScores> {
    let entry = |(class, line): (&String, &Line)| ClassScores {
        class: class.clone(),
        chance: line.support as f64 / n as f64,
        positives: line.support,
        precision: Some(line.precision),
        recall: Some(line.recall),
        f1: Some(line.f1),
        ..ClassScores::default()
    };
    classes.iter().zip(&found.per_class).map(entry).collect()
}

/// `[B]`, class indices on the device of the inputs.
fn indices(targets: &[Target], classes: usize, like: &Inputs) -> Result<Tensor> {
    let found = targets.iter().map(|t| index(t, classes).map(|c| c as i64));
    let found = found.collect::<Result<Vec<_>>>()?;
    Ok(to_device(&Tensor::f_from_slice(&found)?, like.x.device())?)
}

/// Mean over the batch, in float32.
fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(logits.f_log_softmax(-1, Kind::Float)?.f_nll_loss(
        target,
        None::<&Tensor>,
        Reduction::Mean,
        -100,
    )?)
}

/// Where the highest number stands, the first of equals.
pub(crate) fn highest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best })
}

/// The class of a target.
fn index(target: &Target, classes: usize) -> Result<usize> {
    let misfit =
        |expected: String, got: String| Error::Misfit { place: "view".to_owned(), expected, got };
    match target {
        Target::Class(class) if usize::from(*class) < classes => Ok(usize::from(*class)),
        Target::Class(class) => {
            Err(misfit(format!("class indices below {classes}"), class.to_string()))
        }
        other => Err(misfit("one class per example".to_owned(), format!("{other:?}"))),
    }
}

/// One row of 0 and 1.
fn one_hot(target: &Target, classes: usize) -> Result<Vec<bool>> {
    let at = index(target, classes)?;
    Ok((0..classes).map(|c| c == at).collect())
}

/// A training split whose examples are all of one class teaches nothing.
fn two_classes(view: &View) -> Result<()> {
    let mut found = view.only(Split::Train).filter_map(|e| match e.target {
        Target::Class(class) => Some(class),
        _ => None,
    });
    let Some(first) = found.next() else { return Ok(()) };
    if found.any(|class| class != first) {
        return Ok(());
    }
    let name = view.vocab.classes.get(usize::from(first)).map_or("?", String::as_str);
    Err(Error::Misfit {
        place: format!("view {}", view.name),
        expected: "training examples of at least two classes".to_owned(),
        got: format!("only {name}; see its labels with `etude inspect`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etude_manifests::Example;

    fn vocab(classes: &[&str]) -> Vocab {
        let classes = classes.iter().map(|&c| c.to_owned()).collect();
        Vocab { id: "t".into(), classes, order: "published".into() }
    }

    fn score(truths: &[u16], answers: &[usize], classes: usize) -> Scores {
        let names: Vec<String> = (0..classes).map(|c| c.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut scorer = Class::new(&vocab(&names)).unwrap().scorer();
        for (truth, answer) in truths.iter().zip(answers) {
            let output: Vec<f32> =
                (0..classes).map(|c| f32::from(u8::from(c == *answer))).collect();
            scorer.add(&Target::Class(*truth), &output, 1).unwrap();
        }
        scorer.finish().unwrap()
    }

    #[test]
    fn scores_are_those_of_scikit_learns_report() {
        // the example of its documentation: accuracy .60, macro F1 .49, weighted F1 .61
        let s = score(&[0, 1, 2, 2, 2], &[0, 0, 2, 2, 1], 3);
        let near = |name: &str, want: f64| {
            assert!((s.summary[name] - want).abs() < 1e-12, "{name} {}", s.summary[name]);
        };
        near(ACCURACY, 0.6);
        near(MACRO_F1, (2.0 / 3.0 + 0.0 + 0.8) / 3.0);
        near(WEIGHTED_F1, (2.0 / 3.0 + 3.0 * 0.8) / 5.0);
        let last = &s.per_class[2];
        assert_eq!((last.precision, last.positives), (Some(1.0), 3));
        assert!((last.recall.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(s.chance[ACCURACY], 0.6);
    }

    #[test]
    fn a_class_neither_true_nor_answered_is_left_out_and_one_wrongly_answered_is_not() {
        let s = score(&[0, 0, 1], &[0, 2, 1], 4);
        assert_eq!(s.undefined, [3]);
        assert!((s.summary[MACRO_F1] - (2.0 / 3.0 + 1.0 + 0.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_loss_of_no_opinion_is_ln_of_the_number_of_classes() {
        let task = Class::new(&vocab(&["a", "b", "c", "d"])).unwrap();
        let x = Inputs { x: Tensor::zeros([2, 4], tch::kind::FLOAT_CPU), lengths: vec![4, 4] };
        let target = task.target(&[Target::Class(3), Target::Class(0)], &x).unwrap();
        let loss = task.loss(&x.x, &target).unwrap().double_value(&[]);
        assert!((loss - 4f64.ln()).abs() < 1e-6);
        assert!(task.target(&[Target::Class(4)], &x).is_err());
        let text = task.target(&[Target::Tags(vec![1])], &x).unwrap_err().to_string();
        assert!(text.contains("one class per example"), "{text}");
    }

    #[test]
    fn a_corpus_whose_labels_are_all_one_class_is_an_outcome_in_words() {
        let text = Class::new(&vocab(&["piano"])).unwrap_err().to_string();
        assert_eq!(text, "vocabulary t: expected at least two classes to tell apart, got 1");
        let example = |i: usize, class| Example {
            key: format!("c:{i}"),
            track: format!("c:{i}"),
            variant: "orig".into(),
            split: Split::Train,
            target: Target::Class(class),
        };
        let mut view = View {
            name: "notes".into(),
            corpus: "c".into(),
            vocab: vocab(&["piano", "flute"]),
            examples: (0..3).map(|i| example(i, 1)).collect(),
            sources: vec![],
        };
        let task = Class::new(&view.vocab).unwrap();
        let text = task.check(&view).unwrap_err().to_string();
        assert!(text.starts_with("view notes: expected training examples of at least"), "{text}");
        assert!(text.contains("got only flute"), "{text}");
        view.examples.push(example(3, 0));
        task.check(&view).unwrap();
    }
}
