//! Chroma: how much of each of the twelve pitch classes a frame holds.
//!
//! As librosa's `chroma_stft` with `tuning = 0`: power spectrum of 2048 points, hop 512, silence beyond the ends; each
//! bin falls on a circle of 12 by its distance from A 440 Hz, as a Gaussian two to four bins wide; bins far from octave
//! 5 (about 466 Hz at its centre) count less; each frame is divided by its largest value. No tuning is estimated: a
//! recording a quarter tone off is smeared over two classes.
//! Letters: C = 12 classes from C to B, K bins, T frames.

use crate::error::{Result, ensure};
use crate::stft::{Framing, Spectrum, Stft, StftConfig};
use crate::window::Window;

/// Pitch classes, C.
pub const CLASSES: usize = 12;
/// Points of the transform.
pub(crate) const N_FFT: usize = 2048;
/// Samples from one frame to the next.
pub(crate) const HOP: usize = 512;
/// Octave that counts most, above A 27.5 Hz, and the deviation of what counts, in octaves.
const CENTRE: (f64, f64) = (5.0, 2.0);

/// A planned chroma front end with its scratch.
#[derive(Debug, Clone)]
pub struct Chroma {
    stft: Stft,
    /// `[C, K]`
    filters: Vec<f32>,
    spectrum: Vec<f32>,
}

/// Power spectra as librosa takes them.
pub(crate) fn librosa_stft() -> StftConfig {
    StftConfig {
        n_fft: N_FFT,
        win: N_FFT,
        hop: HOP,
        window: Window::Hann,
        framing: Framing::CentreZeros,
        spectrum: Spectrum::Power,
        remove_dc: false,
        pre_emphasis: 0.0,
    }
}

impl Chroma {
    /// Plans the front end for waves at `rate` Hz. Fails on a rate of 0.
    pub fn new(rate: u32) -> Result<Self> {
        ensure(rate >= 1, "rate", "at least 1 Hz", rate)?;
        let stft = Stft::new(&librosa_stft())?;
        Ok(Self { filters: filters(rate), spectrum: vec![0.0; stft.bins()], stft })
    }

    /// Frames that a wave of so many samples gives, T.
    pub fn frames(&self, samples: usize) -> usize {
        self.stft.frames(samples)
    }

    /// Chroma of a whole wave into `out`, `[T, C]` row-major, each frame's largest value 1 (0 of silence). Fails on an
    /// empty wave.
    pub fn run(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let frames = self.stft.check(wave)?;
        out.resize(frames * CLASSES, 0.0); // every value is written below
        for (t, row) in out.chunks_exact_mut(CLASSES).enumerate() {
            self.stft.frame(wave, t, &mut self.spectrum);
            for (value, filter) in
                row.iter_mut().zip(self.filters.chunks_exact(self.spectrum.len()))
            {
                let sum: f64 = filter
                    .iter()
                    .zip(&self.spectrum)
                    .map(|(&w, &x)| f64::from(w) * f64::from(x))
                    .sum();
                *value = sum as f32;
            }
            let most = row.iter().copied().fold(0.0, f32::max);
            if most >= f32::MIN_POSITIVE {
                row.iter_mut().for_each(|x| *x /= most);
            }
        }
        Ok(())
    }
}

/// The filters as a dense matrix `[C, K]`, row-major; each bin's weights have the length 1 before octaves count.
pub(crate) fn filters(rate: u32) -> Vec<f32> {
    let bins = N_FFT / 2 + 1;
    let classes = CLASSES as f64;
    // place of a bin on the scale of semitones above A 27.5 Hz
    let place = |k: usize| {
        let hertz = k as f64 * f64::from(rate) / N_FFT as f64;
        classes * (hertz / 27.5).log2()
    };
    let places: Vec<f64> =
        (0..N_FFT).map(|k| if k == 0 { place(1) - 1.5 * classes } else { place(k) }).collect();
    let mut bank = vec![0.0; CLASSES * bins];
    for k in 0..bins {
        let width = (places[k + 1] - places[k]).max(1.0);
        // places count from A, classes from C, three semitones above it
        let weights: [f64; CLASSES] = std::array::from_fn(|class| {
            let apart = places[k] - (class + 3) as f64;
            let nearest = (apart + 0.5 * classes).rem_euclid(classes) - 0.5 * classes;
            (-0.5 * (2.0 * nearest / width).powi(2)).exp()
        });
        let length = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let octave = (places[k] / classes - CENTRE.0) / CENTRE.1;
        let counts = (-0.5 * octave * octave).exp();
        for (class, weight) in weights.iter().enumerate() {
            bank[class * bins + k] = (weight / length * counts) as f32;
        }
    }
    bank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudest(hz: f64, rate: u32) -> usize {
        let wave: Vec<f32> = (0..rate)
            .map(|i| (std::f64::consts::TAU * hz * f64::from(i) / f64::from(rate)).sin() as f32)
            .collect();
        let (mut chroma, mut out) = (Chroma::new(rate).unwrap(), Vec::new());
        chroma.run(&wave, &mut out).unwrap();
        let mut sums = [0.0; CLASSES];
        for row in out.chunks_exact(CLASSES) {
            sums.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        }
        (0..CLASSES).max_by(|&a, &b| f32::total_cmp(&sums[a], &sums[b])).unwrap()
    }

    #[test]
    fn every_note_of_three_octaves_falls_on_its_class_at_every_rate() {
        for rate in [16_000, 22_050, 44_100] {
            for note in 60..84 {
                let hz = 440.0 * 2f64.powf(f64::from(note - 69) / 12.0);
                assert_eq!(loudest(hz, rate), note as usize % 12, "note {note} at {rate} Hz");
            }
        }
    }

    #[test]
    fn silence_has_no_class_and_an_empty_wave_no_frame() {
        let (mut chroma, mut out) = (Chroma::new(16_000).unwrap(), Vec::new());
        chroma.run(&[0.0; 3000], &mut out).unwrap();
        assert_eq!(out, vec![0.0; CLASSES * 6]);
        assert!(chroma.run(&[], &mut out).is_err());
        assert!(Chroma::new(0).is_err());
    }
}
