//! Seven convolutions from samples to frames: 320 samples a step, 400 samples behind each frame, no padding, no biases.
//! Letters: B batch, T samples, C channels, N = (T - 400) / 320 + 1 frames.

use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::error::{Error, Result};
use crate::nn::{Activation, Block, Conv1d, Conv1dSizes, Init, Scope, Stack};
use crate::peft::{Role, Term};

/// Taps of each layer.
pub(super) const KERNELS: [i64; 7] = [10, 3, 3, 3, 3, 2, 2];
/// Stride of each layer.
pub(super) const STRIDES: [i64; 7] = [5, 2, 2, 2, 2, 2, 2];
/// Samples from one frame to the next: the product of the strides.
pub(super) const STRIDE: i64 = 320;
/// Samples that one frame depends on, the statistics of the first layer's norm aside.
const FIELD: i64 = 400;
const EPS: f64 = 1e-5;

/// The convolutions. Where they do not train no gradient passes through them, not even to a wave that asks for one.
#[derive(Debug)]
pub struct Extractor {
    layers: Stack<ConvLayer>,
    trains: bool,
}

impl Extractor {
    /// Variables under `conv_layers.<n>`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(vs: &Scope, channels: i64) -> Result<Self> {
        let layer = |(i, (&kernel, &stride))| {
            let inp = if i == 0 { 1 } else { channels };
            let sizes = Conv1dSizes {
                inp,
                out: channels,
                kernel,
                stride,
                padding: 0,
                groups: 1,
                bias: false,
            };
            ConvLayer::new(&(vs / "conv_layers" / i), sizes, i == 0)
        };
        let layers: Vec<ConvLayer> =
            KERNELS.iter().zip(&STRIDES).enumerate().map(layer).collect::<Result<_>>()?;
        // all parameters have one role, so all of them train or none
        let trains =
            layers.iter().filter_map(|l| l.norm.as_ref()).any(|n| n.weight.requires_grad());
        Ok(Self { layers: Stack::new(layers), trains })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[ConvLayer] {
        self.layers.layers()
    }

    /// The layers, as what can run again for its gradients; `None` where they do not train.
    pub fn stack(&self) -> Option<&Stack<ConvLayer>> {
        self.trains.then_some(&self.layers)
    }

    /// wave `[B, T]` -> `[B, C, N]`
    ///
    /// # Errors
    /// When the wave has another shape or is shorter than one frame.
    pub fn forward(&self, wave: &Tensor, train: bool) -> Result<Tensor> {
        let size = wave.size();
        if !matches!(size.as_slice(), [_, time] if *time >= FIELD) {
            return Err(Error::Shape {
                place: "convolutions on the wave".to_owned(),
                expected: format!("wave [B, T] with T of at least {FIELD}"),
                got: format!("{size:?}"),
            });
        }
        let _frozen = (!self.trains).then(no_grad_guard);
        if !self.trains && wave.device() == Device::Cpu {
            return self.in_pieces(wave);
        }
        let x = wave.f_unsqueeze(1)?; // [B, 1, T]
        self.layers.forward(&x, 0..KERNELS.len(), (), train, || Ok(false))
    }
}

/// Frames that come out of the convolutions at once.
const PIECE: i64 = 100;

impl Extractor {
    /// wave `[B, T]` -> `[B, C, N]` where nothing trains: one stretch of one clip after the other, so that what lies
    /// between two convolutions stays in the caches; a clip of 30 s would be 295 MB behind the first. The norm, which
    /// looks at the whole clip, is known beforehand and part of the first convolution.
    fn in_pieces(&self, wave: &Tensor) -> Result<Tensor> {
        let (clips, time) = wave.size2()?;
        let frames = (time - FIELD) / STRIDE + 1;
        let mut rows = Vec::new();
        for clip in 0..clips {
            let row = wave.f_narrow(0, clip, 1)?.f_unsqueeze(1)?; // [1, 1, T]
            let (weight, bias) = self.layers()[0].normed(&row)?;
            let mut pieces = Vec::new();
            for first in (0..frames).step_by(PIECE as usize) {
                let many = PIECE.min(frames - first);
                let samples = (many - 1) * STRIDE + FIELD;
                let x = row.f_narrow(2, first * STRIDE, samples)?;
                let mut x = x.f_conv1d(&weight, Some(&bias), [STRIDES[0]], [0], [1], 1)?;
                let _ = x.f_gelu_("none")?;
                for layer in &self.layers()[1..] {
                    x = layer.conv.forward(&x)?;
                    let _ = x.f_gelu_("none")?;
                }
                pieces.push(x); // [1, C, n]
            }
            rows.push(Tensor::f_cat(&pieces, 2)?);
        }
        Ok(Tensor::f_cat(&rows, 0)?)
    }
}

/// Convolution, in the first layer a norm per channel, GELU.
#[derive(Debug)]
pub struct ConvLayer {
    conv: Conv1d,
    norm: Option<ChannelNorm>,
}

impl ConvLayer {
    fn new(vs: &Scope, sizes: Conv1dSizes, norm: bool) -> Result<Self> {
        let norm = norm.then(|| ChannelNorm::new(&(vs / "layer_norm"), sizes.out)).transpose()?;
        Ok(Self { conv: Conv1d::new(&(vs / "conv"), Role::Front, sizes)?, norm })
    }
}

impl Block for ConvLayer {
    type Shared = ();

    /// x `[B, C, T]` -> `[B, C', (T - kernel) / stride + 1]`
    fn forward(&self, x: &Tensor, (): &(), _train: bool) -> Result<Tensor> {
        let x = self.conv.forward(x)?;
        match &self.norm {
            Some(norm) => Activation::Gelu.forward(&norm.forward(&x)?),
            None => Activation::Gelu.forward(&x),
        }
    }
}

impl ConvLayer {
    /// Weight `[C, 1, K]` and bias `[C]` of the convolution that gives what the norm makes of this layer's own over the
    /// whole clip `[1, 1, T]`. Mean and variance of its output follow from those of the K samples that it sees at once:
    /// w m and w (R - m m^T) w^T, with m `[K]` their mean and R `[K, K]` the mean of their products, in float64.
    fn normed(&self, clip: &Tensor) -> Result<(Tensor, Tensor)> {
        let weight = self.conv.weight();
        let Some(norm) = &self.norm else {
            return Ok((
                weight.shallow_clone(),
                weight.f_new_zeros([weight.size()[0]], (weight.kind(), weight.device()))?,
            ));
        };
        let taps = clip.f_view(-1)?.f_to_kind(Kind::Double)?.f_unfold(0, KERNELS[0], STRIDES[0])?; // [N, K]
        let mean = taps.f_mean_dim([0i64].as_slice(), false, None::<Kind>)?; // [K]
        let centred = taps.f_sub(&mean)?;
        let spread = centred.f_tr()?.f_matmul(&centred)?.f_div_scalar(taps.size()[0] as f64)?; // [K, K]
        let rows = weight.f_squeeze_dim(1)?.f_to_kind(Kind::Double)?; // [C, K]
        let variance = rows.f_matmul(&spread)?.f_mul(&rows)?.f_sum_dim_intlist(
            [1i64].as_slice(),
            false,
            None::<Kind>,
        )?;
        let scale =
            norm.weight.f_to_kind(Kind::Double)?.f_div(&variance.f_add_scalar(EPS)?.f_sqrt()?)?; // [C]
        let bias = norm.bias.f_to_kind(Kind::Double)?.f_sub(&rows.f_mv(&mean)?.f_mul(&scale)?)?;
        let weight = rows.f_mul(&scale.f_unsqueeze(1)?)?.f_unsqueeze(1)?; // [C, 1, K]
        Ok((weight.f_to_kind(Kind::Float)?, bias.f_to_kind(Kind::Float)?))
    }
}

/// Group normalisation with one group per channel: mean 0 and variance 1 over the clip's whole time axis, then weight
/// and bias; eps 1e-5. Silence put behind a clip therefore changes every frame of it.
#[derive(Debug)]
pub struct ChannelNorm {
    weight: Tensor,
    bias: Tensor,
}

impl ChannelNorm {
    fn new(vs: &Scope, channels: i64) -> Result<Self> {
        let param =
            |name, value, term| vs.param(name, &[channels], Init::Const(value), Role::Front, term);
        let weight = param("weight", 1.0, Term::Weight)?;
        Ok(Self { weight, bias: param("bias", 0.0, Term::Bias)? })
    }

    /// x `[B, C, T]` -> `[B, C, T]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.weight.size()[0];
        Ok(x.f_group_norm(channels, Some(&self.weight), Some(&self.bias), EPS, true)?)
    }
}
