//! Degraded test audio: how much of a score is left when a recording gets noisy or quiet.
//!
//! The limited-data study scores its probes on three deformations of the test set, `deform_0` to `deform_2`, and does not
//! say what they are. [`Deformation::preset`] is our reading: white noise at 15 dB, white noise at 0 dB, 12 dB quieter,
//! the order of the example of the framework (chrispla/mir_ref) that its result files come from.
//!
//! Noise is drawn from a seed and the clip's key alone, so neither threads nor order change a sample. Nothing is
//! clipped.

use crate::error::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What is done to a wave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deformation {
    /// White Gaussian noise is added, of the wave's root mean square divided by `10^(snr_db / 20)`.
    Noise {
        /// Signal over noise, dB.
        snr_db: f64,
    },
    /// Every sample times `10^(db / 20)`.
    Gain {
        /// Below 0 is quieter.
        db: f64,
    },
    /// One after the other.
    Chain {
        /// First to last.
        steps: Vec<Deformation>,
    },
}

impl Deformation {
    /// Names of the limited-data study's deformations.
    pub const NAMES: [&'static str; 3] = ["deform_0", "deform_1", "deform_2"];

    /// The deformation of that name, as we read the study; `None` when there is none.
    pub fn preset(name: &str) -> Option<Self> {
        Some(match name {
            "deform_0" => Self::Noise { snr_db: 15.0 },
            "deform_1" => Self::Noise { snr_db: 0.0 },
            "deform_2" => Self::Gain { db: -12.0 },
            _ => return None,
        })
    }

    /// Refuses decibels that are not numbers or beyond 200.
    pub fn check(&self) -> Result<()> {
        let sane = |db: f64| db.abs() <= 200.0; // not so for NaN
        match self {
            Self::Noise { snr_db } => ensure(sane(*snr_db), "snr_db", "-200 to 200 dB", snr_db),
            Self::Gain { db } => ensure(sane(*db), "db", "-200 to 200 dB", db),
            Self::Chain { steps } => steps.iter().try_for_each(Self::check),
        }
    }

    /// Deforms a whole clip in place. The same seed and key give the same samples; silence stays silence.
    pub fn apply(&self, wave: &mut [f32], seed: u64, key: &str) {
        self.run(wave, &mut Draws::new(seed, key));
    }

    fn run(&self, wave: &mut [f32], draws: &mut Draws) {
        match self {
            Self::Noise { snr_db } => {
                let rms = rms(wave) / 10f64.powf(snr_db / 20.0);
                wave.iter_mut().for_each(|x| *x += (rms * draws.normal()) as f32);
            }
            Self::Gain { db } => {
                let gain = 10f64.powf(db / 20.0) as f32;
                wave.iter_mut().for_each(|x| *x *= gain);
            }
            Self::Chain { steps } => steps.iter().for_each(|step| step.run(wave, draws)),
        }
    }
}

/// Root mean square, 0 of nothing.
fn rms(wave: &[f32]) -> f64 {
    let power: f64 = wave.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (power / wave.len().max(1) as f64).sqrt()
}

/// A stream of random numbers: SplitMix64 over a hash of seed and key.
struct Draws {
    state: u64,
    /// The second number of a pair.
    spare: Option<f64>,
}

impl Draws {
    fn new(seed: u64, key: &str) -> Self {
        // FNV-1a; the output function below mixes what little it leaves to wish for
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut draws = Self { state: seed, spare: None };
        draws.state = draws.bits() ^ hash;
        draws
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn share(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.share().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.share()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone() -> Vec<f32> {
        (0..64_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect()
    }

    fn snr_db(deformed: &[f32]) -> f64 {
        let noise: Vec<f32> = deformed.iter().zip(tone()).map(|(a, b)| a - b).collect();
        20.0 * (rms(&tone()) / rms(&noise)).log10()
    }

    #[test]
    fn noise_has_the_ratio_that_was_asked_for_and_the_shape_of_a_bell() {
        for (name, want) in [("deform_0", 15.0), ("deform_1", 0.0)] {
            let mut wave = tone();
            Deformation::preset(name).unwrap().apply(&mut wave, 1, "a:1");
            assert!((snr_db(&wave) - want).abs() < 0.1, "{name}: {} dB", snr_db(&wave));
        }
        let mut draws = Draws::new(3, "x");
        let drawn: Vec<f64> = (0..100_000).map(|_| draws.normal()).collect();
        let share = |most: f64| drawn.iter().filter(|x| x.abs() < most).count() as f64 / 1e5;
        assert!((share(1.0) - 0.6827).abs() < 0.006 && (share(2.0) - 0.9545).abs() < 0.003);
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let follows = drawn.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && follows.abs() < 0.01, "{mean} {follows}");
    }

    #[test]
    fn gain_is_in_decibels_and_silence_stays_silence() {
        let mut wave = tone();
        Deformation::preset("deform_2").unwrap().apply(&mut wave, 1, "a:1");
        assert!((20.0 * (rms(&wave) / rms(&tone())).log10() + 12.0).abs() < 1e-4);
        let mut silence = vec![0.0; 100];
        Deformation::Noise { snr_db: 0.0 }.apply(&mut silence, 1, "a:1");
        assert_eq!(silence, vec![0.0; 100]);
        Deformation::Noise { snr_db: 0.0 }.apply(&mut [], 1, "a:1");
    }

    #[test]
    fn seed_and_key_alone_choose_the_noise() {
        let deformed = |seed, key: &str| {
            let mut wave = tone();
            Deformation::Noise { snr_db: 15.0 }.apply(&mut wave, seed, key);
            wave
        };
        assert_eq!(deformed(1, "a:1"), deformed(1, "a:1"));
        assert_ne!(deformed(1, "a:1"), deformed(2, "a:1"));
        assert_ne!(deformed(1, "a:1"), deformed(1, "a:2"));
    }

    #[test]
    fn a_chain_runs_first_to_last_on_one_stream_of_noise() {
        let (noise, gain) = (Deformation::Noise { snr_db: 3.0 }, Deformation::Gain { db: -6.0 });
        let chain = Deformation::Chain { steps: vec![noise.clone(), gain.clone()] };
        let (mut one, mut two) = (tone(), tone());
        chain.apply(&mut one, 4, "k");
        noise.apply(&mut two, 4, "k");
        gain.apply(&mut two, 4, "k");
        assert_eq!(one, two);
    }

    #[test]
    fn the_three_names_are_presets_and_senseless_decibels_are_refused() {
        for name in Deformation::NAMES {
            Deformation::preset(name).unwrap().check().unwrap();
        }
        assert_eq!(Deformation::preset("deform_3"), None);
        let chain = Deformation::Chain { steps: vec![Deformation::Gain { db: f64::NAN }] };
        assert!(chain.check().unwrap_err().to_string().starts_with("db: expected"));
        let loud = Deformation::Noise { snr_db: 1e4 };
        assert!(loud.check().unwrap_err().to_string().starts_with("snr_db: expected"));
    }
}
