//! Mel spectrograms: what the published models see of a wave.
//!
//! Scales: HTK `2595 log10(1 + f / 700)` (torchaudio; Kaldi's `1127 ln(1 + f / 700)` is the same up to rounding) and
//! Slaney, linear below 1 kHz and logarithmic above (librosa). Filters are triangles between neighbouring points.
//! Letters: F bands, K = n_fft / 2 + 1 bins, T frames.

use crate::amplitude::Amplitude;
use crate::error::{Result, ensure};
use crate::preset;
use crate::simd::{madd, vectorised};
use crate::stft::{Framing, Spectrum, Stft, StftConfig};
use crate::window::Window;
use serde::{Deserialize, Serialize};

/// How hertz become mel, and on which axis the filters are triangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// HTK points, triangles over hertz: torchaudio.
    Htk,
    /// Slaney points, triangles over hertz: librosa.
    Slaney,
    /// Kaldi points, triangles over mel; the bin at half the rate belongs to no filter.
    Kaldi,
}

/// A mel front end, complete: no value is taken from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MelConfig {
    /// Samples per second, Hz.
    pub rate: u32,
    /// Points of the transform; even.
    pub n_fft: usize,
    /// Points of the window, at most `n_fft`.
    pub win: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Window shape.
    pub window: Window,
    /// Where frames lie on the wave.
    pub framing: Framing,
    /// What the filters sum.
    pub spectrum: Spectrum,
    /// Whether each frame's mean is taken away.
    pub remove_dc: bool,
    /// Pre-emphasis inside each frame; 0 is off.
    pub pre_emphasis: f32,
    /// Number of filters, F.
    pub bands: usize,
    /// Left foot of the first filter, Hz.
    pub f_min: f64,
    /// Right foot of the last filter, Hz; at most half the rate.
    pub f_max: f64,
    /// Mel scale.
    pub scale: Scale,
    /// Whether each filter is divided by half its width in hertz ("slaney" norm).
    pub area_norm: bool,
    /// What is taken of a mel value.
    pub amplitude: Amplitude,
}

impl MelConfig {
    /// Names of the published front ends.
    pub const NAMES: [&'static str; 10] = preset::NAMES;

    /// The published front end of that name; `None` when there is none.
    pub fn preset(name: &str) -> Option<Self> {
        preset::config(name)
    }

    /// Bins of the spectrum, K.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Frames per second, Hz.
    pub fn frame_rate(&self) -> f64 {
        f64::from(self.rate) / self.hop as f64
    }

    /// The part of the front end before the filters.
    pub fn stft(&self) -> StftConfig {
        StftConfig {
            n_fft: self.n_fft,
            win: self.win,
            hop: self.hop,
            window: self.window,
            framing: self.framing,
            spectrum: self.spectrum,
            remove_dc: self.remove_dc,
            pre_emphasis: self.pre_emphasis,
        }
    }
}

/// The filters as a dense matrix `[F, K]`, row-major: mel `[F, T]` = filterbank times spectrum `[K, T]`.
///
/// HTK filters are computed in f32, in torchaudio's order of operations, because its rounding (1e-5 of a weight) is
/// part of what the published models were trained on; the others in f64.
pub fn filterbank(cfg: &MelConfig) -> Vec<f32> {
    let bins = cfg.bins();
    let mut bank = vec![0.0; cfg.bands * bins];
    if cfg.scale == Scale::Htk {
        torchaudio_filters(cfg, &mut bank);
        return bank;
    }
    let (low, high) = (cfg.scale.mel(cfg.f_min), cfg.scale.mel(cfg.f_max));
    let over_mel = cfg.scale == Scale::Kaldi;
    // feet and tips of the triangles, on the axis they are straight on
    let points: Vec<f64> = (0..cfg.bands + 2)
        .map(|i| low + (high - low) * i as f64 / (cfg.bands + 1) as f64)
        .map(|mel| if over_mel { mel } else { cfg.scale.hertz(mel) })
        .collect();
    for (row, foot) in bank.chunks_exact_mut(bins).zip(points.windows(3)) {
        let norm = if cfg.area_norm { 2.0 / (foot[2] - foot[0]) } else { 1.0 };
        for (k, weight) in row.iter_mut().enumerate() {
            let hertz = k as f64 * f64::from(cfg.rate) / cfg.n_fft as f64;
            let at = if over_mel { cfg.scale.mel(hertz) } else { hertz };
            let up = (at - foot[0]) / (foot[1] - foot[0]);
            let down = (foot[2] - at) / (foot[2] - foot[1]);
            *weight = (up.min(down).max(0.0) * norm) as f32;
        }
        if over_mel {
            row[bins - 1] = 0.0;
        }
    }
    bank
}

fn torchaudio_filters(cfg: &MelConfig, bank: &mut [f32]) {
    let bins = cfg.bins();
    let hertz = linspace(0.0, (cfg.rate / 2) as f32, bins);
    let mel = |hertz: f64| cfg.scale.mel(hertz) as f32;
    let points: Vec<f32> = linspace(mel(cfg.f_min), mel(cfg.f_max), cfg.bands + 2)
        .into_iter()
        .map(|mel| 700.0 * (10f64.powf(f64::from(mel / 2595.0)) as f32 - 1.0))
        .collect();
    for (row, foot) in bank.chunks_exact_mut(bins).zip(points.windows(3)) {
        let (rise, fall) = (foot[1] - foot[0], foot[2] - foot[1]);
        let norm = if cfg.area_norm { 2.0 / (foot[2] - foot[0]) } else { 1.0 };
        for (weight, &at) in row.iter_mut().zip(&hertz) {
            let (up, down) = ((at - foot[0]) / rise, (foot[2] - at) / fall);
            *weight = up.min(down).max(0.0) * norm;
        }
    }
}

/// `n` points from `start` to `end`, counted from the nearer end with fused rounding, as torch does.
fn linspace(start: f32, end: f32, n: usize) -> Vec<f32> {
    let step = (end - start) / (n - 1) as f32;
    let point = |i: usize| {
        if i < n / 2 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((n - 1 - i) as f32, end)
        }
    };
    (0..n).map(point).collect()
}

impl Scale {
    fn mel(self, hertz: f64) -> f64 {
        match self {
            Scale::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
            Scale::Kaldi => 1127.0 * (1.0 + hertz / 700.0).ln(),
            Scale::Slaney if hertz < 1000.0 => hertz * 3.0 / 200.0,
            Scale::Slaney => 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln(),
        }
    }

    fn hertz(self, mel: f64) -> f64 {
        match self {
            Scale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
            Scale::Kaldi => 700.0 * ((mel / 1127.0).exp() - 1.0),
            Scale::Slaney if mel < 15.0 => mel * 200.0 / 3.0,
            Scale::Slaney => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
        }
    }
}

/// Frames worked on together: as many values as a cache line holds, so that rows of the result are written in lines.
const TILE: usize = 16;

/// A planned front end with its scratch.
#[derive(Debug, Clone)]
pub struct MelSpec {
    stft: Stft,
    bank: Bank,
    amplitude: Amplitude,
    spectrum: Vec<f32>,
    tile: Vec<f32>,
}

impl MelSpec {
    /// Plans a front end. Fails when a setting is out of its range, naming it.
    pub fn new(cfg: &MelConfig) -> Result<Self> {
        let stft = Stft::new(&cfg.stft())?;
        ensure(cfg.rate >= 1, "rate", "at least 1 Hz", cfg.rate)?;
        ensure(cfg.bands >= 1, "bands", "at least 1", cfg.bands)?;
        let half = f64::from(cfg.rate) / 2.0;
        ensure(
            (0.0..half).contains(&cfg.f_min),
            "f_min",
            format!("0 to below {half} Hz"),
            cfg.f_min,
        )?;
        let above = cfg.f_max > cfg.f_min && cfg.f_max <= half;
        ensure(above, "f_max", format!("above f_min, at most {half} Hz"), cfg.f_max)?;
        Ok(Self {
            bank: Bank::new(&filterbank(cfg), cfg.bins()),
            amplitude: cfg.amplitude,
            spectrum: vec![0.0; stft.bins()],
            tile: vec![0.0; TILE * cfg.bands],
            stft,
        })
    }

    /// Filters, F.
    pub fn bands(&self) -> usize {
        self.bank.bands.len()
    }

    /// Frames that a wave of so many samples gives, T; 0 when it is too short for one.
    pub fn frames(&self, samples: usize) -> usize {
        self.stft.frames(samples)
    }

    /// The front end of a whole wave into `out`, `[F, T]` row-major; its earlier contents are dropped, its memory is
    /// kept. Fails when the wave is too short for a frame. A sample that is not a number shows in its frames.
    pub fn run(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let (frames, bands) = (self.stft.check(wave)?, self.bands());
        out.resize(bands * frames, 0.0); // every value is written below
        for first in (0..frames).step_by(TILE) {
            let count = TILE.min(frames - first);
            let tile = &mut self.tile[..count * bands]; // [count, F]
            for (i, row) in tile.chunks_exact_mut(bands).enumerate() {
                self.stft.frame(wave, first + i, &mut self.spectrum);
                self.bank.apply(&self.spectrum, row);
            }
            self.amplitude.apply(tile);
            for (band, line) in out.chunks_exact_mut(frames).enumerate() {
                for (i, v) in line[first..first + count].iter_mut().enumerate() {
                    *v = tile[i * bands + band];
                }
            }
        }
        self.amplitude.finish(out);
        Ok(())
    }

    /// As [`MelSpec::run`], frame after frame: `out` is `[T, F]` row-major, with the same values.
    pub fn run_frames(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let (frames, bands) = (self.stft.check(wave)?, self.bands());
        out.resize(frames * bands, 0.0); // every value is written below
        for (t, row) in out.chunks_exact_mut(bands).enumerate() {
            self.stft.frame(wave, t, &mut self.spectrum);
            self.bank.apply(&self.spectrum, row);
            self.amplitude.apply(row);
        }
        self.amplitude.finish(out);
        Ok(())
    }
}

/// The filters without their zeros.
#[derive(Debug, Clone)]
struct Bank {
    /// Per band: first bin, and where its weights start and end.
    bands: Vec<(usize, usize, usize)>,
    weights: Vec<f32>,
}

impl Bank {
    fn new(dense: &[f32], bins: usize) -> Self {
        let (mut bands, mut weights) = (Vec::new(), Vec::new());
        for row in dense.chunks_exact(bins) {
            let first = row.iter().position(|&w| w != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|&w| w != 0.0).map_or(first, |last| last + 1);
            let at = weights.len();
            weights.extend_from_slice(&row[first..end]);
            bands.push((first, at, weights.len()));
        }
        Self { bands, weights }
    }

    fn apply(&self, spectrum: &[f32], mel: &mut [f32]) {
        project(&self.bands, &self.weights, spectrum, mel);
    }
}

vectorised! {
    fn project(bands: &[(usize, usize, usize)], weights: &[f32], spectrum: &[f32], mel: &mut [f32]) {
        for (v, &(first, at, end)) in mel.iter_mut().zip(bands) {
            let (w, x) = (&weights[at..end], &spectrum[first..first + end - at]);
            let (wc, xc) = (w.chunks_exact(8), x.chunks_exact(8));
            let mut rest = 0.0;
            for (&a, &b) in wc.remainder().iter().zip(xc.remainder()) {
                rest = madd::<FUSED>(a, b, rest);
            }
            let mut sums = [0.0; 8];
            for (a, b) in wc.zip(xc) {
                for i in 0..8 {
                    sums[i] = madd::<FUSED>(a[i], b[i], sums[i]);
                }
            }
            let fours = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
            *v = (fours[0] + fours[2]) + (fours[1] + fours[3]) + rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_after_frame_holds_the_same_values_as_band_after_band() {
        let mut state = 1u32;
        let wave: Vec<f32> = (0..9_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as i32 as f32 / i32::MAX as f32
            })
            .collect();
        for name in MelConfig::NAMES {
            let mut mel = MelSpec::new(&MelConfig::preset(name).unwrap()).unwrap();
            let (mut by_band, mut by_frame) = (Vec::new(), Vec::new());
            mel.run(&wave, &mut by_band).unwrap();
            mel.run_frames(&wave, &mut by_frame).unwrap();
            let (frames, bands) = (mel.frames(wave.len()), mel.bands());
            for t in 0..frames {
                for f in 0..bands {
                    assert_eq!(by_frame[t * bands + f], by_band[f * frames + t], "{name} {t} {f}");
                }
            }
        }
    }

    #[test]
    fn every_name_is_a_front_end_that_can_be_planned() {
        for name in MelConfig::NAMES {
            let cfg = MelConfig::preset(name).unwrap();
            assert_eq!(MelSpec::new(&cfg).unwrap().bands(), cfg.bands, "{name}");
        }
        assert_eq!(MelConfig::preset("musicfm"), None);
    }

    #[test]
    fn the_scales_are_their_own_inverse() {
        for scale in [Scale::Htk, Scale::Slaney, Scale::Kaldi] {
            for hertz in [0.0, 20.0, 999.0, 1000.0, 1001.0, 12_000.0] {
                assert!((scale.hertz(scale.mel(hertz)) - hertz).abs() < 1e-8, "{scale:?} {hertz}");
            }
        }
    }

    #[test]
    fn the_sparse_filters_equal_the_dense_matrix() {
        for name in MelConfig::NAMES {
            let cfg = MelConfig::preset(name).unwrap();
            let (dense, bins) = (filterbank(&cfg), cfg.bins());
            let spectrum: Vec<f32> = (0..bins).map(|k| 1.0 + (k * 7 % 13) as f32).collect();
            let mut mel = vec![0.0; cfg.bands];
            Bank::new(&dense, bins).apply(&spectrum, &mut mel);
            for (row, got) in dense.chunks(bins).zip(mel) {
                let want: f64 = row.iter().zip(&spectrum).map(|(&a, &b)| f64::from(a * b)).sum();
                assert!((f64::from(got) - want).abs() <= 1e-5 * want, "{name} {got} {want}");
            }
        }
    }

    #[test]
    fn with_128_bands_at_16_khz_the_first_filter_is_empty_and_reads_minus_100_db() {
        let mut mel = MelSpec::new(&MelConfig::preset("vgg_16k_db").unwrap()).unwrap();
        let mut out = Vec::new();
        mel.run(&vec![1.0; 16_000], &mut out).unwrap();
        assert!(out[..mel.frames(16_000)].iter().all(|v| (v + 100.0).abs() < 1e-4));
    }

    #[test]
    fn a_second_run_gives_what_a_fresh_plan_gives() {
        let wave: Vec<f32> = (0..9_000).map(|i| (i as f32 * 0.1).sin()).collect();
        for name in MelConfig::NAMES {
            let fresh = MelSpec::new(&MelConfig::preset(name).unwrap()).unwrap();
            let (mut used, mut first, mut second) = (fresh.clone(), Vec::new(), Vec::new());
            fresh.clone().run(&wave, &mut first).unwrap();
            used.run(&[0.5; 20_000], &mut second).unwrap();
            used.run(&wave, &mut second).unwrap();
            assert_eq!(first, second, "{name}");
        }
    }

    #[test]
    fn one_bad_sample_spoils_only_the_frames_that_see_it() {
        let mut mel = MelSpec::new(&MelConfig::preset("musicfm_24k_db").unwrap()).unwrap();
        let (mut wave, mut out) = (vec![0.1; 24_000], Vec::new());
        wave[12_000] = f32::NAN;
        mel.run(&wave, &mut out).unwrap();
        let bad: Vec<usize> = (0..101).filter(|&t| out[40 * 101 + t].is_nan()).collect();
        assert_eq!((bad[0], bad[bad.len() - 1]), (46, 54));
    }

    #[test]
    fn a_band_outside_the_spectrum_is_named() {
        let base = MelConfig::preset("vgg_16k_db").unwrap();
        let error = MelSpec::new(&MelConfig { f_max: 9_000.0, ..base.clone() }).unwrap_err();
        assert_eq!(error.to_string(), "f_max: expected above f_min, at most 8000 Hz, got 9000");
        let error = MelSpec::new(&MelConfig { f_min: -1.0, ..base }).unwrap_err();
        assert_eq!(error.to_string(), "f_min: expected 0 to below 8000 Hz, got -1");
    }
}
