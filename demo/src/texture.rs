//! Noise as a place: wind, surf, rain, tape. Plays through a whole section instead of in notes.

use crate::dsp::{Noise, OnePole, Svf, turn};

/// What kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A band of noise that wanders.
    Wind,
    /// Noise that swells and falls.
    Surf,
    /// Drops on a roof.
    Rain,
}

/// Fills `out` from `start_s` on, root mean square about 0.1. The same `seed` and `start_s` give the same samples.
pub fn fill(place: Place, seed: u64, start_s: f64, rate: f64, out: &mut [f32]) {
    let mut noise = Noise::new(seed ^ (start_s * 1000.0) as u64);
    let phase = (seed % 1000) as f32 / 1000.0;
    match place {
        Place::Wind => {
            let mut near = Svf::new(500.0, 3.0, rate);
            let mut far = Svf::new(1100.0, 2.0, rate);
            for (block, chunk) in out.chunks_mut(64).enumerate() {
                let t = start_s as f32 + (block * 64) as f32 / rate as f32;
                near.tune(420.0 * (1.2 * turn(phase + 0.11 * t) + 0.4 * turn(0.37 * t)).exp2());
                far.tune(1000.0 * (0.8 * turn(phase + 0.07 * t)).exp2());
                for x in chunk {
                    let n = noise.sample();
                    *x = 0.7 * near.band(n) + 0.35 * far.band(n);
                }
            }
        }
        Place::Surf => {
            let mut low = OnePole::new(900.0, rate);
            let mut high = OnePole::new(3500.0, rate);
            for (index, x) in out.iter_mut().enumerate() {
                let t = start_s as f32 + index as f32 / rate as f32;
                let swell = 0.5 + 0.5 * turn(phase + 0.13 * t);
                let n = noise.sample();
                *x =
                    (0.15 + 0.85 * swell * swell) * (0.6 * low.low(n) + 0.25 * swell * high.low(n));
            }
        }
        Place::Rain => {
            let mut bed = OnePole::new(2500.0, rate);
            let mut drop = Svf::new(3800.0, 6.0, rate);
            let often = 1.0 - 90.0 / rate as f32;
            for x in out.iter_mut() {
                let n = noise.sample();
                let tick = if noise.sample() > 2.0 * often - 1.0 { 12.0 * n } else { 0.0 };
                *x = 0.15 * bed.high(n) + 0.8 * drop.band(tick);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{rms, to_db};

    #[test]
    fn every_place_is_steady_noise_of_like_level() {
        for place in [Place::Wind, Place::Surf, Place::Rain] {
            let mut out = vec![0.0; 160_000];
            fill(place, 11, 3.0, 16_000.0, &mut out);
            let level = to_db(rms(&out));
            assert!((-26.0..-12.0).contains(&level), "{place:?} {level}");
        }
    }
}
