//! Popular and art music of Europe and America, much simplified: nine styles, 44 line-ups.

use crate::culture::{Band, Culture, Role, Scale, Seat, Style, Walk};
use crate::drums::{BACKBEAT, BROKEN, FLOOR, LIGHT, SWING, WALTZ};
use crate::texture::Place;
use crate::voices::Family;
use Family::{
    Bells, Blip, Brass, Choir, Electric, Fiddle, Flute, Guitar, Harp, Kit, Lead, Organ, Overdrive,
    Pad, Piano, Singer, Strings, Sub, Texture, Upright,
};
use Role::{Ambience, Arpeggio, Bass, Chords, Comp, Counter, Drone, Drums, Melody, Riff, Strum};

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

const fn seat(family: Family, role: Role, gain_db: f64, from: f64) -> Seat {
    Seat { family, role, gain_db, from }
}

const fn band(copies: u32, seats: &'static [Seat]) -> Band {
    Band { copies, seats }
}

const FOLK: &[Band] = &[
    band(
        3,
        &[
            seat(Guitar, Strum, -3.0, 0.0),
            seat(Singer, Melody, 0.0, 0.5),
            seat(Upright, Bass(Walk::Fifth), -3.0, 0.6),
            seat(Kit, Drums, -6.0, 0.75),
        ],
    ),
    band(2, &[seat(Guitar, Arpeggio, -1.0, 0.0), seat(Flute, Melody, 1.0, 0.4)]),
    band(
        2,
        &[
            seat(Guitar, Arpeggio, -2.0, 0.0),
            seat(Fiddle, Melody, -1.0, 0.4),
            seat(Upright, Bass(Walk::Fifth), -3.0, 0.7),
        ],
    ),
    band(
        1,
        &[
            seat(Harp, Arpeggio, 0.0, 0.0),
            seat(Flute, Melody, 0.0, 0.4),
            seat(Strings, Chords, -9.0, 0.8),
        ],
    ),
    band(
        1,
        &[
            seat(Guitar, Strum, -3.0, 0.0),
            seat(Singer, Melody, -1.0, 0.4),
            seat(Choir, Chords, -8.0, 0.8),
            seat(Electric, Bass(Walk::Fifth), -3.0, 0.6),
            seat(Kit, Drums, -5.0, 0.6),
        ],
    ),
];

const CLASSICAL: &[Band] = &[
    band(
        3,
        &[
            seat(Strings, Chords, -4.0, 0.0),
            seat(Fiddle, Melody, -1.0, 0.5),
            seat(Strings, Counter, -5.0, 0.7),
        ],
    ),
    band(
        2,
        &[
            seat(Strings, Chords, -6.0, 0.5),
            seat(Flute, Melody, 1.0, 0.0),
            seat(Harp, Arpeggio, -3.0, 0.0),
        ],
    ),
    band(
        2,
        &[
            seat(Piano, Arpeggio, -3.0, 0.0),
            seat(Strings, Chords, -6.0, 0.7),
            seat(Fiddle, Melody, -1.0, 0.4),
        ],
    ),
    band(
        1,
        &[
            seat(Strings, Chords, -4.0, 0.0),
            seat(Brass, Melody, -2.0, 0.5),
            seat(Strings, Counter, -6.0, 0.8),
        ],
    ),
    band(1, &[seat(Piano, Arpeggio, -2.0, 0.0), seat(Flute, Melody, 1.0, 0.4)]),
];

const RECITAL: &[Band] = &[
    band(3, &[seat(Piano, Arpeggio, -4.0, 0.0), seat(Piano, Melody, 0.0, 0.0)]),
    band(3, &[seat(Guitar, Arpeggio, -3.0, 0.0), seat(Guitar, Melody, 0.0, 0.0)]),
    band(2, &[seat(Harp, Arpeggio, -3.0, 0.0), seat(Harp, Melody, 0.0, 0.0)]),
    band(1, &[seat(Fiddle, Melody, 0.0, 0.0)]),
    band(1, &[seat(Flute, Melody, 0.0, 0.0)]),
    band(2, &[seat(Organ, Chords, -4.0, 0.0), seat(Organ, Melody, 0.0, 0.0)]),
];

const AMBIENT: &[Band] = &[
    band(
        3,
        &[
            seat(Pad, Chords, 0.0, 0.0),
            seat(Texture, Ambience(Place::Wind), -5.0, 0.0),
            seat(Bells, Melody, -3.0, 0.6),
        ],
    ),
    band(
        2,
        &[
            seat(Pad, Chords, -2.0, 0.0),
            seat(Choir, Chords, -5.0, 0.5),
            seat(Sub, Drone, -5.0, 0.0),
        ],
    ),
    band(
        2,
        &[
            seat(Pad, Drone, -5.0, 0.0),
            seat(Piano, Melody, -1.0, 0.0),
            seat(Texture, Ambience(Place::Surf), -8.0, 0.0),
        ],
    ),
    band(
        1,
        &[
            seat(Pad, Chords, -3.0, 0.0),
            seat(Guitar, Arpeggio, -3.0, 0.5),
            seat(Texture, Ambience(Place::Rain), -6.0, 0.0),
        ],
    ),
    band(
        1,
        &[
            seat(Pad, Drone, -2.0, 0.0),
            seat(Flute, Melody, -1.0, 0.4),
            seat(Texture, Ambience(Place::Wind), -5.0, 0.0),
        ],
    ),
];

const DANCE: &[Band] = &[
    band(
        3,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Sub, Bass(Walk::Offbeat), -3.0, 0.5),
            seat(Blip, Arpeggio, -5.0, 0.0),
            seat(Pad, Chords, -9.0, 0.0),
            seat(Lead, Melody, -5.0, 0.85),
        ],
    ),
    band(
        2,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Sub, Bass(Walk::Eighths), -3.0, 0.5),
            seat(Blip, Arpeggio, -6.0, 0.0),
            seat(Singer, Melody, -3.0, 0.6),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Sub, Bass(Walk::Offbeat), -3.0, 0.5),
            seat(Piano, Comp, -5.0, 0.0),
            seat(Lead, Melody, -6.0, 0.8),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Sub, Bass(Walk::Eighths), -2.0, 0.4),
            seat(Lead, Comp, -6.0, 0.0),
            seat(Strings, Chords, -9.0, 0.7),
        ],
    ),
];

const ROCK: &[Band] = &[
    band(
        3,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Overdrive, Riff, -4.0, 0.0),
            seat(Electric, Bass(Walk::Eighths), -4.0, 0.4),
            seat(Singer, Melody, -2.0, 0.55),
        ],
    ),
    band(
        2,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Overdrive, Riff, -5.0, 0.0),
            seat(Electric, Bass(Walk::Eighths), -4.0, 0.4),
            seat(Overdrive, Melody, -3.0, 0.8),
        ],
    ),
    band(
        2,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Guitar, Strum, -3.0, 0.0),
            seat(Electric, Bass(Walk::Eighths), -4.0, 0.5),
            seat(Singer, Melody, -1.0, 0.5),
            seat(Organ, Chords, -9.0, 0.7),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, 0.0, 0.3),
            seat(Overdrive, Riff, -5.0, 0.0),
            seat(Electric, Bass(Walk::Fifth), -4.0, 0.4),
            seat(Organ, Comp, -6.0, 0.5),
        ],
    ),
    band(
        2,
        &[
            seat(Kit, Drums, -2.0, 0.4),
            seat(Piano, Comp, -4.0, 0.0),
            seat(Guitar, Strum, -6.0, 0.3),
            seat(Electric, Bass(Walk::Fifth), -4.0, 0.3),
            seat(Singer, Melody, 0.0, 0.4),
        ],
    ),
];

const JAZZ: &[Band] = &[
    band(
        3,
        &[
            seat(Piano, Comp, -4.0, 0.0),
            seat(Upright, Bass(Walk::Steps), -2.0, 0.0),
            seat(Kit, Drums, -4.0, 0.5),
            seat(Brass, Melody, -2.0, 0.5),
        ],
    ),
    band(
        1,
        &[
            seat(Guitar, Comp, -3.0, 0.0),
            seat(Upright, Bass(Walk::Steps), -2.0, 0.0),
            seat(Kit, Drums, -4.0, 0.5),
            seat(Flute, Melody, 0.0, 0.5),
        ],
    ),
    band(
        2,
        &[
            seat(Piano, Comp, -5.0, 0.0),
            seat(Piano, Melody, -1.0, 0.0),
            seat(Upright, Bass(Walk::Steps), -2.0, 0.0),
            seat(Kit, Drums, -5.0, 0.4),
        ],
    ),
    band(
        1,
        &[
            seat(Organ, Comp, -5.0, 0.0),
            seat(Guitar, Melody, 0.0, 0.4),
            seat(Kit, Drums, -3.0, 0.3),
        ],
    ),
    band(
        1,
        &[
            seat(Piano, Comp, -5.0, 0.0),
            seat(Singer, Melody, -1.0, 0.4),
            seat(Upright, Bass(Walk::Steps), -3.0, 0.0),
            seat(Brass, Counter, -8.0, 0.8),
        ],
    ),
];

const CHORAL: &[Band] = &[
    band(2, &[seat(Choir, Chords, 0.0, 0.0), seat(Organ, Chords, -8.0, 0.5)]),
    band(2, &[seat(Choir, Chords, -2.0, 0.0), seat(Choir, Melody, 0.0, 0.5)]),
    band(1, &[seat(Organ, Chords, -5.0, 0.0), seat(Choir, Melody, 0.0, 0.4)]),
    band(
        1,
        &[
            seat(Singer, Melody, 0.0, 0.0),
            seat(Harp, Arpeggio, -3.0, 0.0),
            seat(Choir, Chords, -7.0, 0.7),
        ],
    ),
    band(
        1,
        &[
            seat(Choir, Chords, -1.0, 0.0),
            seat(Strings, Chords, -6.0, 0.5),
            seat(Brass, Counter, -7.0, 0.8),
        ],
    ),
];

const DOWNTEMPO: &[Band] = &[
    band(
        2,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Sub, Bass(Walk::Root), -3.0, 0.3),
            seat(Pad, Chords, -5.0, 0.0),
            seat(Bells, Melody, -4.0, 0.5),
        ],
    ),
    band(
        2,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Electric, Bass(Walk::Fifth), -3.0, 0.3),
            seat(Piano, Comp, -4.0, 0.0),
            seat(Lead, Melody, -7.0, 0.7),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Sub, Bass(Walk::Root), -3.0, 0.3),
            seat(Pad, Chords, -5.0, 0.0),
            seat(Singer, Melody, -1.0, 0.5),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, -2.0, 0.4),
            seat(Electric, Bass(Walk::Root), -3.0, 0.3),
            seat(Guitar, Arpeggio, -3.0, 0.0),
            seat(Strings, Chords, -7.0, 0.6),
            seat(Texture, Ambience(Place::Rain), -12.0, 0.0),
        ],
    ),
    band(
        1,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Sub, Bass(Walk::Offbeat), -3.0, 0.3),
            seat(Blip, Arpeggio, -4.0, 0.0),
            seat(Choir, Chords, -8.0, 0.7),
        ],
    ),
];

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
