//! What is learned: a loss over a batch.

use crate::LOSS;
use crate::error::Result;
use crate::objectives::supervised::{Supervised, SupervisedConfig};
use etude_eval::Task;
use etude_manifests::Vocab;
use etude_models::Model;
use etude_shards::Batch;
use serde::Deserialize;
use tch::Tensor;

/// The objectives there are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// Targets of the view.
    Supervised(SupervisedConfig),
}

/// Numbers worth plotting beside the loss, 0-d, still on the device.
pub type Extras = Vec<(&'static str, Tensor)>;

/// What is learned. The trainer knows steps, not music.
pub trait Objective {
    /// Mean loss over the batch with gradients recorded, 0-d, and whatever is worth plotting.
    fn loss(&self, model: &Model, batch: &Batch) -> Result<(Tensor, Extras)>;
    /// How the model is scored.
    fn task(&self) -> &dyn Task;

    /// Outputs that the model must have.
    fn outputs(&self) -> i64 {
        self.task().outputs()
    }
}

impl ObjectiveConfig {
    /// The objective on the classes of a view.
    ///
    /// # Errors
    /// When the task does not fit the view.
    pub fn build(&self, vocab: &Vocab) -> Result<Box<dyn Objective>> {
        match self {
            ObjectiveConfig::Supervised(cfg) => Ok(Box::new(Supervised::new(cfg, vocab)?)),
        }
    }

    /// Scores of a validation, by name: those of the task, and `loss`.
    pub fn score_names(&self) -> Vec<&'static str> {
        match self {
            ObjectiveConfig::Supervised(cfg) => {
                cfg.task.score_names().iter().copied().chain([LOSS]).collect()
            }
        }
    }
}
