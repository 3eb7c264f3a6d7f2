//! Another level.

use super::draw::within;
use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// A random level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gain {
    /// Decibels, uniform between these; published -20 to -1.
    pub db: [f64; 2],
}

impl Default for Gain {
    fn default() -> Self {
        Self { db: [-20.0, -1.0] }
    }
}

impl Gain {
    pub(super) fn check(&self) -> Result<()> {
        let [low, high] = self.db;
        let fits = low.is_finite() && low <= high && high.is_finite();
        ensure(fits, "gain.db", "two rising numbers", format!("{low}, {high}"))
    }

    pub(super) fn apply(&self, wave: &mut [f32], rng: &mut impl Rng) {
        gain(wave, within(self.db, rng));
    }
}

/// x -> x 10^(db / 20), kept within -1 and 1
pub fn gain(wave: &mut [f32], db: f64) {
    let factor = 10f64.powf(db / 20.0) as f32;
    wave.iter_mut().for_each(|x| *x = (*x * factor).clamp(-1.0, 1.0));
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_grows_beyond_full_scale_is_cut() {
        let mut x = [0.5, -0.9, 0.1];
        super::gain(&mut x, 6.020_6);
        assert!((x[0] - 1.0).abs() < 1e-5 && x[1] == -1.0 && (x[2] - 0.2).abs() < 1e-5, "{x:?}");
    }
}
