//! Parts that more than one model is made of. Every variable is created through a [`Scope`].

mod attention;
mod conv;
mod feed_forward;
mod front;
mod frozen;
mod init;
mod kernel;
mod melspec;
mod norm;
mod scope;
mod stack;
mod vit;

pub use attention::{Attention, AttentionSizes};
pub use conv::{Conv1d, Conv1dSizes, Conv2d};
pub use feed_forward::{FeedForward, FeedForwardSizes};
pub(crate) use front::front_end;
pub use front::{Front, Source};
pub use frozen::Half;
pub(crate) use frozen::Made;
pub use init::Init;
pub use kernel::{AttentionKernel, watch_attention};
pub use melspec::MelSpec;
pub use norm::{BatchNorm, LayerNorm};
pub use scope::{Part, Scope, Store, Variable};
pub use stack::{Block, Stack};
pub use vit::{Start, VitBlock, VitSizes};

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};

/// Dropout that is off wherever the network around it is in evaluation mode.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    p: f64,
    live: bool,
}

impl Dropout {
    /// Drops with probability `p` when training, if the part of the model that `vs` builds trains at all.
    pub fn new(vs: &Scope, p: f64) -> Self {
        Self { p, live: vs.live() }
    }

    /// x of any shape -> the same shape
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if train && self.live && self.p > 0.0 {
            return Ok(x.f_dropout(self.p, true)?);
        }
        Ok(x.shallow_clone())
    }
}

/// A non-linearity between two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x times the normal distribution function of x, exact
    Gelu,
    /// x times the logistic function of x (also called swish)
    #[serde(alias = "swish")]
    Silu,
}

impl Activation {
    /// x of any shape -> the same shape
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Activation::Relu => x.f_relu(),
            Activation::Gelu => x.f_gelu("none"),
            Activation::Silu => x.f_silu(),
        }?)
    }
}

/// A probability as a setting: in [0, 1).
pub(crate) fn check_probability(key: &str, p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::Setting {
        key: key.to_owned(),
        expected: "a probability below 1".to_owned(),
        got: p.to_string(),
    })
}

/// A size as a setting: at least 1.
pub(crate) fn check_size(key: &str, n: i64) -> Result<()> {
    if n >= 1 {
        return Ok(());
    }
    Err(Error::Setting {
        key: key.to_owned(),
        expected: "at least 1".to_owned(),
        got: n.to_string(),
    })
}
