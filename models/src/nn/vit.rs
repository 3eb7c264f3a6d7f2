//! The block of vision transformers under timm's names: norm, attention, sum; norm, feed-forward, sum.
//!
//! Dosovitskiy et al. 2021, arXiv:2010.11929. Letters: B batch, T tokens, D width, I inner width.

use tch::Tensor;

use crate::error::Result;
use crate::nn::{
    Activation, Attention, AttentionSizes, Block, Dropout, FeedForward, FeedForwardSizes, Init,
    LayerNorm, Scope,
};
use crate::peft::{Hook, Linear, Role, Site};

/// What the weights of linear layers start from; biases start at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Normal with this standard deviation.
    Normal(f64),
    /// [`Init::xavier`].
    Xavier,
}

impl Start {
    /// For a layer of that many inputs and outputs.
    pub fn init(self, inputs: i64, outputs: i64) -> Init {
        match self {
            Start::Normal(std) => Init::Normal { mean: 0.0, std },
            Start::Xavier => Init::xavier(inputs, outputs),
        }
    }
}

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub struct VitSizes {
    /// D.
    pub dim: i64,
    /// Heads; a divisor of D.
    pub heads: i64,
    /// I.
    pub inner: i64,
    /// Added to the variance by the norms.
    pub eps: f64,
    /// Dropout behind the attention's projection and both layers of the feed-forward.
    pub dropout: f64,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Starting values.
    pub start: Start,
}

/// One block: x + attn(norm1(x)), then that + mlp(norm2(.)); exact GELU.
#[derive(Debug)]
pub struct VitBlock {
    norm1: LayerNorm,
    attention: Attention,
    dropout: Dropout,
    after_attn: Hook,
    norm2: LayerNorm,
    feed_forward: FeedForward,
    after_mlp: Hook,
}

impl VitBlock {
    /// `layer` is the block's number.
    ///
    /// # Errors
    /// For sizes that do not fit each other.
    pub fn new(vs: &Scope, s: VitSizes, layer: usize) -> Result<Self> {
        let attention = AttentionSizes {
            dim: s.dim,
            heads: s.heads,
            dropout: 0.0,
            layer,
            names: ["query", "key", "value", "proj"],
        };
        let ffn = FeedForwardSizes {
            dim: s.dim,
            inner: s.inner,
            activation: Activation::Gelu,
            activation_dropout: s.dropout,
            dropout: s.dropout,
            layer,
        };
        let norm =
            |name, role| LayerNorm::new(&(vs / name), role, s.dim).map(|n| n.with_eps(s.eps));
        let hook = |role, block| {
            Hook::new(vs, &Site { role, layer: Some(layer), inp: s.dim, out: s.dim }, block)
        };
        Ok(Self {
            norm1: norm("norm1", Role::AttentionNorm)?,
            attention: Attention::fused(&(vs / "attn"), vs, attention, s.start, s.qkv_bias)?,
            dropout: Dropout::new(vs, s.dropout),
            after_attn: hook(Role::AfterAttention, "attn")?,
            norm2: norm("norm2", Role::FeedForwardNorm)?,
            feed_forward: FeedForward::named(&(vs / "mlp"), ffn, ["fc1", "fc2"], s.start)?,
            after_mlp: hook(Role::AfterFeedForward, "mlp")?,
        })
    }

    /// The layers that a tuning method may have changed.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.attention.linears().into_iter().chain(self.feed_forward.linears())
    }
}

impl Block for VitBlock {
    type Shared = ();

    /// x `[B, T, D]` -> `[B, T, D]`
    fn forward(&self, x: &Tensor, (): &(), train: bool) -> Result<Tensor> {
        let inner = self.norm1.forward(x)?;
        let inner = self.attention.forward(&inner, &inner, train)?;
        let x = self.after_attn.forward(x.f_add(&self.dropout.forward(&inner, train)?)?)?;
        let inner = self.feed_forward.forward(&self.norm2.forward(&x)?, train)?;
        self.after_mlp.forward(x.f_add(&inner)?)
    }
}
