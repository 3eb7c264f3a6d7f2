//! BEST-RQ's quantiser: a random projection and the nearest of random codebook entries, neither ever trained.
//!
//! Chiu et al. 2022, arXiv:2202.01855. Letters: B batch, T' tokens, I features per token, P projected width, K entries.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::nn::{Init, Scope};

/// Projection `[I, P]` and codebook `[K, P]`.
#[derive(Debug)]
pub struct Quantizer {
    projection: Tensor,
    codebook: Tensor,
}

impl Quantizer {
    /// Variables `random_projection`, drawn as Glorot and Bengio do, and `codebook`, standard normal.
    pub fn new(vs: &Scope, inp: i64, width: i64, entries: i64) -> Result<Self> {
        let std = (2.0 / (inp + width) as f64).sqrt();
        let glorot = Init::Normal { mean: 0.0, std };
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        Ok(Self {
            projection: vs.drawn("random_projection", &[inp, width], glorot)?,
            codebook: vs.drawn("codebook", &[entries, width], normal)?,
        })
    }

    /// x `[B, T', I]` -> `[B, T', P]`
    pub fn project(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_matmul(&self.projection)?)
    }

    /// x `[B, T', I]` -> number of the entry whose direction is nearest `[B, T']`
    pub fn tokens(&self, x: &Tensor) -> Result<Tensor> {
        let point = unit(&self.project(x)?)?;
        let likeness = point.f_matmul(&unit(&self.codebook)?.f_transpose(0, 1)?)?; // [B, T', K]
        Ok(likeness.f_argmax(-1, false)?)
    }
}

/// x `[.., P]` -> the same directions with length 1
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = x.f_norm_scalaropt_dim_dtype(2.0, [-1i64].as_slice(), true, Kind::Float)?;
    Ok(x.f_div(&length.f_clamp_min(1e-12)?)?)
}
