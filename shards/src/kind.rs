//! What a shard set holds: blocks of waves, frames or embeddings, and how their numbers are stored.

use serde::{Deserialize, Serialize};

/// What a row's `data` column holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Mono samples, `[T]`.
    Wave {
        /// Samples per second, Hz.
        rate: u32,
    },
    /// Mel bands or other frames, `[T, bands]` row-major.
    Frames {
        /// Frames per second.
        fps: f64,
        /// Bands per frame.
        bands: u32,
    },
    /// One vector per track (`fps` 0), or a sequence of vectors, `[T, dim]` row-major.
    Embedding {
        /// Vectors per second; 0 for one vector per track.
        fps: f64,
        /// Width of a vector.
        dim: u32,
    },
}

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// Signed 16 bit little endian; a value of 1.0 is 32 768, overs are saturated and counted.
    S16,
    /// bfloat16 little endian.
    Bf16,
    /// 32-bit float little endian.
    F32,
}

impl Kind {
    /// Numbers per time step: 1 for waves, the bands or width otherwise.
    pub fn width(&self) -> usize {
        match *self {
            Kind::Wave { .. } => 1,
            Kind::Frames { bands, .. } => bands as usize,
            Kind::Embedding { dim, .. } => dim as usize,
        }
    }

    /// Time steps per second: samples, frames or vectors.
    pub fn steps_per_s(&self) -> f64 {
        match *self {
            Kind::Wave { rate } => f64::from(rate),
            Kind::Frames { fps, .. } | Kind::Embedding { fps, .. } => fps,
        }
    }
}
