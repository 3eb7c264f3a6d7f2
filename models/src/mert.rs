//! MERT: strided convolutions on the wave, a transformer encoder of the HuBERT kind. Li et al. 2023, arXiv:2306.00107.
//!
//! Names follow the published checkpoints. Letters: B batch, T samples, C = 512 channels, N = 75 frames a second (less
//! one or two), D width.

use tch::{Kind, Tensor};

use crate::backbone::{Backbone, Input, Layer, Settings, Spec};
use crate::error::{At, Result};
use crate::nn::{Dropout, Init, LayerNorm, Scope};
use crate::peft::{Linear, Role, Site, Term};
use crate::weights::NameMap;

mod config;
mod encoder;
mod extractor;

pub use config::{Config, Preset};
pub use encoder::{Encoder, EncoderLayer, Positional};
pub use extractor::{ChannelNorm, ConvLayer, Extractor};

/// Name in a configuration.
pub(crate) const NAME: &str = "mert";
/// Samples per second, Hz.
const RATE: u32 = 24_000;
/// Added to a wave's variance before it is scaled to 1.
const NORMALISE_EPS: f64 = 1e-7;

/// The network. Hidden state 0 is what enters the transformer, number n what its layer n gives. With the norm first
/// the last one has the encoder's layer norm on top: cut to its first layers, that norm follows the last layer kept.
#[derive(Debug)]
pub struct Mert {
    cfg: Config,
    extractor: Extractor,
    layer_norm: LayerNorm,
    projection: Linear,
    dropout: Dropout,
    encoder: Encoder,
}

impl Mert {
    /// Builds the network with variables under the published names, the one included that only pre-training uses.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        cfg.check()?;
        let _ = vs.param(
            "masked_spec_embed",
            &[cfg.dim],
            Init::Uniform(1.0),
            Role::Unused,
            Term::Weight,
        )?;
        let front = vs / "feature_projection";
        let site = Site { role: Role::Front, layer: None, inp: cfg.conv_channels, out: cfg.dim };
        Ok(Self {
            cfg: *cfg,
            extractor: Extractor::new(&(vs / "feature_extractor"), cfg.conv_channels)?,
            layer_norm: LayerNorm::new(&(&front / "layer_norm"), Role::Front, cfg.conv_channels)?,
            projection: Linear::new(&(&front / "projection"), site)?,
            dropout: Dropout::new(vs, cfg.projection_dropout),
            encoder: Encoder::new(&(vs / "encoder"), cfg)?,
        })
    }

    /// The convolutions on the wave.
    pub fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    /// The transformer.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// extractor's output `[B, C, N]` -> what enters the encoder `[B, N, D]`
    pub fn project(&self, features: &Tensor, train: bool) -> Result<Tensor> {
        let rows = self.layer_norm.forward(&features.f_transpose(1, 2)?)?; // [B, N, C]
        self.dropout.forward(&self.projection.forward(&rows, train)?, train)
    }

    fn run(&self, wave: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let features = match self.cfg.normalise {
            true => self.extractor.forward(&normalise(wave)?, train)?,
            false => self.extractor.forward(wave, train)?,
        }; // [B, C, N]
        self.encoder.forward(&self.project(&features, train)?, layer, train)
    }
}

impl Backbone for Mert {
    fn spec(&self) -> Spec {
        Spec {
            name: NAME,
            input: Input::Wave { rate: RATE },
            dim: self.cfg.dim,
            frame_rate: Some(f64::from(RATE) / extractor::STRIDE as f64),
            layers: self.cfg.layers,
            embedding: self.cfg.layers,
            window: None,
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        let layer = layer.number(self.cfg.layers)?;
        self.run(x, layer, train).at(|| format!("{NAME}, wave {:?}", x.size()))
    }

    fn resume(&self, hidden: &Tensor, from: usize, layer: usize, train: bool) -> Result<Tensor> {
        let made = self.encoder.resume(hidden, from, layer, train);
        made.at(|| format!("{NAME}, hidden state {from} {:?}", hidden.size()))
    }

    fn resumes(&self) -> bool {
        true
    }

    fn linears(&self) -> Vec<&Linear> {
        self.encoder.linears()
    }

    fn checkpoint(&self, on: bool) -> Result<()> {
        if let Some(front) = self.extractor.stack() {
            front.checkpoint(on);
        }
        self.encoder.stack().checkpoint(on);
        Ok(())
    }

    fn backward(&self) -> Result<()> {
        self.encoder.stack().backward()?;
        self.extractor.stack().map_or(Ok(()), |front| front.backward())
    }
}

/// wave `[B, T]` -> each row with mean 0 and variance 1 (over its T samples, not T - 1)
fn normalise(wave: &Tensor) -> Result<Tensor> {
    let time = [-1i64].as_slice();
    let centred = wave.f_sub(&wave.f_mean_dim(time, true, None::<Kind>)?)?;
    let variance = centred.f_square()?.f_mean_dim(time, true, None::<Kind>)?; // [B, 1]
    Ok(centred.f_div(&variance.f_add_scalar(NORMALISE_EPS)?.f_sqrt()?)?)
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Mert::new(vs, self)?))
    }

    fn last_layer(&self) -> Option<usize> {
        Some(self.layers)
    }

    /// Published files have either spelling of the weight norm; layers above the depth built are left out.
    fn names(&self) -> NameMap {
        NameMap::new().weight_norm("pos_conv_embed.conv").skip_from("encoder.layers.", self.layers)
    }
}
