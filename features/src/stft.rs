//! Short-time Fourier transform: frames of a wave to power or magnitude spectra.
//!
//! Frames are cut from the wave as they are needed; only those that reach past an end are filled by mirroring or
//! zeros, so nothing is ever padded or copied whole. Letters: K = n_fft / 2 + 1 bins, T frames.

use crate::error::{Error, Result, ensure};
use crate::rfft::PowerSpectrum;
use crate::window::Window;
use serde::{Deserialize, Serialize};

/// Where frames lie on the wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Frame `t` is centred on sample `t * hop`; what lies outside is the wave mirrored at its first and last sample
    /// (torch). 1 + n / hop frames; the wave must be longer than n_fft / 2.
    CentreReflect,
    /// Centred likewise; outside is silence (librosa). 1 + n / hop frames.
    CentreZeros,
    /// Frame `t` starts at sample `t * hop` and lies inside the wave (Kaldi). 1 + (n - win) / hop frames.
    Inside,
}

/// What is kept of a complex bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spectrum {
    /// `|X|^2`.
    Power,
    /// `|X|`.
    Magnitude,
}

/// How spectra are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct StftConfig {
    /// Points of the transform; even.
    pub n_fft: usize,
    /// Points of the window, at most `n_fft`: centred in a centred frame, at the start of an inside one.
    pub win: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Window shape.
    pub window: Window,
    /// Where frames lie.
    pub framing: Framing,
    /// Power or magnitude.
    pub spectrum: Spectrum,
    /// Whether each frame's mean is taken away first (Kaldi).
    pub remove_dc: bool,
    /// `x[i] - pre_emphasis * x[i - 1]` inside each frame, the first sample preceded by itself; 0 is off (Kaldi).
    pub pre_emphasis: f32,
}

/// A planned transform with its scratch.
#[derive(Debug, Clone)]
pub struct Stft {
    cfg: StftConfig,
    /// First point of the window within the frame.
    lead: usize,
    transform: PowerSpectrum,
    /// A frame that reaches past an end of the wave, or needs preparation.
    frame: Vec<f32>,
}

impl Stft {
    /// Plans a transform. Fails on an odd or empty `n_fft`, a window longer than it, or a hop of 0.
    pub fn new(cfg: &StftConfig) -> Result<Self> {
        let even = cfg.n_fft >= 2 && cfg.n_fft.is_multiple_of(2);
        ensure(even, "n_fft", "an even number, at least 2", cfg.n_fft)?;
        let fits = (1..=cfg.n_fft).contains(&cfg.win);
        ensure(fits, "win", format!("1 to n_fft, here {}", cfg.n_fft), cfg.win)?;
        ensure(cfg.hop >= 1, "hop", "at least 1", cfg.hop)?;
        let lead = if cfg.framing == Framing::Inside { 0 } else { (cfg.n_fft - cfg.win) / 2 };
        let mut window = vec![0.0; cfg.n_fft];
        window[lead..lead + cfg.win].copy_from_slice(&cfg.window.points(cfg.win));
        let transform = PowerSpectrum::new(&window);
        Ok(Self { cfg: cfg.clone(), lead, transform, frame: vec![0.0; cfg.n_fft] })
    }

    /// Bins of a spectrum, K.
    pub fn bins(&self) -> usize {
        self.cfg.n_fft / 2 + 1
    }

    /// Frames that a wave of so many samples gives; 0 when it is too short for one.
    pub fn frames(&self, samples: usize) -> usize {
        if samples < self.shortest() {
            return 0;
        }
        match self.cfg.framing {
            Framing::CentreReflect | Framing::CentreZeros => 1 + samples / self.cfg.hop,
            Framing::Inside => 1 + (samples - self.cfg.win) / self.cfg.hop,
        }
    }

    /// The whole spectrogram into `out`, `[K, T]` row-major. Fails when the wave is too short for a frame.
    pub fn run(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let (bins, frames) = (self.bins(), self.check(wave)?);
        out.clear();
        out.resize(bins * frames, 0.0);
        let mut spectrum = vec![0.0; bins];
        for t in 0..frames {
            self.frame(wave, t, &mut spectrum);
            for (k, &v) in spectrum.iter().enumerate() {
                out[k * frames + t] = v;
            }
        }
        Ok(())
    }

    /// Number of frames, or why there is none.
    pub(crate) fn check(&self, wave: &[f32]) -> Result<usize> {
        match self.frames(wave.len()) {
            0 => Err(Error::TooShort { expected: self.shortest(), got: wave.len() }),
            frames => Ok(frames),
        }
    }

    /// Spectrum `[K]` of frame `t`, which must be below `frames(wave.len())`.
    pub(crate) fn frame(&mut self, wave: &[f32], t: usize, spectrum: &mut [f32]) {
        let at = (t * self.cfg.hop) as isize;
        let start = match self.cfg.framing {
            Framing::Inside => at,
            Framing::CentreReflect | Framing::CentreZeros => at - (self.cfg.n_fft / 2) as isize,
        };
        let whole = usize::try_from(start).ok().and_then(|s| wave.get(s..s + self.cfg.n_fft));
        match whole {
            Some(frame) if !self.cfg.remove_dc && self.cfg.pre_emphasis == 0.0 => {
                self.transform.run(frame, spectrum);
            }
            _ => {
                // what lies outside the window is multiplied by 0, and left at 0
                let part = &mut self.frame[self.lead..self.lead + self.cfg.win];
                let mirror = self.cfg.framing == Framing::CentreReflect;
                fetch(wave, start + self.lead as isize, mirror, part);
                condition(part, self.cfg.remove_dc, self.cfg.pre_emphasis);
                self.transform.run(&self.frame, spectrum);
            }
        }
        if self.cfg.spectrum == Spectrum::Magnitude {
            spectrum.iter_mut().for_each(|v| *v = v.sqrt());
        }
    }

    fn shortest(&self) -> usize {
        match self.cfg.framing {
            Framing::CentreReflect => self.cfg.n_fft / 2 + 1,
            Framing::CentreZeros => 1,
            Framing::Inside => self.cfg.win,
        }
    }
}

/// Samples from `start` on, which may lie before the wave or after it.
fn fetch(wave: &[f32], start: isize, reflect: bool, frame: &mut [f32]) {
    let last = wave.len() as isize - 1;
    if let Some(part) = usize::try_from(start).ok().and_then(|s| wave.get(s..s + frame.len())) {
        return frame.copy_from_slice(part);
    }
    for (i, v) in frame.iter_mut().enumerate() {
        let at = start + i as isize;
        let mirrored = if at < 0 { -at } else { 2 * last - at };
        *v = match usize::try_from(at).ok().and_then(|at| wave.get(at)) {
            Some(&x) => x,
            None if reflect => wave[mirrored as usize],
            None => 0.0,
        };
    }
}

/// Kaldi's preparation of a frame: mean away, then pre-emphasis from the last sample to the first.
fn condition(frame: &mut [f32], remove_dc: bool, pre_emphasis: f32) {
    if remove_dc {
        let sum: f64 = frame.iter().map(|&v| f64::from(v)).sum();
        let mean = (sum / frame.len() as f64) as f32;
        frame.iter_mut().for_each(|v| *v -= mean);
    }
    if pre_emphasis != 0.0 {
        for i in (1..frame.len()).rev() {
            frame[i] -= pre_emphasis * frame[i - 1];
        }
        frame[0] -= pre_emphasis * frame[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(framing: Framing) -> StftConfig {
        StftConfig {
            n_fft: 16,
            win: 16,
            hop: 4,
            window: Window::Hann,
            framing,
            spectrum: Spectrum::Power,
            remove_dc: false,
            pre_emphasis: 0.0,
        }
    }

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// The definition, in f64: padded wave, window, sum of sines and cosines.
    fn slow(wave: &[f32], cfg: &StftConfig, t: usize, k: usize) -> f64 {
        let (n, half) = (wave.len() as isize, (cfg.n_fft / 2) as isize);
        let sample = |i: isize| match cfg.framing {
            Framing::Inside => f64::from(wave[i as usize]),
            Framing::CentreZeros if !(half..half + n).contains(&i) => 0.0,
            Framing::CentreZeros => f64::from(wave[(i - half) as usize]),
            Framing::CentreReflect => {
                let i = (i - half).abs();
                f64::from(wave[if i >= n { 2 * (n - 1) - i } else { i } as usize])
            }
        };
        let (mut re, mut im) = (0.0, 0.0);
        for i in 0..cfg.n_fft {
            let turn = std::f64::consts::TAU / cfg.n_fft as f64;
            let v = sample((t * cfg.hop + i) as isize) * (0.5 - 0.5 * (turn * i as f64).cos());
            re += v * (turn * (i * k) as f64).cos();
            im -= v * (turn * (i * k) as f64).sin();
        }
        re * re + im * im
    }

    #[test]
    fn every_framing_equals_the_definition_at_every_length() {
        for framing in [Framing::CentreReflect, Framing::CentreZeros, Framing::Inside] {
            let cfg = config(framing);
            let mut stft = Stft::new(&cfg).unwrap();
            for n in stft.shortest()..40 {
                let (wave, mut out) = (noise(n), Vec::new());
                stft.run(&wave, &mut out).unwrap();
                let frames = stft.frames(n);
                assert_eq!(out.len(), 9 * frames);
                for (k, row) in out.chunks(frames).enumerate() {
                    for (t, &got) in row.iter().enumerate() {
                        let want = slow(&wave, &cfg, t, k);
                        assert!((f64::from(got) - want).abs() < 1e-5 * (1.0 + want), "{n} {k} {t}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_short_window_sits_in_the_middle_of_a_centred_frame() {
        let wave = noise(64);
        let mut short = Stft::new(&StftConfig { win: 8, ..config(Framing::CentreZeros) }).unwrap();
        let mut small =
            Stft::new(&StftConfig { n_fft: 8, win: 8, ..config(Framing::CentreZeros) }).unwrap();
        let (mut long, mut exact) = (Vec::new(), Vec::new());
        short.run(&wave, &mut long).unwrap();
        small.run(&wave, &mut exact).unwrap();
        let frames = small.frames(64);
        for k in 0..5 {
            for t in 0..frames {
                let (a, b) = (long[2 * k * frames + t], exact[k * frames + t]);
                assert!((a - b).abs() < 1e-5 * (1.0 + b), "{k} {t}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_wave_too_short_for_one_frame_says_how_long_it_must_be() {
        for (framing, shortest) in
            [(Framing::CentreReflect, 9), (Framing::CentreZeros, 1), (Framing::Inside, 16)]
        {
            let mut stft = Stft::new(&config(framing)).unwrap();
            let mut out = Vec::new();
            let error = stft.run(&vec![0.0; shortest - 1], &mut out).unwrap_err();
            assert_eq!(error, Error::TooShort { expected: shortest, got: shortest - 1 });
            assert_eq!(
                (stft.frames(shortest - 1), stft.frames(shortest)),
                (0, stft.frames(shortest).max(1))
            );
            stft.run(&vec![0.0; shortest], &mut out).unwrap();
        }
    }

    #[test]
    fn magnitude_is_the_root_of_power() {
        let wave = noise(50);
        let (mut power, mut magnitude) = (Vec::new(), Vec::new());
        Stft::new(&config(Framing::Inside)).unwrap().run(&wave, &mut power).unwrap();
        let cfg = StftConfig { spectrum: Spectrum::Magnitude, ..config(Framing::Inside) };
        Stft::new(&cfg).unwrap().run(&wave, &mut magnitude).unwrap();
        for (p, m) in power.iter().zip(&magnitude) {
            assert_eq!(p.sqrt(), *m);
        }
    }

    #[test]
    fn settings_that_cannot_be_planned_are_named() {
        let base = config(Framing::Inside);
        for (cfg, text) in [
            (StftConfig { n_fft: 15, ..base.clone() }, "n_fft: expected an even number"),
            (StftConfig { win: 17, ..base.clone() }, "win: expected 1 to n_fft, here 16, got 17"),
            (StftConfig { hop: 0, ..base.clone() }, "hop: expected at least 1, got 0"),
        ] {
            let error = Stft::new(&cfg).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
