//! Mel-frequency cepstral coefficients: the shape of a spectrum without its pitch.
//!
//! As librosa's `mfcc` with 20 coefficients: power spectrum of 2048 points, hop 512, silence beyond the ends; 128 Slaney
//! filters of equal area; decibels, nothing more than 80 dB below the loudest value of the clip; an orthonormal cosine
//! transform of type II over the bands. Letters: F = 128 bands, N = 20 coefficients, T frames.

use crate::amplitude::Amplitude;
use crate::chroma::{HOP, N_FFT, librosa_stft};
use crate::error::Result;
use crate::mel::{MelConfig, MelSpec, Scale};

/// Coefficients, N.
pub const COEFFICIENTS: usize = 20;
/// Filters, F.
const BANDS: usize = 128;
/// Range kept below the loudest value, dB.
const RANGE_DB: f32 = 80.0;

/// A planned MFCC front end with its scratch.
#[derive(Debug, Clone)]
pub struct Mfcc {
    mel: MelSpec,
    /// Cosine transform `[N, F]`.
    cosines: Vec<f64>,
    decibels: Vec<f32>,
}

impl Mfcc {
    /// Plans the front end for waves at `rate` Hz. Fails on a rate of 0.
    pub fn new(rate: u32) -> Result<Self> {
        let stft = librosa_stft();
        let mel = MelSpec::new(&MelConfig {
            rate,
            n_fft: N_FFT,
            win: N_FFT,
            hop: HOP,
            window: stft.window,
            framing: stft.framing,
            spectrum: stft.spectrum,
            remove_dc: stft.remove_dc,
            pre_emphasis: stft.pre_emphasis,
            bands: BANDS,
            f_min: 0.0,
            f_max: f64::from(rate) / 2.0,
            scale: Scale::Slaney,
            area_norm: true,
            amplitude: Amplitude::Db { floor: 1e-10 },
        })?;
        Ok(Self { mel, cosines: cosines(), decibels: Vec::new() })
    }

    /// Frames that a wave of so many samples gives, T.
    pub fn frames(&self, samples: usize) -> usize {
        self.mel.frames(samples)
    }

    /// Coefficients of a whole wave into `out`, `[T, N]` row-major. Fails on an empty wave.
    pub fn run(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.mel.run_frames(wave, &mut self.decibels)?;
        let most = self.decibels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.decibels.iter_mut().for_each(|x| *x = x.max(most - RANGE_DB));
        out.clear();
        out.reserve(self.decibels.len() / BANDS * COEFFICIENTS);
        for frame in self.decibels.chunks_exact(BANDS) {
            out.extend(self.cosines.chunks_exact(BANDS).map(|row| {
                row.iter().zip(frame).map(|(c, &x)| c * f64::from(x)).sum::<f64>() as f32
            }));
        }
        Ok(())
    }
}

/// Row `n`: `sqrt(2 / F) cos(pi n (2 f + 1) / 2F)`, row 0 divided by the root of 2.
fn cosines() -> Vec<f64> {
    let bands = BANDS as f64;
    let value = |n: usize, f: usize| {
        let scale = if n == 0 { (1.0 / bands).sqrt() } else { (2.0 / bands).sqrt() };
        scale * (std::f64::consts::PI * n as f64 * (2 * f + 1) as f64 / (2.0 * bands)).cos()
    };
    (0..COEFFICIENTS).flat_map(|n| (0..BANDS).map(move |f| value(n, f))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_transform_are_orthonormal() {
        let rows = cosines();
        let row = |n: usize| &rows[n * BANDS..(n + 1) * BANDS];
        for a in 0..COEFFICIENTS {
            for b in 0..COEFFICIENTS {
                let dot: f64 = row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12, "{a} {b}");
            }
        }
    }

    #[test]
    fn loudness_shows_in_the_first_coefficient_alone() {
        let wave: Vec<f32> = (0..16_000).map(|i| ((i * i) as f32 * 1e-4).sin() * 0.5).collect();
        let quiet: Vec<f32> = wave.iter().map(|x| 0.1 * x).collect();
        let (mut mfcc, mut loud, mut soft) = (Mfcc::new(16_000).unwrap(), Vec::new(), Vec::new());
        mfcc.run(&wave, &mut loud).unwrap();
        mfcc.run(&quiet, &mut soft).unwrap();
        for (a, b) in loud.chunks_exact(COEFFICIENTS).zip(soft.chunks_exact(COEFFICIENTS)) {
            assert!((a[0] - b[0] - 20.0 * 128f32.sqrt()).abs() < 0.02);
            assert!(a[1..].iter().zip(&b[1..]).all(|(a, b)| (a - b).abs() < 0.02));
        }
    }
}
