//! Synthesiser voices: detuned saws or pulses through a resonant low pass that moves.

use super::wave::{Cycle, Tone, sustain};
use super::{Cue, fade_out};
use crate::dsp::{Svf, turn};

/// A filter's path: where it starts, where it settles, how fast, how it sways.
struct Sweep {
    from_hz: f32,
    to_hz: f32,
    time_s: f32,
    q: f32,
    sway_hz: f32,
    sway_octaves: f32,
}

/// Pad: seven saws, slow onset, a filter that breathes.
pub(super) fn pad(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 6,
        spread_cents: 13.0 + 5.0 * p.motion,
        attack_s: (0.5 + 0.25 * p.soft).min(0.4 * cue.len_s as f32).max(0.05),
        release_s: 0.8,
        ..plain()
    };
    oscillator(cue, &tone, 0.0, out);
    let floor = 500.0 * 2f32.powf(0.8 * p.bright);
    let sweep = Sweep {
        from_hz: floor,
        to_hz: 2.2 * floor,
        time_s: 1.5,
        q: 1.2,
        sway_hz: 0.17 + 0.08 * p.soft,
        sway_octaves: 0.7,
    };
    filter(cue, &sweep, 1.1, out);
}

/// Lead: three saws, quick, with vibrato.
pub(super) fn lead(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 3,
        spread_cents: 9.0 + 5.0 * p.motion,
        vibrato_cents: 8.0,
        vibrato_hz: 5.5,
        vibrato_in_s: 0.5,
        attack_s: 0.012,
        release_s: 0.12,
        ..plain()
    };
    oscillator(cue, &tone, square(cue), out);
    let top = 3500.0 * 2f32.powf(0.7 * p.bright);
    let sweep = Sweep {
        from_hz: 1.4 * top,
        to_hz: top,
        time_s: 0.3,
        q: 1.6,
        sway_hz: 0.3,
        sway_octaves: 0.2,
    };
    filter(cue, &sweep, 0.85, out);
}

/// Blip: a saw whose filter closes at once, the stuff of arpeggios.
pub(super) fn blip(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 3,
        spread_cents: 8.0,
        attack_s: 0.004,
        release_s: 0.15,
        hold: 0.6,
        ..plain()
    };
    let short = Cue { len_s: cue.len_s.min(0.35), ..*cue };
    oscillator(&short, &tone, square(cue), out);
    let open = (1500.0 + 4500.0 * cue.force) * 2f32.powf(0.5 * p.bright);
    let sweep = Sweep {
        from_hz: open,
        to_hz: 350.0,
        time_s: 0.09 * 2f32.powf(p.soft),
        q: 2.5 + p.motion,
        sway_hz: 0.0,
        sway_octaves: 0.0,
    };
    filter(cue, &sweep, 1.2, out);
}

/// Bass: a saw or pulse low down, filter snapping shut.
pub(super) fn sub(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone { heads: 1, attack_s: 0.005, release_s: 0.05, hold: 0.85, ..plain() };
    oscillator(cue, &tone, square(cue), out);
    let open = 900.0 * 2f32.powf(p.bright) * (0.5 + cue.force);
    let sweep = Sweep {
        from_hz: open,
        to_hz: 180.0,
        time_s: 0.12,
        q: 1.5 + 0.8 * p.motion,
        sway_hz: 0.0,
        sway_octaves: 0.0,
    };
    filter(cue, &sweep, 1.0, out);
}

/// A tone without movement of its own.
fn plain() -> Tone {
    Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 0.0,
        vibrato_hz: 1.0,
        vibrato_in_s: 1.0,
        tremolo: 0.0,
        attack_s: 0.01,
        release_s: 0.1,
        bright_peak: 0.0,
        bright_hold: 0.0,
        bright_fall_s: 1.0,
        hold: 1.0,
    }
}

/// 1 for instruments with pulse waves, 0 for saws.
fn square(cue: &Cue) -> f64 {
    (cue.patch.body % 2) as f64
}

/// Saw (`square` 0) or square wave (1).
fn oscillator(cue: &Cue, tone: &Tone, square: f64, out: &mut Vec<f32>) {
    let cycle = Cycle::new(cue, 0, |k, _| {
        let even = if k.is_multiple_of(2) { 1.0 - square } else { 1.0 };
        even / k as f64
    });
    sustain(cue, tone, &cycle, &cycle, out);
}

/// Runs `out` through the moving low pass; `makeup` restores the level lost.
fn filter(cue: &Cue, sweep: &Sweep, makeup: f32, out: &mut [f32]) {
    let floor = 1.2 * cue.hz as f32;
    let mut svf = Svf::new(sweep.from_hz.max(floor), sweep.q, cue.rate);
    for (block, chunk) in out.chunks_mut(16).enumerate() {
        let t = (block * 16) as f32 / cue.rate as f32;
        let settled = (-t / sweep.time_s).exp();
        let hz = sweep.to_hz + (sweep.from_hz - sweep.to_hz) * settled;
        let sway = (sweep.sway_octaves * turn(sweep.sway_hz * t)).exp2();
        svf.tune((hz * sway).max(floor));
        for x in chunk {
            *x = makeup * svf.low(*x);
        }
    }
    fade_out(out, 0.01, cue.rate);
}
