//! TMAE: a masked autoencoder on mel spectrograms (He et al. 2022, arXiv:2111.06377, on audio).
//!
//! Our reading of a model that was never published: the limited-data study names a transformer of 7.2 million parameters
//! trained by masking, 256 wide, on 4.85 s of 96 bands. Sizes, names and arithmetic here are those of the masked
//! autoencoder of MetaMAE (Jang et al. 2023), whose stock size on patches of 8 frames by all bands has 7 189 376
//! parameters. Letters: B batch, T samples, N frames, F = 96 bands, L = N / 8 patches, P = 8 F numbers of a patch, K
//! patches kept, D width.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbone::{Backbone, Layer, Settings, Spec};
use crate::error::{At, Error, Result};
use crate::nn::{
    Conv1d, Conv1dSizes, Dropout, Front, Init, LayerNorm, MelSpec, Scope, Source, Stack, Start,
    VitBlock, VitSizes, check_probability, check_size, front_end,
};
use crate::peft::{Linear, Role, Site, Term};
use crate::weights::NameMap;

mod masking;

pub use masking::{Masking, masked_loss};

/// Name in a configuration.
pub(crate) const NAME: &str = "tmae";
/// Bands of the mel front end.
const BANDS: i64 = 96;
/// Frames of a patch.
const PATCH: i64 = 8;
/// Samples of a frame's step.
const HOP: u64 = 256;
/// Samples of a window of 304 frames, 4.85 s.
const WINDOW: (i64, u64) = (304, 77_600);

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What comes in: waves at 16 kHz, or their mel frames in decibels.
    pub input: Source,
    /// N; a multiple of 8.
    pub frames: i64,
    /// Mean of the training frames: frames become (x - mean) / std.
    pub mean: f64,
    /// Their standard deviation; 1 with mean 0 leaves them as they are.
    pub std: f64,
    /// D.
    pub dim: i64,
    /// Blocks.
    pub layers: usize,
    /// Heads of an attention.
    pub heads: i64,
    /// Width of the decoder.
    pub decoder_dim: i64,
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Heads of its attentions.
    pub decoder_heads: i64,
    /// Dropout on tokens, behind attentions and in feed-forwards of the encoder.
    pub dropout: f64,
    /// Whether the decoder, which only the pre-training uses, is part of the network.
    pub pretraining: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            input: Source::Wave,
            frames: WINDOW.0,
            mean: 0.0,
            std: 1.0,
            dim: 256,
            layers: 12,
            heads: 8,
            decoder_dim: 128,
            decoder_layers: 4,
            decoder_heads: 4,
            dropout: 0.1,
            pretraining: false,
        }
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        check_size("backbone.dim", self.dim)?;
        check_size("backbone.decoder_dim", self.decoder_dim)?;
        check_probability("backbone.dropout", self.dropout)?;
        let fail = |key: &str, expected: &str, got: String| {
            let (key, expected) = (format!("backbone.{key}"), expected.to_owned());
            Err(Error::Setting { key, expected, got })
        };
        if self.frames < PATCH || self.frames % PATCH != 0 {
            return fail("frames", "a multiple of 8", self.frames.to_string());
        }
        for (key, dim) in [("dim", self.dim), ("decoder_dim", self.decoder_dim)] {
            if dim % 2 != 0 {
                return fail(key, "an even number", dim.to_string());
            }
        }
        if !(self.mean.is_finite() && self.std.is_finite() && self.std > 0.0) {
            return fail(
                "std",
                "a number above 0",
                format!("mean {}, std {}", self.mean, self.std),
            );
        }
        Ok(())
    }

    fn patches(&self) -> i64 {
        self.frames / PATCH
    }
}

/// What puts the hidden patches back.
#[derive(Debug)]
struct Decoder {
    embed: Linear,
    mask_token: Tensor,
    positions: Tensor,
    blocks: Stack<VitBlock>,
    norm: LayerNorm,
    head: Linear,
}

/// The network. Hidden state 0 is what enters the first block, number n what n blocks give, the last one with the norm
/// behind it; L vectors each, the class token left out.
#[derive(Debug)]
pub struct Tmae {
    cfg: Config,
    front: Front,
    patch_embed: Conv1d,
    cls_token: Tensor,
    positions: Tensor,
    dropout: Dropout,
    blocks: Stack<VitBlock>,
    norm: LayerNorm,
    decoder: Option<Decoder>,
}

impl Tmae {
    /// Builds the network with variables under MetaMAE's names.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        cfg.check()?;
        let mel = MelSpec::unnamed(vs, &front_end("musicnn_sota_16k_db")?)?;
        let (dim, values) = (cfg.dim, BANDS * PATCH);
        let sizes =
            Conv1dSizes { stride: PATCH, padding: 0, ..Conv1dSizes::same(BANDS, dim, PATCH) };
        let normal = Init::Normal { mean: 0.0, std: 0.02 };
        let proj = vs / "patch_embed" / "proj";
        let start = Init::xavier(values, dim); // of the kernel as a matrix
        let decoder = cfg.pretraining.then(|| Decoder::new(vs, cfg)).transpose()?;
        let positions = positions(cfg.patches(), dim)?;
        Ok(Self {
            cfg: *cfg,
            front: Front::new(NAME, mel, cfg.input),
            patch_embed: Conv1d::started(&proj, Role::Front, sizes, start)?,
            cls_token: vs.param("cls_token", &[1, 1, dim], normal, Role::Front, Term::Weight)?,
            positions: vs.constant("pos_embed", positions)?,
            dropout: Dropout::new(vs, cfg.dropout),
            blocks: blocks(&(vs / "encoder"), (dim, cfg.heads, cfg.layers), cfg.dropout)?,
            norm: LayerNorm::new(&(vs / "norm_enc"), Role::Other, dim)?,
            decoder,
        })
    }

    /// x, wave `[B, T]` or frames `[B, N, F]` -> standardised image `[B, F, N]`
    ///
    /// # Errors
    /// When the input has another shape, or another number of patches than there are positions for.
    pub fn image(&self, x: &Tensor) -> Result<Tensor> {
        let image = self.front.image(x)?;
        let (got, want) = (image.size()[2], self.cfg.frames);
        if got / PATCH != want / PATCH {
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!("{want} to {} frames", want + PATCH - 1),
                got: format!("{got} frames"),
            });
        }
        let image = image.f_narrow(2, 0, want)?;
        Ok(image.f_sub_scalar(self.cfg.mean)?.f_div_scalar(self.cfg.std)?)
    }

    /// image `[B, F, N]` -> patches `[B, L, D]`, without positions
    pub fn patch_tokens(&self, image: &Tensor) -> Result<Tensor> {
        Ok(self.patch_embed.forward(image)?.f_transpose(1, 2)?)
    }

    /// image `[B, F, N]` -> the numbers of each patch `[B, L, P]`, number f F + band of frame f in the patch
    pub fn patches(&self, image: &Tensor) -> Result<Tensor> {
        let (batch, bands, frames) = image.size3()?;
        let rows = [batch, frames / PATCH, PATCH * bands];
        Ok(image.f_transpose(1, 2)?.f_reshape(rows)?)
    }

    /// patches `[B, L, D]` -> class token and the patches kept `[B, 1 + K, D]`, behind all blocks and the norm
    pub fn encode(&self, patches: &Tensor, mask: &Masking, train: bool) -> Result<Tensor> {
        let placed = mask.keep(&self.place(patches)?)?;
        let x = self.dropout.forward(&self.with_class(&placed)?, train)?;
        self.norm.forward(&through(&self.blocks, &x, self.cfg.layers, train)?)
    }

    /// what [`Tmae::encode`] gives `[B, 1 + K, D]` -> the numbers of every patch `[B, L, P]`
    ///
    /// # Errors
    /// When the network was built without its decoder.
    pub fn decode(&self, latent: &Tensor, mask: &Masking, train: bool) -> Result<Tensor> {
        let decoder = self.decoder.as_ref().ok_or_else(|| Error::Setting {
            key: "backbone.pretraining".to_owned(),
            expected: "true, for a network with its decoder".to_owned(),
            got: "false".to_owned(),
        })?;
        decoder.forward(latent, mask, train)
    }

    /// The decoder's blocks and others at once: what is in the network for the pre-training alone.
    pub fn has_decoder(&self) -> bool {
        self.decoder.is_some()
    }

    /// L, patches of an input.
    pub fn length(&self) -> i64 {
        self.cfg.patches()
    }

    /// patches `[B, L, D]` -> the same with positions
    fn place(&self, patches: &Tensor) -> Result<Tensor> {
        Ok(patches.f_add(&self.positions.f_narrow(1, 1, self.cfg.patches())?)?)
    }

    /// `[B, K, D]` -> `[B, 1 + K, D]`
    fn with_class(&self, x: &Tensor) -> Result<Tensor> {
        let first = self.cls_token.f_add(&self.positions.f_narrow(1, 0, 1)?)?;
        Ok(Tensor::f_cat(&[&first.f_expand([x.size()[0], -1, -1], false)?, x], 1)?)
    }

    fn run(&self, x: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let patches = self.place(&self.patch_tokens(&self.image(x)?)?)?;
        let x = self.dropout.forward(&self.with_class(&patches)?, train)?;
        let x = through(&self.blocks, &x, layer, train)?;
        let x = if layer == self.cfg.layers { self.norm.forward(&x)? } else { x };
        Ok(x.f_narrow(1, 1, self.cfg.patches())?) // [B, L, D]
    }
}

impl Decoder {
    fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        let (dim, values) = (cfg.decoder_dim, BANDS * PATCH);
        let linear = |name: &str, inp, out| {
            let site = Site { role: Role::Dense, layer: None, inp, out };
            let zero = Some(Init::Const(0.0));
            Linear::started(&(vs / name), site, Init::xavier(inp, out), zero)
        };
        let normal = Init::Normal { mean: 0.0, std: 0.02 };
        let sizes = (dim, cfg.decoder_heads, cfg.decoder_layers);
        Ok(Self {
            embed: linear("decoder_embed", cfg.dim, dim)?,
            mask_token: vs.param("mask_token", &[1, 1, dim], normal, Role::Other, Term::Weight)?,
            positions: vs.constant("decoder_pos_embed", positions(cfg.patches(), dim)?)?,
            blocks: blocks(&(vs / "decoder"), sizes, 0.0)?,
            norm: LayerNorm::new(&(vs / "norm_dec"), Role::Other, dim)?,
            head: linear("decoder_head", dim, values)?,
        })
    }

    fn forward(&self, latent: &Tensor, mask: &Masking, train: bool) -> Result<Tensor> {
        let x = self.embed.forward(latent, train)?; // [B, 1 + K, D']
        let kept = x.size()[1] - 1;
        let first = x.f_narrow(1, 0, 1)?;
        let patches = mask.restore(&x.f_narrow(1, 1, kept)?, &self.mask_token)?; // [B, L, D']
        let x = Tensor::f_cat(&[first, patches], 1)?.f_add(&self.positions)?;
        let x = through(&self.blocks, &x, self.blocks.layers().len(), train)?;
        let x = self.head.forward(&self.norm.forward(&x)?, train)?; // [B, 1 + L, P]
        Ok(x.f_narrow(1, 1, x.size()[1] - 1)?)
    }
}

impl Backbone for Tmae {
    fn spec(&self) -> Spec {
        let frames = self.cfg.frames;
        let frame_rate = 16_000.0 / HOP as f64;
        Spec {
            name: NAME,
            input: self.front.input(),
            dim: self.cfg.dim,
            frame_rate: Some(frame_rate / PATCH as f64),
            layers: self.cfg.layers,
            embedding: self.cfg.layers,
            window: Some(if frames == WINDOW.0 { WINDOW.1 } else { frames as u64 * HOP - HOP }),
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        let layer = layer.number(self.cfg.layers)?;
        self.run(x, layer, train).at(|| format!("{NAME}, input {:?}", x.size()))
    }

    fn linears(&self) -> Vec<&Linear> {
        self.blocks.layers().iter().flat_map(VitBlock::linears).collect()
    }

    fn checkpoint(&self, on: bool) -> Result<()> {
        self.blocks.checkpoint(on);
        self.decoder.iter().for_each(|decoder| decoder.blocks.checkpoint(on));
        Ok(())
    }

    fn backward(&self) -> Result<()> {
        self.decoder.as_ref().map_or(Ok(()), |decoder| decoder.blocks.backward())?;
        self.blocks.backward()
    }

    fn tmae(&self) -> Option<&Tmae> {
        Some(self)
    }
}

fn blocks(
    vs: &Scope,
    (dim, heads, layers): (i64, i64, usize),
    dropout: f64,
) -> Result<Stack<VitBlock>> {
    let (start, eps) = (Start::Xavier, 1e-5);
    let sizes = VitSizes { dim, heads, inner: 2 * dim, eps, dropout, qkv_bias: false, start };
    let blocks = (0..layers).map(|i| VitBlock::new(&(vs / i), sizes, i));
    Ok(Stack::new(blocks.collect::<Result<_>>()?))
}

/// x through the first `layers` blocks.
fn through(blocks: &Stack<VitBlock>, x: &Tensor, layers: usize, train: bool) -> Result<Tensor> {
    blocks.forward(x, 0..layers, (), train, || Ok(false))
}

/// Fixed places `[1, 1 + L, D]`: zeros for the class token, then sines and cosines of p / 10000^(2 i / D) for patch p.
fn positions(patches: i64, dim: i64) -> Result<Tensor> {
    let half = dim / 2;
    let mut values = vec![0f32; dim as usize];
    for p in 0..patches {
        let angle = |i: i64| p as f64 / 10_000f64.powf(i as f64 / half as f64);
        values.extend((0..half).map(|i| angle(i).sin() as f32));
        values.extend((0..half).map(|i| angle(i).cos() as f32));
    }
    Ok(Tensor::f_from_slice(&values)?.f_reshape([1, 1 + patches, dim])?)
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Tmae::new(vs, self)?))
    }

    fn last_layer(&self) -> Option<usize> {
        Some(self.layers)
    }

    /// Without the pre-training the decoder of a file is left out; so are blocks above the depth built.
    fn names(&self) -> NameMap {
        let names = NameMap::new().skip_from("encoder.", self.layers);
        match self.pretraining {
            true => names,
            false => names.skip("decoder").skip("mask_token").skip("norm_dec."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sines_then_cosines_and_the_class_has_none() {
        let x = positions(3, 4).unwrap();
        let row = |n: i64| Vec::<f32>::try_from(x.get(0).get(n)).unwrap();
        assert_eq!(row(0), [0.0; 4]);
        assert_eq!(row(1), [0.0, 0.0, 1.0, 1.0]);
        assert!((row(3)[0] - 2f32.sin()).abs() < 1e-6 && (row(3)[3] - 0.02f32.cos()).abs() < 1e-6);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let fail = |cfg: Config| cfg.check().unwrap_err().to_string();
        let base = Config::default();
        let text = fail(Config { frames: 300, ..base });
        assert_eq!(text, "backbone.frames: expected a multiple of 8, got 300");
        assert!(fail(Config { std: 0.0, ..base }).starts_with("backbone.std"));
        assert!(fail(Config { decoder_dim: 33, ..base }).starts_with("backbone.decoder_dim"));
    }
}
