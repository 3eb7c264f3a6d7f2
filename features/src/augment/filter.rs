//! Low and high pass: windowed-sinc filters of finite length, with the ends of the wave held beyond them.
//!
//! With c the cut-off over the rate, 8 zero crossings: 2 floor(4 / c) + 1 taps of sinc(2 pi c t) under a symmetric
//! Hann window, scaled to sum 1; the high pass is what the low pass leaves.

use super::draw::{chance, within};
use crate::error::{Result, ensure};
use crate::simd::{madd, vectorised};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Either, with equal probability, at a random cut-off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Cut-off of the high pass, Hz, uniform between these; published 200 to 1200.
    pub high_pass: [f64; 2],
    /// Cut-off of the low pass, Hz, uniform between these; published 2200 to 4000.
    pub low_pass: [f64; 2],
}

impl Default for Filter {
    fn default() -> Self {
        Self { high_pass: [200.0, 1200.0], low_pass: [2200.0, 4000.0] }
    }
}

impl Filter {
    pub(super) fn check(&self, rate: u32) -> Result<()> {
        let half = f64::from(rate) / 2.0;
        let each = [("filter.high_pass", self.high_pass), ("filter.low_pass", self.low_pass)];
        for (field, [low, high]) in each {
            let fits = 0.0 < low && low <= high && high < half;
            let expected = format!("two rising numbers above 0 and below {half} Hz");
            ensure(fits, field, expected, format!("{low}, {high}"))?;
        }
        Ok(())
    }

    pub(super) fn apply(&self, wave: &[f32], rate: u32, rng: &mut impl Rng) -> Vec<f32> {
        match chance(0.5, rng) {
            true => high_pass(wave, rate, within(self.high_pass, rng)),
            false => low_pass(wave, rate, within(self.low_pass, rng)),
        }
    }
}

/// Zero crossings on both sides together.
const ZEROS: f64 = 8.0;

/// What is below `hertz`, of the same length. An empty wave stays empty.
pub fn low_pass(wave: &[f32], rate: u32, hertz: f64) -> Vec<f32> {
    let (Some(&first), Some(&last)) = (wave.first(), wave.last()) else { return Vec::new() };
    let taps = taps(hertz / f64::from(rate));
    let half = taps.len() / 2;
    let mut padded = vec![first; half];
    padded.extend_from_slice(wave);
    padded.resize(wave.len() + 2 * half, last);
    let mut out = vec![0.0; wave.len()];
    convolve(&padded, &taps, &mut out);
    out
}

/// What is above `hertz`, of the same length.
pub fn high_pass(wave: &[f32], rate: u32, hertz: f64) -> Vec<f32> {
    let low = low_pass(wave, rate, hertz);
    wave.iter().zip(low).map(|(x, low)| x - low).collect()
}

fn taps(cutoff: f64) -> Vec<f32> {
    use std::f64::consts::{PI, TAU};
    let half = (ZEROS / cutoff / 2.0) as usize;
    let count = 2 * half + 1;
    let tap = |i: usize| {
        let hann = match half {
            0 => 1.0,
            _ => 0.5 - 0.5 * (TAU * i as f64 / (count - 1) as f64).cos(),
        };
        let t = 2.0 * cutoff * PI * (i as f64 - half as f64);
        hann * if t == 0.0 { 1.0 } else { t.sin() / t }
    };
    let raw: Vec<f64> = (0..count).map(tap).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|x| (x / sum) as f32).collect()
}

vectorised! {
    /// out[i] = sum of x[i + k] taps[k], sixteen outputs side by side.
    fn convolve(x: &[f32], taps: &[f32], out: &mut [f32]) {
        const WIDE: usize = 16;
        for (block, out) in out.chunks_mut(WIDE).enumerate() {
            let from = block * WIDE;
            let mut sums = [0.0; WIDE];
            if out.len() == WIDE {
                for (k, &tap) in taps.iter().enumerate() {
                    let x = &x[from + k..from + k + WIDE];
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = madd::<FUSED>(x, tap, *sum);
                    }
                }
            } else {
                for (i, sum) in sums.iter_mut().enumerate().take(out.len()) {
                    for (&x, &tap) in x[from + i..].iter().zip(taps) {
                        *sum = madd::<FUSED>(x, tap, *sum);
                    }
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(x: &[f32]) -> f32 {
        (x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32).sqrt()
    }

    #[test]
    fn tones_below_and_above_the_cut_off_are_told_apart() {
        let tone = |hz: f32| -> Vec<f32> {
            (0..11_025).map(|i| (hz * i as f32 * std::f32::consts::TAU / 22_050.0).sin()).collect()
        };
        let (bass, treble) = (tone(300.0), tone(6_000.0));
        assert!(level(&low_pass(&bass, 22_050, 2_000.0)) > 0.69);
        assert!(level(&low_pass(&treble, 22_050, 2_000.0)) < 0.01);
        assert!(level(&high_pass(&bass, 22_050, 1_200.0)) < 0.03);
        assert!(level(&high_pass(&treble, 22_050, 1_200.0)) > 0.69);
    }

    #[test]
    fn a_constant_passes_below_and_not_above_at_any_length() {
        for n in [0, 1, 5, 17, 1_000] {
            let x = vec![0.7; n];
            assert!(low_pass(&x, 22_050, 200.0).iter().all(|v| (v - 0.7).abs() < 1e-5));
            assert!(high_pass(&x, 22_050, 200.0).iter().all(|v| v.abs() < 1e-5));
            assert_eq!(low_pass(&x, 22_050, 200.0).len(), n);
        }
    }
}
