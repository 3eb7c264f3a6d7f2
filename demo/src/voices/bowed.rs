//! Bowed strings: a saw-like spectrum through the resonances of a box.

use super::Cue;
use super::wave::{Cycle, Tone, sustain};

/// A desk of players: five heads apart in pitch and time.
pub(super) fn section(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 5,
        spread_cents: 9.0 + 4.0 * p.motion,
        vibrato_cents: 14.0 + 7.0 * p.motion,
        vibrato_hz: 5.4,
        vibrato_in_s: 0.5,
        tremolo: 0.08,
        attack_s: (0.11 + 0.05 * p.soft).min(0.4 * cue.len_s as f32).max(0.03),
        release_s: 0.25,
        bright_peak: 0.35 + 0.65 * cue.force,
        bright_hold: 0.25 + 0.6 * cue.force,
        bright_fall_s: 0.4,
        hold: 0.9,
    };
    sustain(cue, &tone, &cycle(cue, 1.7), &cycle(cue, 1.05), out);
}

/// One player: deeper vibrato that grows in.
pub(super) fn solo(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 24.0 + 9.0 * p.motion,
        vibrato_hz: 5.8 + 0.5 * p.soft,
        vibrato_in_s: 0.35,
        tremolo: 0.15,
        attack_s: (0.06 + 0.03 * p.soft).min(0.4 * cue.len_s as f32).max(0.02),
        release_s: 0.15,
        bright_peak: 0.5 + 0.5 * cue.force,
        bright_hold: 0.3 + 0.6 * cue.force,
        bright_fall_s: 0.3,
        hold: 0.85,
    };
    sustain(cue, &tone, &cycle(cue, 1.6), &cycle(cue, 0.95), out);
}

/// Saw of slope `slope` through four box resonances that depend on the instrument.
fn cycle(cue: &Cue, slope: f64) -> Cycle {
    let p = cue.patch;
    let shift = 1.0 + 0.02 * ((p.body % 11) as f64 - 5.0);
    let peaks =
        [(280.0, 0.9), (460.0, 0.8), (1100.0, 0.7), (2700.0, 1.0 + 0.5 * f64::from(p.bright))];
    Cycle::new(cue, 1 + p.body, |k, f| {
        let box_gain: f64 = peaks
            .iter()
            .map(|&(hz, level)| level * (-((f / (hz * shift)).ln() / 0.28).powi(2)).exp())
            .sum();
        (0.35 + box_gain) * (k as f64).powf(-slope) / (1.0 + (f / 6000.0).powi(4))
    })
}
