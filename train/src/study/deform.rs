//! Deformations of test audio: what a study file calls them, and what they do to a wave.

use etude_eval::embed::Deform;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Deserialize;
use std::sync::Arc;

/// A deformation of the limited-data study.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deformation {
    /// White Gaussian noise, drawn from the track's key.
    Noise {
        /// Level of the music above the noise, dB.
        snr_db: f64,
    },
    /// Another level.
    Gain {
        /// Change, dB.
        db: f64,
    },
}

impl Deformation {
    /// As the embedding stage takes it.
    pub(super) fn deform(self) -> Deform {
        let apply = move |key: &str, _: u32, wave: &mut [f32]| self.apply(key, wave);
        Deform { id: format!("{self:?}"), apply: Arc::new(apply) }
    }

    fn apply(self, key: &str, wave: &mut [f32]) {
        match self {
            Deformation::Gain { db } => {
                let gain = 10f64.powf(db / 20.0) as f32;
                wave.iter_mut().for_each(|x| *x *= gain);
            }
            Deformation::Noise { snr_db } => {
                let power = wave.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
                let rms = (power / wave.len().max(1) as f64).sqrt() / 10f64.powf(snr_db / 20.0);
                let mut rng = ChaCha8Rng::from_seed(*blake3::hash(key.as_bytes()).as_bytes());
                for pair in wave.chunks_mut(2) {
                    let unit = |bits: u32| (f64::from(bits >> 8) + 0.5) / f64::from(1u32 << 24);
                    let radius = rms * (-2.0 * unit(rng.next_u32()).ln()).sqrt();
                    let (sin, cos) = (std::f64::consts::TAU * unit(rng.next_u32())).sin_cos();
                    for (x, noise) in pair.iter_mut().zip([radius * cos, radius * sin]) {
                        *x += noise as f32;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_level_and_is_that_of_its_track() {
        let sine: Vec<f32> = (0..64_000).map(|t| (t as f32 * 0.05).sin() * 0.4).collect();
        let noisy = |key: &str| {
            let mut wave = sine.clone();
            Deformation::Noise { snr_db: 15.0 }.apply(key, &mut wave);
            wave
        };
        let power = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let a = noisy("c:1");
        let noise: Vec<f32> = a.iter().zip(&sine).map(|(x, s)| x - s).collect();
        let snr_db = 10.0 * (power(&sine) / power(&noise)).log10();
        assert!((snr_db - 15.0).abs() < 0.1, "{snr_db}");
        assert_eq!(a, noisy("c:1"));
        assert_ne!(a, noisy("c:2"));
        let mut quiet = sine.clone();
        Deformation::Gain { db: -12.0 }.apply("c:1", &mut quiet);
        assert!((10.0 * (power(&quiet) / power(&sine)).log10() + 12.0).abs() < 1e-4);
    }
}
