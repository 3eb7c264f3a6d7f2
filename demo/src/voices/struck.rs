//! Struck sounds: sums of decaying sines. A piano string is stiff, so its partials lie at n f0 sqrt(1 + B n^2).

use super::{Cue, fade_out};
use crate::dsp::{Noise, OnePole, Rotor};

/// Most partials of a piano note.
const PARTIALS: usize = 22;

/// Piano: hammer spectrum by force, two strings a note, fast then slow decay, a thud at the onset.
pub(super) fn piano(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let stiff = 2.5e-4 * (cue.hz / 220.0).powf(1.3);
    let slope = 1.25 - 0.25 * f64::from(p.bright) + 0.9 * (1.0 - f64::from(cue.force));
    let slow_s = 9.0 * (110.0 / cue.hz).powf(0.6);
    let cents = 0.6 + 0.5 * f64::from(p.motion);
    let mut partials = Vec::new();
    let mut power = 0.0;
    for n in 1..=PARTIALS {
        let nth = n as f64;
        let hz = nth * cue.hz * (1.0 + stiff * nth * nth).sqrt();
        if hz > 0.45 * cue.rate {
            break;
        }
        let strike = (std::f64::consts::PI * nth / 8.3).sin().abs().max(0.08);
        let level = strike * nth.powf(-slope);
        power += 0.5 * level * level;
        let t60 = slow_s / (1.0 + 0.28 * (nth - 1.0));
        partials.push((hz, level, t60));
    }
    let scale = f64::from(cue.force) * 0.24 / power.sqrt().max(1e-6);
    let held = (cue.len_s * cue.rate) as usize;
    let frames = held + (0.25 * cue.rate) as usize;
    out.resize(frames, 0.0);
    let apart = 2f64.powf(cents / 1200.0);
    for (hz, level, t60) in partials {
        let level = level * scale;
        let mut first = Rotor::new(hz, 0.65 * level, 0.3 * t60, cue.rate);
        let mut second = Rotor::new(hz * apart, 0.5 * level, t60, cue.rate);
        for x in out.iter_mut() {
            *x += first.sample() + second.sample();
        }
    }
    let mut noise = Noise::new(cue.seed);
    let mut felt = OnePole::new(700.0 + 500.0 * f64::from(p.bright), cue.rate);
    let thud = 0.22 * cue.force;
    for (index, x) in out.iter_mut().enumerate().take((0.05 * cue.rate) as usize) {
        let t = index as f32 / cue.rate as f32;
        *x = *x * (t / 0.002).min(1.0) + thud * (-t / 0.012).exp() * felt.low(noise.sample());
    }
    fade_out(out, 0.25, cue.rate); // the damper falls
}

/// Bars and bells: few, inharmonic partials.
pub(super) fn bells(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    // A tuned bar has its first overtones near 4 and 10; a bell nearer to 2, 3 and 4.2.
    let ratios: [(f64, f64, f64); 4] = if p.body.is_multiple_of(2) {
        [(1.0, 1.0, 1.0), (3.98, 0.35, 0.45), (9.7, 0.14, 0.2), (2.0, 0.06, 0.6)]
    } else {
        [(1.0, 1.0, 1.0), (2.0, 0.4, 0.7), (2.98, 0.3, 0.5), (4.21, 0.22, 0.35)]
    };
    let t60 = 2.4 * (1000.0 / cue.hz).powf(0.4) * (1.3 + f64::from(p.motion));
    let frames = ((cue.len_s + 1.2) * cue.rate) as usize;
    out.resize(frames, 0.0);
    for (ratio, level, decay) in ratios {
        let hz = cue.hz * ratio;
        if hz < 0.45 * cue.rate {
            let level = 0.3 * f64::from(cue.force) * level;
            let mut rotor = Rotor::new(hz, level, decay * t60, cue.rate);
            for x in out.iter_mut() {
                *x += rotor.sample();
            }
        }
    }
    fade_out(out, 0.8, cue.rate);
}
