//! Level, offset, silence and clipping of a track, in one pass over its mono mean.
//!
//! Sums run in 16 fixed lanes, so that every build and every processor adds in the same order.

use crate::simd::dispatch;

/// Peak below which a track, or a channel, is silent: -60 dBFS.
pub(crate) const SILENT_PEAK: f32 = 1e-3;
/// RMS below which a block of 100 ms is silent: -60 dBFS.
const SILENT_RMS: f64 = 1e-3;
/// Absolute value from which a sample counts as clipped.
const CLIPPED: f32 = 0.999;
/// Lanes of the sums: fixed, because the order of additions shows in the last digit.
const LANES: usize = 16;

/// Sums over some samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub sum: f64,
    pub energy: f64,
    pub peak: f32,
    pub clipped: u64,
}

/// Running facts of a track.
#[derive(Debug, Default)]
pub(crate) struct Quality {
    all: Moments,
    samples: u64,
    block_len: usize,
    block_fill: usize,
    block_energy: f64,
    blocks: u64,
    silent_blocks: u64,
}

impl Quality {
    /// Facts of a stream at `rate` Hz.
    pub fn new(rate: u32) -> Self {
        Self { block_len: (rate as usize / 10).max(1), ..Self::default() }
    }

    /// Samples in a block of 100 ms: pieces of that size cost least.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Adds samples, all of them finite.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let take = samples.len().min(self.block_len - self.block_fill);
            let (now, rest) = samples.split_at(take);
            let m = moments(now);
            self.all.add(m);
            self.samples += take as u64;
            self.block_energy += m.energy;
            self.block_fill += take;
            if self.block_fill == self.block_len {
                self.close_block();
            }
            samples = rest;
        }
    }

    /// Ends the stream: a last, shorter block counts like the others.
    pub fn finish(mut self) -> Summary {
        if self.block_fill > 0 {
            self.close_block();
        }
        let n = self.samples.max(1) as f64;
        Summary {
            peak: self.all.peak,
            rms: (self.all.energy / n).sqrt() as f32,
            dc: (self.all.sum / n) as f32,
            silence_ratio: (self.silent_blocks as f64 / self.blocks.max(1) as f64) as f32,
            clip_ratio: (self.all.clipped as f64 / n) as f32,
        }
    }

    fn close_block(&mut self) {
        let rms = (self.block_energy / self.block_fill as f64).sqrt();
        self.silent_blocks += u64::from(rms < SILENT_RMS);
        self.blocks += 1;
        self.block_energy = 0.0;
        self.block_fill = 0;
    }
}

/// What a whole track measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub peak: f32,
    pub rms: f32,
    pub dc: f32,
    pub silence_ratio: f32,
    pub clip_ratio: f32,
}

impl Moments {
    /// Adds the sums of another stretch.
    pub fn add(&mut self, other: Moments) {
        self.sum += other.sum;
        self.energy += other.energy;
        self.peak = self.peak.max(other.peak);
        self.clipped += other.clipped;
    }
}

/// Sums, largest absolute value and clipped count of finite samples.
pub(crate) fn moments(samples: &[f32]) -> Moments {
    let m = moments_lanes(samples);
    if m.energy.is_finite() && m.sum.is_finite() {
        return m;
    }
    // Only values beyond 1e18 get here: their squares leave the range of f32.
    let sum = samples.iter().map(|&x| f64::from(x)).sum();
    let energy = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    Moments { sum, energy, ..m }
}

dispatch! {
    fn moments_lanes(samples: &[f32]) -> Moments {
        let mut lanes = Lanes::default();
        let (whole, rest) = samples.as_chunks::<LANES>();
        whole.iter().for_each(|chunk| lanes.add(chunk));
        // Zeros change no sum; indexing single lanes would keep them all in memory.
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        lanes.add(&last);
        lanes.fold()
    }
}

/// Sums side by side.
#[derive(Default)]
struct Lanes {
    sum: [f32; LANES],
    energy: [f32; LANES],
    peak: [f32; LANES],
    clipped: [u32; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, chunk: &[f32; LANES]) {
        for (i, &x) in chunk.iter().enumerate() {
            let size = x.abs();
            self.sum[i] += x;
            self.energy[i] += x * x;
            self.peak[i] = if size > self.peak[i] { size } else { self.peak[i] };
            self.clipped[i] += u32::from(size >= CLIPPED);
        }
    }

    #[inline(always)]
    fn fold(&self) -> Moments {
        Moments {
            sum: self.sum.iter().map(|&x| f64::from(x)).sum(),
            energy: self.energy.iter().map(|&x| f64::from(x)).sum(),
            peak: self.peak.iter().fold(0.0, |a, &x| a.max(x)),
            clipped: self.clipped.iter().map(|&x| u64::from(x)).sum(),
        }
    }
}

dispatch! {
    /// Whether no sample is NaN or infinite.
    pub(crate) fn all_finite(samples: &[f32]) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        let mut bad = 0u32;
        for x in samples {
            bad |= u32::from(x.to_bits() & EXPONENT == EXPONENT);
        }
        bad == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(samples: &[f32], rate: u32, step: usize) -> Summary {
        let mut q = Quality::new(rate);
        samples.chunks(step).for_each(|c| q.push(c));
        q.finish()
    }

    #[test]
    fn a_full_scale_sine_has_an_rms_of_the_root_of_one_half() {
        let x: Vec<f32> = (0..16_000)
            .map(|i| (f64::from(i) / 25.0 * std::f64::consts::TAU).sin() as f32)
            .collect();
        let s = summary(&x, 16_000, 1152);
        assert!((s.rms - 0.5f32.sqrt()).abs() < 1e-4, "{s:?}");
        assert!(s.dc.abs() < 1e-3 && s.peak <= 1.0 && s.silence_ratio == 0.0, "{s:?}");
    }

    #[test]
    fn an_offset_is_the_mean() {
        let s = summary(&[0.25; 4_410], 44_100, 1_000);
        assert_eq!((s.dc, s.rms, s.peak), (0.25, 0.25, 0.25));
    }

    #[test]
    fn silence_is_counted_in_blocks_of_100_ms() {
        let mut x = vec![0.0; 16_000];
        x[15_990..].fill(0.5);
        let s = summary(&x, 16_000, 1152);
        assert_eq!(s.silence_ratio, 0.9);
    }

    #[test]
    fn clipping_is_counted_at_both_ends() {
        let s = summary(&[0.999, -1.0, 0.5, 0.0], 16_000, 4);
        assert_eq!(s.clip_ratio, 0.5);
    }

    #[test]
    fn the_size_of_the_pieces_changes_no_peak_clip_or_silence() {
        let x: Vec<f32> = (0..50_000).map(|i| ((i * 7919) % 2001) as f32 / 1000.0 - 1.0).collect();
        let a = summary(&x, 22_050, 1152);
        for step in [1, 17, 576, 4096, 50_000] {
            let b = summary(&x, 22_050, step);
            assert_eq!(
                (a.peak, a.clip_ratio, a.silence_ratio),
                (b.peak, b.clip_ratio, b.silence_ratio)
            );
            assert!((a.rms - b.rms).abs() < 1e-6 && (a.dc - b.dc).abs() < 1e-6);
        }
    }

    #[test]
    fn values_whose_squares_overflow_still_have_a_finite_rms() {
        let s = summary(&[1e30, -1e30], 16_000, 2);
        assert!((s.rms - 1e30).abs() < 1e24, "{s:?}");
    }

    #[test]
    fn one_nan_or_infinity_anywhere_is_found() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 5, 99] {
                let mut x = vec![0.5; 100];
                assert!(all_finite(&x));
                x[at] = bad;
                assert!(!all_finite(&x));
            }
        }
    }
}
