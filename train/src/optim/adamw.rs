//! AdamW (arXiv:1711.05101): weight decay apart from the moments, as torch's `AdamW`.
//!
//! `w *= 1 - lr decay`, then the update of Adam without decay.

use super::adam::{Adam, AdamConfig};
use super::lists::lists;
use super::{Optimizer, Param};
use crate::error::Result;
use etude_aten::foreach;
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
    weight_decay: f64,
    adam: Adam,
}

impl AdamW {
    /// Moments start at zero.
    pub fn new(cfg: &AdamWConfig, params: Vec<Param>) -> Self {
        let AdamWConfig { betas, eps, weight_decay } = *cfg;
        Self {
            weight_decay,
            adam: Adam::new(&AdamConfig { betas, eps, weight_decay: 0.0 }, params),
        }
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let params = &self.adam.params;
        for mut list in lists(params)?.into_iter().filter(|_| self.weight_decay != 0.0) {
            let kept = list.each(params, |p| 1.0 - lr * p.lr_scale * self.weight_decay);
            foreach::mul_each_(&mut list.weights, &kept)?;
        }
        self.adam.step(lr)
    }

    fn params(&self) -> &[Param] {
        self.adam.params()
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.adam.state()
    }

    fn restore(&mut self, state: Vec<(String, Tensor)>) -> Result<()> {
        self.adam.restore(state)
    }
}
