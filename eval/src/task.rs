//! A task: what a model's numbers mean, what they cost, and how they are scored.
//!
//! Letters: B crops, C outputs. Training and evaluation go through the same task, so both speak of the same loss.

use crate::error::Result;
use crate::inputs::Inputs;
use etude_manifests::{Split, Target, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// What a model's numbers mean.
pub trait Task {
    /// C, outputs of the model.
    fn outputs(&self) -> i64;
    /// Targets as a tensor on the device of the inputs.
    fn target(&self, targets: &[Target], like: &Inputs) -> Result<Tensor>;
    /// Mean loss over the batch, 0-d.
    fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor>;
    /// Logits to what is averaged over windows and scored, same shape.
    fn activate(&self, logits: &Tensor) -> Result<Tensor>;
    /// An empty scorer.
    fn scorer(&self) -> Box<dyn Scorer>;
    /// Names of the classes, in output order; empty for tasks without classes.
    fn classes(&self) -> &[String];
    /// What an example is, as a row of C answers.
    fn row(&self, target: &Target) -> Result<Vec<bool>>;

    /// The scores that the examples of a split define; ROC-AUC, for one, needs a class that some have and some have not.
    ///
    /// # Errors
    /// For examples that do not fit the task.
    fn defines(&self, view: &View, split: Split) -> Result<Vec<String>> {
        let (mut scorer, no_opinion) = (self.scorer(), vec![0.0; self.outputs() as usize]);
        for example in view.only(split) {
            scorer.add(&example.target, &no_opinion, 1)?;
        }
        Ok(scorer.finish()?.summary.into_keys().collect())
    }

    /// Turns means over windows of what [`Task::activate`] gave into what is scored; nothing by default.
    fn settle(&self, _mean: &mut [f32]) {}

    /// Whether a view can teach the task; always by default.
    ///
    /// # Errors
    /// [`crate::Error::Misfit`].
    fn check(&self, _view: &View) -> Result<()> {
        Ok(())
    }
}

/// Collects outputs and gives scores.
pub trait Scorer {
    /// One example: what it is and what the model said, `frames` rows of C numbers.
    fn add(&mut self, truth: &Target, output: &[f32], frames: usize) -> Result<()>;
    /// The scores of all examples.
    fn finish(self: Box<Self>) -> Result<Scores>;
}

/// Scores of a split.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scores {
    /// By the names of the published tables, e.g. `ROC-AUC` and `mAP`; only those that are defined.
    pub summary: BTreeMap<String, f64>,
    /// What guessing gives, same names.
    pub chance: BTreeMap<String, f64>,
    /// One entry per class.
    pub per_class: Vec<ClassScores>,
    /// Classes with an undefined value, which is left out of its mean: no positives, or no negatives.
    pub undefined: Vec<usize>,
    /// Examples scored.
    pub examples: usize,
}

/// Scores of one class.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassScores {
    /// Class name.
    pub class: String,
    /// Area under the receiver operating characteristic; chance is 0.5.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// Average precision of guessing: the share of positives.
    pub chance: f64,
    /// Examples that have the class.
    pub positives: u64,
    /// Share of the answers of this class that are true, where an example has one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of the examples of this class that are answered so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
}
