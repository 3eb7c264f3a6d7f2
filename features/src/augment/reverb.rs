//! A room: Schroeder's network of combs and all-passes in the tuning of Freeverb, with the controls that SoX gives it.
//!
//! Eight feedback combs side by side, each with a one-pole low pass in its loop, their sum through four all-passes in
//! row. Two such networks whose delays differ a little are a left and a right ear; their mean is added to the wave.
//! Delays are Freeverb's at 44.1 kHz, scaled to the rate, those of the combs by the size of the room too.

use super::draw::whole;
use crate::error::{Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

/// A random room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reverb {
    /// How long it rings, per cent, uniform between these; published 0 to 99.
    pub reverberance: [i64; 2],
    /// How much treble it swallows, per cent, uniform between these; published 0 to 99.
    pub damping: [i64; 2],
    /// Size, per cent, uniform between these; published 0 to 99.
    pub room: [i64; 2],
}

impl Default for Reverb {
    fn default() -> Self {
        Self { reverberance: [0, 99], damping: [0, 99], room: [0, 99] }
    }
}

impl Reverb {
    pub(super) fn check(&self) -> Result<()> {
        for (field, [low, high]) in [
            ("reverb.reverberance", self.reverberance),
            ("reverb.damping", self.damping),
            ("reverb.room", self.room),
        ] {
            let fits = 0 <= low && low <= high && high <= 100;
            ensure(fits, field, "two rising numbers from 0 to 100", format!("{low}, {high}"))?;
        }
        Ok(())
    }

    pub(super) fn apply(&self, wave: &[f32], rate: u32, rng: &mut impl Rng) -> Vec<f32> {
        let [reverberance, damping, room] =
            [self.reverberance, self.damping, self.room].map(|range| whole(range, rng) as f64);
        reverberate(wave, rate, reverberance, damping, room)
    }
}

/// Delays at 44.1 kHz, samples.
const COMBS: [f64; 8] = [1116.0, 1188.0, 1277.0, 1356.0, 1422.0, 1491.0, 1557.0, 1617.0];
/// The same for the all-passes.
const ALL_PASSES: [f64; 4] = [225.0, 341.0, 441.0, 556.0];
/// How much longer or shorter, in turn, the delays of the other ear are.
const SPREAD: f64 = 12.0;
/// Level of the room beside the wave.
const WET: f32 = 0.015;

/// x plus what a room answers, of the same length. The three controls are per cents.
pub fn reverberate(
    wave: &[f32],
    rate: u32,
    reverberance: f64,
    damping: f64,
    room: f64,
) -> Vec<f32> {
    // feedback 0.3 at 0 per cent and 0.98 at 100, its distance from 1 falling exponentially
    let (first, last) = (0.7f64.ln(), 0.02f64.ln());
    let feedback = 1.0 - (first + (last - first) * reverberance / 100.0).exp();
    let damping = 0.2 + 0.3 * damping / 100.0;
    let scale = 0.1 + 0.9 * room / 100.0;
    let mut ears = [0.0, SPREAD].map(|spread| Network::new(rate, scale, spread));
    let (feedback, damping) = (feedback as f32, damping as f32);
    wave.iter()
        .map(|&x| {
            let wet: f32 = ears.iter_mut().map(|ear| ear.answer(x, feedback, damping)).sum();
            x + 0.5 * WET * wet
        })
        .collect()
}

/// The network of one ear.
struct Network {
    combs: Vec<(Line, f32)>,
    all_passes: Vec<Line>,
}

impl Network {
    fn new(rate: u32, scale: f64, spread: f64) -> Self {
        let rate = f64::from(rate) / 44_100.0;
        let sign = |i: usize| if i.is_multiple_of(2) { spread } else { -spread };
        let comb = |(i, d): (usize, &f64)| (Line::new(scale * rate * (d + sign(i))), 0.0);
        let all_pass = |(i, d): (usize, &f64)| Line::new(rate * (d + sign(i)));
        Self {
            combs: COMBS.iter().enumerate().map(comb).collect(),
            all_passes: ALL_PASSES.iter().enumerate().map(all_pass).collect(),
        }
    }

    fn answer(&mut self, x: f32, feedback: f32, damping: f32) -> f32 {
        let mut sum = 0.0;
        for (line, low) in &mut self.combs {
            let out = line.read();
            *low = out + (*low - out) * damping;
            line.write(x + *low * feedback);
            sum += out;
        }
        for line in self.all_passes.iter_mut().rev() {
            let out = line.read();
            line.write(sum + 0.5 * out);
            sum = out - sum;
        }
        sum
    }
}

/// A delay line.
struct Line {
    samples: Vec<f32>,
    at: usize,
}

impl Line {
    fn new(delay: f64) -> Self {
        Self { samples: vec![0.0; ((delay + 0.5) as usize).max(1)], at: 0 }
    }

    fn read(&self) -> f32 {
        self.samples[self.at]
    }

    fn write(&mut self, x: f32) {
        self.samples[self.at] = x;
        self.at = (self.at + 1) % self.samples.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Energy of the answer to a click, between two times in samples.
    fn tail(reverberance: f64, damping: f64, room: f64, from: usize, to: usize) -> f32 {
        let mut click = vec![0.0; 22_050];
        click[0] = 1.0;
        let answer = reverberate(&click, 22_050, reverberance, damping, room);
        answer[from..to].iter().map(|x| x * x).sum()
    }

    #[test]
    fn more_reverberance_rings_longer_and_more_damping_shorter() {
        let late = |r, d| tail(r, d, 60.0, 11_025, 22_050);
        assert!(late(90.0, 40.0) > 20.0 * late(40.0, 40.0));
        assert!(late(90.0, 0.0) > 1.2 * late(90.0, 100.0));
        assert!(late(100.0, 0.0) < 1.0, "it dies down");
    }

    #[test]
    fn a_larger_room_answers_later_and_nothing_answers_at_once() {
        assert_eq!(tail(50.0, 50.0, 100.0, 1, 500), 0.0);
        assert!(tail(50.0, 50.0, 0.0, 1, 500) > 0.0);
        assert!((tail(50.0, 50.0, 50.0, 0, 1) - 1.0).abs() < 1e-6);
    }
}
