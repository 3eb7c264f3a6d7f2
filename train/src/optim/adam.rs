//! Adam (arXiv:1412.6980) with L2 weight decay added to the gradient, as torch's `Adam`.
//!
//! `g += decay w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;`
//! `w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.

use super::lists::{List, lists};
use super::{Optimizer, Param, Saved};
use crate::error::Result;
use etude_aten::foreach;
use serde::Deserialize;
use tch::Tensor;

/// Settings of [`Adam`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Keeps the division finite.
    pub eps: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimizer.
#[derive(Debug)]
pub struct Adam {
    cfg: AdamConfig,
    pub(super) params: Vec<Param>,
    moments: Moments,
}

impl Adam {
    /// Moments start at zero.
    pub fn new(cfg: &AdamConfig, params: Vec<Param>) -> Self {
        let moments = Moments::new(&params);
        Self { cfg: cfg.clone(), params, moments }
    }
}

impl Optimizer for Adam {
    fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let AdamConfig { betas, eps, weight_decay } = self.cfg;
        for mut list in lists(&self.params)? {
            list.decay(weight_decay)?;
            let rates = list.each(&self.params, |p| lr * p.lr_scale);
            self.moments.update(list, &rates, betas, eps)?;
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

/// First and second moments of every parameter, and its number of updates.
#[derive(Debug)]
struct Moments {
    m: Vec<Tensor>,
    v: Vec<Tensor>,
    t: Vec<i64>,
}

impl Moments {
    fn new(params: &[Param]) -> Self {
        let zeros = || params.iter().map(|p| p.tensor.detach().zeros_like()).collect();
        Self { m: zeros(), v: zeros(), t: vec![0; params.len()] }
    }

    /// One bias-corrected update of the parameters of a list, each at its rate.
    fn update(&mut self, list: List, rates: &[f64], betas: [f64; 2], eps: f64) -> Result<()> {
        let (mut m, mut v) = (list.pick(&self.m), list.pick(&self.v));
        let List { at, mut weights, grads, .. } = list;
        foreach::lerp_(&mut m, &grads, 1.0 - betas[0])?;
        foreach::mul_(&mut v, betas[1])?;
        foreach::addcmul_(&mut v, &foreach::mul(&grads, 1.0 - betas[1])?, &grads)?;
        let (mut steps, mut roots) = (Vec::new(), Vec::new());
        for (&i, rate) in at.iter().zip(rates) {
            self.t[i] += 1;
            let t = self.t[i] as f64;
            steps.push(-(rate / (1.0 - betas[0].powf(t))));
            roots.push((1.0 - betas[1].powf(t)).sqrt());
        }
        let mut denoms = foreach::sqrt(&v)?;
        foreach::div_each_(&mut denoms, &roots)?;
        foreach::add_number_(&mut denoms, eps)?;
        foreach::addcdiv_(&mut weights, &foreach::mul_each(&m, &steps)?, &denoms)?;
        Ok(())
    }

    fn state(&self, params: &[Param]) -> Vec<(String, Tensor)> {
        let mut state = Vec::with_capacity(3 * params.len());
        for (i, p) in params.iter().enumerate() {
            state.push((format!("exp_avg.{}", p.name), self.m[i].shallow_clone()));
            state.push((format!("exp_avg_sq.{}", p.name), self.v[i].shallow_clone()));
            state.push((format!("updates.{}", p.name), Tensor::from(self.t[i])));
        }
        state
    }

    fn restore(&mut self, params: &[Param], state: Vec<(String, Tensor)>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let mut saved = Saved::new(state);
        for (i, p) in params.iter().enumerate() {
            saved.load(&format!("exp_avg.{}", p.name), &mut self.m[i])?;
            saved.load(&format!("exp_avg_sq.{}", p.name), &mut self.v[i])?;
            self.t[i] = saved.count(&format!("updates.{}", p.name))?;
        }
        saved.end()
    }
}
