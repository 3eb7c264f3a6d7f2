//! AST, the Audio Spectrogram Transformer: a vision transformer on overlapping patches of a mel image.
//!
//! Gong et al. 2021, arXiv:2104.01778, on the distilled DeiT of Touvron et al. 2021, arXiv:2012.12877. The limited-data
//! study trains it from nothing, by mistake on raw power and with image axes turned ([`Preset::Limited`]; right in
//! [`Preset::LimitedFixed`]); the transfer study starts from ImageNet. Letters: B batch, T samples, N frames, F = 128
//! bands, L = rows times columns patches, D width.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::backbone::{Backbone, Layer, Settings, Spec};
use crate::error::{At, Error, Result};
use crate::nn::{
    Conv2d, Front, Init, LayerNorm, MelSpec, Scope, Source, Stack, Start, VitBlock, VitSizes,
    check_size, front_end,
};
use crate::peft::{Linear, Role, Site, Term};
use crate::weights::{NameMap, WeightFile};

mod published;
mod standard;

pub use published::{adapt_positions, mono_kernel};
pub use standard::FrameStats;

/// Name in a configuration.
pub(crate) const NAME: &str = "ast";
/// The published classifier; there is no dropout before it. The layer norm below it belongs to the network.
const HEAD: (&str, f64) = ("mlp_head.1", 0.0);
/// Bands of the mel front end.
const BANDS: i64 = 128;
/// Side of a patch, and from one to the next.
const PATCH: i64 = 16;
const STRIDE: i64 = 10;
/// Frames and samples of the limited-data study's windows, 5.12 s; frames of the transfer study's, 8 s.
const LIMITED: (i64, u64) = (320, 81_866);
const CCML_FRAMES: i64 = 500;
/// Added to the variance by the transformer's norms.
const EPS: f64 = 1e-6;
/// Deviation of starting values.
const STD: f64 = 0.02;

/// Which study's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Limited data, as published: waves, power of the bands, image axes (frames, bands).
    Limited,
    /// Limited data in decibels, standardised, image axes (bands, frames).
    LimitedFixed,
    /// Transfer: mel frames in decibels, standardised, image axes (bands, frames).
    Ccml,
}

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which study's network.
    pub preset: Preset,
    /// What comes in; default waves for the limited-data study, frames for `ccml`.
    #[serde(default)]
    pub input: Option<Source>,
    /// N; default 320 for the limited-data study, 500 for `ccml`.
    #[serde(default)]
    pub frames: Option<i64>,
    /// Mean of the training frames, see [`FrameStats`]; default 0. `limited` does not standardise.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Their standard deviation: frames become (x - mean) / (2 std); default 0.5, which leaves them as they are.
    #[serde(default)]
    pub std: Option<f64>,
    /// D; default 768, as published.
    #[serde(default = "published_dim")]
    pub dim: i64,
    /// Blocks; default 12, as published.
    #[serde(default = "published_layers")]
    pub layers: usize,
    /// Heads of an attention; default 12, as published.
    #[serde(default = "published_heads")]
    pub heads: i64,
    /// Outputs of the two image classifiers, which are kept and never used; default 1000, as published; 0 leaves them
    /// out.
    #[serde(default = "published_image_classes")]
    pub image_classes: i64,
}

fn published_dim() -> i64 {
    768
}

fn published_layers() -> usize {
    12
}

fn published_heads() -> i64 {
    12
}

fn published_image_classes() -> i64 {
    1000
}

impl Config {
    /// The network of that study as published.
    pub fn preset(preset: Preset) -> Self {
        Self {
            preset,
            input: None,
            frames: None,
            mean: None,
            std: None,
            dim: published_dim(),
            layers: published_layers(),
            heads: published_heads(),
            image_classes: published_image_classes(),
        }
    }

    /// What comes in.
    pub fn source(&self) -> Source {
        self.input.unwrap_or(match self.preset {
            Preset::Ccml => Source::Frames,
            _ => Source::Wave,
        })
    }

    /// N.
    pub fn frames(&self) -> i64 {
        self.frames.unwrap_or(match self.preset {
            Preset::Ccml => CCML_FRAMES,
            _ => LIMITED.0,
        })
    }

    /// Patches of the image, (rows, columns).
    pub fn grid(&self) -> (i64, i64) {
        let (time, bands) = (patches(self.frames()), patches(BANDS));
        match self.preset {
            Preset::Limited => (time, bands),
            _ => (bands, time),
        }
    }

    /// Samples of a window.
    fn window(&self) -> u64 {
        match self.frames() {
            n if n == LIMITED.0 => LIMITED.1,
            n => (n as u64).saturating_sub(1) * 256,
        }
    }

    fn check(&self) -> Result<()> {
        check_size("backbone.dim", self.dim)?;
        let fail = |key: &str, expected: &str, got: String| {
            let (key, expected) = (format!("backbone.{key}"), expected.to_owned());
            Err(Error::Setting { key, expected, got })
        };
        if self.frames() < PATCH {
            return fail("frames", "at least 16", self.frames().to_string());
        }
        if self.image_classes < 0 {
            return fail("image_classes", "0 or more", self.image_classes.to_string());
        }
        if self.mean.is_some() != self.std.is_some() {
            return fail("mean and std", "both or neither", "one".to_owned());
        }
        if self.preset == Preset::Limited && self.mean.is_some() {
            let expected = "no such keys for preset limited; limited_fixed has them";
            return fail("mean and std", expected, "two numbers".to_owned());
        }
        match (self.mean, self.std) {
            (Some(mean), Some(std)) if !(mean.is_finite() && std.is_finite() && std > 0.0) => {
                fail("std", "a number above 0", format!("mean {mean}, std {std}"))
            }
            _ => Ok(()),
        }
    }
}

/// Patches along an axis of that length.
fn patches(length: i64) -> i64 {
    (length - PATCH) / STRIDE + 1
}

/// The network. Hidden state n below the number of blocks is the mean of the class and the distillation token behind n
/// blocks; that behind all blocks has the final norm in it and is the published embedding; the last one, a layer norm
/// further, is what the published classifier reads. One vector per input each.
#[derive(Debug)]
pub struct Ast {
    cfg: Config,
    front: Front,
    cls_token: Tensor,
    dist_token: Tensor,
    pos_embed: Tensor,
    patch_embed: Conv2d,
    blocks: Stack<VitBlock>,
    norm: LayerNorm,
    head_norm: LayerNorm,
}

impl Ast {
    /// Builds the network with variables under the published names.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        cfg.check()?;
        let mel = match cfg.preset {
            Preset::Limited => MelSpec::new(&(vs / "melspec"), &front_end("ast_seed2_16k_power")?)?,
            _ => MelSpec::unnamed(vs, &front_end("vgg_16k_db")?)?,
        };
        let v = vs / "v";
        let (dim, start) = (cfg.dim, Start::Normal(STD));
        let token = |name, rows| {
            let init = start.init(dim, dim);
            v.param(name, &[1, rows, dim], init, Role::Front, Term::Weight)
        };
        let sizes = VitSizes {
            dim,
            heads: cfg.heads,
            inner: 4 * dim,
            eps: EPS,
            dropout: 0.0,
            qkv_bias: true,
            start,
        };
        let blocks = (0..cfg.layers).map(|i| VitBlock::new(&(&v / "blocks" / i), sizes, i));
        for name in ["head", "head_dist"].into_iter().filter(|_| cfg.image_classes > 0) {
            let site = Site { role: Role::Unused, layer: None, inp: dim, out: cfg.image_classes };
            let init = start.init(dim, cfg.image_classes);
            Linear::started(&(&v / name), site, init, Some(Init::Const(0.0)))?;
        }
        let (rows, columns) = cfg.grid();
        let proj = &v / "patch_embed" / "proj";
        Ok(Self {
            cfg: *cfg,
            front: Front::new(NAME, mel, cfg.source()),
            cls_token: token("cls_token", 1)?,
            dist_token: token("dist_token", 1)?,
            pos_embed: token("pos_embed", 2 + rows * columns)?,
            patch_embed: Conv2d::new(&proj, Role::Front, (1, dim), PATCH, STRIDE, 0)?,
            blocks: Stack::new(blocks.collect::<Result<_>>()?),
            norm: LayerNorm::new(&(&v / "norm"), Role::Other, dim)?.with_eps(EPS),
            head_norm: LayerNorm::new(&(vs / "mlp_head" / 0), Role::Other, dim)?,
        })
    }

    /// wave `[B, T]` -> mel `[B, F, N]`, not standardised
    ///
    /// # Errors
    /// When the wave is too short.
    pub fn mel(&self, wave: &Tensor) -> Result<Tensor> {
        self.front.mel(wave)
    }

    /// x, wave `[B, T]` or frames `[B, N, F]` -> standardised image `[B, F, N]`, or `[B, N, F]` for `limited`
    ///
    /// # Errors
    /// When the input has another shape, or a length that gives other patches than there are positions for.
    pub fn image(&self, x: &Tensor) -> Result<Tensor> {
        let image = self.front.image(x)?; // [B, F, N]
        let (got, want) = (image.size()[2], self.cfg.frames());
        if got < PATCH || patches(got) != patches(want) {
            let first = (patches(want) - 1) * STRIDE + PATCH;
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!("{first} to {} frames", first + STRIDE - 1),
                got: format!("{got} frames"),
            });
        }
        let image = match (self.cfg.mean, self.cfg.std) {
            (Some(mean), Some(std)) => image.f_sub_scalar(mean)?.f_div_scalar(2.0 * std)?,
            _ => image,
        };
        Ok(match self.cfg.preset {
            Preset::Limited => image.f_transpose(1, 2)?,
            _ => image,
        })
    }

    /// image `[B, H, W]` -> patches `[B, L, D]`, row by row, without positions
    pub fn patch_tokens(&self, image: &Tensor) -> Result<Tensor> {
        let x = self.patch_embed.forward(&image.f_unsqueeze(1)?)?; // [B, D, rows, columns]
        Ok(x.f_flatten(2, 3)?.f_transpose(1, 2)?)
    }

    /// patches `[B, L, D]` -> class, distillation and patches with positions `[B, 2 + L, D]`
    pub fn tokens(&self, patches: &Tensor) -> Result<Tensor> {
        let batch = patches.size()[0];
        let first = |token: &Tensor| token.f_expand([batch, -1, -1], false);
        let x = Tensor::f_cat(&[&first(&self.cls_token)?, &first(&self.dist_token)?, patches], 1)?;
        Ok(x.f_add(&self.pos_embed)?)
    }

    /// The blocks, first to last.
    pub fn blocks(&self) -> &[VitBlock] {
        self.blocks.layers()
    }

    /// behind the blocks `[B, 2 + L, D]` -> the embedding, mean of the first two tokens behind the norm `[B, D]`
    pub fn embed(&self, x: &Tensor) -> Result<Tensor> {
        first_two(&self.norm.forward(&x.f_narrow(1, 0, 2)?)?)
    }

    /// embedding `[B, D]` -> what the published classifier reads `[B, D]`
    pub fn head_norm(&self, embedding: &Tensor) -> Result<Tensor> {
        self.head_norm.forward(embedding)
    }

    fn run(&self, x: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let x = self.tokens(&self.patch_tokens(&self.image(x)?)?)?; // [B, 2 + L, D]
        let all = self.blocks().len();
        let x = self.blocks.forward(&x, 0..layer.min(all), (), train, || Ok(false))?;
        let x = match layer {
            n if n < all => first_two(&x.f_narrow(1, 0, 2)?)?,
            n if n == all => self.embed(&x)?,
            _ => self.head_norm(&self.embed(&x)?)?,
        }; // [B, D]
        Ok(x.f_unsqueeze(1)?) // [B, 1, D]
    }
}

/// `[B, 2, D]` -> mean of the two `[B, D]`
fn first_two(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_mean_dim([1i64].as_slice(), false, None::<Kind>)?)
}

impl Backbone for Ast {
    fn spec(&self) -> Spec {
        Spec {
            name: NAME,
            input: self.front.input(),
            dim: self.cfg.dim,
            frame_rate: None,
            layers: self.blocks().len() + 1,
            embedding: self.blocks().len(),
            window: Some(self.cfg.window()),
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        let layer = layer.number(self.blocks().len() + 1)?;
        self.run(x, layer, train).at(|| format!("{NAME}, input {:?}", x.size()))
    }

    fn linears(&self) -> Vec<&Linear> {
        self.blocks().iter().flat_map(VitBlock::linears).collect()
    }

    fn checkpoint(&self, on: bool) -> Result<()> {
        self.blocks.checkpoint(on);
        Ok(())
    }

    fn backward(&self) -> Result<()> {
        self.blocks.backward()
    }
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Ast::new(vs, self)?))
    }

    fn last_layer(&self) -> Option<usize> {
        Some(self.layers + 1)
    }

    /// Blocks above the depth built are left out, and so are the image classifiers where they are not wanted, and a front
    /// end that is not this network's.
    fn names(&self) -> NameMap {
        let names = NameMap::new().skip_from("v.blocks.", self.layers);
        let names = match self.preset {
            Preset::Limited => names,
            _ => names.skip("melspec."),
        };
        match self.image_classes {
            0 => names.skip("v.head"),
            _ => names,
        }
    }

    fn published_head(&self) -> Option<(&'static str, f64)> {
        Some(HEAD)
    }

    fn adopt(&self, file: &WeightFile) -> Result<Option<Vec<(String, Tensor)>>> {
        published::adopt(file, self).map(Some)
    }
}
