//! Sustained tones from band-limited wavetables: bowed, blown and sung sounds share this.
//!
//! A note is a cross-fade between a dark and a bright single cycle, read by one or several slightly detuned heads with
//! vibrato. Cycles hold no partial above 0.45 of the rate, so nothing aliases.

use super::Cue;
use crate::dsp::{Noise, ease, turn};

/// Samples of a cycle.
const SIZE: usize = 2048;
/// Samples between two updates of vibrato and envelope.
const STEP: usize = 32;

/// A single cycle, with its first sample repeated at the end.
pub(super) struct Cycle(Vec<f32>);

impl Cycle {
    /// Partial `k` (from 1) at `f` Hz gets the amplitude `level(k, f)`; scaled to a root mean square of 0.2.
    /// `scatter` turns partials by seeded phases, which makes the wave less peaky; 0 keeps sines.
    pub(super) fn new(cue: &Cue, scatter: u64, level: impl Fn(usize, f64) -> f64) -> Self {
        let most = ((0.45 * cue.rate / cue.hz) as usize).clamp(1, 160);
        let mut table = vec![0f32; SIZE + 1];
        let mut phases = Noise::new(scatter);
        let mut power = 0.0;
        for k in 1..=most {
            let amp = level(k, k as f64 * cue.hz);
            if amp.abs() < 1e-4 {
                continue;
            }
            power += amp * amp;
            let angle =
                if scatter == 0 { 0.0 } else { f64::from(phases.sample()) * std::f64::consts::PI };
            let turn = std::f64::consts::TAU * k as f64 / SIZE as f64;
            let (cos, sin) = (turn.cos(), turn.sin());
            let (mut re, mut im) = (amp * angle.cos(), amp * angle.sin());
            for slot in &mut table[..SIZE] {
                *slot += im as f32;
                (re, im) = (re * cos - im * sin, re * sin + im * cos);
            }
        }
        let scale = 0.2 / (0.5 * power).sqrt().max(1e-6);
        for x in &mut table {
            *x *= scale as f32;
        }
        table[SIZE] = table[0];
        Self(table)
    }

    /// Value at a phase in [0, 1).
    #[inline]
    fn at(&self, phase: f32) -> f32 {
        let place = phase * SIZE as f32;
        let index = (place as usize).min(SIZE - 1);
        let part = place - index as f32;
        self.0[index] + part * (self.0[index + 1] - self.0[index])
    }
}

/// How a sustained note is performed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tone {
    /// Number of reading heads.
    pub heads: usize,
    /// Spread of the heads, cents.
    pub spread_cents: f32,
    /// Vibrato depth, cents.
    pub vibrato_cents: f32,
    /// Vibrato rate, Hz.
    pub vibrato_hz: f32,
    /// Seconds until vibrato has grown.
    pub vibrato_in_s: f32,
    /// How much loudness follows vibrato, 0 to 1.
    pub tremolo: f32,
    /// Onset, seconds.
    pub attack_s: f32,
    /// After the note's length, seconds.
    pub release_s: f32,
    /// Share of the bright cycle at the top of the onset.
    pub bright_peak: f32,
    /// Share of the bright cycle later on.
    pub bright_hold: f32,
    /// Seconds from the one to the other.
    pub bright_fall_s: f32,
    /// Level later on, relative to the top of the onset.
    pub hold: f32,
}

/// Appends the note to an empty `out`.
pub(super) fn sustain(cue: &Cue, tone: &Tone, dark: &Cycle, bright: &Cycle, out: &mut Vec<f32>) {
    let rate = cue.rate as f32;
    let frames = ((cue.len_s as f32 + tone.release_s) * rate) as usize;
    let mut noise = Noise::new(cue.seed);
    let mut heads: Vec<Head> = (0..tone.heads.max(1))
        .map(|index| {
            let place = if tone.heads < 2 {
                0.0
            } else {
                2.0 * index as f32 / (tone.heads - 1) as f32 - 1.0
            };
            let off = place * tone.spread_cents + 1.5 * noise.sample();
            let hurry = 1.0 + 0.12 * noise.sample();
            Head {
                phase: 0.5 + 0.5 * noise.sample(),
                cents: off,
                vibrato: noise.sample(),
                hurry,
                amp: 0.0,
                late_s: 0.5
                    * tone.attack_s
                    * (0.5 + 0.5 * noise.sample())
                    * (tone.heads > 1) as u8 as f32,
            }
        })
        .collect();
    let level = cue.force / (heads.len() as f32).sqrt();
    out.resize(frames, 0.0);
    let mut wander = 0.0f32; // slow random drift of pitch, cents
    for (block, chunk) in out.chunks_mut(STEP).enumerate() {
        let now = (block * STEP) as f32 / rate;
        wander = 0.98 * wander + 0.4 * noise.sample();
        let mix = share(tone, now);
        for head in &mut heads {
            let grown = ease(now / tone.vibrato_in_s.max(1e-3));
            let swing = turn(head.vibrato + tone.vibrato_hz * head.hurry * now) * grown;
            let cents = head.cents + wander + tone.vibrato_cents * swing;
            let step = (cue.hz as f32 * (cents * (std::f32::consts::LN_2 / 1200.0)).exp()) / rate;
            let loud = |t: f32| {
                level
                    * envelope(tone, t - head.late_s, cue.len_s as f32)
                    * (1.0 + tone.tremolo * swing)
            };
            let next = loud(now + STEP as f32 / rate);
            let slope = (next - head.amp) / STEP as f32;
            for x in chunk.iter_mut() {
                let mut now = dark.at(head.phase);
                if mix > 0.0 {
                    now += mix * (bright.at(head.phase) - now);
                }
                *x += head.amp * now;
                head.amp += slope;
                head.phase += step;
                if head.phase >= 1.0 {
                    head.phase -= 1.0;
                }
            }
        }
    }
}

/// One reading head.
struct Head {
    phase: f32,
    amp: f32,
    cents: f32,
    vibrato: f32,
    hurry: f32,
    late_s: f32,
}

/// Share of the bright cycle `t` seconds into the note.
fn share(tone: &Tone, t: f32) -> f32 {
    let risen = tone.bright_peak * ease(t / tone.attack_s.max(1e-3));
    let fallen = ease((t - tone.attack_s) / tone.bright_fall_s.max(1e-3));
    risen + (tone.bright_hold - tone.bright_peak) * fallen
}

/// Level `t` seconds into a note of `len` seconds.
fn envelope(tone: &Tone, t: f32, len: f32) -> f32 {
    let rise = ease(t / tone.attack_s);
    let fall =
        1.0 - (1.0 - tone.hold) * ease((t - tone.attack_s) / (4.0 * tone.attack_s).max(0.12));
    let end = 1.0 - ease((t - len) / tone.release_s);
    rise * fall * end
}
