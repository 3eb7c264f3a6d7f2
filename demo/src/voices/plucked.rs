//! Plucked strings: a delay line with a loss filter in its loop, started by a burst shaped by finger and place
//! (Karplus and Strong 1983; pick position and fractional tuning as in Jaffe and Smith 1983).

use super::{Cue, fade_out};
use crate::dsp::{Noise, OnePole, Svf};

/// What distinguishes one string from another.
struct Pluck {
    /// Seconds to lose 60 dB at 110 Hz; falls with pitch.
    ring_s: f64,
    /// Corner of the burst at full force, Hz.
    finger_hz: f64,
    /// Where it is plucked, share of the string.
    place: f64,
    /// Loss filter at 44.1 kHz and 220 Hz: 0 keeps the highs, 1 averages neighbours fully.
    loss: f64,
    /// Seconds for the hand to stop the string after the note's length.
    damp_s: f64,
}

/// Guitar: medium ring, a wooden body with two resonances.
pub(super) fn guitar(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let pluck = Pluck {
        ring_s: 3.0,
        finger_hz: 3200.0 * 2f64.powf(f64::from(p.bright)),
        place: 0.16 + 0.07 * f64::from(p.soft),
        loss: 0.35,
        damp_s: 0.12,
    };
    string(cue, &pluck, out);
    let mut low = Svf::new(105.0 + 12.0 * (p.body % 3) as f32, 3.0, cue.rate);
    let mut mid = Svf::new(210.0 + 20.0 * (p.body % 5) as f32, 3.0, cue.rate);
    for x in out.iter_mut() {
        *x += 0.6 * low.band(*x) + 0.5 * mid.band(*x);
    }
}

/// Overdriven guitar: the string into a curve that flattens, then a loudspeaker that passes 90 Hz to 4.5 kHz.
pub(super) fn overdrive(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let loud = Cue { force: 0.5 + 0.5 * cue.force, ..*cue };
    let pluck = Pluck { ring_s: 5.0, finger_hz: 5000.0, place: 0.11, loss: 0.25, damp_s: 0.05 };
    string(&loud, &pluck, out);
    let drive = 14.0 * 2f32.powf(p.bright);
    let mut cut = OnePole::new(90.0, cue.rate);
    let mut cone = Svf::new(3600.0 + 900.0 * p.soft, 0.9, cue.rate);
    let mut push = Svf::new(2200.0, 1.4, cue.rate);
    for x in out.iter_mut() {
        let driven = (drive * (*x + 0.02)).tanh() - (drive * 0.02).tanh();
        let voiced = cut.high(driven);
        *x = 0.22 * cue.force.max(0.3) * cone.low(voiced + 0.7 * push.band(voiced));
    }
    fade_out(out, 0.02, cue.rate);
}

/// Harp: long ring, plucked near the middle with soft fingers.
pub(super) fn harp(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let pluck = Pluck {
        ring_s: 6.0,
        finger_hz: 2000.0 * 2f64.powf(0.6 * f64::from(p.bright)),
        place: 0.42,
        loss: 0.5,
        damp_s: 1.2,
    };
    string(cue, &pluck, out);
}

/// Double bass: dull, short, with a wooden thump.
pub(super) fn upright(cue: &Cue, out: &mut Vec<f32>) {
    let pluck = Pluck { ring_s: 1.6, finger_hz: 900.0, place: 0.3, loss: 0.9, damp_s: 0.1 };
    string(cue, &pluck, out);
    let mut body = Svf::new(95.0, 2.0, cue.rate);
    for x in out.iter_mut() {
        *x += 0.8 * body.band(*x);
    }
}

/// Electric bass: longer ring, a finger or a pick.
pub(super) fn electric(cue: &Cue, out: &mut Vec<f32>) {
    let finger_hz = 1600.0 * 2f64.powf(0.8 * f64::from(cue.patch.bright));
    let pluck = Pluck { ring_s: 3.0, finger_hz, place: 0.2, loss: 0.55, damp_s: 0.07 };
    string(cue, &pluck, out);
}

/// Lute: bright strings in pairs, two a few cents and milliseconds apart, over a shallow body.
pub(super) fn lute(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let pluck = Pluck {
        ring_s: 2.4,
        finger_hz: 4200.0 * 2f64.powf(0.7 * f64::from(p.bright)),
        place: 0.09,
        loss: 0.3,
        damp_s: 0.15,
    };
    string(cue, &pluck, out);
    let apart = 2f64.powf((5.0 + 2.0 * f64::from(p.motion)) / 1200.0);
    let mut second = Vec::new();
    string(&Cue { hz: cue.hz * apart, seed: !cue.seed, ..*cue }, &pluck, &mut second);
    let late = (0.006 * cue.rate) as usize;
    out.resize(out.len().max(late + second.len()), 0.0);
    for (x, y) in out[late..].iter_mut().zip(&second) {
        *x = 0.75 * (*x + y);
    }
    let mut body = Svf::new(320.0 + 25.0 * (p.body % 5) as f32, 2.5, cue.rate);
    for x in out.iter_mut() {
        *x += 0.7 * body.band(*x);
    }
}

/// Drone: a long string whose bridge bends loud swings, which brings out its upper partials.
pub(super) fn hum(cue: &Cue, out: &mut Vec<f32>) {
    let p = cue.patch;
    let pluck = Pluck { ring_s: 7.0, finger_hz: 2600.0, place: 0.24, loss: 0.12, damp_s: 0.4 };
    string(cue, &pluck, out);
    let mut buzz = Svf::new(1500.0 * 2f32.powf(0.4 * p.bright), 0.8, cue.rate);
    for x in out.iter_mut() {
        let bent = (5.0 * *x).tanh().abs();
        *x = 0.8 * *x + 0.35 * buzz.band(bent);
    }
    fade_out(out, 0.03, cue.rate);
}

/// The string itself, scaled to a like loudness for every pitch.
fn string(cue: &Cue, pluck: &Pluck, out: &mut Vec<f32>) {
    let rate = cue.rate;
    // A loop loses about loss (hz / rate)^2 at its pitch: scaled so that neither the rate nor a high pitch kills it.
    let loss = pluck.loss * (rate / 44_100.0).powi(2) * (220.0 / cue.hz).min(1.0);
    let loss = loss.clamp(0.02, 1.0);
    let delay = rate / cue.hz - 0.5 * loss; // the loss filter itself delays by half its share
    let size = (delay - 0.2) as usize;
    let part = delay - size as f64; // 0.2 to 1.2: an all-pass delays by it and, unlike interpolation, keeps the highs
    let (all, half) = (((1.0 - part) / (1.0 + part)) as f32, 0.5 * loss as f32);
    let ring_s = pluck.ring_s * (110.0 / cue.hz).powf(0.55);
    let keep = 10f64.powf(-3.0 / (ring_s * cue.hz)) as f32;
    let damp = 10f64.powf(-3.0 / (pluck.damp_s * cue.hz)) as f32;

    let mut line = burst(cue, pluck, size);
    let held = (cue.len_s * rate) as usize;
    let ringing = (pluck.damp_s.min(ring_s) * rate) as usize;
    let frames = held + ringing;
    out.reserve(frames);
    let (mut at, mut before, mut passed, mut last) = (0, 0.0f32, 0.0f32, 0.0f32);
    for frame in 0..frames {
        let now = line[at];
        let tuned = all * (now - passed) + before;
        passed = tuned;
        before = now;
        let soft = tuned + half * (last - tuned);
        last = tuned;
        line[at] = soft * if frame < held { keep } else { damp.min(keep) };
        at = if at + 1 == size { 0 } else { at + 1 };
        out.push(soft);
    }
    let rise = (0.0015 * rate) as usize; // a finger leaves the string, it is not cut
    for (index, x) in out.iter_mut().take(rise).enumerate() {
        *x *= index as f32 / rise as f32;
    }
    fade_out(out, 0.03, rate);
}

/// One period of filtered noise with the comb of the plucking place, root mean square 0.25 at full force.
fn burst(cue: &Cue, pluck: &Pluck, size: usize) -> Vec<f32> {
    let mut noise = Noise::new(cue.seed);
    let corner = (pluck.finger_hz * f64::from(0.35 + 0.65 * cue.force)).max(1.5 * cue.hz);
    let (mut first, mut second) = (OnePole::new(corner, cue.rate), OnePole::new(corner, cue.rate));
    // Two rounds settle the filters, so that the period closes on itself.
    let raw: Vec<f32> = (0..size).map(|_| noise.sample()).collect();
    let mut soft: Vec<f32> = raw.iter().map(|&x| second.low(first.low(x))).collect();
    for (slot, &x) in soft.iter_mut().zip(&raw) {
        *slot = second.low(first.low(x));
    }
    let back = ((pluck.place * size as f64) as usize).clamp(1, size - 1);
    let combed: Vec<f32> = (0..size).map(|i| soft[i] - soft[(i + size - back) % size]).collect();
    let mean = combed.iter().sum::<f32>() / size as f32;
    let power = combed.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / size as f32;
    let scale = 0.25 * cue.force / power.sqrt().max(1e-6);
    combed.iter().map(|x| (x - mean) * scale).collect()
}
