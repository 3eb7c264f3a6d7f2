//! Line-ups of the five forms. Most have a drone, and all keep to its tonic; two seats with the tune play it side by side.

use crate::culture::{Band, Role, Seat};
use crate::voices::Family;
use Family::{Fiddle, Flute, Frame, Harp, Hum, Lute, Reed, Singer};
use Role::{Arpeggio, Counter, Drone, Drums, Melody};

const fn seat(family: Family, role: Role, gain_db: f64, from: f64) -> Seat {
    Seat { family, role, gain_db, from }
}

const fn band(copies: u32, seats: &'static [Seat]) -> Band {
    Band { copies, seats }
}

pub(super) const PRELUDE: &[Band] = &[
    band(2, &[seat(Lute, Melody, 0.0, 0.0), seat(Hum, Drone, -7.0, 0.0)]),
    band(2, &[seat(Fiddle, Melody, -1.0, 0.0), seat(Hum, Drone, -6.0, 0.0)]),
    band(1, &[seat(Singer, Melody, 0.0, 0.0), seat(Hum, Drone, -6.0, 0.0)]),
    band(1, &[seat(Flute, Melody, 0.0, 0.0), seat(Hum, Drone, -7.0, 0.0)]),
    band(1, &[seat(Reed, Melody, 0.0, 0.0), seat(Hum, Drone, -7.0, 0.0)]),
];

pub(super) const SONG: &[Band] = &[
    band(
        2,
        &[
            seat(Singer, Melody, 0.0, 0.4),
            seat(Lute, Melody, -4.0, 0.0),
            seat(Frame, Drums, -3.0, 0.3),
            seat(Hum, Drone, -9.0, 0.0),
        ],
    ),
    band(
        2,
        &[
            seat(Singer, Melody, 0.0, 0.4),
            seat(Fiddle, Melody, -6.0, 0.5),
            seat(Harp, Arpeggio, -4.0, 0.0),
            seat(Frame, Drums, -3.0, 0.3),
            seat(Hum, Drone, -9.0, 0.0),
        ],
    ),
    band(1, &[seat(Singer, Melody, 0.0, 0.0), seat(Frame, Drums, -2.0, 0.0)]),
];

pub(super) const DANCE: &[Band] = &[
    band(
        3,
        &[seat(Reed, Melody, 0.0, 0.0), seat(Frame, Drums, -1.0, 0.0), seat(Hum, Drone, -8.0, 0.0)],
    ),
    band(
        2,
        &[seat(Lute, Melody, 0.0, 0.0), seat(Frame, Drums, -2.0, 0.0), seat(Hum, Drone, -9.0, 0.0)],
    ),
    band(
        2,
        &[
            seat(Fiddle, Melody, -2.0, 0.0),
            seat(Lute, Melody, -2.0, 0.5),
            seat(Frame, Drums, -1.0, 0.0),
            seat(Hum, Drone, -9.0, 0.0),
        ],
    ),
];

pub(super) const PROCESSION: &[Band] = &[
    band(
        3,
        &[
            seat(Reed, Melody, 0.0, 0.0),
            seat(Reed, Counter, -3.0, 0.6),
            seat(Frame, Drums, 1.0, 0.0),
        ],
    ),
    band(
        2,
        &[seat(Flute, Melody, 0.0, 0.0), seat(Frame, Drums, 0.0, 0.0), seat(Hum, Drone, -8.0, 0.0)],
    ),
];

pub(super) const SUITE: &[Band] = &[
    band(
        2,
        &[
            seat(Fiddle, Melody, -2.0, 0.0),
            seat(Harp, Melody, -3.0, 0.0),
            seat(Flute, Counter, -6.0, 0.6),
            seat(Frame, Drums, -4.0, 0.4),
            seat(Hum, Drone, -9.0, 0.0),
        ],
    ),
    band(
        2,
        &[
            seat(Flute, Melody, 0.0, 0.0),
            seat(Lute, Arpeggio, -3.0, 0.0),
            seat(Frame, Drums, -4.0, 0.3),
            seat(Hum, Drone, -9.0, 0.0),
        ],
    ),
    band(
        1,
        &[seat(Harp, Melody, 0.0, 0.0), seat(Frame, Drums, -5.0, 0.3), seat(Hum, Drone, -8.0, 0.0)],
    ),
];
