//! A made-up music of one line over a drone: six modes, some with steps that are fractions of a semitone, cycles of five
//! to ten beats, five forms. Modes, cycles and forms carry invented names; no music of the world is meant.
//!
//! Two players of the tune read one theme, each with liberties of their own, so that they differ in passing. Nobody plays
//! chords: the degrees that a tune rests on are those of the drone.

mod bands;
mod cycles;

use crate::culture::{Culture, Scale, Style};
use crate::drums::Piece;
use crate::voices::Family;
use bands::{DANCE, PRELUDE, PROCESSION, SONG, SUITE};
use cycles::{EIGHT, FILL, FIVE, SEVEN, TEN};

const fn mode(steps: &'static [f64], tag: &'static str) -> Scale {
    Scale { steps, minor: false, raised: None, tag: Some(tag) }
}

/// A neutral second.
const DAWN: Scale = mode(&[0.0, 1.5, 3.0, 5.0, 7.0, 8.0, 10.0], "mode of dawn");
/// A low second and a wide step above it.
const EMBERS: Scale = mode(&[0.0, 1.0, 4.0, 5.0, 7.0, 8.0, 11.0], "mode of embers");
/// Neutral third and seventh.
const REEDS: Scale = mode(&[0.0, 2.0, 3.5, 5.0, 7.0, 9.0, 10.5], "mode of reeds");
/// A raised fourth.
const SALT: Scale = mode(&[0.0, 2.0, 4.0, 6.0, 7.0, 9.0, 11.0], "mode of salt");
/// Five degrees.
const WELL: Scale = mode(&[0.0, 3.0, 5.0, 7.0, 10.0], "mode of the well");
/// Six degrees, most of them between the keys of a piano.
const GLASS: Scale = mode(&[0.0, 2.4, 3.6, 5.5, 7.0, 9.6], "mode of glass");

/// The tonic sounds throughout; at times the tune leans on the fourth degree.
const STILL: &[&[i32]] = &[&[0], &[0], &[0, 0, 3, 0]];

/// The vocabulary in column order.
const TAGS: [&str; 23] = [
    "lute",
    "drone",
    "reed",
    "voice",
    "frame drum",
    "fiddle",
    "flute",
    "zither",
    "song",
    "dance",
    "prelude",
    "procession",
    "suite",
    "cycle of five",
    "cycle of seven",
    "cycle of eight",
    "cycle of ten",
    "mode of dawn",
    "mode of embers",
    "mode of reeds",
    "mode of salt",
    "mode of the well",
    "mode of glass",
];

/// Modes close to one another are told apart by fewer listeners.
const SELDOM: [(&str, f64); 3] =
    [("mode of dawn", 0.85), ("mode of reeds", 0.85), ("cycle of ten", 0.9)];

/// What a listener calls an instrument.
const INSTRUMENTS: [(Family, &[&str]); 8] = [
    (Family::Lute, &["lute"]),
    (Family::Hum, &["drone"]),
    (Family::Reed, &["reed"]),
    (Family::Singer, &["voice"]),
    (Family::Frame, &["frame drum"]),
    (Family::Fiddle, &["fiddle"]),
    (Family::Flute, &["flute"]),
    (Family::Harp, &["zither"]),
];

/// What a listener calls the cycles of the frame drum.
const CYCLES: [(u32, &str); 4] =
    [(5, "cycle of five"), (7, "cycle of seven"), (8, "cycle of eight"), (10, "cycle of ten")];

/// Forms share all but tempo, cycles and line-ups.
const FORM: Style = Style {
    name: "",
    genres: &[],
    bpm: (60.0, 60.0),
    metres: &[],
    scales: &[],
    bright: STILL,
    dark: STILL,
    chord_bars: 1,
    sevenths: false,
    swing: 0.0,
    rubato: 0.01,
    level_db: (-29.0, -17.0),
    dynamics: 0.4,
    wet: (0.06, 0.25),
    grooves: &[&FIVE, &SEVEN, &EIGHT, &TEN],
    fill: &FILL,
    accent: Piece::Low,
    bands: &[],
};

/// The culture of the second demo corpus.
pub const MODAL: Culture = Culture {
    name: "modal",
    tags: &TAGS,
    seldom: &SELDOM,
    instruments: &INSTRUMENTS,
    cycles: &CYCLES,
    styles: &[
        Style {
            name: "prelude",
            genres: &["prelude"],
            bpm: (52.0, 84.0),
            metres: &[(4, 1.0)],
            scales: &[(&DAWN, 0.3), (&REEDS, 0.3), (&GLASS, 0.2), (&EMBERS, 0.2)],
            rubato: 0.12,
            level_db: (-35.0, -22.0),
            wet: (0.15, 0.4),
            grooves: &[],
            bands: PRELUDE,
            ..FORM
        },
        Style {
            name: "song",
            genres: &["song"],
            bpm: (130.0, 190.0),
            metres: &[(10, 0.6), (8, 0.4)],
            scales: &[(&DAWN, 0.25), (&REEDS, 0.25), (&WELL, 0.25), (&EMBERS, 0.25)],
            bands: SONG,
            ..FORM
        },
        Style {
            name: "dance",
            genres: &["dance"],
            bpm: (240.0, 340.0),
            metres: &[(7, 0.6), (5, 0.4)],
            scales: &[(&SALT, 0.35), (&WELL, 0.35), (&EMBERS, 0.3)],
            level_db: (-20.0, -11.0),
            dynamics: 0.2,
            bands: DANCE,
            ..FORM
        },
        Style {
            name: "procession",
            genres: &["procession"],
            bpm: (120.0, 160.0),
            metres: &[(8, 0.5), (5, 0.5)],
            scales: &[(&WELL, 0.3), (&SALT, 0.3), (&GLASS, 0.4)],
            level_db: (-18.0, -10.0),
            dynamics: 0.15,
            bands: PROCESSION,
            ..FORM
        },
        Style {
            name: "suite",
            genres: &["suite"],
            bpm: (150.0, 230.0),
            metres: &[(10, 0.5), (7, 0.5)],
            scales: &[(&REEDS, 0.25), (&DAWN, 0.25), (&SALT, 0.25), (&GLASS, 0.25)],
            bands: SUITE,
            ..FORM
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composer::{Order, compose};
    use crate::drums::Groove;
    use crate::dsp::rms;
    use crate::performer::Performer;
    use crate::rng::Rng;
    use crate::score::Line;
    use crate::voices::{Cue, Patch, play};
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_said_of_something_and_everything_has_a_word() {
        let mut said: BTreeSet<&str> = BTreeSet::new();
        for style in MODAL.styles {
            said.extend(style.genres);
            said.extend(style.scales.iter().filter_map(|s| s.0.tag));
            for &(beats, _) in style.metres.iter().filter(|_| !style.grooves.is_empty()) {
                let cycle = CYCLES.iter().find(|c| c.0 == beats).unwrap();
                assert!(style.grooves.iter().any(|g| g.beats == beats), "{} {beats}", style.name);
                said.insert(cycle.1);
            }
            for seat in style.bands.iter().flat_map(|band| band.seats) {
                said.extend(INSTRUMENTS.iter().find(|i| i.0 == seat.family).unwrap().1);
            }
        }
        assert_eq!(said, BTreeSet::from(TAGS));
    }

    #[test]
    fn modes_differ_by_a_quarter_tone_at_least_and_some_leave_the_keys_of_a_piano() {
        let modes = [&DAWN, &EMBERS, &REEDS, &SALT, &WELL, &GLASS];
        for (i, a) in modes.iter().enumerate() {
            assert!(a.steps.windows(2).all(|w| w[1] - w[0] >= 0.9), "{:?}", a.tag);
            for b in &modes[i + 1..] {
                let far = |x: &f64| b.steps.iter().all(|y| (x - y).abs() >= 0.4);
                assert!(a.steps.iter().any(far), "{:?} {:?}", a.tag, b.tag);
            }
        }
        let between = modes.iter().filter(|m| m.steps.iter().any(|s| s.fract() != 0.0)).count();
        assert_eq!(between, 3);
    }

    #[test]
    fn every_note_lies_on_a_degree_of_its_mode_above_the_tonic_of_the_drone() {
        for (index, style) in MODAL.styles.iter().enumerate() {
            let performer = Performer::new(4, index, "x".into(), index, style);
            for band in 0..style.bands.len() {
                let metre = style.metres[0].0;
                let order = Order { band, metre, pace: 0.5, seed: 3, seconds: 30.0 };
                let score = compose(style, &performer, &order);
                let mode = style.scales.iter().find(|s| s.0.tag == score.mode).unwrap().0;
                let hum = score.parts.iter().find(|part| part.family == Family::Hum);
                let Some(hum) = hum else { continue };
                let Line::Notes(held) = &hum.line else { panic!("a drone is made of notes") };
                let tonic = held.iter().map(|n| n.pitch).fold(f64::INFINITY, f64::min);
                for part in &score.parts {
                    if let (Line::Notes(notes), true) = (&part.line, part.family != Family::Hum) {
                        for note in notes {
                            let above = (note.pitch - tonic).rem_euclid(12.0);
                            let on = |s: &f64| {
                                let apart = (above - s).rem_euclid(12.0);
                                apart.min(12.0 - apart) < 1e-6
                            };
                            assert!(mode.steps.iter().any(on), "{} {above}", style.name);
                        }
                    }
                }
            }
        }
    }

    /// How bright a note is, by its mean partial (weighted by power) and by its zero crossings a period, and how much of
    /// it is left after half a second.
    fn timbre(family: Family, seed: u64) -> [f64; 3] {
        let (rate, hz) = (16_000.0, 466.0);
        let patch = Patch::draw(&mut Rng::new(seed, "patch", &[]));
        let cue = Cue { rate, hz, len_s: 0.7, force: 0.8, seed, patch };
        let mut wave = Vec::new();
        play(family, &cue, &mut wave);
        let body = &wave[1_000..10_000];
        let slopes: Vec<f32> = body.windows(2).map(|w| w[1] - w[0]).collect();
        let partial = rms(&slopes) / rms(body) * rate / (std::f64::consts::TAU * hz);
        let crossings = body.windows(2).filter(|w| (w[0] < 0.0) != (w[1] < 0.0)).count();
        let left = rms(&wave[8_000..10_000]) / rms(&wave[1_000..3_000]);
        [partial, crossings as f64 * rate / (body.len() as f64 * hz), left]
    }

    #[test]
    fn no_two_instruments_of_the_tune_are_alike_in_brightness_and_decay() {
        use Family::{Fiddle, Flute, Harp, Lute, Reed, Singer};
        let tune = [Lute, Reed, Fiddle, Flute, Harp, Singer];
        let means = tune.map(|family| {
            let all: Vec<[f64; 3]> = (0..8).map(|seed| timbre(family, seed)).collect();
            std::array::from_fn::<f64, 3, _>(|i| all.iter().map(|t| t[i]).sum::<f64>() / 8.0)
        });
        for (i, a) in means.iter().enumerate() {
            for (j, b) in means.iter().enumerate().skip(i + 1) {
                let apart = a.iter().zip(b).map(|(x, y)| (x / y).ln().abs()).fold(0.0, f64::max);
                assert!(apart > 0.2, "{:?} and {:?}: {a:?} {b:?}", tune[i], tune[j]);
            }
        }
    }

    #[test]
    fn the_low_strokes_of_a_cycle_tell_it_from_every_other() {
        let lows = |groove: &Groove| -> Vec<f64> {
            let bars = (0..3).flat_map(|bar| groove.strokes.iter().map(move |s| (bar, s)));
            let mut at: Vec<f64> = bars
                .filter(|(_, s)| s.1 == Piece::Low)
                .map(|(bar, s)| f64::from(bar * groove.beats) + s.0)
                .collect();
            at.sort_by(f64::total_cmp);
            at.windows(2).map(|w| w[1] - w[0]).collect()
        };
        let cycles = [&FIVE, &SEVEN, &EIGHT, &TEN];
        for (i, a) in cycles.iter().enumerate() {
            assert!(a.strokes.iter().all(|s| s.0 >= 0.0 && s.0 < f64::from(a.beats)));
            for b in &cycles[i + 1..] {
                let (a, b) = (lows(a), lows(b));
                assert!(a.iter().zip(&b).any(|(x, y)| x != y), "{a:?} {b:?}");
            }
        }
    }
}
