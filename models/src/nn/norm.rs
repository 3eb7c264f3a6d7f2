//! Layer and batch normalisation under PyTorch's names.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Init, Scope, stack};
use crate::peft::{Role, Term};

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// Normalisation over the last axis, with weight and bias; eps 1e-5 unless said otherwise.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// `role` tells the tuning method which of the model's norms this is.
    pub fn new(vs: &Scope, role: Role, dim: i64) -> Result<Self> {
        let weight = vs.param("weight", &[dim], Init::Const(1.0), role, Term::Weight)?;
        let bias = vs.param("bias", &[dim], Init::Const(0.0), role, Term::Bias)?;
        Ok(Self { weight, bias, eps: EPS })
    }

    /// The same with another eps, added to the variance.
    pub fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// x `[.., D]` -> the same shape
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dim = self.weight.size();
        Ok(x.f_layer_norm(dim.as_slice(), Some(&self.weight), Some(&self.bias), self.eps, true)?)
    }
}

/// Normalisation over batch and every axis after the channels; eps 1e-5, momentum 0.1.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    live: bool,
}

impl BatchNorm {
    /// One weight, bias, running mean and running variance per channel, and the count of batches seen.
    pub fn new(vs: &Scope, role: Role, channels: i64) -> Result<Self> {
        Ok(Self {
            weight: vs.param("weight", &[channels], Init::Const(1.0), role, Term::Weight)?,
            bias: vs.param("bias", &[channels], Init::Const(0.0), role, Term::Bias)?,
            running_mean: vs.statistic("running_mean", &[channels], 0.0, Kind::Float)?,
            running_var: vs.statistic("running_var", &[channels], 1.0, Kind::Float)?,
            batches: vs.statistic("num_batches_tracked", &[], 0.0, Kind::Int64)?,
            live: vs.live(),
        })
    }

    /// Whether it never changes: neither trained nor following a batch.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.live && !self.weight.requires_grad() && !self.bias.requires_grad()
    }

    /// What it consists of.
    pub(crate) fn tensors(&self) -> [&Tensor; 4] {
        [&self.weight, &self.bias, &self.running_mean, &self.running_var]
    }

    /// Weight `[C, ..]` and bias `[C]` of a convolution -> those of one that gives what this norm makes of the first.
    pub(crate) fn fold(&self, weight: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
        let scale = self.weight.f_div(&self.running_var.f_add_scalar(EPS)?.f_sqrt()?)?; // [C]
        let mut column = vec![1; weight.dim()];
        column[0] = scale.size()[0];
        let shift = bias.f_sub(&self.running_mean)?.f_mul(&scale)?.f_add(&self.bias)?;
        Ok((weight.f_mul(&scale.f_view(column.as_slice())?)?, shift))
    }

    /// x `[B, C, ..]` -> the same shape. Training uses the batch's own statistics and updates the running ones, unless
    /// this part of the model is frozen, or the batch has been seen before.
    ///
    /// # Errors
    /// When a training batch has one value per channel, whose variance is unknown.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let batch = train && self.live;
        let again = batch && stack::again();
        if batch && !again {
            let size = x.size();
            let values = x.numel() as i64 / size.get(1).copied().unwrap_or(1).max(1);
            if values < 2 {
                return Err(Error::Shape {
                    place: "batch norm in training".to_owned(),
                    expected: "more than one value per channel: two clips a batch or more"
                        .to_owned(),
                    got: format!("{size:?}"),
                });
            }
            let _ = self.batches.shallow_clone().f_add_scalar_(1)?;
        }
        Ok(x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            (!again).then_some(&self.running_mean),
            (!again).then_some(&self.running_var),
            batch,
            MOMENTUM,
            EPS,
            true,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::nn::Store;
    use crate::peft::{Full, Method, Probe};

    fn statistics_after_a_batch(method: &dyn Method, batch_stats: bool) -> (bool, i64) {
        let store = Store::new(Device::Cpu);
        let vs = Scope::root(&store, method, 0, batch_stats);
        let norm = BatchNorm::new(&vs, Role::Front, 3).unwrap();
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([4, 3, 2]);
        let y = norm.forward(&x, true).unwrap();
        let centred = y.mean(Kind::Float).abs().double_value(&[]) < 1e-5;
        let batches = store.get("num_batches_tracked").unwrap().int64_value(&[]);
        assert_eq!(store.get("running_mean").unwrap().double_value(&[0]) != 0.0, batches == 1);
        (centred, batches)
    }

    #[test]
    fn a_frozen_norm_keeps_its_running_statistics_unless_told_to_follow_the_batch() {
        assert_eq!(statistics_after_a_batch(&Full {}, false), (true, 1));
        assert_eq!(statistics_after_a_batch(&Probe {}, false), (false, 0));
        assert_eq!(statistics_after_a_batch(&Probe {}, true), (true, 1));
    }

    #[test]
    fn a_training_batch_of_one_value_per_channel_is_refused_and_leaves_the_statistics_whole() {
        let store = Store::new(Device::Cpu);
        let norm =
            BatchNorm::new(&Scope::root(&store, &Full {}, 0, false), Role::Other, 3).unwrap();
        let x = Tensor::ones([1, 3], (Kind::Float, Device::Cpu));
        assert!(
            norm.forward(&x, true).unwrap_err().to_string().contains("two clips a batch or more")
        );
        assert!(norm.forward(&x, false).is_ok());
        assert_eq!(store.get("running_var").unwrap().sum(Kind::Float).double_value(&[]), 3.0);
    }
}
