//! Singing: a glottal slope through the formants of a vowel, gliding from one vowel to another.

use super::Cue;
use super::wave::{Cycle, Tone, sustain};
use crate::dsp::{Noise, Svf, ease};

/// First four formants in Hz and their levels: a, e, i, o, u.
const VOWELS: [[(f64, f64); 4]; 5] = [
    [(730.0, 1.0), (1150.0, 0.6), (2600.0, 0.25), (3400.0, 0.14)],
    [(480.0, 1.0), (1850.0, 0.4), (2550.0, 0.25), (3500.0, 0.13)],
    [(300.0, 1.0), (2250.0, 0.3), (3000.0, 0.22), (3600.0, 0.12)],
    [(470.0, 1.0), (830.0, 0.55), (2550.0, 0.12), (3300.0, 0.09)],
    [(330.0, 1.0), (720.0, 0.35), (2400.0, 0.07), (3300.0, 0.05)],
];

/// One singer: a syllable a note, vibrato that grows, a little breath.
pub(super) fn singer(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 1,
        spread_cents: 0.0,
        vibrato_cents: 30.0 + 22.0 * p.motion,
        vibrato_hz: 5.5 + 0.4 * p.soft,
        vibrato_in_s: 0.5,
        tremolo: 0.1,
        attack_s: (0.05 + 0.02 * p.soft).min(0.35 * cue.len_s as f32).max(0.02),
        release_s: 0.1,
        bright_peak: 0.0,
        bright_hold: 1.0,
        bright_fall_s: (0.6 * cue.len_s as f32).max(0.08),
        hold: 0.9,
    };
    let (from, to) = syllable(cue);
    sustain(cue, &tone, &vowel(cue, from), &vowel(cue, to), out);
    consonant(cue, out);
}

/// Many singers on one vowel that opens slowly.
pub(super) fn choir(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let tone = Tone {
        heads: 6,
        spread_cents: 14.0 + 5.0 * p.motion,
        vibrato_cents: 18.0 + 8.0 * p.motion,
        vibrato_hz: 5.1,
        vibrato_in_s: 0.6,
        tremolo: 0.07,
        attack_s: (0.2 + 0.08 * p.soft).min(0.4 * cue.len_s as f32).max(0.04),
        release_s: 0.3,
        bright_peak: 0.2,
        bright_hold: 0.9,
        bright_fall_s: (0.7 * cue.len_s as f32).max(0.2),
        hold: 0.95,
    };
    let (from, to) = syllable(cue);
    sustain(cue, &tone, &vowel(cue, from), &vowel(cue, to), out);
}

/// Two vowels, by the note's own seed.
fn syllable(cue: &Cue) -> (usize, usize) {
    ((cue.seed % 5) as usize, (cue.seed / 7 % 5) as usize)
}

/// One vowel of this singer; high voices have higher formants.
fn vowel(cue: &Cue, which: usize) -> Cycle {
    let p = cue.patch;
    let size = 1.0 + 0.012 * ((p.body % 15) as f64 - 5.0);
    let slope = 0.75 - 0.25 * f64::from(p.bright) + 0.35 * (1.0 - f64::from(cue.force));
    Cycle::new(cue, 1 + p.body, |k, f| {
        let shape: f64 = VOWELS[which]
            .iter()
            .map(|&(hz, level)| {
                let width = 60.0 + 0.07 * hz;
                level / (1.0 + ((f - size * hz) / width).powi(2))
            })
            .sum();
        (0.012 + shape) * (k as f64).powf(-slope)
    })
}

/// A short burst before some syllables and a trace of breath during all.
fn consonant(cue: &Cue, out: &mut [f32]) {
    let mut noise = Noise::new(cue.seed ^ 0xc0);
    let spoken = cue.seed.is_multiple_of(3);
    let mut band = Svf::new(2500.0 + 900.0 * (cue.seed % 4) as f32, 1.2, cue.rate);
    let (rate, len) = (cue.rate as f32, cue.len_s as f32);
    for (index, x) in out.iter_mut().enumerate() {
        let t = index as f32 / rate;
        let hiss =
            if spoken { 0.14 * ease(t / 0.01) * (1.0 - ease((t - 0.03) / 0.04)) } else { 0.0 };
        let air = 0.012 * (1.0 - ease((t - len) / 0.1));
        *x += cue.force * (hiss + air) * band.band(noise.sample());
    }
}
