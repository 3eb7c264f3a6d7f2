//! The frame drum's cycles: low strokes open the groups of a cycle, high strokes fill them.

use crate::drums::{Groove, Piece, Stroke};
use Piece::{High, Jingle, Low};

/// Two and three.
pub(super) const FIVE: Groove = Groove {
    beats: 5,
    strokes: &[
        (0.0, Low, 1.0, 1.0),
        (2.0, Low, 0.8, 1.0),
        (1.0, High, 0.6, 0.9),
        (3.0, High, 0.7, 1.0),
        (4.0, High, 0.5, 0.8),
        (0.0, Jingle, 0.5, 0.8),
        (2.0, Jingle, 0.4, 0.8),
    ],
};

/// Three, two and two.
pub(super) const SEVEN: Groove = Groove {
    beats: 7,
    strokes: &[
        (0.0, Low, 1.0, 1.0),
        (3.0, Low, 0.8, 1.0),
        (5.0, Low, 0.8, 1.0),
        (1.0, High, 0.4, 0.5),
        (2.0, High, 0.7, 1.0),
        (4.0, High, 0.7, 1.0),
        (6.0, High, 0.7, 1.0),
        (6.5, High, 0.4, 0.4),
        (0.0, Jingle, 0.5, 0.9),
    ],
};

/// Three, three and two.
pub(super) const EIGHT: Groove = Groove {
    beats: 8,
    strokes: &[
        (0.0, Low, 1.0, 1.0),
        (3.0, Low, 0.8, 1.0),
        (6.0, Low, 0.9, 1.0),
        (2.0, High, 0.6, 0.9),
        (5.0, High, 0.6, 0.9),
        (7.0, High, 0.7, 1.0),
        (0.0, Jingle, 0.6, 0.9),
        (4.0, Jingle, 0.4, 0.7),
    ],
};

/// Three, two, two and three.
pub(super) const TEN: Groove = Groove {
    beats: 10,
    strokes: &[
        (0.0, Low, 1.0, 1.0),
        (5.0, Low, 0.8, 1.0),
        (6.0, Low, 0.7, 0.9),
        (3.0, High, 0.7, 1.0),
        (7.0, High, 0.8, 1.0),
        (9.0, High, 0.5, 0.8),
        (2.0, High, 0.4, 0.4),
        (0.0, Jingle, 0.5, 0.8),
        (5.0, Jingle, 0.5, 0.8),
    ],
};

/// A roll of the fingers before a new section.
pub(super) const FILL: [Stroke; 4] =
    [(0.0, High, 0.6, 1.0), (0.25, High, 0.7, 1.0), (0.5, High, 0.8, 1.0), (0.75, Low, 0.9, 1.0)];
