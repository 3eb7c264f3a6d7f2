//! Power spectrum of a windowed real frame: one complex transform of half the length, and one pass that takes its two
//! halves apart and squares them. That pass is vectorised, which a general real transform's is not.
//!
//! With `z[m] = x[2m] + i x[2m + 1]`, `Z` its transform of length M = N / 2 and `w = exp(-2 pi i / N)`:
//! `E = (Z[k] + Z*[M - k]) / 2`, `O = (Z[k] - Z*[M - k]) / 2i`, `X[k] = E + w^k O`, `X[M - k] = (E - w^k O)*`.

use crate::simd::{madd, vectorised};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::f64::consts::TAU;
use std::sync::Arc;

/// A planned transform with its window and scratch.
#[derive(Clone)]
pub(crate) struct PowerSpectrum {
    plan: Arc<dyn Fft<f32>>,
    /// Half the window, so that E and O need no division.
    window: Vec<f32>,
    /// `w^k / i` for k up to M / 2, real and imaginary parts apart.
    twiddle: (Vec<f32>, Vec<f32>),
    z: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl std::fmt::Debug for PowerSpectrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PowerSpectrum").field("points", &self.window.len()).finish_non_exhaustive()
    }
}

impl PowerSpectrum {
    /// Plans for a window of N points, N even.
    pub fn new(window: &[f32]) -> Self {
        let n = window.len();
        let plan = FftPlanner::new().plan_fft_forward(n / 2);
        // exp(-i angle) / i = -sin(angle) - i cos(angle)
        let angle = |k: usize| TAU * k as f64 / n as f64;
        let half = 0..=n / 4;
        Self {
            window: window.iter().map(|w| 0.5 * w).collect(),
            twiddle: (
                half.clone().map(|k| -angle(k).sin() as f32).collect(),
                half.map(|k| -angle(k).cos() as f32).collect(),
            ),
            z: vec![Complex32::default(); n / 2],
            scratch: vec![Complex32::default(); plan.get_inplace_scratch_len()],
            plan,
        }
    }

    /// `|X|^2` of a frame of N samples, `[N / 2 + 1]`.
    pub fn run(&mut self, frame: &[f32], power: &mut [f32]) {
        pack(frame, &self.window, &mut self.z);
        self.plan.process_with_scratch(&mut self.z, &mut self.scratch);
        unpack(&self.z, &self.twiddle.0, &self.twiddle.1, power);
    }
}

vectorised! {
    fn pack(frame: &[f32], window: &[f32], z: &mut [Complex32]) {
        let pairs = frame.as_chunks::<2>().0.iter().zip(window.as_chunks::<2>().0);
        for (z, (x, w)) in z.iter_mut().zip(pairs) {
            *z = Complex32::new(x[0] * w[0], x[1] * w[1]);
        }
    }
}

/// Bins taken together.
const LANES: usize = 8;

vectorised! {
    fn unpack(z: &[Complex32], re: &[f32], im: &[f32], power: &mut [f32]) {
        let m = z.len();
        let (sum, difference) = (2.0 * (z[0].re + z[0].im), 2.0 * (z[0].re - z[0].im));
        power[0] = sum * sum;
        power[m] = difference * difference;
        let mut k = 1;
        // eight bins from below, eight from above, until they meet
        while 2 * (k + LANES - 1) < m {
            let (low, high) = (&z[k..k + LANES], &z[m + 1 - k - LANES..m + 1 - k]);
            let (wr, wi) = (&re[k..k + LANES], &im[k..k + LANES]);
            let (mut up, mut down) = ([0.0; LANES], [0.0; LANES]);
            for i in 0..LANES {
                let (a, b) = bins::<FUSED>(low[i], high[LANES - 1 - i], wr[i], wi[i]);
                up[i] = a;
                down[i] = b;
            }
            power[k..k + LANES].copy_from_slice(&up);
            for i in 0..LANES {
                power[m + 1 - k - LANES + i] = down[LANES - 1 - i];
            }
            k += LANES;
        }
        while 2 * k <= m {
            (power[k], power[m - k]) = bins::<FUSED>(z[k], z[m - k], re[k], im[k]);
            k += 1;
        }
    }
}

/// Powers of bins k and M - k.
#[inline(always)]
fn bins<const FUSED: bool>(low: Complex32, high: Complex32, wr: f32, wi: f32) -> (f32, f32) {
    let (er, ei) = (low.re + high.re, low.im - high.im);
    let (or, oi) = (low.re - high.re, low.im + high.im);
    let tr = madd::<FUSED>(or, wr, -(oi * wi));
    let ti = madd::<FUSED>(or, wi, oi * wr);
    let (xr, xi, yr, yi) = (er + tr, ei + ti, er - tr, ei - ti);
    (madd::<FUSED>(xr, xr, xi * xi), madd::<FUSED>(yr, yr, yi * yi))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_even_length_equals_the_sum_of_sines_and_cosines() {
        for n in (2..=130).step_by(2) {
            let frame: Vec<f32> = (0..n).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
            let mut power = vec![f32::NAN; n / 2 + 1];
            PowerSpectrum::new(&vec![1.0; n]).run(&frame, &mut power);
            for (k, got) in power.iter().enumerate() {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, &x) in frame.iter().enumerate() {
                    let angle = TAU * (i * k) as f64 / n as f64;
                    re += f64::from(x) * angle.cos();
                    im += f64::from(x) * angle.sin();
                }
                let want = re * re + im * im;
                assert!(
                    (f64::from(*got) - want).abs() < 1e-5 * (1.0 + want),
                    "{n} {k} {got} {want}"
                );
            }
        }
    }
}
