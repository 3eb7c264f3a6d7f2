//! Resampling by windowed sinc, sample by sample as torchaudio does it: what the published models were fed.
//!
//! With both rates divided by their greatest common divisor, `o` before and `n` after, output `m n + j` is
//! `sum_k h_j[k] x[m o + k]`, where with `b = min(o, n) * rolloff` and `t = (k / o - j / n) b`
//! `h_j[k] = window(t / width) sinc(t) b / o` for `|t| < width`, and 0 beyond. Outside the wave `x` is 0.

use crate::error::{Result, ensure};
use crate::simd::{madd, vectorised};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// What the sinc is multiplied with; the argument runs from -1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SincWindow {
    /// `cos(pi t / 2)^2`.
    Hann {},
    /// `I0(beta sqrt(1 - t^2)) / I0(beta)`.
    Kaiser {
        /// Larger is a wider transition and a quieter stop band.
        beta: f64,
    },
}

/// A windowed-sinc filter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sinc {
    /// Zero crossings of the sinc kept on each side.
    pub width: u32,
    /// Cut-off as a share of the lower rate's half, above 0 and at most 1.
    pub rolloff: f64,
    /// Window over the kept crossings.
    pub window: SincWindow,
}

impl Sinc {
    /// torchaudio's default: 6 crossings, 0.99, Hann. Short: strong images near half the rate, -7 dB.
    pub fn torchaudio() -> Self {
        Self { width: 6, rolloff: 0.99, window: SincWindow::Hann {} }
    }

    /// The filter that resampy and torchaudio's documentation call "kaiser_best".
    pub fn kaiser_best() -> Self {
        Self {
            width: 64,
            rolloff: 0.947_593_716_739_959_6,
            window: SincWindow::Kaiser { beta: 14.769_656_459_379_492 },
        }
    }

    /// Height of the windowed sinc at `t` crossings from its middle.
    fn at(&self, t: f64) -> f64 {
        let share = t / f64::from(self.width);
        if share.abs() >= 1.0 {
            return 0.0;
        }
        let window = match self.window {
            SincWindow::Hann {} => (PI * share / 2.0).cos().powi(2),
            SincWindow::Kaiser { beta } => {
                bessel((1.0 - share * share).sqrt() * beta) / bessel(beta)
            }
        };
        let sinc = if t == 0.0 { 1.0 } else { (PI * t).sin() / (PI * t) };
        sinc * window
    }
}

/// Samples that `n` become: `ceil(n * to / from)`, in integers. Rates are Hz, above 0.
pub fn resampled_len(n: u64, from: u32, to: u32) -> u64 {
    (u128::from(n) * u128::from(to)).div_ceil(u128::from(from.max(1))) as u64
}

/// Modified Bessel function of the first kind, order 0, by its series.
pub(crate) fn bessel(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A filter planned for one pair of rates.
#[derive(Debug, Clone)]
pub struct SincResampler {
    /// Samples in and out of one period, without common divisor.
    old: usize,
    new: usize,
    /// Taps per phase, a multiple of [`LANES`].
    taps: usize,
    /// First sample that phase `j` of period 0 sees.
    starts: Vec<isize>,
    /// `[new, taps]`.
    kernel: Vec<f32>,
}

const LANES: usize = 8;

impl SincResampler {
    /// Plans a filter from one rate, Hz, to another. Fails on a rate, width or rolloff out of range.
    pub fn new(from: u32, to: u32, cfg: &Sinc) -> Result<Self> {
        ensure(from >= 1, "from", "a rate of at least 1 Hz", from)?;
        ensure(to >= 1, "to", "a rate of at least 1 Hz", to)?;
        ensure(cfg.width >= 1, "width", "at least 1 crossing", cfg.width)?;
        let share = cfg.rolloff > 0.0 && cfg.rolloff <= 1.0;
        ensure(share, "rolloff", "above 0, at most 1", cfg.rolloff)?;
        let common = gcd(from, to);
        let (old, new) = ((from / common) as usize, (to / common) as usize);
        if old == new {
            return Ok(Self { old, new, taps: 0, starts: Vec::new(), kernel: Vec::new() });
        }
        let (o, n) = (old as f64, new as f64);
        let cut = o.min(n) * cfg.rolloff;
        let reach = f64::from(cfg.width) * o / cut; // samples on each side
        let taps = ((2.0 * reach).ceil() as usize + 1).next_multiple_of(LANES);
        let (mut starts, mut kernel) = (Vec::with_capacity(new), Vec::with_capacity(new * taps));
        for j in 0..new {
            let start = (o * j as f64 / n - reach).ceil() as isize;
            starts.push(start);
            kernel.extend((start..start + taps as isize).map(|k| {
                let t = (k as f64 / o - j as f64 / n) * cut;
                (cfg.at(t) * cut / o) as f32
            }));
        }
        Ok(Self { old, new, taps, starts, kernel })
    }

    /// The wave at the new rate, [`resampled_len`] samples of it. Equal rates give the wave itself.
    pub fn run(&self, wave: &[f32]) -> Vec<f32> {
        if self.old == self.new {
            return wave.to_vec();
        }
        let mut out = vec![0.0; (wave.len() * self.new).div_ceil(self.old)];
        let (first, last) = (self.starts[0], self.starts[self.new - 1]); // starts never decrease
        // whole periods that see nothing outside the wave
        let begin = (-first).max(0).unsigned_abs().div_ceil(self.old);
        let room = wave.len() as isize - last - self.taps as isize;
        let end = usize::try_from(room).map_or(0, |room| room / self.old + 1);
        let end = end.min(out.len() / self.new);
        if begin >= end {
            self.clipped(wave, &mut out, 0);
            return out;
        }
        self.clipped(wave, &mut out[..begin * self.new], 0);
        whole_periods(self, wave, begin, &mut out[begin * self.new..end * self.new]);
        self.clipped(wave, &mut out[end * self.new..], end);
        out
    }

    /// Outputs from period `first` on, with silence outside the wave.
    fn clipped(&self, wave: &[f32], out: &mut [f32], first: usize) {
        for (i, v) in out.iter_mut().enumerate() {
            let (m, j) = (first + i / self.new, i % self.new);
            let at = (m * self.old) as isize + self.starts[j];
            let begin = (-at).clamp(0, self.taps as isize) as usize;
            let end = (wave.len() as isize - at).clamp(begin as isize, self.taps as isize) as usize;
            let kernel = &self.kernel[j * self.taps..][begin..end];
            let wave = &wave[(at + begin as isize) as usize..];
            *v = kernel.iter().zip(wave).map(|(h, x)| h * x).sum();
        }
    }
}

/// Periods computed together, so that a tap is read once for all of them.
const PERIODS: usize = 4;

vectorised! {
    fn whole_periods(plan: &SincResampler, wave: &[f32], first: usize, out: &mut [f32]) {
        let (old, new, taps) = (plan.old, plan.new, plan.taps);
        for (group, out) in out.chunks_mut(PERIODS * new).enumerate() {
            let base = (first + group * PERIODS) * old;
            let together = out.len() == PERIODS * new;
            for (j, (&start, kernel)) in plan.starts.iter().zip(plan.kernel.chunks_exact(taps)).enumerate() {
                let at = base.wrapping_add_signed(start);
                if together {
                    let x: [&[f32]; PERIODS] = std::array::from_fn(|m| &wave[at + m * old..][..taps]);
                    let sums = dots::<FUSED, PERIODS>(kernel, x);
                    for m in 0..PERIODS {
                        out[m * new + j] = sums[m];
                    }
                } else {
                    for (m, v) in out[j..].iter_mut().step_by(new).enumerate() {
                        [*v] = dots::<FUSED, 1>(kernel, [&wave[at + m * old..][..taps]]);
                    }
                }
            }
        }
    }
}

/// Products of one kernel with `M` stretches of wave. All have the kernel's length, a multiple of [`LANES`].
#[inline(always)]
fn dots<const FUSED: bool, const M: usize>(kernel: &[f32], x: [&[f32]; M]) -> [f32; M] {
    let kernel = kernel.as_chunks::<LANES>().0;
    let x = x.map(|x| &x.as_chunks::<LANES>().0[..kernel.len()]);
    let mut sums = [[0.0f32; LANES]; M];
    for (k, h) in kernel.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(&x) {
            for i in 0..LANES {
                sum[i] = madd::<FUSED>(h[i], x[k][i], sum[i]);
            }
        }
    }
    // Opaque, or the compiler would shape the loop above after the additions below: 2.5 times slower, measured.
    std::hint::black_box(sums).map(|s| {
        let fours = [s[0] + s[4], s[1] + s[5], s[2] + s[6], s[3] + s[7]];
        (fours[0] + fours[2]) + (fours[1] + fours[3])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published procedure, in f64: all phases padded to one length, a strided convolution, a cut.
    fn slow(wave: &[f32], from: u32, to: u32, cfg: &Sinc) -> Vec<f64> {
        let common = gcd(from, to);
        let (o, n) = (i64::from(from / common), i64::from(to / common));
        let cut = o.min(n) as f64 * cfg.rolloff;
        let width = (f64::from(cfg.width) * o as f64 / cut).ceil() as i64;
        let len = resampled_len(wave.len() as u64, from, to) as i64;
        (0..len)
            .map(|i| {
                let (m, j) = (i / n, i % n);
                (-width..width + o)
                    .filter_map(|k| {
                        let x = wave.get(usize::try_from(m * o + k).ok()?)?;
                        let t = (-(j as f64) / n as f64 + k as f64 / o as f64) * cut;
                        Some(f64::from(*x) * cfg.at(t) * cut / o as f64)
                    })
                    .sum()
            })
            .collect()
    }

    #[test]
    fn every_length_and_pair_of_rates_equals_the_published_procedure() {
        let wave: Vec<f32> = (0..1500).map(|i| (i as f32 * i as f32 * 1e-3).sin() * 0.7).collect();
        for cfg in [Sinc::torchaudio(), Sinc::kaiser_best()] {
            for (from, to) in
                [(44_100, 24_000), (48_000, 16_000), (16_000, 24_000), (8_000, 11_025)]
            {
                let plan = SincResampler::new(from, to, &cfg).unwrap();
                for n in [0, 1, 2, 30, 147, 148, 299, 600, 1203, 1500] {
                    let (got, want) = (plan.run(&wave[..n]), slow(&wave[..n], from, to, &cfg));
                    assert_eq!(got.len(), want.len());
                    for (i, (got, want)) in got.iter().zip(want).enumerate() {
                        assert!((f64::from(*got) - want).abs() < 1e-6, "{from} {to} {n} {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_are_exact_in_integers() {
        assert_eq!(resampled_len(1_499_400, 44_100, 24_000), 816_000);
        assert_eq!(resampled_len(1, 44_100, 16_000), 1);
        assert_eq!(resampled_len(0, 44_100, 16_000), 0);
        let day = 86_400 * 1_000_000;
        assert_eq!(resampled_len(day * 44_100, 44_100, 48_000), day * 48_000);
        for n in 0..2_000 {
            let plan = SincResampler::new(44_100, 16_000, &Sinc::torchaudio()).unwrap();
            assert_eq!(
                plan.run(&vec![0.0; n]).len() as u64,
                resampled_len(n as u64, 44_100, 16_000)
            );
        }
    }

    #[test]
    fn equal_rates_leave_the_wave_alone() {
        let wave = [0.1, -0.2, 0.3];
        assert_eq!(SincResampler::new(7, 7, &Sinc::torchaudio()).unwrap().run(&wave), wave);
    }

    #[test]
    fn bessel_is_right_at_known_points() {
        assert!((bessel(1.0) - 1.266_065_877_752_008_4).abs() < 1e-15);
        assert!((bessel(10.0) / 2_815.716_628_466_254 - 1.0).abs() < 1e-14);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let bad = |cfg: &Sinc, from| SincResampler::new(from, 8_000, cfg).unwrap_err().to_string();
        let cfg = Sinc::torchaudio();
        assert_eq!(bad(&cfg, 0), "from: expected a rate of at least 1 Hz, got 0");
        let wide = Sinc { rolloff: 1.5, ..cfg };
        assert_eq!(bad(&wide, 16_000), "rolloff: expected above 0, at most 1, got 1.5");
    }
}
