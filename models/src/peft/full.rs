//! Full fine-tuning, and training from scratch.

use serde::{Deserialize, Serialize};

use crate::peft::{Method, Role, Term};

/// Every learnable parameter trains, dropout is on, batch norms follow the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Full {}

impl Method for Full {
    fn trains(&self, _role: Role, _term: Term) -> bool {
        true
    }

    fn trains_base(&self) -> bool {
        true
    }

    fn needs_site(&self) -> bool {
        false
    }
}
