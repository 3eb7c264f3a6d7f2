//! The element type a model computes in.

use etude_aten::Autocast;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::error::{Error, Result};

/// Weights, losses, normalisation statistics and optimizer states are float32 in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32 throughout.
    #[default]
    F32,
    /// Matrix products, convolutions and attention in bfloat16; the mel front end stays float32.
    Bf16,
}

impl Precision {
    /// Holds for this thread's operations on `device` while the guard lives: around one forward pass, not around the
    /// loss.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn enter(self, device: Device) -> Result<Option<Autocast>> {
        let guard = match self {
            Precision::F32 => return Ok(None),
            Precision::Bf16 => Autocast::bf16(device),
        };
        let place = Some("mixed precision".to_owned());
        guard.map(Some).map_err(|e| Error::Torch { place, why: e.to_string() })
    }
}
