//! VGGish, the short-chunk CNN: seven convolution blocks over a mel image, a maximum, a dense layer.
//!
//! Won et al. 2020, arXiv:2006.00751. Two studies use the same network and the same names on images with different
//! axes: the limited-data study (bands, frames), the cross-cultural transfer study (frames, bands).
//! Letters: B batch, T samples, N frames, F = 128 bands, C channels, D = 4 C width.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbone::{Backbone, Layer, Settings, Spec};
use crate::error::{At, Error, Result};
pub use crate::nn::Source;
use crate::nn::{Activation, BatchNorm, Conv2d, Front, MelSpec, Scope, check_size, front_end};
use crate::peft::{Linear, Role, Site};

/// Name in a configuration.
pub(crate) const NAME: &str = "vggish";
/// The published classifier and the dropout before it.
const HEAD: (&str, f64) = ("dense2", 0.5);
/// Samples of a window of the published protocols, 3.69 s at 16 kHz.
const WINDOW: u64 = 59_049;
/// Bands of the mel front end.
const BANDS: i64 = 128;
/// Blocks; each halves both axes.
const BLOCKS: usize = 7;

/// Which study's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Limited data: waves at 16 kHz in, image axes (bands, frames); 128 frames or more.
    Limited,
    /// Transfer: mel frames in decibels in, image axes (frames, bands); 128 to 255 frames.
    Ccml,
}

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which study's network.
    pub preset: Preset,
    /// Channels of the first block; default 128, as published.
    #[serde(default = "published_channels")]
    pub channels: i64,
    /// What comes in; default what the study fed: waves for `limited`, frames for `ccml`.
    #[serde(default)]
    pub input: Option<Source>,
}

fn published_channels() -> i64 {
    128
}

impl Config {
    /// The network of that study as published.
    pub fn preset(preset: Preset) -> Self {
        Self { preset, channels: published_channels(), input: None }
    }

    /// What comes in.
    pub fn source(&self) -> Source {
        self.input.unwrap_or(match self.preset {
            Preset::Limited => Source::Wave,
            Preset::Ccml => Source::Frames,
        })
    }
}

/// Convolution 3x3, batch norm, ReLU, maximum over 2x2.
#[derive(Debug)]
pub struct Block {
    conv: Conv2d,
    bn: BatchNorm,
}

impl Block {
    fn new(vs: &Scope, inp: i64, out: i64) -> Result<Self> {
        let conv = Conv2d::new(&(vs / "conv"), Role::Front, (inp, out), 3, 1, 1)?;
        Ok(Self { conv, bn: BatchNorm::new(&(vs / "bn"), Role::Front, out)? })
    }

    /// x `[B, C, H, W]` -> `[B, C', H / 2, W / 2]`
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.bn.forward(&self.conv.forward(x)?, train)?;
        let x = Activation::Relu.forward(&x)?;
        Ok(x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?)
    }
}

/// The network up to its embedding. Hidden state 0 is the maximum over the last block, hidden state 1, the last, is
/// ReLU(bn(dense1)); one vector per input each.
#[derive(Debug)]
pub struct Vggish {
    cfg: Config,
    front: Front,
    spec_bn: BatchNorm,
    blocks: Vec<Block>,
    dense1: Linear,
    bn: BatchNorm,
}

impl Vggish {
    /// Builds the network with variables under the published names.
    ///
    /// # Errors
    /// When `channels` is below 1.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        check_size("backbone.channels", cfg.channels)?;
        let mel = MelSpec::new(&(vs / "spec"), &front_end("vgg_16k_db")?)?;
        let widths = [1, 1, 1, 2, 2, 2, 2, 4].map(|n| n * cfg.channels);
        let mut blocks = Vec::with_capacity(BLOCKS);
        for i in 0..BLOCKS {
            let inp = if i == 0 { 1 } else { widths[i] };
            blocks.push(Block::new(&(vs / format!("layer{}", i + 1)), inp, widths[i + 1])?);
        }
        let dim = widths[BLOCKS];
        let site = Site { role: Role::Dense, layer: None, inp: dim, out: dim };
        Ok(Self {
            cfg: *cfg,
            front: Front::new(NAME, mel, cfg.source()),
            spec_bn: BatchNorm::new(&(vs / "spec_bn"), Role::Front, 1)?,
            blocks,
            dense1: Linear::new(&(vs / "dense1"), site)?,
            bn: BatchNorm::new(&(vs / "bn"), Role::Other, dim)?,
        })
    }

    /// x, wave `[B, T]` or frames `[B, N, F]` -> normalised image `[B, 1, F, N]` (`limited`) or `[B, 1, N, F]` (`ccml`)
    pub fn image(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let image = self.front.image(x)?; // [B, F, N]
        self.check_frames(image.size()[2])?;
        let image = match self.cfg.preset {
            Preset::Limited => image,
            Preset::Ccml => image.f_transpose(1, 2)?,
        };
        self.spec_bn.forward(&image.f_unsqueeze(1)?, train)
    }

    /// wave `[B, T]` -> mel `[B, F, N]` in decibels
    pub fn mel(&self, wave: &Tensor) -> Result<Tensor> {
        self.front.mel(wave)
    }

    /// The seven blocks, first to last.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// last block `[B, D, H, W]` -> its maximum over the image `[B, D]`
    pub fn pool(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_amax([2, 3], false)?)
    }

    /// maximum `[B, D]` -> embedding ReLU(bn(dense1)) `[B, D]`
    pub fn embed(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.bn.forward(&self.dense1.forward(x, train)?, train)?;
        Activation::Relu.forward(&x)
    }

    fn check_frames(&self, frames: i64) -> Result<()> {
        let (most, text) = match self.cfg.preset {
            Preset::Limited => (i64::MAX, "128 frames or more (32 512 samples at 16 kHz)"),
            Preset::Ccml => (255, "128 to 255 frames (32 512 to 65 279 samples at 16 kHz)"),
        };
        if (BANDS..=most).contains(&frames) {
            return Ok(());
        }
        Err(Error::Shape {
            place: NAME.to_owned(),
            expected: text.to_owned(),
            got: format!("{frames} frames"),
        })
    }

    fn run(&self, x: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let mut x = self.image(x, train)?;
        for block in &self.blocks {
            x = block.forward(&x, train)?;
        }
        let x = self.pool(&x)?; // [B, D]
        let x = if layer == 0 { x } else { self.embed(&x, train)? };
        Ok(x.f_unsqueeze(1)?) // [B, 1, D]
    }
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Vggish::new(vs, self)?))
    }

    fn published_head(&self) -> Option<(&'static str, f64)> {
        Some(HEAD)
    }
}

impl Backbone for Vggish {
    fn spec(&self) -> Spec {
        Spec {
            name: NAME,
            input: self.front.input(),
            dim: 4 * self.cfg.channels,
            frame_rate: None,
            layers: 1,
            embedding: 1,
            window: Some(WINDOW),
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        let layer = layer.number(1)?;
        self.run(x, layer, train).at(|| format!("{NAME}, input {:?}", x.size()))
    }

    fn linears(&self) -> Vec<&Linear> {
        vec![&self.dense1]
    }
}
