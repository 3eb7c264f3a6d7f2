//! Resampling for new work: a long Kaiser filter, images below -130 dB, flat to 0.975 of the lower rate's half.
//!
//! The filter is the same for every output, so blocks of the wave go through a Fourier transform, are weighted by the
//! filter's response, and come back through a transform of another length: the cost hardly grows with the filter.
//! Two blocks travel together as real and imaginary part, since the response is real and even. Each block overlaps
//! its neighbours by the filter's length (overlap-save), so the result does not depend on where blocks begin.
//! With both rates divided by their greatest common divisor, `o` samples in become `n` samples out: one period.

use crate::error::{Result, ensure};
use crate::resample::{bessel, gcd};
use crate::simd::vectorised;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner, num_complex::Complex64};
use std::f64::consts::PI;
use std::sync::Arc;

/// Where the filter is still flat, a share of the lower rate's half; at 1 it has fallen to the attenuation.
const PASS: f64 = 0.975;
/// Depth of the stop band, dB.
const ATTENUATION: f64 = 140.0;

/// A filter planned for one pair of rates.
#[derive(Clone)]
pub struct FirResampler {
    /// Samples in and out of one period.
    old: usize,
    new: usize,
    /// Periods at each end of a block that its neighbours spoil, and periods between them.
    guard: usize,
    valid: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// Filter response at the bins kept, from 0 Hz up.
    response: Vec<f32>,
    block: Vec<Complex32>,
    result: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl std::fmt::Debug for FirResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { old, new, guard, valid, .. } = self;
        write!(f, "FirResampler {{ {old} to {new} samples, {valid} periods between 2 x {guard} }}")
    }
}

impl FirResampler {
    /// Plans a filter from one rate, Hz, to another. Fails on a rate of 0.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        ensure(from >= 1, "from", "a rate of at least 1 Hz", from)?;
        ensure(to >= 1, "to", "a rate of at least 1 Hz", to)?;
        let common = gcd(from, to);
        let (old, new) = ((from / common) as usize, (to / common) as usize);
        let filter = Filter::new(old, new);
        let guard = filter.reach().div_ceil(old);
        let periods = periods(guard, old);
        let (block, result) = (periods * old, periods * new);
        let mut planner = FftPlanner::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(block), planner.plan_fft_inverse(result));
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        Ok(Self {
            old,
            new,
            guard,
            valid: periods - 2 * guard,
            response: filter.response(block, block.min(result).div_ceil(2)),
            block: vec![Complex32::default(); block],
            result: vec![Complex32::default(); result],
            scratch: vec![Complex32::default(); scratch],
            forward,
            inverse,
        })
    }

    /// The wave at the new rate, [`crate::resampled_len`] samples of it, silence assumed outside. Equal rates give
    /// the wave itself.
    pub fn run(&mut self, wave: &[f32]) -> Vec<f32> {
        if self.old == self.new {
            return wave.to_vec();
        }
        let len = (wave.len() * self.new).div_ceil(self.old);
        let mut out = Vec::with_capacity(len);
        let (step, lead) = (self.valid * self.old, (self.guard * self.old) as isize);
        let mut first = -lead;
        while out.len() < len {
            load(wave, [first, first + step as isize], &mut self.block);
            self.forward.process_with_scratch(&mut self.block, &mut self.scratch);
            weigh(&self.block, &self.response, &mut self.result);
            self.inverse.process_with_scratch(&mut self.result, &mut self.scratch);
            let valid = &self.result[self.guard * self.new..][..self.valid * self.new];
            append::<false>(&valid[..valid.len().min(len - out.len())], &mut out);
            append::<true>(&valid[..valid.len().min(len - out.len())], &mut out);
            first += 2 * step as isize;
        }
        out
    }
}

/// Periods of a block: the ends cost an eighth at most, and the transforms have small factors. Rates that share no
/// divisor have long periods, and do with blocks of eight.
fn periods(guard: usize, old: usize) -> usize {
    let least = if old > 4096 { 8 * guard } else { 16 * guard };
    let whole = least.next_power_of_two();
    if whole / 4 * 3 >= least { whole / 4 * 3 } else { whole }
}

/// Two stretches of the wave as real and imaginary parts, silence outside.
fn load(wave: &[f32], starts: [isize; 2], block: &mut [Complex32]) {
    let len = block.len();
    let inside = |start: isize| usize::try_from(start).ok().and_then(|s| wave.get(s..s + len));
    if let (Some(one), Some(two)) = (inside(starts[0]), inside(starts[1])) {
        return interleave(one, two, block);
    }
    let at = |i: isize| usize::try_from(i).ok().and_then(|i| wave.get(i)).copied().unwrap_or(0.0);
    for (i, z) in block.iter_mut().enumerate() {
        *z = Complex32::new(at(starts[0] + i as isize), at(starts[1] + i as isize));
    }
}

vectorised! {
    fn interleave(one: &[f32], two: &[f32], block: &mut [Complex32]) {
        for ((z, &re), &im) in block.iter_mut().zip(one).zip(two) {
            *z = Complex32::new(re, im);
        }
    }
}

/// One of the two stretches that came back together.
fn append<const SECOND: bool>(pairs: &[Complex32], out: &mut Vec<f32>) {
    out.extend(pairs.iter().map(|z| if SECOND { z.im } else { z.re }));
}

vectorised! {
    /// Bins times response, from both ends; what lies between has no counterpart or is stopped.
    fn weigh(block: &[Complex32], response: &[f32], result: &mut [Complex32]) {
        let kept = response.len();
        for ((v, z), &h) in result.iter_mut().zip(block).zip(response) {
            *v = Complex32::new(z.re * h, z.im * h);
        }
        let top = result.len();
        result[kept..=top - kept].fill(Complex32::default());
        let negative = result[top - kept + 1..].iter_mut().zip(&block[block.len() - kept + 1..]);
        for ((v, z), &h) in negative.zip(response[1..].iter().rev()) {
            *v = Complex32::new(z.re * h, z.im * h);
        }
    }
}

/// The windowed sinc, in samples of the input.
struct Filter {
    /// Cut-off, a share of the input rate.
    cut: f64,
    /// Half of its length.
    half: f64,
    beta: f64,
}

impl Filter {
    fn new(old: usize, new: usize) -> Self {
        // half of the lower rate, as a share of the input rate
        let top = 0.5 * (new as f64 / old as f64).min(1.0);
        let transition = 2.0 * PI * top * (1.0 - PASS);
        Self {
            cut: top * (1.0 + PASS) / 2.0,
            half: (ATTENUATION - 7.95) / (2.285 * transition) / 2.0, // Kaiser's length
            beta: 0.1102 * (ATTENUATION - 8.7),                      // and shape
        }
    }

    /// Samples on each side that an output sees.
    fn reach(&self) -> usize {
        self.half.ceil() as usize
    }

    fn at(&self, t: f64) -> f64 {
        let share = t / self.half;
        if share.abs() >= 1.0 {
            return 0.0;
        }
        let window = bessel(self.beta * (1.0 - share * share).sqrt()) / bessel(self.beta);
        let x = 2.0 * PI * self.cut * t;
        let sinc = if t == 0.0 { 1.0 } else { x.sin() / x };
        2.0 * self.cut * sinc * window
    }

    /// Response at the first `kept` bins of a transform of `len` points, over `len`.
    fn response(&self, len: usize, kept: usize) -> Vec<f32> {
        let mut taps = vec![Complex64::default(); len];
        for t in 0..=self.reach() {
            taps[t].re = self.at(t as f64) / len as f64;
            taps[(len - t) % len].re = taps[t].re;
        }
        FftPlanner::new().plan_fft_forward(len).process(&mut taps);
        taps[..kept].iter().map(|z| z.re as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resampled_len;

    #[test]
    fn every_length_equals_the_sum_of_filter_times_wave() {
        let wave: Vec<f32> =
            (0..30_000).map(|i| (i as f32 * i as f32 * 1e-4).sin() * 0.7).collect();
        for (from, to) in [(44_100, 24_000), (48_000, 24_000), (22_050, 24_000), (8_000, 11_025)] {
            let mut plan = FirResampler::new(from, to).unwrap();
            let filter = Filter::new(plan.old, plan.new);
            for n in [0, 1, 147, 5_000, 8_527, 8_528, 29_999] {
                let got = plan.run(&wave[..n]);
                assert_eq!(got.len() as u64, resampled_len(n as u64, from, to));
                for i in (0..got.len()).step_by(1 + got.len() / 300) {
                    let at = i as f64 * f64::from(from) / f64::from(to);
                    let begin = (at - filter.half).max(0.0) as usize;
                    let end = n.min((at + filter.half) as usize + 2);
                    let want: f64 =
                        (begin..end).map(|k| f64::from(wave[k]) * filter.at(at - k as f64)).sum();
                    assert!((f64::from(got[i]) - want).abs() < 2e-6, "{from} {to} {n} {i}");
                }
            }
        }
    }

    /// Level of a full-scale tone and of everything else that comes out, dB, the ends left out.
    fn tone(plan: &mut FirResampler, from: u32, to: u32, hertz: f64) -> (f64, f64) {
        let turn = 2.0 * PI * hertz / f64::from(from);
        let wave: Vec<f32> = (0..from).map(|i| (turn * f64::from(i)).sin() as f32).collect();
        let out = plan.run(&wave);
        let turn = 2.0 * PI * hertz / f64::from(to);
        let skip = out.len() / 5;
        let inner: Vec<(f64, f64, f64)> = (skip..out.len() - skip)
            .map(|i| ((turn * i as f64).sin(), (turn * i as f64).cos(), f64::from(out[i])))
            .collect();
        let sum = |f: fn(&(f64, f64, f64)) -> f64| inner.iter().map(f).sum::<f64>();
        // least squares for a sin + b cos
        let (ss, sc, cc) = (sum(|v| v.0 * v.0), sum(|v| v.0 * v.1), sum(|v| v.1 * v.1));
        let (sy, cy) = (sum(|v| v.0 * v.2), sum(|v| v.1 * v.2));
        let det = ss * cc - sc * sc;
        let (a, b) = ((sy * cc - cy * sc) / det, (cy * ss - sy * sc) / det);
        let above = hertz >= f64::from(to) / 2.0;
        let (a, b) = if above { (0.0, 0.0) } else { (a, b) };
        let rest: f64 = inner.iter().map(|v| (v.2 - a * v.0 - b * v.1).powi(2)).sum();
        let db = |x: f64| 20.0 * x.max(1e-12).log10();
        (db(a.hypot(b)), db((2.0 * rest / inner.len() as f64).sqrt()))
    }

    #[test]
    fn the_pass_band_is_flat_to_a_hundredth_db_and_images_are_below_minus_130_db() {
        for (from, to) in [
            (44_100, 24_000),
            (44_100, 16_000),
            (48_000, 24_000),
            (48_000, 16_000),
            (22_050, 24_000),
        ] {
            let mut plan = FirResampler::new(from, to).unwrap();
            let (top, half) = (f64::from(from.min(to)) / 2.0, f64::from(from) / 2.0);
            for share in [0.003, 0.1, 0.31, 0.52, 0.74, 0.9, 0.95, 0.975] {
                let (gain, rest) = tone(&mut plan, from, to, share * top);
                assert!(gain.abs() <= 0.01, "{from} to {to}, {share}: gain {gain:.5} dB");
                assert!(rest <= -120.0, "{from} to {to}, {share}: residual {rest:.1} dB");
            }
            let mut hertz = top * 1.001;
            while hertz < half {
                let (_, alias) = tone(&mut plan, from, to, hertz);
                assert!(
                    alias <= -130.0,
                    "{from} to {to}: {hertz} Hz comes through at {alias:.1} dB"
                );
                hertz *= 1.037;
            }
        }
    }

    #[test]
    fn equal_rates_leave_the_wave_alone() {
        assert_eq!(FirResampler::new(9, 9).unwrap().run(&[0.1, -0.2]), [0.1, -0.2]);
    }

    #[test]
    fn a_second_run_gives_what_a_fresh_plan_gives() {
        let wave: Vec<f32> = (0..12_345).map(|i| (i as f32 * 0.1).sin()).collect();
        let fresh = FirResampler::new(44_100, 24_000).unwrap();
        let mut used = fresh.clone();
        used.run(&[1.0; 20_000]);
        assert_eq!(used.run(&wave), fresh.clone().run(&wave));
    }
}
