//! The key of a recording: one class per tonic and mode, scored as MIREX weighs mistakes.
//!
//! Loss and activation are those of [`super::class`]; what is told are the weighted score over recordings, its mean within
//! each reference key, and the share of exactly right keys.

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::metrics::key::{Key, scores, weighted};
use crate::task::{Scorer, Scores, Task};
use crate::tasks::Settings;
use crate::tasks::class::{ACCURACY, Answers, Class, per_class};
use etude_manifests::{Target, View, Vocab};
use serde::Deserialize;
use std::collections::BTreeMap;
use tch::Tensor;

/// Name of the mean of the weighted scores.
pub const WEIGHTED: &str = "key-weighted";
/// Name of the mean over reference keys of their mean weighted scores.
pub const WEIGHTED_MACRO: &str = "key-weighted-macro";

/// Key estimation has no settings.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {}

impl Settings for KeyConfig {
    fn scores(&self) -> &'static [&'static str] {
        &[WEIGHTED, WEIGHTED_MACRO, ACCURACY]
    }

    fn build(&self, vocab: &Vocab) -> Result<Box<dyn Task>> {
        Ok(Box::new(KeyTask::new(vocab)?))
    }
}

/// Key estimation with the keys of one vocabulary.
#[derive(Debug, Clone)]
pub struct KeyTask {
    keys: Class,
}

impl KeyTask {
    /// # Errors
    /// [`Error::Misfit`] for fewer than two classes, or a class that is no key such as `F# minor`.
    pub fn new(vocab: &Vocab) -> Result<Self> {
        let keys = Class::new(vocab)?;
        if let Some(name) = vocab.classes.iter().find(|name| name.parse::<Key>().is_err()) {
            return Err(Error::Misfit {
                place: format!("vocabulary {}", vocab.id),
                expected: "keys such as `F# minor`".to_owned(),
                got: format!("{name:?}"),
            });
        }
        Ok(Self { keys })
    }
}

impl Task for KeyTask {
    fn outputs(&self) -> i64 {
        self.keys.outputs()
    }

    fn target(&self, targets: &[Target], like: &Inputs) -> Result<Tensor> {
        self.keys.target(targets, like)
    }

    fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        self.keys.loss(logits, target)
    }

    fn activate(&self, logits: &Tensor) -> Result<Tensor> {
        self.keys.activate(logits)
    }

    fn scorer(&self) -> Box<dyn Scorer> {
        Box::new(KeyScorer { classes: self.classes().to_vec(), answers: Answers::default() })
    }

    fn classes(&self) -> &[String] {
        self.keys.classes()
    }

    fn row(&self, target: &Target) -> Result<Vec<bool>> {
        self.keys.row(target)
    }

    fn check(&self, view: &View) -> Result<()> {
        self.keys.check(view)
    }
}

struct KeyScorer {
    classes: Vec<String>,
    answers: Answers,
}

impl Scorer for KeyScorer {
    fn add(&mut self, truth: &Target, output: &[f32], frames: usize) -> Result<()> {
        self.answers.add(truth, output, frames, self.classes.len())
    }

    fn finish(self: Box<Self>) -> Result<Scores> {
        let found = self.answers.report(self.classes.len())?;
        let (names, n) = (&self.classes, self.answers.0.len());
        let pairs: Vec<(&str, &str)> =
            self.answers.0.iter().map(|&(t, a)| (names[t].as_str(), names[a].as_str())).collect();
        let s = scores(&pairs)?;
        let summary =
            [(WEIGHTED, s.weighted), (WEIGHTED_MACRO, s.macro_avg), (ACCURACY, s.accuracy)];
        let own = summary.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Scores {
            summary: own,
            chance: chance(&pairs, names)?,
            per_class: per_class(&found, names, n),
            undefined: (0..names.len()).filter(|&c| found.per_class[c].support == 0).collect(),
            examples: n,
        })
    }
}

/// Scores of the one key that is the best answer to everything.
fn chance(pairs: &[(&str, &str)], names: &[String]) -> Result<BTreeMap<String, f64>> {
    let mut best: Option<(f64, &str)> = None;
    for name in names {
        let answer: Key = name.parse()?;
        let mut sum = 0.0;
        for (truth, _) in pairs {
            sum += weighted(truth.parse()?, answer);
        }
        if best.is_none_or(|(most, _)| sum > most) {
            best = Some((sum, name));
        }
    }
    let Some((_, answer)) = best else { return Ok(BTreeMap::new()) };
    let s = scores(&pairs.iter().map(|(truth, _)| (*truth, answer)).collect::<Vec<_>>())?;
    let values = [(WEIGHTED, s.weighted), (WEIGHTED_MACRO, s.macro_avg), (ACCURACY, s.accuracy)];
    Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(classes: &[&str]) -> Result<KeyTask> {
        let classes = classes.iter().map(|&c| c.to_owned()).collect();
        KeyTask::new(&Vocab { id: "t".into(), classes, order: "published".into() })
    }

    #[test]
    fn a_class_that_is_no_key_is_named() {
        let text = task(&["C major", "H major"]).unwrap_err().to_string();
        assert_eq!(text, "vocabulary t: expected keys such as `F# minor`, got \"H major\"");
    }

    #[test]
    fn the_best_single_answer_is_chance() {
        let mut scorer = task(&["C major", "G major", "A minor"]).unwrap().scorer();
        for truth in [0, 0, 2] {
            scorer.add(&Target::Class(truth), &[0.1, 0.8, 0.1], 1).unwrap();
        }
        let s = scorer.finish().unwrap();
        // G major is a fifth above C major and nothing to A minor
        assert!((s.summary[WEIGHTED] - 1.0 / 3.0).abs() < 1e-12);
        assert!((s.summary[WEIGHTED_MACRO] - 0.25).abs() < 1e-12);
        // C major: two right, one relative
        assert!((s.chance[WEIGHTED] - 2.3 / 3.0).abs() < 1e-12);
        assert_eq!(s.undefined, [1]);
    }
}
