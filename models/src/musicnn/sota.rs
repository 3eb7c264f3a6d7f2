//! The net of Won et al., used by the transfer study. Letters: B batch, H rows and W columns of the image, C channels,
//! D width.

use tch::{Kind, Tensor};

use super::{Config, NAME};
use crate::error::{Error, Result};
use crate::nn::{Activation, BatchNorm, Conv1d, Conv1dSizes, Conv2d, Scope};
use crate::peft::{Linear, Role, Site};

/// Rows of the two tall kernels, 0.7 and 0.4 of 96; both are 7 columns wide.
const TALL: [i64; 2] = [67, 38];
/// Columns of the three long kernels.
const LONG: [i64; 3] = [129, 65, 33];

/// A branch of the front end.
#[derive(Debug)]
enum Branch {
    /// Convolution, batch norm, ReLU, maximum over the rows that are left.
    Tall(Conv2d, BatchNorm),
    /// Mean over the rows, convolution, batch norm, ReLU.
    Long(Conv1d, BatchNorm),
}

impl Branch {
    /// image `[B, 1, H, W]` -> `[B, filters, W]`
    fn forward(&self, image: &Tensor, train: bool) -> Result<Tensor> {
        match self {
            Branch::Tall(conv, norm) => {
                let x = norm.forward(&conv.forward(image)?, train)?;
                let x = Activation::Relu.forward(&x)?;
                let rows = x.size()[2];
                let top = x.f_max_pool2d([rows, 1], [rows, 1], [0, 0], [1, 1], false)?;
                Ok(top.f_squeeze_dim(2)?)
            }
            Branch::Long(conv, norm) => {
                let mean = image.f_mean_dim([2i64].as_slice(), false, None::<Kind>)?; // [B, 1, W]
                Activation::Relu.forward(&norm.forward(&conv.forward(&mean)?, train)?)
            }
        }
    }
}

/// Branches, three convolutions with residuals, maximum and mean over the columns, a dense layer.
#[derive(Debug)]
pub struct SotaNet {
    spec_bn: BatchNorm,
    branches: Vec<Branch>,
    middle: Vec<(Conv1d, BatchNorm)>,
    dense1: Linear,
    bn: BatchNorm,
}

impl SotaNet {
    pub(super) fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        let front = |i: usize| vs / "layers" / i;
        let norm = |vs: Scope, n| BatchNorm::new(&(vs / "bn"), Role::Front, n);
        let mut branches = Vec::with_capacity(5);
        for (i, rows) in TALL.into_iter().enumerate() {
            let sizes = (1, cfg.tall);
            let conv = Conv2d::rect(&(front(i) / "conv"), Role::Front, sizes, [rows, 7], [0, 3])?;
            branches.push(Branch::Tall(conv, norm(front(i), cfg.tall)?));
        }
        for (i, columns) in LONG.into_iter().enumerate() {
            let i = i + TALL.len();
            let sizes = Conv1dSizes::same(1, cfg.long, columns);
            let conv = Conv1d::new(&(front(i) / "conv"), Role::Front, sizes)?;
            branches.push(Branch::Long(conv, norm(front(i), cfg.long)?));
        }
        let (wide, channels) = (2 * cfg.tall + 3 * cfg.long, cfg.channels);
        let mut middle = Vec::with_capacity(3);
        for (i, inp) in [(1, wide), (2, channels), (3, channels)] {
            let vs = vs / format!("layer{i}");
            let sizes = Conv1dSizes::same(inp, channels, 7);
            let conv = Conv1d::new(&(&vs / "conv"), Role::Front, sizes)?;
            middle.push((conv, norm(vs, channels)?));
        }
        let inp = 2 * (wide + 3 * channels);
        let site = Site { role: Role::Dense, layer: None, inp, out: cfg.dim };
        Ok(Self {
            spec_bn: BatchNorm::new(&(vs / "spec_bn"), Role::Front, 1)?,
            branches,
            middle,
            dense1: Linear::new(&(vs / "dense1"), site)?,
            bn: BatchNorm::new(&(vs / "bn"), Role::Other, cfg.dim)?,
        })
    }

    /// image `[B, H, W]` -> the five branches, each `[B, filters, W]`
    ///
    /// # Errors
    /// When the image has fewer rows than the tallest kernel.
    pub fn branches(&self, image: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        let (_, rows, columns) = image.size3()?;
        if rows < TALL[0] || columns < 1 {
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!("an image of {} rows or more", TALL[0]),
                got: format!("{rows} rows, {columns} columns"),
            });
        }
        let image = self.spec_bn.forward(&image.f_unsqueeze(1)?, train)?; // [B, 1, H, W]
        self.branches.iter().map(|b| b.forward(&image, train)).collect()
    }

    /// branches `[B, 2 tall + 3 long, W]` -> the three residual sums, each `[B, C, W]`
    pub fn residuals(&self, x: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        let mut out: Vec<Tensor> = Vec::with_capacity(self.middle.len());
        for (conv, norm) in &self.middle {
            let below = out.last().unwrap_or(x);
            let y = Activation::Relu.forward(&norm.forward(&conv.forward(below)?, train)?)?;
            out.push(match out.last() {
                Some(before) => y.f_add(before)?,
                None => y,
            });
        }
        Ok(out)
    }

    /// branches and residuals on top of each other `[B, ., W]` -> dense layer on maximum and mean `[B, D]`
    pub fn dense1(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let columns = x.size()[2];
        let max = x.f_max_pool1d([columns], [columns], [0], [1], false)?.f_squeeze_dim(2)?;
        let mean = x.f_mean_dim([2i64].as_slice(), false, None::<Kind>)?;
        self.dense1.forward(&Tensor::f_cat(&[max, mean], 1)?, train)
    }

    /// `[B, D]` -> the embedding ReLU(bn(dense1)) `[B, D]`
    pub fn embed(&self, dense: &Tensor, train: bool) -> Result<Tensor> {
        Activation::Relu.forward(&self.bn.forward(dense, train)?)
    }

    pub(super) fn forward(&self, image: &Tensor, train: bool) -> Result<Tensor> {
        let x = Tensor::f_cat(&self.branches(image, train)?, 1)?;
        let mut all = self.residuals(&x, train)?;
        all.insert(0, x);
        self.embed(&self.dense1(&Tensor::f_cat(&all, 1)?, train)?, train)
    }

    pub(super) fn dense(&self) -> &Linear {
        &self.dense1
    }
}
