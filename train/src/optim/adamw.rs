//! AdamW (arXiv:1711.05101): weight decay apart from the moments, as torch's `AdamW`.
//!
//! `w *= 1 - lr decay`, then the update of Adam without decay.

use super::adam::Moments;
use super::{Optimizer, Param};
use crate::error::Result;
use serde::Deserialize;
use tch::Tensor;

/// Settings of [`AdamW`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first and second moments.
    pub betas: [f64; 2],
    /// Keeps the division finite.
    pub eps: f64,
    /// Share of the weight that is lost per step, times the rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// The optimizer.
#[derive(Debug)]
pub struct AdamW {
    cfg: AdamWConfig,
    params: Vec<Param>,
    moments: Moments,
}

impl AdamW {
    /// Moments start at zero.
    pub fn new(cfg: &AdamWConfig, params: Vec<Param>) -> Self {
        let moments = Moments::new(&params);
        Self { cfg: cfg.clone(), params, moments }
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for (i, p) in self.params.iter_mut().enumerate() {
            let grad = p.tensor.f_grad()?;
            if !grad.defined() {
                continue;
            }
            let AdamWConfig { betas, eps, weight_decay } = self.cfg;
            let lr = lr * p.lr_scale;
            if weight_decay != 0.0 {
                let _ = p.tensor.f_mul_scalar_(1.0 - lr * weight_decay)?;
            }
            self.moments.update(i, &grad, &mut p.tensor, lr, betas, eps)?;
        }
        Ok(())
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.moments.state(&self.params)
    }

    fn restore(&mut self, state: Vec<(String, Tensor)>) -> Result<()> {
        self.moments.restore(&self.params, state)
    }
}
