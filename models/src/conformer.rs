//! The wav2vec2 conformer encoder with rotary positions, as MusicFM runs it.
//!
//! Gulati et al. 2020, arXiv:2005.08100; Su et al. 2021, arXiv:2104.09864. Names follow the published checkpoint.
//! Letters: B batch, T time, D width, H heads, E = D / H.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{
    Activation, Attention, AttentionSizes, BatchNorm, Block, Conv1d, Conv1dSizes, Dropout,
    FeedForward, FeedForwardSizes, Init, LayerNorm, Scope, Stack, check_probability, check_size,
};
use crate::peft::{Hook, Linear, Role, Site, Term};

/// Sizes of the encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Layers.
    pub layers: usize,
    /// D.
    pub dim: i64,
    /// Inner width of the feed-forwards.
    pub inner: i64,
    /// H.
    pub heads: i64,
    /// Taps of the convolution over time; odd.
    pub kernel: i64,
    /// Base of the rotary angles.
    pub rotary_base: f64,
    /// Taps and groups of the positional convolution: kept with the checkpoint, never applied.
    pub positional: (i64, i64),
    /// Dropouts.
    pub dropout: Dropouts,
}

/// Dropouts of the encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropouts {
    /// On the input, behind attentions and at the end of feed-forwards.
    pub hidden: f64,
    /// On attention weights.
    pub attention: f64,
    /// Behind the activation of a feed-forward.
    pub activation: f64,
    /// At the end of a convolution module.
    pub conv: f64,
}

/// The encoder.
#[derive(Debug)]
pub struct Conformer {
    inv_freq: Tensor,
    dropout: Dropout,
    layers: Stack<ConformerLayer>,
    layer_norm: LayerNorm,
}

impl Conformer {
    /// Variables under `embed_positions`, `pos_conv_embed`, `layers.<n>` and `layer_norm`.
    ///
    /// # Errors
    /// For sizes that do not fit each other.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        check(cfg)?;
        let head = cfg.dim / cfg.heads;
        let inv_freq: Vec<f32> = (0..head / 2)
            .map(|j| cfg.rotary_base.powf(-2.0 * j as f64 / head as f64) as f32)
            .collect();
        let (taps, groups) = cfg.positional;
        let pos = vs / "pos_conv_embed" / "conv";
        let fan = Init::fan_in(cfg.dim / groups * taps);
        for (name, shape, init) in [
            ("bias", vec![cfg.dim], fan),
            ("weight_g", vec![1, 1, taps], Init::Const(1.0)),
            ("weight_v", vec![cfg.dim, cfg.dim / groups, taps], fan),
        ] {
            let _ = pos.param(name, &shape, init, Role::Unused, Term::Weight)?;
        }
        let layers = (0..cfg.layers)
            .map(|i| ConformerLayer::new(&(vs / "layers" / i).leads_to(i + 1), cfg, i))
            .collect::<Result<_>>()?;
        let layers = Stack::new(layers);
        Ok(Self {
            inv_freq: (vs / "embed_positions")
                .constant("inv_freq", Tensor::f_from_slice(&inv_freq)?)?,
            dropout: Dropout::new(vs, cfg.dropout.hidden),
            layers,
            layer_norm: LayerNorm::new(
                &(vs / "layer_norm").leads_to(cfg.layers),
                Role::Other,
                cfg.dim,
            )?,
        })
    }

    /// x `[B, T, D]` -> hidden state number `layer` `[B, T, D]`
    ///
    /// Number 0 is the input after dropout, number n below the number of layers is what layer n - 1 gives, and the last
    /// one has the encoder's own layer norm on top. Nothing above it is computed.
    pub fn forward(&self, x: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        self.resume(&self.dropout.forward(x, train)?, 0, layer, train)
    }

    /// hidden state number `from` `[B, T, D]` -> hidden state number `layer` `[B, T, D]`
    pub fn resume(&self, x: &Tensor, from: usize, layer: usize, train: bool) -> Result<Tensor> {
        if from >= layer {
            return Ok(x.shallow_clone());
        }
        let rope = self.rotary(x.size()[1])?;
        let x = self.layers.forward(x, from..layer, rope, train, || Ok(false))?;
        if layer == self.layers().len() { self.layer_norm.forward(&x) } else { Ok(x) }
    }

    /// Cosine and sine of the angles of positions 0 to `time` - 1, each `[T, E]`.
    pub fn rotary(&self, time: i64) -> Result<Rotary> {
        let at = Tensor::f_arange(time, (Kind::Float, self.inv_freq.device()))?;
        let angle = at.f_outer(&self.inv_freq)?; // [T, E / 2]
        let angle = Tensor::f_cat(&[&angle, &angle], 1)?; // [T, E]
        Ok(Rotary { cos: angle.f_cos()?, sin: angle.f_sin()? })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[ConformerLayer] {
        self.layers.layers()
    }

    /// The layers, as what can run again for its gradients.
    pub fn stack(&self) -> &Stack<ConformerLayer> {
        &self.layers
    }

    /// The layers that a tuning method may have changed.
    pub fn linears(&self) -> Vec<&Linear> {
        self.layers().iter().flat_map(ConformerLayer::linears).collect()
    }
}

/// Rotations by position.
#[derive(Debug)]
pub struct Rotary {
    /// `[T, E]`
    pub cos: Tensor,
    /// `[T, E]`
    pub sin: Tensor,
}

impl Rotary {
    /// x `[B, T, D]` -> each head's part turned by its position `[B, T, D]`. The first half of a head's E numbers are
    /// turned against the second half.
    pub fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, dim) = x.size3()?;
        let head = self.cos.size()[1];
        let parts = x.f_view([batch, time, dim / head, head])?; // [B, T, H, E]
        let (first, second) =
            (parts.f_narrow(3, 0, head / 2)?, parts.f_narrow(3, head / 2, head / 2)?);
        let across = Tensor::f_cat(&[&second.f_neg()?, &first], 3)?;
        let (cos, sin) = (self.cos.f_unsqueeze(1)?, self.sin.f_unsqueeze(1)?); // [T, 1, E]
        let turned = parts.f_mul(&cos)?.f_add(&across.f_mul(&sin)?)?;
        Ok(turned.f_view([batch, time, dim])?)
    }
}

/// One layer: half a feed-forward, attention, convolution, half a feed-forward, layer norm.
#[derive(Debug)]
pub struct ConformerLayer {
    ffn1_layer_norm: LayerNorm,
    ffn1: FeedForward,
    after_ffn1: Hook,
    self_attn_layer_norm: LayerNorm,
    self_attn: Attention,
    dropout: Dropout,
    after_attn: Hook,
    conv_module: ConvModule,
    ffn2_layer_norm: LayerNorm,
    ffn2: FeedForward,
    after_ffn2: Hook,
    final_layer_norm: LayerNorm,
}

impl ConformerLayer {
    fn new(vs: &Scope, cfg: &Config, layer: usize) -> Result<Self> {
        let dim = cfg.dim;
        let norm = |name, role| LayerNorm::new(&(vs / name), role, dim);
        let ffn = FeedForwardSizes {
            dim,
            inner: cfg.inner,
            activation: Activation::Silu,
            activation_dropout: cfg.dropout.activation,
            dropout: cfg.dropout.hidden,
            layer,
        };
        let attention = AttentionSizes {
            dim,
            heads: cfg.heads,
            dropout: cfg.dropout.attention,
            layer,
            names: ["linear_q", "linear_k", "linear_v", "linear_out"],
        };
        let hook = |role, block| {
            Hook::new(vs, &Site { role, layer: Some(layer), inp: dim, out: dim }, block)
        };
        Ok(Self {
            ffn1_layer_norm: norm("ffn1_layer_norm", Role::FeedForwardNorm)?,
            ffn1: FeedForward::new(&(vs / "ffn1"), ffn)?,
            after_ffn1: hook(Role::AfterFeedForward, "ffn1")?,
            self_attn_layer_norm: norm("self_attn_layer_norm", Role::AttentionNorm)?,
            self_attn: Attention::new(&(vs / "self_attn"), vs, attention)?,
            dropout: Dropout::new(vs, cfg.dropout.hidden),
            after_attn: hook(Role::AfterAttention, "attn")?,
            conv_module: ConvModule::new(&(vs / "conv_module"), cfg, layer)?,
            ffn2_layer_norm: norm("ffn2_layer_norm", Role::FeedForwardNorm)?,
            ffn2: FeedForward::new(&(vs / "ffn2"), ffn)?,
            after_ffn2: hook(Role::AfterFeedForward, "ffn2")?,
            final_layer_norm: norm("final_layer_norm", Role::FeedForwardNorm)?,
        })
    }

    /// x + FFN1(LN(x)) / 2
    pub fn first_half(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let half =
            self.ffn1.forward(&self.ffn1_layer_norm.forward(x)?, train)?.f_mul_scalar(0.5)?;
        self.after_ffn1.forward(x.f_add(&half)?)
    }

    /// x + attention(LN(x)): queries and keys are projected from the turned input, values from the input itself.
    pub fn attend(&self, x: &Tensor, rope: &Rotary, train: bool) -> Result<Tensor> {
        let inner = self.self_attn_layer_norm.forward(x)?;
        let inner = self.self_attn.forward(&rope.turn(&inner)?, &inner, train)?;
        self.after_attn.forward(x.f_add(&self.dropout.forward(&inner, train)?)?)
    }

    /// The layer norm before the attention.
    pub fn attention_norm(&self) -> &LayerNorm {
        &self.self_attn_layer_norm
    }

    /// The attention.
    pub fn attention(&self) -> &Attention {
        &self.self_attn
    }

    /// The convolution module.
    pub fn convolution(&self) -> &ConvModule {
        &self.conv_module
    }

    /// x + FFN2(LN(x)) / 2
    pub fn second_half(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let half =
            self.ffn2.forward(&self.ffn2_layer_norm.forward(x)?, train)?.f_mul_scalar(0.5)?;
        self.after_ffn2.forward(x.f_add(&half)?)
    }

    fn linears(&self) -> Vec<&Linear> {
        let conv = [&self.conv_module.pointwise1, &self.conv_module.pointwise2];
        let parts = self.ffn1.linears().into_iter().chain(self.self_attn.linears());
        parts.chain(conv).chain(self.ffn2.linears()).collect()
    }
}

impl Block for ConformerLayer {
    type Shared = Rotary;

    /// x `[B, T, D]` -> `[B, T, D]`
    fn forward(&self, x: &Tensor, rope: &Rotary, train: bool) -> Result<Tensor> {
        let x = self.first_half(x, train)?;
        let x = self.attend(&x, rope, train)?;
        let x = x.f_add(&self.conv_module.forward(&x, train)?)?;
        let x = self.second_half(&x, train)?;
        self.final_layer_norm.forward(&x)
    }
}

/// Layer norm, kernel-1 convolution to 2 D, gate, convolution over time per channel, batch norm, SiLU, kernel-1
/// convolution, dropout; no biases.
#[derive(Debug)]
pub struct ConvModule {
    layer_norm: LayerNorm,
    pointwise1: Linear,
    depthwise: Conv1d,
    batch_norm: BatchNorm,
    pointwise2: Linear,
    dropout: Dropout,
}

impl ConvModule {
    fn new(vs: &Scope, cfg: &Config, layer: usize) -> Result<Self> {
        let dim = cfg.dim;
        let site = |out| Site { role: Role::Pointwise, layer: Some(layer), inp: dim, out };
        let depthwise = Conv1dSizes {
            inp: dim,
            out: dim,
            kernel: cfg.kernel,
            stride: 1,
            padding: (cfg.kernel - 1) / 2,
            groups: dim,
            bias: false,
        };
        Ok(Self {
            layer_norm: LayerNorm::new(&(vs / "layer_norm"), Role::ConvNorm, dim)?,
            pointwise1: Linear::pointwise(&(vs / "pointwise_conv1"), site(2 * dim))?,
            depthwise: Conv1d::new(&(vs / "depthwise_conv"), Role::Depthwise, depthwise)?,
            batch_norm: BatchNorm::new(&(vs / "batch_norm"), Role::BatchNorm, dim)?,
            pointwise2: Linear::pointwise(&(vs / "pointwise_conv2"), site(dim))?,
            dropout: Dropout::new(vs, cfg.dropout.conv),
        })
    }

    /// x `[B, T, D]` -> `[B, T, D]`, before it is added to x
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.pointwise1.forward(&self.layer_norm.forward(x)?, train)?; // [B, T, 2 D]
        let x = x.f_glu(2)?.f_transpose(1, 2)?; // [B, D, T]
        let x = self.batch_norm.forward(&self.depthwise.forward(&x)?, train)?;
        let x = Activation::Silu.forward(&x)?.f_transpose(1, 2)?; // [B, T, D]
        self.dropout.forward(&self.pointwise2.forward(&x, train)?, train)
    }
}

fn check(cfg: &Config) -> Result<()> {
    check_size("inner", cfg.inner)?;
    check_size("dim", cfg.dim)?;
    check_size("kernel", cfg.kernel)?;
    for (key, p) in
        [("hidden dropout", cfg.dropout.hidden), ("convolution dropout", cfg.dropout.conv)]
    {
        check_probability(key, p)?;
    }
    let setting = |key: &str, expected: String, got: String| {
        Err(Error::Setting { key: key.to_owned(), expected, got })
    };
    if cfg.kernel % 2 == 0 {
        return setting("kernel", "an odd number".to_owned(), cfg.kernel.to_string());
    }
    if cfg.heads < 1 || cfg.dim % (2 * cfg.heads) != 0 {
        let expected = format!("a number whose double divides the width {}", cfg.dim);
        return setting("heads", expected, cfg.heads.to_string());
    }
    if cfg.positional.1 < 1 || cfg.dim % cfg.positional.1 != 0 {
        let expected = format!("a divisor of the width {}", cfg.dim);
        return setting("positional groups", expected, cfg.positional.1.to_string());
    }
    Ok(())
}
