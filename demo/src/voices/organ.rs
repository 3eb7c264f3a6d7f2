//! Organs: fixed ranks of pipes or tone wheels, speaking at once and holding until released.

use super::Cue;
use super::wave::{Cycle, Tone, sustain};
use crate::dsp::{Noise, OnePole};

/// Pipe organ (even bodies) or tone-wheel organ with a rotating loudspeaker (odd bodies).
pub(super) fn organ(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let pipes = p.body.is_multiple_of(2);
    let shine = f64::from(0.5 + 0.5 * p.bright);
    // Ranks as partials of the 16-foot stop, so the cycle runs an octave below the key.
    let ranks: [(usize, f64); 8] = if pipes {
        let top = 0.35 * shine;
        [
            (1, 0.45),
            (2, 1.0),
            (4, 0.8),
            (6, 0.3),
            (8, 0.55),
            (12, top),
            (16, 0.3 + top),
            (24, 0.6 * top),
        ]
    } else {
        [
            (1, 0.8),
            (2, 1.0),
            (3, 0.8),
            (4, 0.5),
            (6, 0.25),
            (8, 0.4 * shine),
            (12, 0.2 * shine),
            (16, 0.5 * shine),
        ]
    };
    let tone = Tone {
        heads: if pipes { 2 } else { 1 },
        spread_cents: 2.0 + p.motion,
        vibrato_cents: if pipes { 0.5 } else { 7.0 + 5.0 * p.motion },
        vibrato_hz: if pipes { 3.0 } else { 6.4 },
        vibrato_in_s: 0.01,
        tremolo: if pipes { 0.0 } else { 0.12 },
        attack_s: if pipes { 0.04 + 0.02 * p.soft } else { 0.008 },
        release_s: if pipes { 0.12 } else { 0.03 },
        bright_peak: 0.5,
        bright_hold: 0.5,
        bright_fall_s: 1.0,
        hold: 1.0,
    };
    let low = Cue { hz: 0.5 * cue.hz, force: 0.35 + 0.5 * cue.force, ..*cue };
    let level = |k: usize| ranks.iter().find(|rank| rank.0 == k).map_or(0.0, |rank| rank.1);
    let dark = Cycle::new(&low, 1 + p.body, |k, _| level(k));
    let bright =
        Cycle::new(
            &low,
            1 + p.body,
            |k, _| if pipes { level(k) + 0.3 / k as f64 } else { level(k) },
        );
    sustain(&low, &tone, &dark, &bright, out);
    let mut noise = Noise::new(cue.seed);
    let mut chiff = OnePole::new(if pipes { 1500.0 } else { 4000.0 }, cue.rate);
    for (index, x) in out.iter_mut().enumerate().take((0.06 * cue.rate) as usize) {
        let t = index as f32 / cue.rate as f32;
        *x += 0.08 * (-t / if pipes { 0.03 } else { 0.004 }).exp() * chiff.high(noise.sample());
    }
}
