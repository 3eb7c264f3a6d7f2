//! Random changes to a wave that leave a listener's answer the same: the chain of CLMR (Spijkervet and Burgoyne 2021,
//! arXiv:2103.09410) and of the audio augmentations published with it, one file each.
//!
//! Each file has the change itself, a pure function of its parameters, and its draw, which takes the parameters from a
//! random stream. The chain draws in a fixed order, so one stream gives one wave, whatever runs beside it. Crop,
//! polarity, noise, gain, filters and delay are the published arithmetic; pitch and reverb, which were SoX's, are
//! algorithms of their own kind (see their files).

mod crop;
mod delay;
mod draw;
mod filter;
mod gain;
mod noise;
mod pitch;
mod polarity;
mod reverb;

pub use crop::{crop, crop_start};
pub use delay::{Delay, delay};
pub use draw::{chance, normal, unit, whole, within};
pub use filter::{Filter, high_pass, low_pass};
pub use gain::{Gain, gain};
pub use noise::{Noise, add_noise, deviation};
pub use pitch::{Pitch, shift_pitch};
pub use polarity::invert;
pub use reverb::{Reverb, reverberate};

use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// The chain: what happens with which probability, in this order. Defaults are the published ones; a probability of 0
/// leaves a change out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// Length of what is cut out of the wave first, samples.
    pub samples: usize,
    /// Probability that the sign changes.
    pub polarity: f64,
    /// Noise, and its probability.
    pub noise: Chance<Noise>,
    /// Attenuation, and its probability.
    pub gain: Chance<Gain>,
    /// Low or high pass, and its probability.
    pub filter: Chance<Filter>,
    /// Echo, and its probability.
    pub delay: Chance<Delay>,
    /// Transposition, and its probability.
    pub pitch: Chance<Pitch>,
    /// Reverberation, and its probability.
    pub reverb: Chance<Reverb>,
}

/// A change and how often it happens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct Chance<T> {
    /// Probability.
    pub p: f64,
    /// Ranges of its parameters; the published ones when left out.
    #[serde(default)]
    pub range: T,
}

fn with<T: Default>(p: f64) -> Chance<T> {
    Chance { p, range: T::default() }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            samples: 59_049,
            polarity: 0.8,
            noise: with(0.01),
            gain: with(0.3),
            filter: with(0.8),
            delay: with(0.3),
            pitch: with(0.6),
            reverb: with(0.6),
        }
    }
}

impl Chain {
    /// Whether probabilities and ranges make sense at this rate, Hz.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self, rate: u32) -> Result<()> {
        ensure(self.samples > 0, "samples", "at least 1", self.samples)?;
        for (field, p) in [
            ("polarity", self.polarity),
            ("noise.p", self.noise.p),
            ("gain.p", self.gain.p),
            ("filter.p", self.filter.p),
            ("delay.p", self.delay.p),
            ("pitch.p", self.pitch.p),
            ("reverb.p", self.reverb.p),
        ] {
            ensure((0.0..=1.0).contains(&p), field, "a probability", p)?;
        }
        self.noise.range.check()?;
        self.gain.range.check()?;
        self.filter.range.check(rate)?;
        self.delay.range.check()?;
        self.pitch.range.check()?;
        self.reverb.range.check()
    }

    /// A view of `wave` at `rate` Hz: [`Chain::samples`] of it from a random place on, changed. A wave that is shorter
    /// ends in zeros. A sample that is not finite spreads through filters and room.
    pub fn apply(&self, wave: &[f32], rate: u32, rng: &mut impl Rng) -> Vec<f32> {
        let start = crop_start(wave.len(), self.samples, rng);
        let mut x = crop(wave, start, self.samples);
        if chance(self.polarity, rng) {
            invert(&mut x);
        }
        if chance(self.noise.p, rng) {
            self.noise.range.apply(&mut x, rng);
        }
        if chance(self.gain.p, rng) {
            self.gain.range.apply(&mut x, rng);
        }
        if chance(self.filter.p, rng) {
            x = self.filter.range.apply(&x, rate, rng);
        }
        if chance(self.delay.p, rng) {
            x = self.delay.range.apply(&x, rate, rng);
        }
        if chance(self.pitch.p, rng) {
            x = self.pitch.range.apply(&x, rate, rng);
        }
        if chance(self.reverb.p, rng) {
            x = self.reverb.range.apply(&x, rate, rng);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn wave(samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|i| 0.4 * (i as f32 * 0.07).sin() + 0.1 * (i as f32 * 0.41).sin())
            .collect()
    }

    #[test]
    fn one_stream_gives_one_view_and_two_streams_two() {
        let chain = Chain { samples: 20_000, ..Chain::default() };
        let view = |seed| chain.apply(&wave(40_000), 22_050, &mut ChaCha8Rng::seed_from_u64(seed));
        for seed in 0..6 {
            let x = view(seed);
            assert_eq!(x.len(), 20_000);
            assert!(x.iter().all(|v| v.is_finite()));
            assert_eq!(x, view(seed));
            assert_ne!(x, view(seed + 100));
        }
    }

    #[test]
    fn without_changes_a_view_is_a_piece_of_the_wave() {
        let none = r#"{"samples": 500, "polarity": 0.0, "noise": {"p": 0.0}, "gain": {"p": 0.0}, "filter": {"p": 0.0},
            "delay": {"p": 0.0}, "pitch": {"p": 0.0}, "reverb": {"p": 0.0}}"#;
        let chain: Chain = serde_json::from_str(none).unwrap();
        let long = wave(2_000);
        let x = chain.apply(&long, 22_050, &mut ChaCha8Rng::seed_from_u64(4));
        assert!(long.windows(500).any(|w| w == x));
        let short = chain.apply(&long[..300], 22_050, &mut ChaCha8Rng::seed_from_u64(4));
        assert_eq!((&short[..300], &short[300..]), (&long[..300], &[0.0; 200][..]));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let fail = |chain: Chain| chain.check(22_050).unwrap_err().to_string();
        Chain::default().check(22_050).unwrap();
        let text = fail(Chain { polarity: 1.5, ..Chain::default() });
        assert_eq!(text, "polarity: expected a probability, got 1.5");
        assert!(fail(Chain { samples: 0, ..Chain::default() }).starts_with("samples: "));
        let text = Chain::default().check(8_000).unwrap_err().to_string();
        assert!(text.starts_with("filter.low_pass: expected "), "{text}");
        let text = serde_json::from_str::<Chain>(r#"{"reverp": {"p": 0.1}}"#).unwrap_err();
        assert!(text.to_string().contains("unknown field `reverp`, expected one of `samples`"));
    }
}
