//! Small signal blocks: noise, one-pole and state-variable filters, ramps, decibels.

use std::f32::consts::{PI, TAU};

/// Decibels to a factor on amplitude.
pub fn gain(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

/// Amplitude ratio to decibels, never below -120.
pub fn to_db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-6).log10()
}

/// Root of the mean square; 0 for nothing.
pub fn rms(wave: &[f32]) -> f64 {
    if wave.is_empty() {
        return 0.0;
    }
    (wave.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / wave.len() as f64).sqrt()
}

/// Frequency of a note number, 69 = 440 Hz, fractions allowed.
pub fn hertz(pitch: f64) -> f64 {
    440.0 * 2f64.powf((pitch - 69.0) / 12.0)
}

/// White noise in [-1, 1) from a linear congruential generator.
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// The next sample.
    #[inline]
    pub fn sample(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
    }
}

/// First-order low pass; [`OnePole::high`] gives the complement.
#[derive(Debug, Clone, Default)]
pub struct OnePole {
    a: f32,
    state: f32,
}

impl OnePole {
    /// Corner at `hz`.
    pub fn new(hz: f64, rate: f64) -> Self {
        Self { a: (1.0 - (-2.0 * std::f64::consts::PI * hz / rate).exp()) as f32, state: 0.0 }
    }

    /// One sample of the low pass.
    #[inline]
    pub fn low(&mut self, x: f32) -> f32 {
        self.state += self.a * (x - self.state);
        self.state
    }

    /// One sample of the high pass.
    #[inline]
    pub fn high(&mut self, x: f32) -> f32 {
        x - self.low(x)
    }
}

/// Second-order filter whose corner may move while it runs (trapezoidal integrators).
#[derive(Debug, Clone)]
pub struct Svf {
    g: f32,
    k: f32,
    scale: f32,
    top: f32,
    one: f32,
    two: f32,
}

impl Svf {
    /// Corner at `hz`, resonance `q` (0.7 = flat).
    pub fn new(hz: f32, q: f32, rate: f64) -> Self {
        let rate = rate as f32;
        let mut svf =
            Self { g: 0.0, k: 1.0 / q, scale: PI / rate, top: 0.45 * rate, one: 0.0, two: 0.0 };
        svf.tune(hz);
        svf
    }

    /// Moves the corner; clamped to 20 Hz and 0.45 of the rate.
    #[inline]
    pub fn tune(&mut self, hz: f32) {
        self.g = (hz.clamp(20.0, self.top) * self.scale).tan();
    }

    /// One sample: low, band (peak 1) and high.
    #[inline]
    pub fn all(&mut self, x: f32) -> (f32, f32, f32) {
        let high =
            (x - (self.g + self.k) * self.one - self.two) / (1.0 + self.g * (self.g + self.k));
        let band = self.g * high + self.one;
        let low = self.g * band + self.two;
        self.one = self.g * high + band;
        self.two = self.g * band + low;
        (low, band * self.k, high)
    }

    /// One sample of the low pass.
    #[inline]
    pub fn low(&mut self, x: f32) -> f32 {
        self.all(x).0
    }

    /// One sample of the band pass, peak gain 1.
    #[inline]
    pub fn band(&mut self, x: f32) -> f32 {
        self.all(x).1
    }

    /// One sample of the high pass.
    #[inline]
    pub fn high(&mut self, x: f32) -> f32 {
        self.all(x).2
    }
}

/// A decaying or steady sine by rotation, two multiplications a sample.
#[derive(Debug, Clone)]
pub struct Rotor {
    re: f32,
    im: f32,
    cos: f32,
    sin: f32,
}

impl Rotor {
    /// Sine of `hz` and `level`, falling by 60 dB in `t60_s` (infinite = steady), starting at phase 0.
    pub fn new(hz: f64, level: f64, t60_s: f64, rate: f64) -> Self {
        let turn = std::f64::consts::TAU * hz / rate;
        let damp = 10f64.powf(-3.0 / (t60_s * rate));
        Self {
            re: level as f32,
            im: 0.0,
            cos: (damp * turn.cos()) as f32,
            sin: (damp * turn.sin()) as f32,
        }
    }

    /// The next sample.
    #[inline]
    pub fn sample(&mut self) -> f32 {
        let re = self.re * self.cos - self.im * self.sin;
        self.im = self.re * self.sin + self.im * self.cos;
        self.re = re;
        self.im
    }
}

/// Smooth rise from 0 to 1 while `x` goes from 0 to 1.
#[inline]
pub fn ease(x: f32) -> f32 {
    0.5 - 0.5 * (PI * x.clamp(0.0, 1.0)).cos()
}

/// Sine of a phase counted in turns.
#[inline]
pub fn turn(phase: f32) -> f32 {
    (TAU * phase).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_centred_and_has_the_power_of_a_uniform() {
        let mut noise = Noise::new(3);
        let wave: Vec<f32> = (0..100_000).map(|_| noise.sample()).collect();
        let mean = wave.iter().sum::<f32>() / wave.len() as f32;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((rms(&wave) - (1.0f64 / 3.0).sqrt()).abs() < 0.01);
    }

    #[test]
    fn a_rotor_loses_sixty_decibels_in_its_decay_time() {
        let mut rotor = Rotor::new(1000.0, 1.0, 0.5, 16_000.0);
        let wave: Vec<f32> = (0..8160).map(|_| rotor.sample()).collect();
        let fall = to_db(rms(&wave[8000..]) / rms(&wave[..160]));
        assert!((fall + 60.0).abs() < 0.5, "{fall}");
    }

    #[test]
    fn a_low_pass_keeps_what_is_below_and_removes_what_is_above() {
        let through = |hz: f64| {
            let mut svf = Svf::new(1000.0, 0.7, 16_000.0);
            let mut rotor = Rotor::new(hz, 1.0, f64::INFINITY, 16_000.0);
            let wave: Vec<f32> = (0..16_000).map(|_| svf.low(rotor.sample())).collect();
            to_db(rms(&wave[8000..]) * 2f64.sqrt())
        };
        assert!(through(100.0).abs() < 0.2);
        assert!(through(6000.0) < -28.0);
    }
}
