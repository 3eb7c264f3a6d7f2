//! Multi-head attention over one sequence. Letters: B batch, T time, P prefix, H heads, D width, E = D / H.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::{Init, Scope, Start, check_probability, kernel};
use crate::peft::{Base, Linear, Prefix, Role, Site, Term};

/// Sizes and names of an attention.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSizes {
    /// D.
    pub dim: i64,
    /// H; divides D.
    pub heads: i64,
    /// Dropout on the attention weights.
    pub dropout: f64,
    /// Number of the encoder layer.
    pub layer: usize,
    /// Published names of the projections: query, key, value, out.
    pub names: [&'static str; 4],
}

impl AttentionSizes {
    fn check(&self) -> Result<()> {
        if self.heads < 1 || self.dim % self.heads != 0 {
            return Err(Error::Setting {
                key: "heads".to_owned(),
                expected: format!("a divisor of the width {}", self.dim),
                got: self.heads.to_string(),
            });
        }
        check_probability("attention dropout", self.dropout)
    }
}

/// Scaled dot-product attention, not causal, with four projections.
#[derive(Debug)]
pub struct Attention {
    heads: i64,
    dropout: f64,
    live: bool,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    prefix: Option<Box<dyn Prefix>>,
}

impl Attention {
    /// `vs` is the attention's own scope, `layer` that of the encoder layer it belongs to.
    ///
    /// # Errors
    /// When `heads` does not divide `dim`, or the dropout is no probability.
    pub fn new(vs: &Scope, layer: &Scope, s: AttentionSizes) -> Result<Self> {
        s.check()?;
        let site = |role| Site { role, layer: Some(s.layer), inp: s.dim, out: s.dim };
        let linear = |role, name| Linear::new(&(vs / name), site(role));
        let [query, key, value, out] = s.names;
        Ok(Self {
            heads: s.heads,
            dropout: s.dropout,
            live: vs.live(),
            query: linear(Role::Query, query)?,
            key: linear(Role::Key, key)?,
            value: linear(Role::Value, value)?,
            out: linear(Role::Out, out)?,
            prefix: layer.prefix(&site(Role::Key))?,
        })
    }

    /// Queries, keys and values are the rows of one layer `qkv`, as vision transformers keep them; the names of `s` are
    /// where a method puts what it adds to each, and the name of the projection out.
    ///
    /// # Errors
    /// As [`Attention::new`].
    pub fn fused(
        vs: &Scope,
        layer: &Scope,
        s: AttentionSizes,
        start: Start,
        qkv_bias: bool,
    ) -> Result<Self> {
        s.check()?;
        let scope = vs / "qkv";
        let (rows, zero) = (3 * s.dim, Init::Const(0.0));
        let bias = |_| scope.param("bias", &[rows], zero, Role::Query, Term::Bias);
        let init = start.init(s.dim, rows);
        let weight = scope.param("weight", &[rows, s.dim], init, Role::Query, Term::Weight)?;
        let whole = Base::new(weight, qkv_bias.then_some(()).map(bias).transpose()?);
        let name = vs.name("qkv");
        let site = |role| Site { role, layer: Some(s.layer), inp: s.dim, out: s.dim };
        let part = |role, n: usize| {
            Linear::rows(&(vs / s.names[n]), site(role), &whole, &name, n as i64 * s.dim)
        };
        let out = start.init(s.dim, s.dim);
        Ok(Self {
            heads: s.heads,
            dropout: s.dropout,
            live: vs.live(),
            query: part(Role::Query, 0)?,
            key: part(Role::Key, 1)?,
            value: part(Role::Value, 2)?,
            out: Linear::started(&(vs / s.names[3]), site(Role::Out), out, Some(zero))?,
            prefix: layer.prefix(&site(Role::Key))?,
        })
    }

    /// Queries and keys come from `placed` `[B, T, D]`, the input with positions in it; values from `x` `[B, T, D]`.
    pub fn forward(&self, placed: &Tensor, x: &Tensor, train: bool) -> Result<Tensor> {
        let query = self.split(&self.query.forward(placed, train)?)?; // [B, H, T, E]
        let key = self.split(&self.key.forward(placed, train)?)?;
        let value = self.split(&self.value.forward(x, train)?)?;
        let (key, value) = match &self.prefix {
            Some(prefix) => {
                let (keys, values) = prefix.keys_values()?; // [P, D]
                (self.prepend(&keys, &key)?, self.prepend(&values, &value)?) // [B, H, P + T, E]
            }
            None => (key, value),
        };
        let dropout = if train && self.live { self.dropout } else { 0.0 };
        kernel::note([&query, &key, &value], dropout)?;
        let heads = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            dropout,
            false,
            None,
            false,
        )?; // [B, H, T, E]
        let joined = heads.f_transpose(1, 2)?.f_flatten(2, 3)?; // [B, T, D]
        self.out.forward(&joined, train)
    }

    /// The four projections.
    pub fn linears(&self) -> [&Linear; 4] {
        [&self.query, &self.key, &self.value, &self.out]
    }

    /// `[B, T, D]` -> `[B, H, T, E]`
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, dim) = x.size3()?;
        Ok(x.f_view([batch, time, self.heads, dim / self.heads])?.f_transpose(1, 2)?)
    }

    /// rows `[P, D]` before x `[B, H, T, E]` -> `[B, H, P + T, E]`
    fn prepend(&self, rows: &Tensor, x: &Tensor) -> Result<Tensor> {
        let rows = self.split(&rows.f_unsqueeze(0)?)?; // [1, H, P, E]
        let rows = rows.f_expand([x.size()[0], -1, -1, -1], false)?;
        Ok(Tensor::f_cat(&[&rows, x], 2)?)
    }
}
