//! Another pitch at the same tempo: the wave is stretched in time by overlapping similar pieces (WSOLA, Verhelst and
//! Roelands 1993), then read faster or slower with a windowed-sinc interpolator.
//!
//! Pieces are 82 ms long, overlap by 12 ms and are looked for within 14.68 ms: the lengths SoX uses for its own `pitch`.
//! Letters: r = 2^(cents / 1200), the ratio of the pitches.

use super::draw::whole;
use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// A random transposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pitch {
    /// Whole cents, uniform between these; published -700 to 700.
    pub cents: [i64; 2],
}

impl Default for Pitch {
    fn default() -> Self {
        Self { cents: [-700, 700] }
    }
}

impl Pitch {
    pub(super) fn check(&self) -> Result<()> {
        let [low, high] = self.cents;
        let fits = -2400 <= low && low <= high && high <= 2400;
        let expected = "two rising numbers from -2400 to 2400";
        ensure(fits, "pitch.cents", expected, format!("{low}, {high}"))
    }

    pub(super) fn apply(&self, wave: &[f32], rate: u32, rng: &mut impl Rng) -> Vec<f32> {
        shift_pitch(wave, rate, whole(self.cents, rng) as f64)
    }
}

/// Length of a piece, of an overlap, and of the range in which the next piece may begin, seconds.
const PIECE_S: f64 = 0.082;
const OVERLAP_S: f64 = 0.012;
const SEARCH_S: f64 = 0.014_68;

/// Moves the pitch by `cents`; the length stays. A wave that holds a number that is not finite comes back as it is.
pub fn shift_pitch(wave: &[f32], rate: u32, cents: f64) -> Vec<f32> {
    if cents == 0.0 || wave.iter().any(|x| !x.is_finite()) {
        return wave.to_vec();
    }
    let ratio = 2f64.powf(cents / 1200.0);
    read(&stretch(wave, rate, ratio), ratio, wave.len())
}

/// The wave `factor` times as long, at the same pitch.
fn stretch(wave: &[f32], rate: u32, factor: f64) -> Vec<f32> {
    let samples = |seconds: f64| (seconds * f64::from(rate)).round() as usize;
    let (piece, overlap) = (samples(PIECE_S).max(2), samples(OVERLAP_S).max(1));
    let (hop, search) = (piece - overlap, samples(SEARCH_S) as i64);
    let length = (wave.len() as f64 * factor).ceil() as usize;
    let at = |i: i64| usize::try_from(i).ok().and_then(|i| wave.get(i)).copied().unwrap_or(0.0);
    let mut out: Vec<f32> = (0..piece as i64).map(at).collect();
    let mut begin = 0;
    let (mut tail, mut range) = (vec![0.0; overlap], Vec::new());
    for n in 1.. {
        if out.len() >= length {
            break;
        }
        // what would follow in the wave, and where something like it is near the place whose turn it is
        let next = begin + hop as i64;
        tail.iter_mut().zip(next..).for_each(|(t, i)| *t = at(i));
        let nominal = (n as f64 * hop as f64 / factor).round() as i64;
        let from = nominal - search / 2;
        range.clear();
        range.extend((from..from + search + overlap as i64).map(at));
        begin = from + most_alike(&tail, &range) as i64;
        let joint = out.len() - overlap;
        for (k, old) in out[joint..].iter_mut().enumerate() {
            let fade = (k as f32 + 0.5) / overlap as f32;
            *old += fade * (at(begin + k as i64) - *old);
        }
        out.extend((begin + overlap as i64..begin + piece as i64).map(at));
    }
    out.truncate(length);
    out
}

/// Where in `range` the piece most like `tail` begins: the highest correlation for its energy.
fn most_alike(tail: &[f32], range: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, piece) in range.windows(tail.len()).enumerate() {
        let (mut product, mut energy) = (0.0, 1e-9);
        for (a, b) in tail.iter().zip(piece) {
            product += a * b;
            energy += b * b;
        }
        let alike = product / f32::sqrt(energy);
        if alike > best.1 {
            best = (i, alike);
        }
    }
    best.0
}

/// Zero crossings of the interpolator on either side.
const ZEROS: usize = 16;
/// Values of its table from one zero crossing to the next.
const FINE: usize = 512;

/// `length` samples of the wave, `ratio` apart; what lies above half the new rate is taken out.
fn read(wave: &[f32], ratio: f64, length: usize) -> Vec<f32> {
    let cutoff = (1.0 / ratio).min(1.0);
    let half = (ZEROS as f64 / cutoff) as i64;
    let table = table();
    let weight = |t: f64| {
        let place = t.abs() * cutoff * FINE as f64;
        let (i, part) = (place as usize, (place - place.floor()) as f32);
        match table.get(i..i + 2) {
            Some(pair) => pair[0] + part * (pair[1] - pair[0]),
            None => 0.0,
        }
    };
    let at = |i: i64| usize::try_from(i).ok().and_then(|i| wave.get(i)).copied().unwrap_or(0.0);
    (0..length)
        .map(|n| {
            let place = n as f64 * ratio;
            let centre = place.round() as i64;
            let (mut sum, mut weights) = (0.0, 0.0);
            for i in centre - half..=centre + half {
                let w = weight(place - i as f64);
                sum += w * at(i);
                weights += w;
            }
            sum / weights
        })
        .collect()
}

/// Half of a sinc under a Hann window.
fn table() -> Vec<f32> {
    use std::f64::consts::PI;
    let end = ZEROS * FINE;
    let value = |i: usize| {
        let (t, x) = (i as f64 / end as f64, PI * i as f64 / FINE as f64);
        let sinc = if i == 0 { 1.0 } else { x.sin() / x };
        (sinc * (0.5 + 0.5 * (PI * t).cos())) as f32
    };
    (0..=end).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 22_050;

    fn tone(hz: f64, samples: usize) -> Vec<f32> {
        let step = hz * std::f64::consts::TAU / f64::from(RATE);
        (0..samples).map(|i| 0.5 * (i as f64 * step).sin() as f32).collect()
    }

    fn level(x: &[f32]) -> f32 {
        (x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32).sqrt()
    }

    /// Share of the energy at one frequency.
    fn share(x: &[f32], hz: f64) -> f64 {
        let step = hz * std::f64::consts::TAU / f64::from(RATE);
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, &v) in x.iter().enumerate() {
            let (v, phase) = (f64::from(v), step * i as f64);
            (re, im, all) = (re + v * phase.cos(), im + v * phase.sin(), all + v * v);
        }
        2.0 * (re * re + im * im) / (x.len() as f64 * all)
    }

    #[test]
    fn a_tone_moves_by_the_cents_and_keeps_length_and_level() {
        let x = tone(440.0, 30_000);
        for cents in [-700.0, -350.0, -1.0, 100.0, 350.0, 700.0] {
            let y = shift_pitch(&x, RATE, cents);
            assert_eq!(y.len(), x.len());
            let inner = &y[2_000..28_000];
            let moved = share(inner, 440.0 * 2f64.powf(cents / 1200.0));
            assert!(moved > 0.9, "{cents}: {moved}");
            let loud = level(inner) / level(&x);
            assert!((0.9..1.1).contains(&loud), "{cents}: {loud}");
        }
    }

    #[test]
    fn the_tempo_stays() {
        // two tones, the change in the middle
        let mut x = tone(300.0, 15_000);
        x.extend(tone(900.0, 15_000));
        let y = shift_pitch(&x, RATE, 500.0);
        let up = 2f64.powf(500.0 / 1200.0);
        assert!(share(&y[2_000..13_500], 300.0 * up) > 0.9);
        assert!(share(&y[16_500..28_000], 900.0 * up) > 0.9);
    }

    #[test]
    fn nothing_and_what_is_not_finite_come_back_as_they_are() {
        let x = tone(440.0, 1_000);
        assert_eq!(shift_pitch(&x, RATE, 0.0), x);
        assert!(shift_pitch(&[], RATE, 300.0).is_empty());
        assert_eq!(shift_pitch(&[0.1, f32::INFINITY], RATE, 300.0), [0.1, f32::INFINITY]);
        assert_eq!(shift_pitch(&[0.0; 100], RATE, 300.0), [0.0; 100]);
    }
}
