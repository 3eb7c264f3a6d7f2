//! One echo.

use super::draw::whole;
use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// An echo of half the level, at one of some distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Shortest and longest distance, milliseconds; published 200 and 450.
    pub ms: [i64; 2],
    /// From one distance to the next, milliseconds; published 50.
    pub step_ms: i64,
}

impl Default for Delay {
    fn default() -> Self {
        Self { ms: [200, 450], step_ms: 50 }
    }
}

impl Delay {
    pub(super) fn check(&self) -> Result<()> {
        let [low, high] = self.ms;
        let text = format!("{low}, {high}");
        ensure(0 <= low && low <= high, "delay.ms", "two rising numbers of 0 or more", text)?;
        ensure(self.step_ms > 0, "delay.step_ms", "above 0", self.step_ms)
    }

    pub(super) fn apply(&self, wave: &[f32], rate: u32, rng: &mut impl Rng) -> Vec<f32> {
        let [low, high] = self.ms;
        let steps = whole([0, (high - low) / self.step_ms], rng);
        delay(wave, rate, (low + steps * self.step_ms) as f64)
    }
}

/// x -> (x + its copy `ms` later at half the level) / 2, of the same length
pub fn delay(wave: &[f32], rate: u32, ms: f64) -> Vec<f32> {
    let offset = (ms * f64::from(rate) / 1000.0) as usize;
    let before = |i: usize| i.checked_sub(offset).map_or(0.0, |j| wave[j]);
    wave.iter().enumerate().map(|(i, x)| (x + 0.5 * before(i)) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_click_comes_twice() {
        let mut x = vec![0.0; 100];
        x[3] = 1.0;
        let y = super::delay(&x, 1_000, 40.0);
        assert_eq!((y[3], y[43], y.iter().sum::<f32>()), (0.5, 0.25, 0.75));
    }
}
