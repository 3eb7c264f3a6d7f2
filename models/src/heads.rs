//! From hidden states to outputs. Letters: B batch, T' hidden states, D width, C outputs.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Activation, Dropout, Scope, check_probability, check_size};
use crate::peft::{self, Role, Site};

/// The heads by the name a configuration gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeadConfig {
    /// Mean over time, dropout, one linear layer `head.linear`.
    Linear(Linear),
    /// Mean over time, linear `head.proj.0`, dropout, ReLU, linear `head.proj.3`.
    Mlp(Mlp),
    /// The layer with which the published model classifies.
    Published(Published),
    /// No head: for objectives that learn the backbone itself.
    None(NoHead),
}

/// Settings of the linear head.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Dropout before the layer; default 0.
    #[serde(default)]
    pub dropout: f64,
}

/// Settings of the head of the PEFT paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Width between the two layers; default the backbone's.
    #[serde(default)]
    pub hidden: Option<i64>,
    /// Dropout between the two layers; default 0.5.
    #[serde(default = "half")]
    pub dropout: f64,
}

impl Default for Mlp {
    fn default() -> Self {
        Self { hidden: None, dropout: half() }
    }
}

fn half() -> f64 {
    0.5
}

/// The published classifier has no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {}

/// No head has no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoHead {}

/// A head as built: optional first layer, dropout, ReLU after the first layer, last layer.
#[derive(Debug)]
pub struct Head {
    first: Option<peft::Linear>,
    dropout: Dropout,
    last: peft::Linear,
}

impl HeadConfig {
    /// Builds the head, if any, for hidden states of width `dim`. `published` is what the backbone's own classifier is
    /// called and its dropout.
    ///
    /// # Errors
    /// For settings outside their range, and for `published` where the backbone has no classifier.
    pub fn build(
        &self,
        vs: &Scope,
        dim: i64,
        outputs: i64,
        published: Option<(&str, f64)>,
    ) -> Result<Option<Head>> {
        let site = |inp, out| Site { role: Role::Other, layer: None, inp, out };
        let (first, p, last, inner) = match *self {
            HeadConfig::Linear(Linear { dropout }) => (None, dropout, vs / "linear", dim),
            HeadConfig::Mlp(Mlp { hidden, dropout }) => {
                let hidden = hidden.unwrap_or(dim);
                check_size("head.hidden", hidden)?;
                let first = peft::Linear::new(&(vs / "proj" / 0), site(dim, hidden))?;
                (Some(first), dropout, vs / "proj" / 3, hidden)
            }
            HeadConfig::None(NoHead {}) => return Ok(None),
            HeadConfig::Published(Published {}) => {
                let (name, dropout) = published.ok_or_else(|| Error::Setting {
                    key: "head.kind".to_owned(),
                    expected: "linear or mlp: this backbone was published without a classifier"
                        .to_owned(),
                    got: "published".to_owned(),
                })?;
                (None, dropout, vs / name, dim)
            }
        };
        check_probability("head.dropout", p)?;
        check_size("head outputs", outputs)?;
        let last = peft::Linear::new(&last, site(inner, outputs))?;
        Ok(Some(Head { first, dropout: Dropout::new(vs, p), last }))
    }
}

impl Head {
    /// hidden `[B, T', D]` -> logits `[B, C]`
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn forward(&self, hidden: &Tensor, train: bool) -> Result<Tensor> {
        let x = hidden.f_mean_dim([1i64].as_slice(), false, None::<Kind>)?; // [B, D]
        let Some(first) = &self.first else {
            return self.last.forward(&self.dropout.forward(&x, train)?, train);
        };
        let x = self.dropout.forward(&first.forward(&x, train)?, train)?; // [B, hidden]
        self.last.forward(&Activation::Relu.forward(&x)?, train) // [B, C]
    }
}
