//! A drum kit by synthesis, and the grooves it plays.
//!
//! A groove is one bar of hits on a grid; the composer repeats it, thins it and adds a fill before a new section.

use crate::dsp::{Noise, OnePole, Svf, turn};
use crate::voices::Patch;

/// One part of the kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Bass drum.
    Kick,
    /// Snare with its wires.
    Snare,
    /// Snare played with brushes.
    Brush,
    /// Side stick.
    Rim,
    /// Hand clap.
    Clap,
    /// Closed hi-hat.
    Hat,
    /// Open hi-hat.
    Open,
    /// Ride cymbal.
    Ride,
    /// Crash cymbal.
    Crash,
    /// Low to high tom: 0, 1, 2.
    Tom(u8),
    /// Shaker.
    Shaker,
    /// Frame drum struck in the middle.
    Low,
    /// Frame drum struck at the rim.
    High,
    /// Jingles of the frame drum.
    Jingle,
}

impl Piece {
    /// Place in the stereo image, -1 left to 1 right, as the audience sees the kit.
    pub fn pan(self) -> f32 {
        match self {
            Self::Kick | Self::Snare | Self::Brush | Self::Rim | Self::Clap => 0.0,
            Self::Hat | Self::Open => 0.35,
            Self::Ride => -0.4,
            Self::Crash => -0.3,
            Self::Tom(n) => 0.3 - 0.3 * f32::from(n),
            Self::Shaker => 0.5,
            Self::Low => 0.0,
            Self::High => 0.1,
            Self::Jingle => 0.25,
        }
    }
}

/// A hit of a groove: beat within the bar, piece, force, and the chance that it is played at all.
pub type Stroke = (f64, Piece, f32, f64);

/// One bar that repeats.
#[derive(Debug)]
pub struct Groove {
    /// Beats of the bar.
    pub beats: u32,
    /// What is played.
    pub strokes: &'static [Stroke],
}

use Piece::{Brush, Clap, Hat, Kick, Open, Ride, Rim, Shaker, Snare, Tom};

/// Four to the floor.
pub const FLOOR: Groove = Groove {
    beats: 4,
    strokes: &[
        (0.0, Kick, 1.0, 1.0),
        (1.0, Kick, 1.0, 1.0),
        (2.0, Kick, 1.0, 1.0),
        (3.0, Kick, 1.0, 1.0),
        (1.0, Clap, 0.8, 1.0),
        (3.0, Clap, 0.8, 1.0),
        (0.5, Open, 0.6, 0.95),
        (1.5, Open, 0.6, 0.95),
        (2.5, Open, 0.6, 0.95),
        (3.5, Open, 0.6, 0.95),
        (0.25, Hat, 0.3, 0.7),
        (0.75, Hat, 0.3, 0.7),
        (1.25, Hat, 0.3, 0.7),
        (1.75, Hat, 0.3, 0.7),
        (2.25, Hat, 0.3, 0.7),
        (2.75, Hat, 0.3, 0.7),
        (3.25, Hat, 0.3, 0.7),
        (3.75, Hat, 0.35, 0.8),
    ],
};

/// Rock: snare on two and four, eighths on the hat.
pub const BACKBEAT: Groove = Groove {
    beats: 4,
    strokes: &[
        (0.0, Kick, 1.0, 1.0),
        (1.5, Kick, 0.7, 0.4),
        (2.0, Kick, 0.9, 0.9),
        (2.5, Kick, 0.8, 0.5),
        (1.0, Snare, 1.0, 1.0),
        (3.0, Snare, 1.0, 1.0),
        (3.75, Snare, 0.3, 0.2),
        (0.0, Hat, 0.7, 1.0),
        (0.5, Hat, 0.5, 1.0),
        (1.0, Hat, 0.7, 1.0),
        (1.5, Hat, 0.5, 1.0),
        (2.0, Hat, 0.7, 1.0),
        (2.5, Hat, 0.5, 1.0),
        (3.0, Hat, 0.7, 1.0),
        (3.5, Open, 0.5, 0.5),
    ],
};

/// Broken beat: slow, kicks between the beats.
pub const BROKEN: Groove = Groove {
    beats: 4,
    strokes: &[
        (0.0, Kick, 1.0, 1.0),
        (0.75, Kick, 0.7, 0.6),
        (2.25, Kick, 0.9, 0.9),
        (2.75, Kick, 0.6, 0.4),
        (1.0, Snare, 0.9, 1.0),
        (3.0, Snare, 0.9, 1.0),
        (0.0, Hat, 0.6, 0.9),
        (0.25, Hat, 0.3, 0.5),
        (0.5, Hat, 0.5, 0.9),
        (1.0, Hat, 0.6, 0.9),
        (1.5, Hat, 0.5, 0.9),
        (1.75, Hat, 0.3, 0.5),
        (2.0, Hat, 0.6, 0.9),
        (2.5, Hat, 0.5, 0.9),
        (3.0, Hat, 0.6, 0.9),
        (3.5, Hat, 0.5, 0.9),
        (3.75, Hat, 0.4, 0.5),
    ],
};

/// Swing: ride and brushes.
pub const SWING: Groove = Groove {
    beats: 4,
    strokes: &[
        (0.0, Ride, 0.7, 1.0),
        (1.0, Ride, 0.8, 1.0),
        (1.5, Ride, 0.5, 0.9),
        (2.0, Ride, 0.7, 1.0),
        (3.0, Ride, 0.8, 1.0),
        (3.5, Ride, 0.5, 0.9),
        (1.0, Hat, 0.5, 1.0),
        (3.0, Hat, 0.5, 1.0),
        (0.0, Kick, 0.35, 0.7),
        (2.0, Kick, 0.3, 0.5),
        (1.5, Brush, 0.4, 0.3),
        (2.5, Brush, 0.5, 0.3),
        (3.5, Brush, 0.5, 0.4),
        (0.0, Brush, 0.4, 0.8),
        (2.0, Brush, 0.4, 0.8),
    ],
};

/// Folk: soft kick, side stick, shaker.
pub const LIGHT: Groove = Groove {
    beats: 4,
    strokes: &[
        (0.0, Kick, 0.6, 1.0),
        (2.0, Kick, 0.5, 0.8),
        (1.0, Rim, 0.5, 1.0),
        (3.0, Rim, 0.5, 1.0),
        (0.0, Shaker, 0.5, 1.0),
        (0.5, Shaker, 0.35, 1.0),
        (1.0, Shaker, 0.5, 1.0),
        (1.5, Shaker, 0.35, 1.0),
        (2.0, Shaker, 0.5, 1.0),
        (2.5, Shaker, 0.35, 1.0),
        (3.0, Shaker, 0.5, 1.0),
        (3.5, Shaker, 0.35, 1.0),
    ],
};

/// Three in a bar, brushes.
pub const WALTZ: Groove = Groove {
    beats: 3,
    strokes: &[
        (0.0, Kick, 0.7, 1.0),
        (1.0, Brush, 0.5, 1.0),
        (2.0, Brush, 0.5, 1.0),
        (0.0, Ride, 0.5, 0.8),
        (1.0, Ride, 0.4, 0.8),
        (2.0, Ride, 0.45, 0.8),
    ],
};

/// The last beat before a new section.
pub const FILL: [Stroke; 4] = [
    (0.0, Snare, 0.7, 1.0),
    (0.25, Tom(2), 0.8, 1.0),
    (0.5, Tom(1), 0.8, 1.0),
    (0.75, Tom(0), 0.9, 1.0),
];

/// One hit: replaces `out` by its sound, mono.
pub fn hit(piece: Piece, force: f32, patch: &Patch, seed: u64, rate: f64, out: &mut Vec<f32>) {
    out.clear();
    let tune = 2f32.powf(0.25 * patch.bright);
    match piece {
        Piece::Kick => drum(
            &Skin { hz: 52.0 * tune, bend: 3.5, bend_s: 0.022, ring_s: 0.11, click: 0.5 },
            0.85,
            seed,
            rate,
            out,
        ),
        Piece::Tom(n) => {
            let hz = [95.0, 135.0, 180.0][usize::from(n.min(2))] * tune;
            drum(
                &Skin { hz, bend: 0.6, bend_s: 0.05, ring_s: 0.14, click: 0.2 },
                0.7,
                seed,
                rate,
                out,
            );
        }
        Piece::Snare => {
            drum(
                &Skin { hz: 185.0 * tune, bend: 0.5, bend_s: 0.02, ring_s: 0.06, click: 0.3 },
                0.4,
                seed,
                rate,
                out,
            );
            hiss(
                &Wires {
                    low_hz: 1500.0,
                    high_hz: 7500.0,
                    rise_s: 0.0,
                    fall_s: 0.075 + 0.02 * patch.soft,
                    level: 0.6,
                },
                seed,
                rate,
                out,
            );
        }
        Piece::Brush => hiss(
            &Wires { low_hz: 900.0, high_hz: 5000.0, rise_s: 0.03, fall_s: 0.07, level: 0.35 },
            seed,
            rate,
            out,
        ),
        Piece::Rim => drum(
            &Skin { hz: 820.0 * tune, bend: 0.6, bend_s: 0.006, ring_s: 0.02, click: 0.5 },
            0.5,
            seed,
            rate,
            out,
        ),
        Piece::Clap => {
            for late in [0.0, 0.011, 0.023] {
                let start = (late * rate) as usize;
                let mut one = Vec::new();
                hiss(
                    &Wires {
                        low_hz: 900.0,
                        high_hz: 3500.0,
                        rise_s: 0.0,
                        fall_s: if late > 0.02 { 0.09 } else { 0.008 },
                        level: 0.7,
                    },
                    seed ^ start as u64,
                    rate,
                    &mut one,
                );
                add(&one, start, out);
            }
        }
        Piece::Hat => cymbal(7000.0, 0.03 + 0.01 * patch.soft, 0.32, seed, rate, out),
        Piece::Open => cymbal(6500.0, 0.16, 0.3, seed, rate, out),
        Piece::Ride => cymbal(5200.0, 0.32, 0.24, seed, rate, out),
        Piece::Crash => cymbal(4200.0, 0.7, 0.4, seed, rate, out),
        Piece::Low | Piece::High | Piece::Jingle => frame(piece, patch, seed, rate, out),
        Piece::Shaker => hiss(
            &Wires { low_hz: 4500.0, high_hz: 9000.0, rise_s: 0.02, fall_s: 0.03, level: 0.22 },
            seed,
            rate,
            out,
        ),
    }
    for x in out.iter_mut() {
        *x *= force;
    }
}

/// A frame drum: a thin skin on a wide ring, ringing when struck in the middle.
fn frame(piece: Piece, patch: &Patch, seed: u64, rate: f64, out: &mut Vec<f32>) {
    let tune = 2f32.powf(0.3 * patch.bright);
    match piece {
        Piece::Low => {
            let hz = 82.0 * tune;
            let skin = Skin { hz, bend: 0.25, bend_s: 0.03, ring_s: 0.16, click: 0.15 };
            drum(&skin, 0.8, seed, rate, out);
        }
        Piece::High => {
            let hz = 390.0 * tune;
            let skin = Skin { hz, bend: 0.3, bend_s: 0.008, ring_s: 0.035, click: 0.6 };
            drum(&skin, 0.5, seed, rate, out);
            let (low_hz, high_hz) = (1200.0, 5000.0);
            let rim = Wires { low_hz, high_hz, rise_s: 0.0, fall_s: 0.02, level: 0.4 };
            hiss(&rim, seed, rate, out);
        }
        _ => cymbal(6000.0, 0.07 + 0.02 * patch.soft, 0.25, seed, rate, out),
    }
}

/// A membrane: a sine that falls in pitch, with a click.
struct Skin {
    hz: f32,
    /// How much higher it starts, as a share.
    bend: f32,
    bend_s: f32,
    ring_s: f32,
    click: f32,
}

fn drum(skin: &Skin, level: f32, seed: u64, rate: f64, out: &mut Vec<f32>) {
    let frames = (f64::from(skin.ring_s) * 7.0 * rate) as usize;
    let rate_f = rate as f32;
    let mut noise = Noise::new(seed);
    let mut beater = OnePole::new(3000.0, rate);
    let mut phase = 0.0f32;
    out.resize(frames.max(out.len()), 0.0);
    for (index, x) in out.iter_mut().enumerate().take(frames) {
        let t = index as f32 / rate_f;
        phase += skin.hz * (1.0 + skin.bend * (-t / skin.bend_s).exp()) / rate_f;
        phase -= phase.floor();
        let body = turn(phase) * (-t / skin.ring_s).exp() * (t / 0.001).min(1.0);
        let click = skin.click * (-t / 0.003).exp() * beater.low(noise.sample());
        *x += level * (body + click);
    }
}

/// A band of noise with a rise and a fall.
struct Wires {
    low_hz: f32,
    high_hz: f32,
    rise_s: f32,
    fall_s: f32,
    level: f32,
}

fn hiss(wires: &Wires, seed: u64, rate: f64, out: &mut Vec<f32>) {
    let frames = (f64::from(wires.rise_s + 7.0 * wires.fall_s) * rate) as usize;
    let mut noise = Noise::new(seed ^ 0x517e);
    let (mut high, mut low) =
        (Svf::new(wires.low_hz, 0.7, rate), Svf::new(wires.high_hz, 0.7, rate));
    let rate_f = rate as f32;
    out.resize(frames.max(out.len()), 0.0);
    for (index, x) in out.iter_mut().enumerate().take(frames) {
        let t = index as f32 / rate_f;
        let level = if t < wires.rise_s {
            t / wires.rise_s
        } else {
            (-(t - wires.rise_s) / wires.fall_s).exp()
        };
        *x += wires.level * level * low.low(high.high(noise.sample()));
    }
}

/// Six square waves at clashing pitches and noise, above `above_hz`.
fn cymbal(above_hz: f32, ring_s: f32, level: f32, seed: u64, rate: f64, out: &mut Vec<f32>) {
    let above_hz = above_hz.min(0.33 * rate as f32);
    let frames = (f64::from(ring_s) * 6.0 * rate) as usize;
    let rate_f = rate as f32;
    let mut noise = Noise::new(seed ^ 0xc1a5);
    let mut cut = Svf::new(above_hz, 0.9, rate);
    let steps = [263.0, 400.0, 421.0, 474.0, 587.0, 845.0f32].map(|hz| 1.6 * hz / rate_f);
    let mut phases = [0.0f32; 6];
    out.reserve(frames);
    for index in 0..frames {
        let t = index as f32 / rate_f;
        let mut metal = 0.0;
        for (phase, step) in phases.iter_mut().zip(steps) {
            *phase += step;
            if *phase >= 1.0 {
                *phase -= 1.0;
            }
            metal += if *phase < 0.5 { 0.16 } else { -0.16 };
        }
        let fall = 0.7 * (-t / ring_s).exp() + 0.3 * (-t / (0.2 * ring_s)).exp();
        out.push(level * fall * cut.high(metal + 0.5 * noise.sample()));
    }
}

/// Adds `one` from `start` on, growing `out` as needed.
fn add(one: &[f32], start: usize, out: &mut Vec<f32>) {
    out.resize(out.len().max(start + one.len()), 0.0);
    for (x, y) in out[start..].iter_mut().zip(one) {
        *x += y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::rms;
    use crate::rng::Rng;

    /// Zero crossings per second, a crude centre of the spectrum.
    fn crossings(wave: &[f32], rate: f64) -> f64 {
        let n = wave.windows(2).filter(|w| (w[0] < 0.0) != (w[1] < 0.0)).count();
        n as f64 / (wave.len() as f64 / rate)
    }

    #[test]
    fn a_kick_is_low_a_hat_is_high_and_a_snare_lies_between() {
        let patch = Patch::draw(&mut Rng::new(1, "kit", &[]));
        let bright = |piece| {
            let mut out = Vec::new();
            hit(piece, 1.0, &patch, 3, 44_100.0, &mut out);
            assert!(out.iter().all(|x| x.is_finite() && x.abs() < 1.6), "{piece:?}");
            crossings(&out[..2205.min(out.len())], 44_100.0)
        };
        let (kick, snare, hat) = (bright(Kick), bright(Snare), bright(Hat));
        assert!(
            kick < 700.0 && kick < snare && snare < hat && hat > 8000.0,
            "{kick} {snare} {hat}"
        );
    }

    #[test]
    fn every_piece_dies_away() {
        let patch = Patch::draw(&mut Rng::new(2, "kit", &[]));
        for piece in
            [Kick, Snare, Brush, Rim, Clap, Hat, Open, Ride, Piece::Crash, Tom(0), Tom(2), Shaker]
                .into_iter()
                .chain([Piece::Low, Piece::High, Piece::Jingle])
        {
            let mut out = Vec::new();
            hit(piece, 1.0, &patch, 9, 16_000.0, &mut out);
            let n = out.len();
            assert!(rms(&out[n - n / 10..]) < 0.05 * rms(&out[..n / 2]), "{piece:?}");
        }
    }
}
