//! BitFit (Ben Zaken et al. 2021, arXiv:2106.10199): the biases of the encoder layers train.

use serde::{Deserialize, Serialize};

use crate::peft::{Method, Role, Term};

/// Which biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitFit {
    /// Projections of attentions and their layer norms; default yes.
    #[serde(default = "yes")]
    pub attention: bool,
    /// Layers of feed-forwards and their layer norms; default yes.
    #[serde(default = "yes")]
    pub ffn: bool,
    /// Batch norms of convolution modules; default no.
    #[serde(default)]
    pub conv: bool,
}

fn yes() -> bool {
    true
}

impl Default for BitFit {
    fn default() -> Self {
        Self { attention: true, ffn: true, conv: false }
    }
}

impl Method for BitFit {
    fn trains(&self, role: Role, term: Term) -> bool {
        term == Term::Bias
            && match role {
                Role::AttentionNorm => self.attention,
                Role::FeedForwardNorm => self.ffn,
                Role::BatchNorm => self.conv,
                role if role.in_attention() => self.attention,
                role if role.in_feed_forward() => self.ffn,
                _ => false,
            }
    }
}
