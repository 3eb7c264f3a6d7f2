//! Blown sounds: a flute is few partials and much breath; brass grows brighter the harder it is blown.

use super::Cue;
use super::wave::{Cycle, Tone, sustain};
use crate::dsp::{Noise, Svf, ease};

/// Flute: almost a sine, breath noise around the pitch, loudness trembling with vibrato.
pub(super) fn flute(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 9.0 + 4.0 * p.motion,
        vibrato_hz: 5.0 + 0.4 * p.soft,
        vibrato_in_s: 0.45,
        tremolo: 0.22 + 0.1 * p.motion,
        attack_s: (0.05 + 0.02 * p.soft).min(0.4 * cue.len_s as f32).max(0.015),
        release_s: 0.1,
        bright_peak: 0.9 * cue.force,
        bright_hold: 0.7 * cue.force,
        bright_fall_s: 0.2,
        hold: 0.95,
    };
    let dark = Cycle::new(cue, 1 + p.body, |k, _| {
        [1.0, 0.25, 0.08, 0.02].get(k - 1).copied().unwrap_or(0.0)
    });
    let bright = Cycle::new(cue, 1 + p.body, |k, _| {
        [1.0, 0.55, 0.35, 0.14, 0.1, 0.05].get(k - 1).copied().unwrap_or(0.0)
    });
    sustain(cue, &tone, &dark, &bright, out);
    breath(cue, 0.05 + 0.025 * p.soft, out);
}

/// Trumpet or horn: brightness follows the onset and the force.
pub(super) fn brass(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 8.0 + 6.0 * p.motion,
        vibrato_hz: 5.2,
        vibrato_in_s: 0.7,
        tremolo: 0.06,
        attack_s: (0.045 + 0.02 * p.soft).min(0.4 * cue.len_s as f32).max(0.015),
        release_s: 0.09,
        bright_peak: cue.force,
        bright_hold: 0.75 * cue.force,
        bright_fall_s: 0.15,
        hold: 0.8,
    };
    let bell = 1300.0 + 250.0 * f64::from(p.bright);
    let horn = |steep: f64| {
        move |k: usize, f: f64| {
            let rise = 0.4 + (-((f / bell).ln() / 0.55).powi(2)).exp();
            rise * (-(k as f64 - 1.0) * steep).exp() / (1.0 + (f / 5500.0).powi(4))
        }
    };
    let (dark, bright) =
        (Cycle::new(cue, 1 + p.body, horn(0.7)), Cycle::new(cue, 1 + p.body, horn(0.12)));
    sustain(cue, &tone, &dark, &bright, out);
}

/// Double reed: all partials up to two nasal peaks, at once and steadily loud.
pub(super) fn reed(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 16.0 + 8.0 * p.motion,
        vibrato_hz: 6.3,
        vibrato_in_s: 0.3,
        tremolo: 0.05,
        attack_s: (0.025 + 0.01 * p.soft).min(0.3 * cue.len_s as f32).max(0.008),
        release_s: 0.06,
        bright_peak: 0.9,
        bright_hold: 0.5 + 0.4 * cue.force,
        bright_fall_s: 0.2,
        hold: 0.95,
    };
    let size = 2f64.powf(0.25 * f64::from(p.bright));
    let nasal = |slope: f64| {
        move |k: usize, f: f64| {
            let peak = |hz: f64, width: f64| (-((f / (size * hz)).ln() / width).powi(2)).exp();
            (0.12 + peak(1150.0, 0.3) + 0.8 * peak(2900.0, 0.25)) * (k as f64).powf(-slope)
        }
    };
    let (dark, bright) =
        (Cycle::new(cue, 1 + p.body, nasal(0.5)), Cycle::new(cue, 1 + p.body, nasal(0.1)));
    sustain(cue, &tone, &dark, &bright, out);
}

/// Adds noise around the pitch and its octave, stronger at the onset.
fn breath(cue: &Cue, level: f32, out: &mut [f32]) {
    let mut noise = Noise::new(cue.seed ^ 0x5eed);
    let mut near = Svf::new(cue.hz as f32, 4.0, cue.rate);
    let mut air = Svf::new((2.6 * cue.hz) as f32, 0.8, cue.rate);
    let (rate, len) = (cue.rate as f32, cue.len_s as f32);
    for (index, x) in out.iter_mut().enumerate() {
        let t = index as f32 / rate;
        let puff =
            ease(t / 0.02) * (1.0 + 1.8 * (-t / 0.05).exp()) * (1.0 - ease((t - len) / 0.08));
        let n = noise.sample();
        *x += level * cue.force * puff * (1.2 * near.band(n) + 0.8 * air.band(n));
    }
}
