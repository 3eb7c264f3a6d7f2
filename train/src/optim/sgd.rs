//! Stochastic gradient descent with optional momentum, as torch's `SGD`.
//!
//! `g += decay w; b = g` at the first update, then `b = momentum b + (1 - dampening) g`;
//! `w -= lr b`, with Nesterov `w -= lr (g + momentum b)`.

use super::{Optimizer, Param, Saved};
use crate::error::Result;
use serde::Deserialize;
use tch::Tensor;

/// Settings of [`Sgd`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// 0 = none.
    pub momentum: f64,
    /// Damps what enters the momentum.
    pub dampening: f64,
    /// Looks ahead along the momentum; needs momentum and no dampening.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
}

/// The optimizer.
#[derive(Debug)]
pub struct Sgd {
    cfg: SgdConfig,
    params: Vec<Param>,
    buffers: Vec<Option<Tensor>>,
}

impl Sgd {
    /// Momentum starts with the first gradient.
    pub fn new(cfg: &SgdConfig, params: Vec<Param>) -> Self {
        let buffers = params.iter().map(|_| None).collect();
        Self { cfg: cfg.clone(), params, buffers }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let SgdConfig { momentum, dampening, nesterov, weight_decay } = self.cfg;
        for (p, buffer) in self.params.iter_mut().zip(&mut self.buffers) {
            let mut grad = p.tensor.f_grad()?;
            if !grad.defined() {
                continue;
            }
            if weight_decay != 0.0 {
                grad = grad.f_add(&p.tensor.f_mul_scalar(weight_decay)?)?;
            }
            if momentum != 0.0 {
                let b = match buffer.take() {
                    None => grad.copy(),
                    Some(mut b) => {
                        let fresh = grad.f_mul_scalar(1.0 - dampening)?;
                        b.f_mul_scalar_(momentum)?.f_add_(&fresh)?
                    }
                };
                grad = match nesterov {
                    true => grad.f_add(&b.f_mul_scalar(momentum)?)?,
                    false => b.shallow_clone(),
                };
                *buffer = Some(b);
            }
            let _ = p.tensor.f_sub_(&grad.f_mul_scalar(lr * p.lr_scale)?)?;
        }
        Ok(())
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let pairs = self.params.iter().zip(&self.buffers);
        pairs
            .filter_map(|(p, b)| {
                Some((format!("momentum.{}", p.name), b.as_ref()?.shallow_clone()))
            })
            .collect()
    }

    fn restore(&mut self, state: Vec<(String, Tensor)>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let mut saved = Saved::new(state);
        for (p, buffer) in self.params.iter().zip(&mut self.buffers) {
            let name = format!("momentum.{}", p.name);
            *buffer = None;
            if saved.0.contains_key(&name) {
                let mut b = p.tensor.detach().zeros_like();
                saved.load(&name, &mut b)?;
                *buffer = Some(b);
            }
        }
        saved.end()
    }
}
