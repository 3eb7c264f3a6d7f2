//! MusicFM at 25 Hz: mel front end, convolutions, conformer. Won et al. 2023, arXiv:2311.03318.
//!
//! Names follow the published checkpoint without its `model.` prefix. Letters: B batch, T samples, N mel frames,
//! F = 128 bands, C channels, T' = ceil(ceil(N / 2) / 2) tokens, D width, K codebook entries.

use std::path::Path;

use etude_aten::Autocast;
use etude_features::MelConfig;
use tch::{Device, Kind, Tensor};

use crate::backbone::{Backbone, Input, Layer, Settings, Spec};
use crate::conformer::Conformer;
use crate::error::{At, Error, Result};
use crate::nn::{Activation, BatchNorm, Block, Conv2d, Init, Made, MelSpec, Scope, Stack};
use crate::peft::{Linear, Role, Site, Term};
use crate::quantizer::Quantizer;
use crate::weights::NameMap;

mod config;

pub use config::Config;

/// Name in a configuration.
pub(crate) const NAME: &str = "musicfm";
/// Mel frames behind one token.
pub const FRAMES_PER_TOKEN: i64 = 4;

/// The network. Hidden state 0 is what enters the conformer, number n what its layer n gives, and the last one has the
/// conformer's layer norm on top: cut to its first layers, that norm follows the last layer kept.
#[derive(Debug)]
pub struct MusicFm {
    cfg: Config,
    mel: MelSpec,
    conv: Subsampling,
    conformer: Conformer,
    linear: Linear,
    quantizer: Quantizer,
}

impl MusicFm {
    /// Builds the network with variables under the published names, those included that only pre-training uses.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        cfg.check()?;
        let front = MelConfig::preset("musicfm_24k_db").ok_or_else(|| Error::Setting {
            key: "front end".to_owned(),
            expected: "musicfm_24k_db".to_owned(),
            got: "no preset of that name".to_owned(),
        })?;
        let bands = front.bands as i64;
        let mel = MelSpec::new(&(vs / "preprocessor_melspec_2048" / "mel_stft"), &front)?;
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        let _ = vs.param("cls_token", &[cfg.dim], normal, Role::Unused, Term::Weight)?;
        let role = if cfg.pretraining { Role::Dense } else { Role::Unused };
        let site = Site { role, layer: None, inp: cfg.dim, out: cfg.codebook_size };
        let quantizer = vs / "quantizer_melspec_2048_0";
        Ok(Self {
            cfg: *cfg,
            mel,
            conv: Subsampling::new(&(vs / "conv"), bands, cfg.conv_channels, cfg.dim)?,
            conformer: Conformer::new(&(vs / "conformer"), &cfg.conformer())?,
            linear: Linear::new(&(vs / "linear"), site)?,
            quantizer: Quantizer::new(
                &quantizer,
                bands * FRAMES_PER_TOKEN,
                cfg.codebook_dim,
                cfg.codebook_size,
            )?,
        })
    }

    /// wave `[B, T]` at 24 kHz -> mel `[B, F, N]` in decibels, with N = T / 240
    pub fn mel(&self, wave: &Tensor) -> Result<Tensor> {
        let mel = self.mel.forward(wave)?;
        let frames = mel.size()[2] - 1; // the published front end drops the last frame
        Ok(mel.f_narrow(2, 0, frames)?)
    }

    /// mel `[B, F, N]` in decibels -> the same with the training set's mean 0 and deviation 1
    pub fn normalise(&self, mel: &Tensor) -> Result<Tensor> {
        Ok(mel.f_sub_scalar(self.cfg.mean())?.f_div_scalar(self.cfg.std())?)
    }

    /// Mean and standard deviation of the mel values that the network was made for, dB.
    pub fn stats(&self) -> (f64, f64) {
        (self.cfg.mean(), self.cfg.std())
    }

    /// The convolutions between mel and conformer.
    pub fn subsampling(&self) -> &Subsampling {
        &self.conv
    }

    /// The conformer.
    pub fn conformer(&self) -> &Conformer {
        &self.conformer
    }

    /// The random-projection quantiser behind the pre-training targets.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// last hidden state `[B, T', D]` -> logits of the pre-training head `[B, T', K]`
    pub fn token_logits(&self, hidden: &Tensor, train: bool) -> Result<Tensor> {
        self.linear.forward(hidden, train)
    }

    /// normalised mel `[B, F, N]` -> four frames each in a row `[B, N / 4, 4 F]`: what the quantiser sees of a token
    ///
    /// # Errors
    /// Unless N is a multiple of 4.
    pub fn stack(&self, mel: &Tensor) -> Result<Tensor> {
        let (batch, bands, frames) = mel.size3()?;
        if frames % FRAMES_PER_TOKEN != 0 {
            return Err(Error::Shape {
                place: format!("{NAME} targets"),
                expected: "a number of mel frames divisible by 4 (960 samples a token)".to_owned(),
                got: format!("{frames} frames"),
            });
        }
        let rows = mel.f_transpose(1, 2)?; // [B, N, F]
        let stacked = [batch, frames / FRAMES_PER_TOKEN, FRAMES_PER_TOKEN * bands];
        Ok(rows.f_reshape(stacked)?)
    }

    /// wave `[B, T]` -> target tokens `[B, T']`, whole numbers below K
    ///
    /// # Errors
    /// As [`MusicFm::stack`].
    pub fn tokens(&self, wave: &Tensor) -> Result<Tensor> {
        self.quantizer.tokens(&self.stack(&self.normalise(&self.mel(wave)?)?)?)
    }

    fn run(&self, wave: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let mel = self.normalise(&self.mel(wave)?)?; // [B, F, N]
        let x = self.conv.forward(&mel, train)?; // [B, T', D]
        self.conformer.forward(&x, layer, train)
    }
}

impl Backbone for MusicFm {
    fn spec(&self) -> Spec {
        let front = self.mel.config();
        Spec {
            name: NAME,
            input: Input::Wave { rate: front.rate },
            dim: self.cfg.dim,
            frame_rate: Some(front.frame_rate() / FRAMES_PER_TOKEN as f64),
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
        let made = self.conformer.resume(hidden, from, layer, train);
        made.at(|| format!("{NAME}, hidden state {from} {:?}", hidden.size()))
    }

    fn resumes(&self) -> bool {
        true
    }

    fn linears(&self) -> Vec<&Linear> {
        self.conformer.linears()
    }

    fn musicfm(&self) -> Option<&MusicFm> {
        Some(self)
    }

    fn checkpoint(&self, on: bool) -> Result<()> {
        let front = self.conv.blocks().iter().any(|b| b.conv1.trains());
        self.conv.blocks.checkpoint(on && front);
        self.conformer.stack().checkpoint(on);
        Ok(())
    }

    fn backward(&self) -> Result<()> {
        self.conformer.stack().backward()?;
        self.conv.blocks.backward()
    }
}

/// Two residual blocks that halve bands and frames each, then a linear layer.
#[derive(Debug)]
pub struct Subsampling {
    blocks: Stack<Residual>,
    linear: Linear,
}

impl Subsampling {
    fn new(vs: &Scope, bands: i64, channels: i64, dim: i64) -> Result<Self> {
        let block = |i: i64, inp| Residual::new(&(vs / "conv" / i), inp, channels);
        let inp = channels * (bands / 4);
        let site = Site { role: Role::Front, layer: None, inp, out: dim };
        Ok(Self {
            blocks: Stack::new(vec![block(0, 1)?, block(1, channels)?]),
            linear: Linear::new(&(vs / "linear"), site)?,
        })
    }

    /// The two blocks.
    pub fn blocks(&self) -> &[Residual] {
        self.blocks.layers()
    }

    /// mel `[B, F, N]` -> `[B, T', D]`
    pub fn forward(&self, mel: &Tensor, train: bool) -> Result<Tensor> {
        let x = mel.f_unsqueeze(1)?; // [B, 1, F, N]
        let fixed = self.blocks().iter().all(Residual::is_fixed);
        if fixed && x.device() == Device::Cpu && Autocast::is_on(Device::Cpu) {
            return self.join(&self.in_pieces(&x)?, train);
        }
        self.join(&self.convolve(&x, train)?, train)
    }

    fn convolve(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.blocks.forward(x, 0..self.blocks().len(), (), train, || Ok(false))
    }

    /// As [`Subsampling::convolve`] for fixed blocks, one stretch of time of one clip after the other: with bfloat16 the
    /// processor waits for memory unless what lies between two convolutions stays in its caches.
    fn in_pieces(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        let (clips, frames) = (size[0], size[3]);
        let tokens = (frames + FRAMES_PER_TOKEN - 1) / FRAMES_PER_TOKEN;
        let mut rows = Vec::new();
        for clip in 0..clips {
            let row = x.f_narrow(0, clip, 1)?;
            let mut pieces = Vec::new();
            for first in (0..tokens).step_by(PIECE as usize) {
                let many = PIECE.min(tokens - first);
                let from = (first * FRAMES_PER_TOKEN - MARGIN).max(0);
                let to = ((first + many) * FRAMES_PER_TOKEN + MARGIN).min(frames);
                let y = self.convolve(&row.f_narrow(3, from, to - from)?, false)?;
                pieces.push(y.f_narrow(3, first - from / FRAMES_PER_TOKEN, many)?);
            }
            rows.push(Tensor::f_cat(&pieces, 3)?); // [1, C, F / 4, T']
        }
        Ok(Tensor::f_cat(&rows, 0)?)
    }

    /// second block's output `[B, C, F / 4, T']` -> `[B, T', D]`; a token's row holds all bands of a channel together
    pub fn join(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let rows = x.f_permute([0, 3, 1, 2])?.f_flatten(2, 3)?; // [B, T', C F / 4]
        self.linear.forward(&rows, train)
    }
}

/// Tokens that are convolved at once.
const PIECE: i64 = 64;
/// Mel frames around those of a piece; a token depends on 9 frames on either side.
const MARGIN: i64 = 12;

/// x `[B, C, H, W]` -> the same numbers with those of one place next to each other in memory
fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

/// Two convolutions beside one, the first of each with stride 2, and a ReLU on their sum.
#[derive(Debug)]
pub struct Residual {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    exact: Made<[(Tensor, Tensor); 3]>,
    half: Made<[(Tensor, Tensor); 3]>,
}

impl Residual {
    fn new(vs: &Scope, inp: i64, out: i64) -> Result<Self> {
        let conv =
            |name, inp, stride| Conv2d::new(&(vs / name), Role::Front, (inp, out), 3, stride, 1);
        let norm = |name| BatchNorm::new(&(vs / name), Role::Front, out);
        Ok(Self {
            conv1: conv("conv1", inp, 2)?,
            bn1: norm("bn1")?,
            conv2: conv("conv2", out, 1)?,
            bn2: norm("bn2")?,
            conv3: conv("conv3", inp, 2)?,
            bn3: norm("bn3")?,
            exact: Made::default(),
            half: Made::default(),
        })
    }

    fn parts(&self) -> [(&Conv2d, &BatchNorm); 3] {
        [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2), (&self.conv3, &self.bn3)]
    }

    /// Whether it is a fixed function.
    fn is_fixed(&self) -> bool {
        self.parts().iter().all(|(conv, norm)| conv.is_frozen() && norm.is_fixed())
    }

    /// As [`Residual::forward`] for a fixed block, in fewer passes: norms are folded into the convolutions, sums and ReLUs
    /// are in place. Under mixed precision all of it is bfloat16 with the channels innermost, the order in which the
    /// processor's matrix tiles take them.
    fn fixed(&self, x: &Tensor) -> Result<Tensor> {
        let mixed = Autocast::is_on(x.device());
        let form = |x: &Tensor| match mixed {
            true => channels_last(&x.f_to_kind(Kind::BFloat16)?),
            false => Ok(x.shallow_clone()),
        };
        let parts = self.parts();
        let fold = |n: usize| {
            let (conv, norm) = parts[n];
            let [weight, bias] = conv.tensors();
            let (weight, bias) = norm.fold(weight, bias)?;
            let bias = if mixed { bias.f_to_kind(Kind::BFloat16)? } else { bias };
            Ok::<_, Error>((form(&weight)?, bias))
        };
        let from: Vec<&Tensor> =
            parts.iter().flat_map(|(c, n)| c.tensors().into_iter().chain(n.tensors())).collect();
        let x = form(x)?;
        let made = if mixed { &self.half } else { &self.exact };
        let make = || Ok([fold(0)?, fold(1)?, fold(2)?]);
        made.with(&from, make, |[one, two, three]| {
            let mut inner = self.conv1.forward_with(&x, &one.0, &one.1)?;
            let inner = inner.f_relu_()?;
            let mut sum = self.conv2.forward_with(&inner, &two.0, &two.1)?;
            let mut sum = sum.f_add_(&self.conv3.forward_with(&x, &three.0, &three.1)?)?;
            Ok(sum.f_relu_()?)
        })
    }
}

impl Block for Residual {
    type Shared = ();

    /// x `[B, C, F, N]` -> `[B, C', ceil(F / 2), ceil(N / 2)]`
    fn forward(&self, x: &Tensor, (): &(), train: bool) -> Result<Tensor> {
        if self.is_fixed() {
            return self.fixed(x);
        }
        let inner = self.bn1.forward(&self.conv1.forward(x)?, train)?;
        let inner = self.conv2.forward(&Activation::Relu.forward(&inner)?)?;
        let inner = self.bn2.forward(&inner, train)?;
        let beside = self.bn3.forward(&self.conv3.forward(x)?, train)?;
        Activation::Relu.forward(&inner.f_add(&beside)?)
    }
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(MusicFm::new(vs, self)?))
    }

    fn last_layer(&self) -> Option<usize> {
        Some(self.layers)
    }

    /// Published files carry a `model.` prefix and, when saved by a recent PyTorch, another spelling of the weight norm;
    /// layers above the depth built are left out.
    fn names(&self) -> NameMap {
        NameMap::new()
            .strip("model.")
            .weight_norm("pos_conv_embed.conv")
            .skip_from("conformer.layers.", self.layers)
    }

    /// Mean and deviation of `stats.json`.
    fn beside(&mut self, weights: &Path) -> Result<()> {
        let path = weights.with_file_name("stats.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => *self = self.with_stats(&text)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::File { path, why: e.to_string() }),
        }
        Ok(())
    }
}
