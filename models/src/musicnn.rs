//! MusiCNN: wide and tall convolutions over a mel image side by side, a few narrow ones over time, a dense layer.
//!
//! Pons and Serra 2019, arXiv:1909.06654. Two nets are published under this name: that of the limited-data study
//! ([`Preset::Limited`]) and that of Won et al. 2020, arXiv:2006.00751, on which the cross-cultural transfer study
//! builds. The latter study loads its frames turned, so that "vertical" filters look over 67 and 38 frames and
//! "horizontal" ones along the bands: [`Preset::Ccml`] is that, [`Preset::CcmlFixed`] the same with the axes right.
//! Letters: B batch, T samples, N frames, F bands, D width.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbone::{Backbone, Layer, Settings, Spec};
use crate::error::{At, Result};
use crate::nn::{Front, MelSpec, Scope, Source, check_size, front_end};
use crate::peft::Linear;
use crate::weights::NameMap;

mod limited;
mod sota;

pub use limited::LimitedNet;
pub use sota::SotaNet;

/// Name in a configuration.
pub(crate) const NAME: &str = "musicnn";

/// Samples of a window of the published protocols, 3 s at 16 kHz.
const WINDOW: u64 = 48_000;

/// Which published net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Limited data: waves at 16 kHz, 96 bands as natural logarithms; 47 616 to 95 231 samples, of which the first
    /// 186 frames count.
    Limited,
    /// Transfer, as published: frames of 128 bands in decibels with axes turned; 67 frames or more.
    Ccml,
    /// Transfer with bands and frames in their places; any number of frames.
    CcmlFixed,
    /// Won et al.: waves at 16 kHz, 96 bands in decibels; any number of frames.
    Sota,
}

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which published net.
    pub preset: Preset,
    /// What comes in; default what was published: waves for `limited` and `sota`, frames for the others.
    #[serde(default)]
    pub input: Option<Source>,
    /// Filters of each of the two tall branches; default 204, as published.
    #[serde(default = "published_tall")]
    pub tall: i64,
    /// Filters of each of the three long branches; default 51, as published.
    #[serde(default = "published_long")]
    pub long: i64,
    /// Channels behind the branches; default 64, as published.
    #[serde(default = "published_channels")]
    pub channels: i64,
    /// D, width of the embedding; default 200, as published.
    #[serde(default = "published_dim")]
    pub dim: i64,
}

fn published_tall() -> i64 {
    204
}

fn published_long() -> i64 {
    51
}

fn published_channels() -> i64 {
    64
}

fn published_dim() -> i64 {
    200
}

impl Config {
    /// The net as published.
    pub fn preset(preset: Preset) -> Self {
        Self {
            preset,
            input: None,
            tall: published_tall(),
            long: published_long(),
            channels: published_channels(),
            dim: published_dim(),
        }
    }

    /// What comes in.
    pub fn source(&self) -> Source {
        self.input.unwrap_or(match self.preset {
            Preset::Limited | Preset::Sota => Source::Wave,
            Preset::Ccml | Preset::CcmlFixed => Source::Frames,
        })
    }

    fn check(&self) -> Result<()> {
        check_size("backbone.tall", self.tall)?;
        check_size("backbone.long", self.long)?;
        check_size("backbone.channels", self.channels)?;
        check_size("backbone.dim", self.dim)
    }
}

/// One of the two nets, up to its embedding.
#[derive(Debug)]
pub enum Net {
    /// Limited data.
    Limited(LimitedNet),
    /// Won et al., and transfer.
    Sota(SotaNet),
}

/// The network. It has one hidden state, the vector below the published classifier.
#[derive(Debug)]
pub struct Musicnn {
    cfg: Config,
    front: Front,
    net: Net,
}

impl Musicnn {
    /// Builds the network with variables under the published names.
    ///
    /// # Errors
    /// When a size is below 1.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        cfg.check()?;
        let mel = match cfg.preset {
            Preset::Limited => {
                MelSpec::new(&(vs / "melspec"), &front_end("musicnn_seed2_16k_ln")?)?
            }
            Preset::Sota => MelSpec::new(&(vs / "spec"), &front_end("musicnn_sota_16k_db")?)?,
            // its checkpoints carry a front end of 96 bands that was never used
            Preset::Ccml | Preset::CcmlFixed => MelSpec::unnamed(vs, &front_end("vgg_16k_db")?)?,
        };
        let net = match cfg.preset {
            Preset::Limited => Net::Limited(LimitedNet::new(vs, cfg)?),
            _ => Net::Sota(SotaNet::new(vs, cfg)?),
        };
        Ok(Self { cfg: *cfg, front: Front::new(NAME, mel, cfg.source()), net })
    }

    /// x, wave `[B, T]` or frames `[B, N, F]` -> image `[B, F, N]`, or `[B, N, F]` for `ccml`
    ///
    /// # Errors
    /// When the input has another shape.
    pub fn image(&self, x: &Tensor) -> Result<Tensor> {
        let image = self.front.image(x)?;
        Ok(match self.cfg.preset {
            Preset::Ccml => image.f_transpose(1, 2)?,
            _ => image,
        })
    }

    /// The net behind the front end.
    pub fn net(&self) -> &Net {
        &self.net
    }

    fn run(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let image = self.image(x)?;
        let x = match &self.net {
            Net::Limited(net) => net.forward(&image, train)?,
            Net::Sota(net) => net.forward(&image, train)?,
        }; // [B, D]
        Ok(x.f_unsqueeze(1)?) // [B, 1, D]
    }
}

impl Backbone for Musicnn {
    fn spec(&self) -> Spec {
        Spec {
            name: NAME,
            input: self.front.input(),
            dim: self.cfg.dim,
            frame_rate: None,
            layers: 0,
            embedding: 0,
            window: Some(WINDOW),
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        layer.number(0)?;
        self.run(x, train).at(|| format!("{NAME}, input {:?}", x.size()))
    }

    fn linears(&self) -> Vec<&Linear> {
        match &self.net {
            Net::Limited(net) => vec![net.dense()],
            Net::Sota(net) => vec![net.dense()],
        }
    }
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Musicnn::new(vs, self)?))
    }

    /// The transfer study's files carry a front end that was never used.
    fn names(&self) -> NameMap {
        match self.preset {
            Preset::Limited | Preset::Sota => NameMap::new(),
            Preset::Ccml | Preset::CcmlFixed => NameMap::new().skip("spec."),
        }
    }

    fn published_head(&self) -> Option<(&'static str, f64)> {
        match self.preset {
            Preset::Limited => Some(("back_end.dense2", 0.5)),
            _ => Some(("dense2", 0.5)),
        }
    }
}
