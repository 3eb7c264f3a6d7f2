//! Contrastive pre-training: two random views of a clip should be near each other and far from those of all other clips
//! in the batch. NT-Xent (SimCLR, arXiv:2002.05709) on waves as CLMR (arXiv:2103.09410) runs it; targets of the view are
//! ignored.
//!
//! The views are made on the CPU, each from a random stream of its own: a function of seed, epoch, example, place in the
//! track and number of the view, so neither the batch around a clip nor the number of threads changes them. Each view
//! goes through the network by itself, so that batch norms see one at a time. Letters: B clips, T samples, P width of
//! what is compared.

use crate::LOSS;
use crate::error::{Error, Result};
use crate::objective::{Extras, Objective, Scored};
use crate::objectives::means::means;
use etude_eval::Task;
use etude_features::augment::Chain;
use etude_models::samplecnn::nt_xent;
use etude_models::{Input, Model, weights};
use etude_shards::{Batch, Loader};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// Share of views whose nearest view is the other one of their clip.
pub const ACCURACY: &str = "accuracy";

/// Settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContrastiveConfig {
    /// What cosines are divided by.
    pub temperature: f64,
    /// How a view is made; the crop of the data is what a view is cut out of.
    pub augment: Chain,
    /// Threads that make views; their number changes no view.
    pub threads: usize,
}

impl Default for ContrastiveConfig {
    fn default() -> Self {
        Self { temperature: 0.5, augment: Chain::default(), threads: 2 }
    }
}

/// The objective.
#[derive(Debug)]
pub struct Contrastive {
    cfg: ContrastiveConfig,
    seed: u64,
}

/// The epoch whose views validation compares; training counts from 0.
const VALIDATION: u64 = u64::MAX;

impl Contrastive {
    /// `seed` is that of the run.
    pub fn new(cfg: &ContrastiveConfig, seed: u64) -> Self {
        Self { cfg: cfg.clone(), seed }
    }

    /// Both views of every clip of a batch of waves at `rate` Hz, row-major `[2 B, samples]`: first all first views.
    pub fn views(&self, batch: &Batch, epoch: u64, rate: u32) -> Vec<f32> {
        let (rows, length) = (batch.keys.len(), self.cfg.augment.samples);
        let steps = batch.data.len() / rows.max(1);
        let mut views = vec![0.0; 2 * rows * length];
        let share = (2 * rows).div_ceil(self.cfg.threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for (thread, part) in views.chunks_mut(share * length).enumerate() {
                scope.spawn(move || {
                    for (i, out) in part.chunks_mut(length).enumerate() {
                        let (view, row) =
                            ((thread * share + i) / rows, (thread * share + i) % rows);
                        let wave = &batch.data[row * steps..][..batch.lengths[row]];
                        let mut rng = self.stream(epoch, batch, row, view);
                        out.copy_from_slice(&self.cfg.augment.apply(wave, rate, &mut rng));
                    }
                });
            }
        });
        views
    }

    fn stream(&self, epoch: u64, batch: &Batch, row: usize, view: usize) -> ChaCha8Rng {
        let mut hash = blake3::Hasher::new();
        for number in [self.seed, epoch, batch.starts[row], view as u64] {
            hash.update(&number.to_le_bytes());
        }
        hash.update(batch.keys[row].as_bytes());
        ChaCha8Rng::from_seed(*hash.finalize().as_bytes())
    }

    /// Loss and share of right pairs, 0-d.
    fn pass(
        &self,
        model: &Model,
        batch: &Batch,
        epoch: u64,
        train: bool,
    ) -> Result<(Tensor, Tensor)> {
        let spec = model.backbone.spec();
        let Input::Wave { rate } = spec.input else {
            return Err(Error::Mismatch {
                what: "objective".to_owned(),
                left: "contrastive changes waves".to_owned(),
                right: format!("the model {} takes {:?}", spec.name, spec.input),
                hint: "choose a backbone on waves".to_owned(),
            });
        };
        let views = self.views(batch, epoch, rate);
        let size = [2, batch.keys.len() as i64, self.cfg.augment.samples as i64];
        let views = Tensor::f_from_slice(&views)?.f_view(size)?;
        let views = etude_aten::to_device(&views, model.vs.device())?;
        let z_i = model.logits(&views.f_get(0)?, train)?; // [B, P]
        let z_j = model.logits(&views.f_get(1)?, train)?;
        Ok(nt_xent(&z_i, &z_j, self.cfg.temperature)?)
    }
}

/// The epoch a training batch is of: its last batch points to the next one.
fn epoch(batch: &Batch) -> u64 {
    match batch.after.sample {
        0 => batch.after.epoch.saturating_sub(1),
        _ => batch.after.epoch,
    }
}

impl Objective for Contrastive {
    fn loss(&self, model: &Model, batch: &Batch) -> Result<(Tensor, Extras)> {
        let (loss, accuracy) = self.pass(model, batch, epoch(batch), true)?;
        Ok((loss, vec![(ACCURACY, accuracy)]))
    }

    fn task(&self) -> Option<&dyn Task> {
        None
    }

    /// Means over all batches as large as the first: with fewer clips to tell apart a loss means something else.
    fn validate(
        &self,
        model: &Model,
        loader: Loader,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scored>> {
        let mut full = 0;
        means([LOSS, ACCURACY], loader, go_on, |batch| {
            full = full.max(batch.keys.len());
            if batch.keys.len() < full {
                return Ok(None);
            }
            let (loss, accuracy) = self.pass(model, batch, VALIDATION, false)?;
            Ok(Some((1.0, [loss, accuracy])))
        })
    }

    /// The network under its published names, `model.safetensors`, and the projection below `head.` beside it.
    fn export(&self, model: &Model, dir: &Path) -> Result<()> {
        let mut tensors = model.merged()?;
        tensors.extend(model.state().into_iter().filter(|(name, _)| name.starts_with("head.")));
        Ok(weights::write(&dir.join("model.safetensors"), &tensors, &BTreeMap::new())?)
    }
}
