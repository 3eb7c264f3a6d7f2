//! The feed-forward of an encoder layer; by default under the names that both foundation models use. D width, I inner width.

use tch::Tensor;

use crate::error::Result;
use crate::nn::{Activation, Dropout, Init, Scope, Start, check_probability};
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
        Self::built(vs, s, ["intermediate_dense", "output_dense"], Linear::new)
    }

    /// The same under other names and with starting values of a vision transformer.
    ///
    /// # Errors
    /// As [`FeedForward::new`].
    pub fn named(vs: &Scope, s: FeedForwardSizes, names: [&str; 2], start: Start) -> Result<Self> {
        Self::built(vs, s, names, |vs, site| {
            let init = start.init(site.inp, site.out);
            Linear::started(vs, site, init, Some(Init::Const(0.0)))
        })
    }

    fn built(
        vs: &Scope,
        s: FeedForwardSizes,
        [up, down]: [&str; 2],
        linear: impl Fn(&Scope, Site) -> Result<Linear>,
    ) -> Result<Self> {
        check_probability("activation dropout", s.activation_dropout)?;
        check_probability("hidden dropout", s.dropout)?;
        let site = |role, inp, out| Site { role, layer: Some(s.layer), inp, out };
        Ok(Self {
            up: linear(&(vs / up), site(Role::Up, s.dim, s.inner))?,
            activation: s.activation,
            inner_dropout: Dropout::new(vs, s.activation_dropout),
            down: linear(&(vs / down), site(Role::Down, s.inner, s.dim))?,
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
