//! Masked-token pre-training: a network learns to say, from what is left of a wave, which tokens lie behind the hidden
//! stretches. BEST-RQ (arXiv:2202.01855) as MusicFM runs it; targets of the view are ignored.
//!
//! What a step hides is drawn from libtorch's generator, which the trainer seeds from seed and step; validation hides
//! the same in every pass. Letters: B crops, T samples, T' tokens, K codebook entries.

use crate::LOSS;
use crate::error::{Error, Result};
use crate::objective::{Extras, Objective, Scored};
use crate::objectives::means::means;
use etude_aten::to_device;
use etude_eval::{Task, inputs};
use etude_manifests::atomic;
use etude_models::masked::{self, BLOCK, BLOCK_TOKENS, BlockMask};
use etude_models::musicfm::MusicFm;
use etude_models::{Backbone, Layer, Model, weights};
use etude_shards::Loader;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Share of hidden tokens that are guessed right.
pub const ACCURACY: &str = "accuracy";
/// Samples of a token.
const TOKEN: usize = (BLOCK / BLOCK_TOKENS) as usize;

/// Masked-token pre-training has no settings: share, length and noise of hidden stretches are the published ones.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedTokensConfig {}

/// The objective.
#[derive(Debug, Default)]
pub struct MaskedTokens {}

impl MaskedTokens {
    /// Loss and accuracy, 0-d, of guessing the tokens of `wave` `[B, T]` behind the mask from `seen` `[B, T]`, which is
    /// the wave with noise in hidden stretches. Tokens that reach into padding do not count.
    ///
    /// # Errors
    /// When the model is no MusicFM, T is no whole number of tokens, or nothing is hidden.
    pub fn loss_of(
        model: &Model,
        seen: &Tensor,
        wave: &Tensor,
        mask: &BlockMask,
        lengths: &[usize],
        train: bool,
    ) -> Result<(Tensor, Tensor)> {
        let net = musicfm(model)?;
        let tokens = tch::no_grad(|| net.tokens(wave))?; // [B, T']
        let time = tokens.size2()?.1;
        let whole: Vec<i64> = lengths.iter().map(|&n| (n / TOKEN) as i64).collect();
        let whole = Tensor::f_from_slice(&whole)?.f_unsqueeze(1)?;
        let whole = to_device(&whole, wave.device())?; // [B, 1]
        let there = Tensor::f_arange(time, (Kind::Int64, wave.device()))?.f_lt_tensor(&whole)?;
        let hidden = mask.tokens(time)?.f_logical_and(&there)?; // [B, T']
        let cast = model.precision.enter(model.vs.device())?;
        let states = net.hidden(seen, Layer::Last, train)?; // [B, T', D]
        let logits = net.token_logits(&states, train)?; // [B, T', K]
        drop(cast);
        Ok(masked::loss(&logits.f_to_kind(Kind::Float)?, &tokens, &hidden)?)
    }

    fn pass(model: &Model, batch: &etude_shards::Batch, train: bool) -> Result<(Tensor, Tensor)> {
        let input = inputs(batch, model.vs.device())?;
        let seed = Tensor::f_randint(i64::MAX, [1], (Kind::Int64, Device::Cpu))?;
        let mask = BlockMask::draw(&input.x, seed.f_int64_value(&[0])?.unsigned_abs())?;
        let seen = mask.hide(&input.x)?;
        Self::loss_of(model, &seen, &input.x, &mask, &input.lengths, train)
    }
}

impl Objective for MaskedTokens {
    fn loss(&self, model: &Model, batch: &etude_shards::Batch) -> Result<(Tensor, Extras)> {
        let (loss, accuracy) = Self::pass(model, batch, true)?;
        Ok((loss, vec![(ACCURACY, accuracy)]))
    }

    fn task(&self) -> Option<&dyn Task> {
        None
    }

    /// Means over all crops of the loader.
    fn validate(
        &self,
        model: &Model,
        loader: Loader,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Scored>> {
        means([LOSS, ACCURACY], loader, go_on, |batch| {
            let (loss, accuracy) = Self::pass(model, batch, false)?;
            Ok(Some((batch.keys.len() as f64, [loss, accuracy])))
        })
    }

    /// The whole network as a published one: `model.safetensors`, with the mel statistics in `stats.json` beside it.
    fn export(&self, model: &Model, dir: &Path) -> Result<()> {
        let (mean, std) = musicfm(model)?.stats();
        let stats = serde_json::json!({ "melspec_2048_mean": mean, "melspec_2048_std": std });
        let path = dir.join("stats.json");
        atomic::write_json(&path, &stats).map_err(Error::io(&path))?;
        Ok(weights::write(&dir.join("model.safetensors"), &model.merged()?, &BTreeMap::new())?)
    }
}

fn musicfm(model: &Model) -> Result<&MusicFm> {
    let name = model.backbone.spec().name;
    model.backbone.musicfm().ok_or_else(|| Error::Mismatch {
        what: "objective".to_owned(),
        left: "masked_tokens needs the token targets of musicfm".to_owned(),
        right: format!("the model is {name}"),
        hint: "set model.backbone.name = \"musicfm\"".to_owned(),
    })
}
