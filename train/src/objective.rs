//! What is learned: a loss over a batch.

use crate::LOSS;
use crate::error::Result;
use crate::objectives::contrastive::{self, Contrastive, ContrastiveConfig};
use crate::objectives::masked_patches::{MaskedPatches, MaskedPatchesConfig};
use crate::objectives::masked_tokens::{self, MaskedTokens, MaskedTokensConfig};
use crate::objectives::supervised::{Supervised, SupervisedConfig};
use etude_eval::Task;
use etude_manifests::Vocab;
use etude_models::Model;
use etude_shards::{Batch, Loader};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// The objectives there are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// Targets of the view.
    Supervised(SupervisedConfig),
    /// Tokens of the input itself, behind hidden stretches.
    MaskedTokens(MaskedTokensConfig),
    /// Which views are of one clip.
    Contrastive(Box<ContrastiveConfig>),
    /// Mel values of the input itself, in hidden patches.
    MaskedPatches(MaskedPatchesConfig),
}

/// Numbers worth plotting beside the loss, 0-d, still on the device.
pub type Extras = Vec<(&'static str, Tensor)>;

/// Scores of a validation by name, `loss` among them.
pub type Scored = BTreeMap<String, f64>;

/// What is learned. The trainer knows steps, not music.
pub trait Objective {
    /// Mean loss over the batch with gradients recorded, 0-d, and whatever is worth plotting.
    fn loss(&self, model: &Model, batch: &Batch) -> Result<(Tensor, Extras)>;
    /// What the model's outputs mean; `None` when they mean nothing outside the training.
    fn task(&self) -> Option<&dyn Task>;
    /// Scores of everything the loader gives, in evaluation mode. After every batch `go_on` is told the number of samples
    /// done; when it says no there is no result.
    fn validate(
        &self,
        model: &Model,
        loader: Loader,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scored>>;

    /// Writes what the best state of a finished run is wanted for, beside the run's own files; nothing by default.
    fn export(&self, _model: &Model, _dir: &Path) -> Result<()> {
        Ok(())
    }

    /// Outputs that the model's head must have.
    fn outputs(&self) -> i64 {
        self.task().map_or(0, Task::outputs)
    }
}

impl ObjectiveConfig {
    /// The objective on the classes of a view; `seed` is the run's.
    ///
    /// # Errors
    /// When the task does not fit the view.
    pub fn build(&self, vocab: &Vocab, seed: u64) -> Result<Box<dyn Objective>> {
        match self {
            ObjectiveConfig::Supervised(cfg) => Ok(Box::new(Supervised::new(cfg, vocab)?)),
            ObjectiveConfig::MaskedTokens(_) => Ok(Box::new(MaskedTokens::default())),
            ObjectiveConfig::Contrastive(cfg) => Ok(Box::new(Contrastive::new(cfg, seed))),
            ObjectiveConfig::MaskedPatches(cfg) => Ok(Box::new(MaskedPatches::new(cfg))),
        }
    }

    /// Whether what it trains is scored on tracks: pre-training is not.
    pub fn is_scored(&self) -> bool {
        matches!(self, ObjectiveConfig::Supervised(_))
    }

    /// Scores of a validation, by name: those of the task, and `loss`.
    pub fn score_names(&self) -> Vec<&'static str> {
        match self {
            ObjectiveConfig::Supervised(cfg) => {
                cfg.task.score_names().iter().copied().chain([LOSS]).collect()
            }
            ObjectiveConfig::MaskedTokens(_) => vec![masked_tokens::ACCURACY, LOSS],
            ObjectiveConfig::Contrastive(_) => vec![contrastive::ACCURACY, LOSS],
            ObjectiveConfig::MaskedPatches(_) => vec![LOSS],
        }
    }
}
