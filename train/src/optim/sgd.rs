//! Stochastic gradient descent with optional momentum, as torch's `SGD`.
//!
//! `g += decay w; b = g` at the first update, then `b = momentum b + (1 - dampening) g`;
//! `w -= lr b`, with Nesterov `w -= lr (g + momentum b)`.

use super::lists::{List, lists};
use super::{Optimizer, Param, Saved};
use crate::error::Result;
use etude_aten::foreach;
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

    /// The momenta of a list with its gradients in them: the first gradient of a parameter is its momentum.
    fn gather(&mut self, list: &List) -> Result<Vec<Tensor>> {
        let SgdConfig { momentum, dampening, .. } = self.cfg;
        let (mut all, mut moving, mut grads) = (Vec::new(), Vec::new(), Vec::new());
        for (&i, grad) in list.at.iter().zip(&list.grads) {
            if let Some(buffer) = &self.buffers[i] {
                moving.push(buffer.shallow_clone());
                grads.push(grad.shallow_clone());
            }
            all.push(self.buffers[i].get_or_insert_with(|| grad.copy()).shallow_clone());
        }
        if !moving.is_empty() {
            foreach::mul_(&mut moving, momentum)?;
            foreach::add_(&mut moving, &foreach::mul(&grads, 1.0 - dampening)?)?;
        }
        Ok(all)
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let SgdConfig { momentum, nesterov, weight_decay, .. } = self.cfg;
        for mut list in lists(&self.params)? {
            list.decay(weight_decay)?;
            if momentum != 0.0 {
                let buffers = self.gather(&list)?;
                list.grads = match nesterov {
                    true => {
                        let mut ahead = foreach::mul(&buffers, momentum)?;
                        foreach::add_(&mut ahead, &list.grads)?;
                        ahead
                    }
                    false => buffers,
                };
            }
            let rates = list.each(&self.params, |p| lr * p.lr_scale);
            foreach::sub_(&mut list.weights, &foreach::mul_each(&list.grads, &rates)?)?;
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
