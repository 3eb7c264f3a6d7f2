//! From mel power to what a model was trained on: raw, natural log, decibels, or log10 of an amplified value.
//!
//! Logarithms are a polynomial that the compiler can vectorise: within 1.2e-7 of the exact natural logarithm, relative
//! above 1 and absolute below, over every positive normal f32 (tested against f64). Not-a-number stays.

use crate::simd::{madd, vectorised};
use serde::{Deserialize, Serialize};

/// How a mel value `x` (power, at least 0) is shown to the model. Every published front end is a value of this.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Amplitude {
    /// `x`.
    Raw {},
    /// `ln(x + eps)`.
    Ln {
        /// Added before the logarithm.
        eps: f32,
    },
    /// `ln(max(x, floor))`: Kaldi's.
    LnFloor {
        /// Smallest value whose logarithm is taken.
        floor: f32,
    },
    /// `10 log10(max(x, floor))`.
    Db {
        /// Smallest value whose logarithm is taken; 1e-10 is -100 dB.
        floor: f32,
    },
    /// Decibels below the loudest value of the whole spectrogram: `10 log10(max(x, floor) / max(X, floor))`, and
    /// nothing lower than `-top_db`.
    DbBelowMax {
        /// Smallest value whose logarithm is taken.
        floor: f32,
        /// Range kept, dB.
        top_db: f32,
    },
    /// `log10(gain x + 1)`.
    Log10Gain {
        /// Factor before the logarithm.
        gain: f32,
    },
}

/// 10 / ln 10: a natural logarithm of power times this is decibels.
const DB: f32 = (10.0 / std::f64::consts::LN_10) as f32;

impl Amplitude {
    /// Replaces every value of a part of a spectrogram; [`Amplitude::finish`] must see the whole one afterwards.
    pub fn apply(&self, x: &mut [f32]) {
        match *self {
            Amplitude::Raw {} => {}
            Amplitude::Ln { eps } => log_affine(x, 1.0, eps, 0.0, 1.0),
            Amplitude::LnFloor { floor } => log_affine(x, 1.0, 0.0, floor, 1.0),
            Amplitude::Db { floor } | Amplitude::DbBelowMax { floor, .. } => {
                log_affine(x, 1.0, 0.0, floor, DB);
            }
            Amplitude::Log10Gain { gain } => log_affine(x, gain, 1.0, 0.0, DB / 10.0),
        }
    }

    /// Settles what depends on the whole spectrogram: the reference and the range of [`Amplitude::DbBelowMax`].
    pub fn finish(&self, x: &mut [f32]) {
        if let Amplitude::DbBelowMax { top_db, .. } = *self {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for v in x {
                let below = *v - max;
                *v = if below < -top_db { -top_db } else { below };
            }
        }
    }
}

vectorised! {
    /// `x = ln(max(gain x + add, floor)) * factor`, in place.
    fn log_affine(x: &mut [f32], gain: f32, add: f32, floor: f32, factor: f32) {
        for v in x {
            let y = madd::<FUSED>(*v, gain, add);
            let y = if y < floor { floor } else { y }; // not f32::max: that would hide a NaN
            *v = ln::<FUSED>(y) * factor;
        }
    }
}

/// ln(1 + u) = u - u^2/2 + u^3 P(u) on [sqrt(1/2) - 1, sqrt(2) - 1]: P interpolates at Chebyshev nodes, error 1e-8.
const P: [f32; 8] = [
    0.333_333_3,
    -2.500_030_6e-1,
    2.000_104_5e-1,
    -1.664_128_1e-1,
    1.421_449_6e-1,
    -1.299_818_4e-1,
    1.262_232e-1,
    -7.902_744e-2,
];

/// Natural logarithm of a positive normal `x`; NaN and infinity come back as they are. Branch-free.
#[inline(always)]
fn ln<const FUSED: bool>(x: f32) -> f32 {
    const HALF_ROOT: i32 = 0x3f35_04f3; // bits of sqrt(1/2)
    let bits = x.to_bits() as i32;
    let exponent = (bits - HALF_ROOT) >> 23;
    let u = f32::from_bits((bits - (exponent << 23)) as u32) - 1.0;
    let e = exponent as f32;
    let mut p = P[7];
    for c in P[..7].iter().rev() {
        p = madd::<FUSED>(p, u, *c);
    }
    // ln 2 in two parts, the first exact when multiplied by an exponent
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let tail = madd::<FUSED>(p * u, u * u, madd::<FUSED>(-0.5 * u, u, e * LN2_LOW));
    let y = madd::<FUSED>(e, LN2_HIGH, u + tail);
    if x < f32::INFINITY { y } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_within_its_stated_error_over_all_normal_floats() {
        let mut worst = 0.0f64;
        for bits in (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(997) {
            let mut x = [f32::from_bits(bits)];
            let exact = f64::from(x[0]).ln();
            log_affine(&mut x, 1.0, 0.0, 0.0, 1.0);
            let slow = ln::<false>(f32::from_bits(bits));
            for got in [x[0], slow] {
                worst = worst.max((f64::from(got) - exact).abs() / exact.abs().max(1.0));
            }
        }
        assert!(worst < 1.2e-7, "{worst:e}");
    }

    #[test]
    fn decibels_have_a_floor_and_are_exact_to_a_hundred_thousandth() {
        let mut x = [0.0, 1e-10, 1e-5, 1.0, 4.5e4, 1e30];
        Amplitude::Db { floor: 1e-10 }.apply(&mut x);
        for (got, want) in x.into_iter().zip([-100.0, -100.0, -50.0, 0.0, 46.532_125, 300.0]) {
            assert!((got - want).abs() < 4e-5, "{got} {want}");
        }
    }

    #[test]
    fn not_a_number_and_infinity_are_never_hidden() {
        for amplitude in [
            Amplitude::Ln { eps: 1e-8 },
            Amplitude::LnFloor { floor: 1e-7 },
            Amplitude::Db { floor: 1e-10 },
            Amplitude::DbBelowMax { floor: 1e-10, top_db: 80.0 },
            Amplitude::Log10Gain { gain: 1e4 },
        ] {
            let mut x = [f32::NAN, f32::INFINITY, 1.0];
            amplitude.apply(&mut x);
            assert!(x[0].is_nan() && x[1] == f32::INFINITY && x[2].is_finite(), "{amplitude:?}");
        }
    }

    #[test]
    fn decibels_below_the_maximum_start_at_zero_and_end_at_the_range() {
        let mut x = [1e-12, 1e-3, 10.0];
        let amplitude = Amplitude::DbBelowMax { floor: 1e-10, top_db: 80.0 };
        amplitude.apply(&mut x);
        amplitude.finish(&mut x);
        assert_eq!((x[0], x[2]), (-80.0, 0.0));
        assert!((x[1] + 40.0).abs() < 1e-4);
    }

    #[test]
    fn log10_of_nothing_with_gain_is_zero() {
        let mut x = [0.0, 0.01];
        Amplitude::Log10Gain { gain: 10_000.0 }.apply(&mut x);
        assert_eq!(x[0], 0.0);
        assert!((x[1] - 101f32.log10()).abs() < 1e-6);
    }
}
