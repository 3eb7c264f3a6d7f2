//! Parameter-efficient tuning, decided while a model is built.
//!
//! A model asks the method at each [`Site`] whether it has something to add, and for each of its parameters whether it
//! trains. Model files name sites and roles, never a method; a method knows roles, never a model.

mod adapter;
mod bitfit;
mod dora;
mod full;
mod ia3;
mod linear;
mod lora;
mod prefix;
mod probe;
mod ssf;

pub use adapter::Adapter;
pub use bitfit::BitFit;
pub use dora::Dora;
pub(crate) use dora::stretched;
pub use full::Full;
pub use ia3::Ia3;
pub use linear::{Base, Linear, Merged};
pub use lora::{Lora, Rank, Scaling, Target};
pub use prefix::Prefixes;
pub use probe::Probe;
pub use ssf::Ssf;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::Scope;

/// What a part of a network does. The roles of attention, feed-forward and convolution are those inside a repeated
/// encoder layer; everything else is [`Role::Front`], [`Role::Dense`] or [`Role::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Projection to queries.
    Query,
    /// Projection to keys.
    Key,
    /// Projection to values.
    Value,
    /// Projection of the joined heads.
    Out,
    /// First linear layer of a feed-forward.
    Up,
    /// Second linear layer of a feed-forward.
    Down,
    /// Kernel-1 convolution of a convolution module.
    Pointwise,
    /// Convolution over time of a convolution module.
    Depthwise,
    /// Layer norm before or after an attention.
    AttentionNorm,
    /// Layer norm before or after a feed-forward, or at the end of a layer.
    FeedForwardNorm,
    /// Layer norm of a convolution module.
    ConvNorm,
    /// Batch norm of a convolution module.
    BatchNorm,
    /// Behind the attention's residual sum.
    AfterAttention,
    /// Behind a feed-forward's residual sum.
    AfterFeedForward,
    /// A part below the encoder: convolutions, their norms, the projection to the encoder's width.
    Front,
    /// A linear layer outside an encoder layer.
    Dense,
    /// Anything else.
    Other,
    /// Kept only because the published checkpoint has it; never trained.
    Unused,
}

/// Which term of a layer a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Multiplies.
    Weight,
    /// Is added.
    Bias,
}

/// A place where a method may add something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// What the place does.
    pub role: Role,
    /// Number of the encoder layer, from 0; `None` outside.
    pub layer: Option<usize>,
    /// Width in.
    pub inp: i64,
    /// Width out.
    pub out: i64,
}

impl Role {
    /// Whether this is a linear layer of an attention.
    pub fn in_attention(self) -> bool {
        matches!(self, Role::Query | Role::Key | Role::Value | Role::Out)
    }

    /// Whether this is a linear layer of a feed-forward.
    pub fn in_feed_forward(self) -> bool {
        matches!(self, Role::Up | Role::Down)
    }

    /// Whether this is a linear layer of an encoder layer, convolutions of kernel 1 included.
    pub fn in_encoder(self) -> bool {
        self.in_attention() || self.in_feed_forward() || self == Role::Pointwise
    }
}

/// A way to tune a model. By default the published network is left as it is.
pub trait Method: Debug {
    /// Whether a parameter of the published network is trained. Heads and additions always are.
    fn trains(&self, _role: Role, _term: Term) -> bool {
        false
    }

    /// Whether the settings are in their range.
    ///
    /// # Errors
    /// Names the setting that is not.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the published network as a whole is being trained: then its dropout is on and its batch norms follow
    /// the batch. Otherwise it stays in evaluation mode.
    fn trains_base(&self) -> bool {
        false
    }

    /// Whether the method has to find a place in the network: true for all that add or pick something.
    fn needs_site(&self) -> bool {
        true
    }

    /// What changes at a linear layer, if anything. `vs` is the layer's own scope; what is made there is trained.
    ///
    /// # Errors
    /// When a variable cannot be made.
    fn linear(&self, _site: &Site, _vs: &Scope) -> Result<Option<Box<dyn Delta>>> {
        Ok(None)
    }

    /// What is added behind a residual sum, if anything. `vs` is the encoder layer's scope, `block` the name of what
    /// the sum closes, such as `attn`.
    ///
    /// # Errors
    /// When a variable cannot be made.
    fn after(&self, _site: &Site, _vs: &Scope, _block: &str) -> Result<Option<Box<dyn After>>> {
        Ok(None)
    }

    /// Keys and values put before those of an attention, if any. `vs` is the encoder layer's scope.
    ///
    /// # Errors
    /// When a variable cannot be made.
    fn prefix(&self, _site: &Site, _vs: &Scope) -> Result<Option<Box<dyn Prefix>>> {
        Ok(None)
    }
}

/// A change of one linear layer.
pub trait Delta: Debug + Send {
    /// x `[.., in]` -> `[.., out]`: the layer's output, changed.
    ///
    /// # Errors
    /// When libtorch refuses.
    fn forward(&self, base: &Base, x: &Tensor, train: bool) -> Result<Tensor>;

    /// The layer that gives the same output without the change.
    ///
    /// # Errors
    /// When libtorch refuses.
    fn merge(&self, base: &Base) -> Result<Base>;

    /// Called once when the published weights are in place, for changes that start from them.
    ///
    /// # Errors
    /// When libtorch refuses.
    fn settle(&self, _base: &Base) -> Result<()> {
        Ok(())
    }
}

/// Something behind a residual sum.
pub trait After: Debug + Send {
    /// x `[B, T, D]` -> `[B, T, D]`
    ///
    /// # Errors
    /// When libtorch refuses.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}

/// Where a method may add something behind a residual sum.
#[derive(Debug)]
pub struct Hook(Option<Box<dyn After>>);

impl Hook {
    /// Asks the method; `vs` is the encoder layer's scope, `block` the name of what the sum closes.
    ///
    /// # Errors
    /// When a variable cannot be made.
    pub fn new(vs: &Scope, site: &Site, block: &str) -> Result<Self> {
        Ok(Self(vs.after(site, block)?))
    }

    /// x `[B, T, D]` -> `[B, T, D]`
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn forward(&self, x: Tensor) -> Result<Tensor> {
        match &self.0 {
            Some(after) => after.forward(&x),
            None => Ok(x),
        }
    }
}

/// Keys and values that every query sees before those of the input.
pub trait Prefix: Debug + Send {
    /// Keys and values, each `[P, D]`.
    ///
    /// # Errors
    /// When libtorch refuses.
    fn keys_values(&self) -> Result<(Tensor, Tensor)>;
}

/// The tuning methods by the name a configuration gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Tuning {
    /// Everything.
    Full(Full),
    /// The head alone.
    Probe(Probe),
    /// Bottlenecks behind residual sums, and the layer norms beside them.
    Adapter(Adapter),
    /// Low-rank updates of linear layers.
    Lora(Lora),
    /// Low-rank updates of direction, and a magnitude per output.
    Dora(Dora),
    /// Keys and values before those of the input.
    Prefix(Prefixes),
    /// Biases.
    #[serde(rename = "bitfit")]
    BitFit(BitFit),
    /// A scale and a shift per output.
    Ssf(Ssf),
    /// A scale per key, value and inner feature.
    Ia3(Ia3),
}

impl Tuning {
    /// Names in a configuration, in the order in which tables list them.
    pub const NAMES: [&str; 9] =
        ["full", "probe", "adapter", "lora", "dora", "prefix", "bitfit", "ssf", "ia3"];

    /// The method itself.
    pub fn method(&self) -> &dyn Method {
        match self {
            Tuning::Full(m) => m,
            Tuning::Probe(m) => m,
            Tuning::Adapter(m) => m,
            Tuning::Lora(m) => m,
            Tuning::Dora(m) => m,
            Tuning::Prefix(m) => m,
            Tuning::BitFit(m) => m,
            Tuning::Ssf(m) => m,
            Tuning::Ia3(m) => m,
        }
    }

    /// Whether the settings are in their range.
    ///
    /// # Errors
    /// Names the setting that is not.
    pub fn check(&self) -> Result<()> {
        self.method().check()
    }

    /// Why what was tuned cannot be folded into the weights of the published network; `None` where it can.
    pub(crate) fn no_fold(&self) -> Option<&'static str> {
        match self {
            Tuning::Adapter(_) => Some("its bottlenecks are layers that the network does not have"),
            Tuning::Prefix(_) => Some("its keys and values are no weights of the network"),
            _ => None,
        }
    }

    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Tuning::Full(_) => "full",
            Tuning::Probe(_) => "probe",
            Tuning::Adapter(_) => "adapter",
            Tuning::Lora(_) => "lora",
            Tuning::Dora(_) => "dora",
            Tuning::Prefix(_) => "prefix",
            Tuning::BitFit(_) => "bitfit",
            Tuning::Ssf(_) => "ssf",
            Tuning::Ia3(_) => "ia3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_called_as_in_a_configuration_and_a_wrong_name_lists_them() {
        let method =
            |name: &str| serde_json::from_value::<Tuning>(serde_json::json!({ "method": name }));
        for name in Tuning::NAMES {
            assert_eq!(method(name).unwrap().name(), name);
        }
        let text = method("lorra").unwrap_err().to_string();
        let names = Tuning::NAMES.join("`, `");
        assert_eq!(text, format!("unknown variant `lorra`, expected one of `{names}`"));
    }
}
