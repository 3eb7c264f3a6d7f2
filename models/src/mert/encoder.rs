//! The transformer of HuBERT (Hsu et al. 2021, arXiv:2106.07447), with the norms behind or before attention and
//! feed-forward. Letters: B batch, N frames, D width, K taps, G groups.

use etude_aten::Autocast;
use tch::{Device, Kind, Tensor};

use super::Config;
use crate::error::{Error, Result};
use crate::nn::{
    Activation, Attention, AttentionSizes, Block, Dropout, FeedForward, FeedForwardSizes, Init,
    LayerNorm, Scope, Stack,
};
use crate::peft::{Hook, Linear, Role, Site, Term};

/// The encoder.
#[derive(Debug)]
pub struct Encoder {
    positional: Positional,
    layer_norm: LayerNorm,
    norm_first: bool,
    dropout: Dropout,
    layers: Stack<EncoderLayer>,
    layer_drop: f64,
}

impl Encoder {
    /// Variables under `pos_conv_embed`, `layer_norm` and `layers.<n>`.
    ///
    /// # Errors
    /// For sizes that do not fit each other.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        let layers = (0..cfg.layers)
            .map(|i| EncoderLayer::new(&(vs / "layers" / i).leads_to(i + 1), cfg, i))
            .collect::<Result<_>>()?;
        // with the norm first it comes behind the last layer, otherwise before the first
        let norm = (vs / "layer_norm").leads_to(if cfg.norm_first { cfg.layers } else { 0 });
        Ok(Self {
            positional: Positional::new(&(vs / "pos_conv_embed" / "conv"), cfg)?,
            layer_norm: LayerNorm::new(&norm, Role::Other, cfg.dim)?,
            norm_first: cfg.norm_first,
            dropout: Dropout::new(vs, cfg.hidden_dropout),
            layers: Stack::new(layers),
            layer_drop: if vs.live() { cfg.layer_drop } else { 0.0 },
        })
    }

    /// x `[B, N, D]` -> hidden state number `layer` `[B, N, D]`
    ///
    /// Number 0 is the input with positions in it, number n what layer n - 1 gives; with the norm first the last one
    /// has the encoder's layer norm on top, otherwise number 0 has. Nothing above it is computed.
    pub fn forward(&self, x: &Tensor, layer: usize, train: bool) -> Result<Tensor> {
        let mut x = x.f_add(&self.positional.forward(x)?)?;
        if !self.norm_first {
            x = self.layer_norm.forward(&x)?;
        }
        self.resume(&self.dropout.forward(&x, train)?, 0, layer, train)
    }

    /// hidden state number `from` `[B, N, D]` -> hidden state number `layer` `[B, N, D]`
    pub fn resume(&self, x: &Tensor, from: usize, layer: usize, train: bool) -> Result<Tensor> {
        if from >= layer {
            return Ok(x.shallow_clone());
        }
        let skips = || Ok(train && self.skips()?);
        let x = self.layers.forward(x, from..layer, (), train, skips)?;
        let last = layer == self.layers.layers().len();
        if self.norm_first && last { self.layer_norm.forward(&x) } else { Ok(x) }
    }

    /// Whether layer drop takes the next layer out, from libtorch's generator on the CPU.
    fn skips(&self) -> Result<bool> {
        if self.layer_drop == 0.0 {
            return Ok(false);
        }
        let drawn = Tensor::f_rand([1], (Kind::Float, Device::Cpu))?;
        Ok(drawn.f_double_value(&[0])? < self.layer_drop)
    }

    /// The convolution that tells frames their place.
    pub fn positional(&self) -> &Positional {
        &self.positional
    }

    /// The layers, as what can run again for its gradients.
    pub fn stack(&self) -> &Stack<EncoderLayer> {
        &self.layers
    }

    /// The layers that a tuning method may have changed.
    pub fn linears(&self) -> Vec<&Linear> {
        self.layers.layers().iter().flat_map(EncoderLayer::linears).collect()
    }
}

/// A wide convolution over time whose weight is kept as a direction and one length per tap, then GELU.
#[derive(Debug)]
pub struct Positional {
    length: Tensor,
    direction: Tensor,
    bias: Tensor,
    groups: i64,
}

impl Positional {
    fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        let (dim, taps, groups) = (cfg.dim, cfg.positional_taps, cfg.positional_groups);
        let fan = dim / groups * taps;
        // the length that a direction of such values has, so that the weight starts as drawn
        let length = Init::Const((dim as f64 / (3 * taps) as f64).sqrt());
        let param =
            |name, shape: &[i64], init, term| vs.param(name, shape, init, Role::Front, term);
        Ok(Self {
            length: param("weight_g", &[1, 1, taps], length, Term::Weight)?,
            direction: param(
                "weight_v",
                &[dim, dim / groups, taps],
                Init::fan_in(fan),
                Term::Weight,
            )?,
            bias: param("bias", &[dim], Init::fan_in(fan), Term::Bias)?,
            groups,
        })
    }

    /// g v / |v| `[D, D / G, K]`, with |v| over all channels of a tap
    pub fn weight(&self) -> Result<Tensor> {
        let v = &self.direction;
        let lengths = v.f_norm_scalaropt_dim_dtype(2.0, [0i64, 1].as_slice(), true, Kind::Float)?; // [1, 1, K]
        Ok(v.f_mul(&self.length.f_div(&lengths)?)?)
    }

    /// x `[B, N, D]` -> `[B, N, D]`, before it is added to x
    ///
    /// On a CPU float32 under mixed precision too: for eight or fewer channels a group libtorch 2.11 adds up bfloat16
    /// wrongly there, and this is 3 % of the work.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, taps) = (x.size()[1], self.direction.size()[2]);
        let on_cpu = x.device() == Device::Cpu;
        let _float32 = on_cpu.then(float32).transpose()?;
        let x = if on_cpu { x.f_to_kind(Kind::Float)? } else { x.shallow_clone() };
        let rows = x.f_transpose(1, 2)?; // [B, D, N]
        let (weight, bias) = (self.weight()?, Some(&self.bias));
        let y = rows.f_conv1d(&weight, bias, [1], [taps / 2], [1], self.groups)?;
        let y = y.f_narrow(2, 0, frames)?; // an even number of taps gives one frame too many
        Ok(Activation::Gelu.forward(&y)?.f_transpose(1, 2)?)
    }
}

fn float32() -> Result<Autocast> {
    Autocast::off(Device::Cpu).map_err(|e| Error::Torch {
        place: Some("positional convolution".to_owned()),
        why: e.to_string(),
    })
}

/// One layer: attention, feed-forward, a sum and a norm with each.
#[derive(Debug)]
pub struct EncoderLayer {
    attention: Attention,
    dropout: Dropout,
    after_attn: Hook,
    layer_norm: LayerNorm,
    feed_forward: FeedForward,
    after_ffn: Hook,
    final_layer_norm: LayerNorm,
    norm_first: bool,
}

impl EncoderLayer {
    fn new(vs: &Scope, cfg: &Config, layer: usize) -> Result<Self> {
        let dim = cfg.dim;
        let attention = AttentionSizes {
            dim,
            heads: cfg.heads,
            dropout: cfg.attention_dropout,
            layer,
            names: ["q_proj", "k_proj", "v_proj", "out_proj"],
        };
        let ffn = FeedForwardSizes {
            dim,
            inner: cfg.inner,
            activation: Activation::Gelu,
            activation_dropout: cfg.activation_dropout,
            dropout: cfg.hidden_dropout,
            layer,
        };
        let norm = |name, role| LayerNorm::new(&(vs / name), role, dim);
        let hook = |role, block| {
            Hook::new(vs, &Site { role, layer: Some(layer), inp: dim, out: dim }, block)
        };
        Ok(Self {
            attention: Attention::new(&(vs / "attention"), vs, attention)?,
            dropout: Dropout::new(vs, cfg.hidden_dropout),
            after_attn: hook(Role::AfterAttention, "attn")?,
            layer_norm: norm("layer_norm", Role::AttentionNorm)?,
            feed_forward: FeedForward::new(&(vs / "feed_forward"), ffn)?,
            after_ffn: hook(Role::AfterFeedForward, "ffn")?,
            final_layer_norm: norm("final_layer_norm", Role::FeedForwardNorm)?,
            norm_first: cfg.norm_first,
        })
    }

    /// x + attention(inner)
    fn attend(&self, x: &Tensor, inner: &Tensor, train: bool) -> Result<Tensor> {
        let inner = self.dropout.forward(&self.attention.forward(inner, inner, train)?, train)?;
        self.after_attn.forward(x.f_add(&inner)?)
    }

    /// x + FFN(inner)
    fn feed(&self, x: &Tensor, inner: &Tensor, train: bool) -> Result<Tensor> {
        self.after_ffn.forward(x.f_add(&self.feed_forward.forward(inner, train)?)?)
    }

    fn linears(&self) -> Vec<&Linear> {
        self.attention.linears().into_iter().chain(self.feed_forward.linears()).collect()
    }
}

impl Block for EncoderLayer {
    type Shared = ();

    /// x `[B, N, D]` -> `[B, N, D]`
    fn forward(&self, x: &Tensor, (): &(), train: bool) -> Result<Tensor> {
        if self.norm_first {
            let x = self.attend(x, &self.layer_norm.forward(x)?, train)?;
            return self.feed(&x, &self.final_layer_norm.forward(&x)?, train);
        }
        let x = self.layer_norm.forward(&self.attend(x, x, train)?)?;
        self.final_layer_norm.forward(&self.feed(&x, &x, train)?)
    }
}
