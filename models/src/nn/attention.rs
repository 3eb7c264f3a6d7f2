//! Multi-head attention over one sequence. Letters: B batch, T time, P prefix, H heads, D width, E = D / H.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::{Scope, check_probability};
use crate::peft::{Linear, Prefix, Role, Site};

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

/// Scaled dot-product attention, not causal, with four projections that all have a bias.
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
        if s.heads < 1 || s.dim % s.heads != 0 {
            return Err(Error::Setting {
                key: "heads".to_owned(),
                expected: format!("a divisor of the width {}", s.dim),
                got: s.heads.to_string(),
            });
        }
        check_probability("attention dropout", s.dropout)?;
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
