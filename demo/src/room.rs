//! A room: eight delay lines that feed each other, duller with every pass (a feedback delay network, Jot 1991).

use crate::dsp::OnePole;

/// Delays of the lines in seconds for a room that rings one second; no two share a short common multiple.
const DELAYS_S: [f64; 8] = [0.0297, 0.0331, 0.0371, 0.0411, 0.0437, 0.0479, 0.0531, 0.0593];

/// The reverberation of a room.
#[derive(Debug)]
pub struct Room {
    lines: [Vec<f32>; 8],
    at: [usize; 8],
    keep: [f32; 8],
    damp: [OnePole; 8],
}

impl Room {
    /// A room that loses 60 dB in `ring_s` and whose echoes fade above `dull_hz`.
    pub fn new(ring_s: f64, dull_hz: f64, rate: f64) -> Self {
        let size = (0.6 + 0.25 * ring_s).min(1.4);
        let seconds = DELAYS_S.map(|d| d * size);
        Self {
            lines: seconds.map(|d| vec![0.0; ((d * rate) as usize).max(1)]),
            at: [0; 8],
            keep: seconds.map(|d| 10f64.powf(-3.0 * d / ring_s) as f32),
            damp: std::array::from_fn(|_| OnePole::new(dull_hz.min(0.45 * rate), rate)),
        }
    }

    /// One sample in, left and right out.
    #[inline]
    pub fn sample(&mut self, x: f32) -> (f32, f32) {
        let mut out = [0f32; 8];
        for (index, slot) in out.iter_mut().enumerate() {
            let echo = self.lines[index][self.at[index]];
            *slot = self.keep[index] * self.damp[index].low(echo);
        }
        let mean = 0.25 * out.iter().sum::<f32>();
        for (index, &echo) in out.iter().enumerate() {
            let line = &mut self.lines[index];
            line[self.at[index]] = x + echo - mean; // a reflection keeps the energy
            self.at[index] = if self.at[index] + 1 == line.len() { 0 } else { self.at[index] + 1 };
        }
        let left = out[0] - out[2] + out[4] - out[6];
        let right = out[1] - out[3] + out[5] - out[7];
        (0.4 * left, 0.4 * right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{rms, to_db};

    #[test]
    fn a_room_loses_sixty_decibels_in_its_ring_time() {
        let rate = 16_000.0;
        let mut room = Room::new(1.2, 7_000.0, rate);
        let wave: Vec<f32> =
            (0..32_000).map(|i| room.sample(if i == 0 { 1.0 } else { 0.0 }).0).collect();
        let level = |s: f64| to_db(rms(&wave[(s * rate) as usize..((s + 0.1) * rate) as usize]));
        let fall = (level(0.3) - level(0.9)) / 0.6;
        assert!((40.0..75.0).contains(&fall), "{fall} dB a second, 50 without damping");
    }
}
