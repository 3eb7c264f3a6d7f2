//! Supervised learning: the loss of a task on the targets of a view.

use crate::LOSS;
use crate::error::Result;
use crate::objective::{Extras, Objective, Scored};
use etude_eval::{Task, TaskConfig, inputs, predict, score};
use etude_manifests::Vocab;
use etude_models::Model;
use etude_shards::{Batch, Loader};
use serde::Deserialize;
use tch::Tensor;

/// Settings of [`Supervised`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisedConfig {
    /// What the targets mean.
    pub task: TaskConfig,
}

/// The loss of a task.
pub struct Supervised {
    task: Box<dyn Task>,
}

impl Supervised {
    /// # Errors
    /// When the task does not fit the classes of the view.
    pub fn new(cfg: &SupervisedConfig, vocab: &Vocab) -> Result<Self> {
        Ok(Self { task: cfg.task.build(vocab)? })
    }
}

impl Objective for Supervised {
    fn loss(&self, model: &Model, batch: &Batch) -> Result<(Tensor, Extras)> {
        let inputs = inputs(batch, model.vs.device())?;
        let target = self.task.target(&batch.targets, &inputs)?;
        let logits = model.logits(&inputs.x, true)?;
        Ok((self.task.loss(&logits, &target)?, Extras::new()))
    }

    fn task(&self) -> Option<&dyn Task> {
        Some(&*self.task)
    }

    fn validate(
        &self,
        model: &Model,
        loader: Loader,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scored>> {
        let Some(predicted) = predict(model, loader, &*self.task, go_on)? else { return Ok(None) };
        let mut scores = score(&predicted, &*self.task)?.summary;
        scores.insert(LOSS.to_owned(), predicted.loss);
        Ok(Some(scores))
    }
}
