//! Line-ups of the nine styles: who plays what, how loud, and from which intensity of a section on.

use crate::culture::{Band, Role, Seat, Walk};
use crate::texture::Place;
use crate::voices::Family;
use Family::{
    Bells, Blip, Brass, Choir, Electric, Fiddle, Flute, Guitar, Harp, Kit, Lead, Organ, Overdrive,
    Pad, Piano, Singer, Strings, Sub, Texture, Upright,
};
use Role::{Ambience, Arpeggio, Bass, Chords, Comp, Counter, Drone, Drums, Melody, Riff, Strum};

const fn seat(family: Family, role: Role, gain_db: f64, from: f64) -> Seat {
    Seat { family, role, gain_db, from }
}

const fn band(copies: u32, seats: &'static [Seat]) -> Band {
    Band { copies, seats }
}

pub(super) const FOLK: &[Band] = &[
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

pub(super) const CLASSICAL: &[Band] = &[
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

pub(super) const RECITAL: &[Band] = &[
    band(3, &[seat(Piano, Arpeggio, -4.0, 0.0), seat(Piano, Melody, 0.0, 0.0)]),
    band(3, &[seat(Guitar, Arpeggio, -3.0, 0.0), seat(Guitar, Melody, 0.0, 0.0)]),
    band(2, &[seat(Harp, Arpeggio, -3.0, 0.0), seat(Harp, Melody, 0.0, 0.0)]),
    band(1, &[seat(Fiddle, Melody, 0.0, 0.0)]),
    band(1, &[seat(Flute, Melody, 0.0, 0.0)]),
    band(2, &[seat(Organ, Chords, -4.0, 0.0), seat(Organ, Melody, 0.0, 0.0)]),
];

pub(super) const AMBIENT: &[Band] = &[
    band(
        3,
        &[
            seat(Pad, Chords, 0.0, 0.0),
            seat(Texture, Ambience(Place::Wind), -5.0, 0.0),
            seat(Bells, Melody, -3.0, 0.0),
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

pub(super) const DANCE: &[Band] = &[
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

pub(super) const ROCK: &[Band] = &[
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

pub(super) const JAZZ: &[Band] = &[
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

pub(super) const CHORAL: &[Band] = &[
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

pub(super) const DOWNTEMPO: &[Band] = &[
    band(
        2,
        &[
            seat(Kit, Drums, -1.0, 0.4),
            seat(Sub, Bass(Walk::Root), -3.0, 0.3),
            seat(Pad, Chords, -5.0, 0.0),
            seat(Bells, Melody, -4.0, 0.3),
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
