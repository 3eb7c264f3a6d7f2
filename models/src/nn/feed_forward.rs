//! The feed-forward of an encoder layer, under the names that both foundation models use. D width, I inner width.

use tch::Tensor;

use crate::error::Result;
use crate::nn::{Activation, Dropout, Scope, check_probability};
use crate::peft::{Linear, Role, Site};

/// Sizes of a feed-forward.
#[derive(Debug, Clone, Copy)]
pub struct FeedForwardSizes {
    /// D.
    pub dim: i64,
    /// I.
    pub inner: i64,
    /// Between the two layers.
    pub activation: Activation,
    /// Dropout after the activation.
    pub activation_dropout: f64,
    /// Dropout after the second layer.
    pub dropout: f64,
    /// Number of the encoder layer.
    pub layer: usize,
}

/// Linear `intermediate_dense`, activation, dropout, linear `output_dense`, dropout.
#[derive(Debug)]
pub struct FeedForward {
    up: Linear,
    activation: Activation,
    inner_dropout: Dropout,
    down: Linear,
    dropout: Dropout,
}

impl FeedForward {
    /// Both layers have a bias.
    ///
    /// # Errors
    /// When a dropout is no probability.
    pub fn new(vs: &Scope, s: FeedForwardSizes) -> Result<Self> {
        check_probability("activation dropout", s.activation_dropout)?;
        check_probability("hidden dropout", s.dropout)?;
        let site = |role, inp, out| Site { role, layer: Some(s.layer), inp, out };
        Ok(Self {
            up: Linear::new(&(vs / "intermediate_dense"), site(Role::Up, s.dim, s.inner))?,
            activation: s.activation,
            inner_dropout: Dropout::new(vs, s.activation_dropout),
            down: Linear::new(&(vs / "output_dense"), site(Role::Down, s.inner, s.dim))?,
            dropout: Dropout::new(vs, s.dropout),
        })
    }

    /// x `[B, T, D]` -> `[B, T, D]`
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.activation.forward(&self.up.forward(x, train)?)?; // [B, T, I]
        let x = self.down.forward(&self.inner_dropout.forward(&x, train)?, train)?; // [B, T, D]
        self.dropout.forward(&x, train)
    }

    /// Its two linear layers.
    pub fn linears(&self) -> [&Linear; 2] {
        [&self.up, &self.down]
    }
}
