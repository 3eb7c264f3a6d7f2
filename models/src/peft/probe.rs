//! Probing: the published network is a fixed function, the head learns.

use serde::{Deserialize, Serialize};

use crate::peft::Method;

/// Nothing but the head trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {}

impl Method for Probe {
    fn needs_site(&self) -> bool {
        false
    }
}
