//! White noise.

use super::draw::{normal, within};
use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Normal noise whose deviation is a share of the wave's own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The share, uniform between these; published 1e-4 to 1e-2.
    pub share: [f64; 2],
}

impl Default for Noise {
    fn default() -> Self {
        Self { share: [1e-4, 1e-2] }
    }
}

impl Noise {
    pub(super) fn check(&self) -> Result<()> {
        let [low, high] = self.share;
        let fits = 0.0 <= low && low <= high && high.is_finite();
        ensure(fits, "noise.share", "two rising numbers of 0 or more", format!("{low}, {high}"))
    }

    pub(super) fn apply(&self, wave: &mut [f32], rng: &mut impl Rng) {
        let share = within(self.share, rng);
        let mut noise: Vec<f32> = Vec::with_capacity(wave.len() + 1);
        while noise.len() < wave.len() {
            noise.extend(normal(rng).map(|v| v as f32));
        }
        add_noise(wave, &noise, share);
    }
}

/// x -> x + share std(x) noise
pub fn add_noise(wave: &mut [f32], noise: &[f32], share: f64) {
    let std = (share * deviation(wave)) as f32;
    wave.iter_mut().zip(noise).for_each(|(x, n)| *x += n * std);
}

/// Standard deviation over n - 1; 0 for fewer than two samples.
pub fn deviation(wave: &[f32]) -> f64 {
    if wave.len() < 2 {
        return 0.0;
    }
    let mean = wave.iter().map(|&x| f64::from(x)).sum::<f64>() / wave.len() as f64;
    let squares = wave.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
    (squares / (wave.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_noise_is_as_loud_as_asked_for() {
        let clean: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.05).sin()).collect();
        let mut noisy = clean.clone();
        let noise = Noise { share: [0.1, 0.1] };
        noise.apply(&mut noisy, &mut ChaCha8Rng::seed_from_u64(5));
        let added: Vec<f32> = noisy.iter().zip(&clean).map(|(a, b)| a - b).collect();
        let ratio = deviation(&added) / deviation(&clean);
        assert!((ratio - 0.1).abs() < 2e-3, "{ratio}");
        assert_eq!(deviation(&[1.0]), 0.0);
    }
}
