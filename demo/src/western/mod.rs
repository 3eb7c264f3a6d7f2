//! Popular and art music of Europe and America, much simplified: nine styles, 45 line-ups.

mod bands;

use crate::culture::{Culture, Scale, Style};
use crate::drums::{BACKBEAT, BROKEN, FLOOR, LIGHT, SWING, WALTZ};
use bands::{AMBIENT, CHORAL, CLASSICAL, DANCE, DOWNTEMPO, FOLK, JAZZ, RECITAL, ROCK};

const MAJOR: Scale =
    Scale { steps: &[0.0, 2.0, 4.0, 5.0, 7.0, 9.0, 11.0], minor: false, raised: None };
const MIXOLYDIAN: Scale =
    Scale { steps: &[0.0, 2.0, 4.0, 5.0, 7.0, 9.0, 10.0], minor: false, raised: None };
const MINOR: Scale =
    Scale { steps: &[0.0, 2.0, 3.0, 5.0, 7.0, 8.0, 10.0], minor: true, raised: Some(6) };
const DORIAN: Scale =
    Scale { steps: &[0.0, 2.0, 3.0, 5.0, 7.0, 9.0, 10.0], minor: true, raised: None };

const POP: &[&[i32]] = &[&[0, 4, 5, 3], &[0, 5, 3, 4], &[5, 3, 0, 4], &[0, 3, 4, 3], &[0, 3, 0, 4]];
const POP_DARK: &[&[i32]] = &[&[0, 5, 2, 6], &[0, 6, 5, 6], &[0, 3, 5, 4], &[0, 2, 6, 5]];
const ART: &[&[i32]] = &[&[0, 3, 4, 0], &[0, 5, 1, 4], &[0, 4, 5, 2, 3, 0, 1, 4], &[0, 1, 4, 0]];
const ART_DARK: &[&[i32]] =
    &[&[0, 3, 4, 0], &[0, 5, 3, 4], &[0, 6, 2, 5, 3, 0, 4, 0], &[0, 3, 6, 4]];
const TURN: &[&[i32]] = &[&[1, 4, 0, 5], &[0, 5, 1, 4], &[1, 4, 0, 0], &[2, 5, 1, 4]];
const TURN_DARK: &[&[i32]] = &[&[0, 3, 4, 0], &[3, 6, 2, 5], &[0, 5, 1, 4]];
const STILL: &[&[i32]] = &[&[0, 3], &[0, 5], &[0, 1], &[0, 4, 3, 0]];

/// The culture of the demo corpus.
pub const WESTERN: Culture = Culture {
    name: "western",
    styles: &[
        Style {
            name: "folk",
            genres: &["folk"],
            bpm: (78.0, 136.0),
            metres: &[(4, 0.7), (3, 0.3)],
            scales: &[(&MAJOR, 0.6), (&MIXOLYDIAN, 0.1), (&DORIAN, 0.2), (&MINOR, 0.1)],
            bright: POP,
            dark: POP_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.015,
            level_db: (-27.0, -17.0),
            dynamics: 0.4,
            wet: (0.08, 0.22),
            grooves: &[&LIGHT, &WALTZ],
            bands: FOLK,
        },
        Style {
            name: "classical",
            genres: &["classical"],
            bpm: (56.0, 150.0),
            metres: &[(4, 0.7), (3, 0.3)],
            scales: &[(&MAJOR, 0.55), (&MINOR, 0.45)],
            bright: ART,
            dark: ART_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.04,
            level_db: (-37.0, -20.0),
            dynamics: 0.7,
            wet: (0.2, 0.4),
            grooves: &[],
            bands: CLASSICAL,
        },
        Style {
            name: "recital",
            genres: &["classical"],
            bpm: (54.0, 152.0),
            metres: &[(4, 0.72), (3, 0.28)],
            scales: &[(&MAJOR, 0.5), (&MINOR, 0.5)],
            bright: ART,
            dark: ART_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.06,
            level_db: (-39.0, -21.0),
            dynamics: 0.7,
            wet: (0.1, 0.35),
            grooves: &[],
            bands: RECITAL,
        },
        Style {
            name: "ambient",
            genres: &["ambient"],
            bpm: (50.0, 78.0),
            metres: &[(4, 1.0)],
            scales: &[(&MAJOR, 0.4), (&DORIAN, 0.3), (&MINOR, 0.3)],
            bright: STILL,
            dark: STILL,
            chord_bars: 2,
            sevenths: true,
            swing: 0.0,
            rubato: 0.03,
            level_db: (-40.0, -23.0),
            dynamics: 0.3,
            wet: (0.35, 0.6),
            grooves: &[],
            bands: AMBIENT,
        },
        Style {
            name: "dance",
            genres: &["dance", "electronic"],
            bpm: (126.0, 148.0),
            metres: &[(4, 1.0)],
            scales: &[(&MINOR, 0.6), (&DORIAN, 0.15), (&MAJOR, 0.25)],
            bright: POP,
            dark: POP_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.0,
            level_db: (-16.0, -9.5),
            dynamics: 0.15,
            wet: (0.08, 0.2),
            grooves: &[&FLOOR],
            bands: DANCE,
        },
        Style {
            name: "rock",
            genres: &["rock"],
            bpm: (80.0, 172.0),
            metres: &[(4, 1.0)],
            scales: &[(&MINOR, 0.4), (&MIXOLYDIAN, 0.3), (&MAJOR, 0.3)],
            bright: POP,
            dark: POP_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.005,
            level_db: (-19.0, -10.0),
            dynamics: 0.2,
            wet: (0.06, 0.16),
            grooves: &[&BACKBEAT],
            bands: ROCK,
        },
        Style {
            name: "jazz",
            genres: &["jazz"],
            bpm: (84.0, 190.0),
            metres: &[(4, 0.85), (3, 0.15)],
            scales: &[(&MAJOR, 0.55), (&MINOR, 0.25), (&DORIAN, 0.2)],
            bright: TURN,
            dark: TURN_DARK,
            chord_bars: 1,
            sevenths: true,
            swing: 1.0 / 3.0,
            rubato: 0.01,
            level_db: (-23.0, -15.0),
            dynamics: 0.4,
            wet: (0.08, 0.2),
            grooves: &[&SWING, &WALTZ],
            bands: JAZZ,
        },
        Style {
            name: "choral",
            genres: &["choral"],
            bpm: (52.0, 92.0),
            metres: &[(4, 0.8), (3, 0.2)],
            scales: &[(&MAJOR, 0.5), (&MINOR, 0.5)],
            bright: ART,
            dark: ART_DARK,
            chord_bars: 1,
            sevenths: false,
            swing: 0.0,
            rubato: 0.04,
            level_db: (-35.0, -19.0),
            dynamics: 0.5,
            wet: (0.35, 0.55),
            grooves: &[],
            bands: CHORAL,
        },
        Style {
            name: "downtempo",
            genres: &["electronic"],
            bpm: (70.0, 104.0),
            metres: &[(4, 1.0)],
            scales: &[(&MINOR, 0.45), (&DORIAN, 0.3), (&MAJOR, 0.25)],
            bright: POP,
            dark: POP_DARK,
            chord_bars: 1,
            sevenths: true,
            swing: 0.08,
            rubato: 0.0,
            level_db: (-21.0, -13.0),
            dynamics: 0.25,
            wet: (0.12, 0.3),
            grooves: &[&BROKEN],
            bands: DOWNTEMPO,
        },
    ],
};
