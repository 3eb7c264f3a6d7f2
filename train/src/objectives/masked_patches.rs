//! Masked-patch pre-training: a network learns to put back the mel values of hidden patches from those it sees. A masked
//! autoencoder (arXiv:2111.06377) on TMAE, our reading of a model that was never published; targets of the view are
//! ignored.
//!
//! What a step hides is drawn from libtorch's generator, which the trainer seeds from seed and step; validation hides
//! the same in every pass. Letters: B crops, L patches.

use crate::LOSS;
use crate::error::{Error, Result};
use crate::objective::{Extras, Objective, Scored};
use crate::objectives::means::means;
use etude_aten::to_device;
use etude_eval::{Task, inputs};
use etude_models::tmae::{Masking, Tmae, masked_loss};
use etude_models::{Model, weights};
use etude_shards::{Batch, Loader};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskedPatchesConfig {
    /// Share of patches hidden.
    pub ratio: f64,
}

impl Default for MaskedPatchesConfig {
    fn default() -> Self {
        Self { ratio: 0.5 }
    }
}

/// The objective.
#[derive(Debug)]
pub struct MaskedPatches {
    cfg: MaskedPatchesConfig,
}

impl MaskedPatches {
    /// The objective with these settings.
    pub fn new(cfg: &MaskedPatchesConfig) -> Self {
        Self { cfg: cfg.clone() }
    }

    /// Loss, 0-d, of putting back the patches of x (waves `[B, T]` or frames `[B, N, F]`) whose `noise` `[B, L]` is
    /// highest.
    ///
    /// # Errors
    /// When the model is no TMAE with its decoder, or the ratio leaves nothing to see or to guess.
    pub fn loss_of(
        model: &Model,
        x: &Tensor,
        noise: &Tensor,
        ratio: f64,
        train: bool,
    ) -> Result<Tensor> {
        let net = tmae(model)?;
        let image = net.image(x)?; // [B, F, N]
        let mask = Masking::new(noise, ratio)?;
        let cast = model.precision.enter(model.vs.device())?;
        let latent = net.encode(&net.patch_tokens(&image)?, &mask, train)?;
        let guess = net.decode(&latent, &mask, train)?; // [B, L, P]
        drop(cast);
        Ok(masked_loss(&guess.f_to_kind(Kind::Float)?, &net.patches(&image)?, &mask)?)
    }

    fn pass(&self, model: &Model, batch: &Batch, train: bool) -> Result<Tensor> {
        let input = inputs(batch, model.vs.device())?;
        let size = [batch.keys.len() as i64, tmae(model)?.length()];
        let noise = Tensor::f_rand(size, (Kind::Float, Device::Cpu))?;
        let noise = to_device(&noise, model.vs.device())?;
        Self::loss_of(model, &input.x, &noise, self.cfg.ratio, train)
    }
}

impl Objective for MaskedPatches {
    fn loss(&self, model: &Model, batch: &Batch) -> Result<(Tensor, Extras)> {
        Ok((self.pass(model, batch, true)?, Extras::new()))
    }

    fn task(&self) -> Option<&dyn Task> {
        None
    }

    /// Mean over all crops of the loader.
    fn validate(
        &self,
        model: &Model,
        loader: Loader,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scored>> {
        means([LOSS], loader, go_on, |batch| {
            Ok(Some((batch.keys.len() as f64, [self.pass(model, batch, false)?])))
        })
    }

    /// The whole network, its decoder included: `model.safetensors`.
    fn export(&self, model: &Model, dir: &Path) -> Result<()> {
        Ok(weights::write(&dir.join("model.safetensors"), &model.merged()?, &BTreeMap::new())?)
    }
}

fn tmae(model: &Model) -> Result<&Tmae> {
    let name = model.backbone.spec().name;
    model.backbone.tmae().ok_or_else(|| Error::Mismatch {
        what: "objective".to_owned(),
        left: "masked_patches needs the patches of tmae".to_owned(),
        right: format!("the model is {name}"),
        hint: "set model.backbone.name = \"tmae\"".to_owned(),
    })
}
