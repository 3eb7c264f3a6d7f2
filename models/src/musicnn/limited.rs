//! The net of the limited-data study. Letters: B batch, F = 96 bands, N frames, M = N - 1, C channels, D width.

use tch::{Kind, Tensor};

use super::{Config, NAME};
use crate::error::{Error, Result};
use crate::nn::{Activation, BatchNorm, Conv1d, Conv1dSizes, Conv2d, Dropout, Init, Scope};
use crate::peft::{Linear, Role, Site};

/// Bands of the image.
const BANDS: i64 = 96;
/// Kernels of the five branches, (bands, frames): two tall, three long.
const KERNELS: [[i64; 2]; 5] = [[38, 8], [67, 8], [1, 32], [1, 64], [1, 128]];
/// Frames that are pooled; the published pooling leaves out what follows, and fails beyond twice as many.
const POOLED: i64 = 186;
/// Dropout before the dense layer.
const DROPOUT: f64 = 0.5;

/// Branches, three narrow convolutions, maximum and mean over time, a dense layer.
#[derive(Debug)]
pub struct LimitedNet {
    branches: Vec<(Conv2d, BatchNorm)>,
    middle: Vec<(Conv1d, BatchNorm)>,
    batch_norm: BatchNorm,
    dropout: Dropout,
    dense: Linear,
    bn_dense: BatchNorm,
}

impl LimitedNet {
    pub(super) fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        let (front, mid, back) = (vs / "front_end", vs / "midend", vs / "back_end");
        let mut branches = Vec::with_capacity(KERNELS.len());
        for (i, kernel) in KERNELS.into_iter().enumerate() {
            let filters = if kernel[0] > 1 { cfg.tall } else { cfg.long };
            let padding = [0, (kernel[1] - 1) / 2]; // one frame less comes out
            let conv = &front / "conv_layers" / i;
            let conv = Conv2d::rect(&conv, Role::Front, (1, filters), kernel, padding)?;
            let norm = &front / "batch_norm_layers" / i;
            branches.push((conv, BatchNorm::new(&norm, Role::Front, filters)?));
        }
        let (wide, channels) = (2 * cfg.tall + 3 * cfg.long, cfg.channels);
        let mut middle = Vec::with_capacity(3);
        for (i, inp) in [(1, wide), (2, channels), (3, channels)] {
            let sizes = Conv1dSizes::same(inp, channels, 7);
            let start = match i {
                3 => Init::fan_in(inp * sizes.kernel),
                _ => Init::xavier(inp * sizes.kernel, channels * sizes.kernel),
            };
            let conv = Conv1d::started(&(&mid / format!("conv{i}")), Role::Front, sizes, start)?;
            // the third norm's output is used by nothing, but its statistics follow the batch
            let role = if i == 3 { Role::Unused } else { Role::Front };
            let norm = BatchNorm::new(&(&mid / format!("batch_norm{i}")), role, channels)?;
            middle.push((conv, norm));
        }
        let pooled = 2 * (wide + 3 * channels);
        let site = Site { role: Role::Dense, layer: None, inp: pooled, out: cfg.dim };
        Ok(Self {
            branches,
            middle,
            batch_norm: BatchNorm::new(&(&back / "batch_norm"), Role::Other, pooled)?,
            dropout: Dropout::new(&back, DROPOUT),
            dense: Linear::new(&(&back / "dense"), site)?,
            bn_dense: BatchNorm::new(&(&back / "bn_dense"), Role::Other, cfg.dim)?,
        })
    }

    /// image `[B, F, N]` -> branches on top of each other `[B, 2 tall + 3 long, M]`
    ///
    /// # Errors
    /// For another number of bands, and unless 186 to 371 frames remain.
    pub fn front_end(&self, image: &Tensor, train: bool) -> Result<Tensor> {
        let (_, bands, frames) = image.size3()?;
        if bands != BANDS || !(POOLED..2 * POOLED).contains(&(frames - 1)) {
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!(
                    "{BANDS} bands and {} to {} frames (47 616 to 95 231 samples at 16 kHz)",
                    POOLED + 1,
                    2 * POOLED
                ),
                got: format!("{bands} bands, {frames} frames"),
            });
        }
        let image = image.f_unsqueeze(1)?; // [B, 1, F, N]
        let mut parts = Vec::with_capacity(self.branches.len());
        for (conv, norm) in &self.branches {
            let x = norm.forward(&Activation::Relu.forward(&conv.forward(&image)?)?, train)?;
            let rows = x.size()[2];
            let top = x.f_max_pool2d([rows, 1], [rows, 1], [0, 0], [1, 1], false)?;
            parts.push(top.f_squeeze_dim(2)?); // [B, filters, M]
        }
        Ok(Tensor::f_cat(&parts, 1)?)
    }

    /// branches x -> x, bn(c1), c2 + bn(c1), that + c3 on top of each other `[B, 2 tall + 3 long + 3 C, M]`
    pub fn midend(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let step = |i: usize, x: &Tensor| -> Result<(Tensor, Tensor)> {
            let (conv, norm) = &self.middle[i];
            let c = Activation::Relu.forward(&conv.forward(x)?)?;
            let normed = norm.forward(&c, train)?;
            Ok((c, normed))
        };
        let (_, b1) = step(0, x)?;
        let (c2, b2) = step(1, &b1)?;
        let r2 = c2.f_add(&b1)?;
        let (c3, _) = step(2, &b2)?;
        let r3 = r2.f_add(&c3)?;
        Ok(Tensor::f_cat(&[x, &b1, &r2, &r3], 1)?)
    }

    /// `[B, C, M]` -> maximum and mean over the first 186 frames, each `[B, C]`
    pub fn pool(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let x = x.f_narrow(2, 0, POOLED)?;
        let max = x.f_max_pool1d([POOLED], [POOLED], [0], [1], false)?.f_squeeze_dim(2)?;
        Ok((max, x.f_mean_dim([2i64].as_slice(), false, None::<Kind>)?))
    }

    /// maximum and mean, each `[B, C]` -> normalised, the last axis (maximum, mean) inside the channels `[B, 2 C]`
    pub fn flat(&self, max: &Tensor, mean: &Tensor, train: bool) -> Result<Tensor> {
        self.batch_norm.forward(&Tensor::f_cat(&[max, mean], 1)?, train)
    }

    /// `[B, 2 C]` -> ReLU(dense) `[B, D]`
    pub fn dense_relu(&self, flat: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.dense.forward(&self.dropout.forward(flat, train)?, train)?;
        Activation::Relu.forward(&x)
    }

    /// `[B, D]` -> the embedding bn(ReLU(dense)) `[B, D]`
    pub fn embed(&self, dense: &Tensor, train: bool) -> Result<Tensor> {
        self.bn_dense.forward(dense, train)
    }

    pub(super) fn forward(&self, image: &Tensor, train: bool) -> Result<Tensor> {
        let (max, mean) = self.pool(&self.midend(&self.front_end(image, train)?, train)?)?;
        let dense = self.dense_relu(&self.flat(&max, &mean, train)?, train)?;
        self.embed(&dense, train)
    }

    pub(super) fn dense(&self) -> &Linear {
        &self.dense
    }
}
