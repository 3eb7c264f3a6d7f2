//! Who plays: the traits by which a performer's recordings are alike, whatever the piece.

use crate::culture::Style;
use crate::rng::{Rng, mix};
use crate::voices::{Family, Patch};

/// A performer: one style, one sound.
#[derive(Debug, Clone)]
pub struct Performer {
    /// Lower case with underscores, as in paths.
    pub name: String,
    /// Index into the culture's styles.
    pub style: usize,
    /// Draws the instruments.
    pub seed: u64,
    /// Off 440 Hz, cents.
    pub tuning_cents: f64,
    /// Favourite tonics, semitones above C.
    pub keys: [u8; 3],
    /// Preferred tempo, 0 slowest to 1 fastest of the style.
    pub pace: f64,
    /// Deviation of onsets, seconds.
    pub loose_s: f64,
    /// Treble against bass, dB.
    pub tilt_db: f64,
    /// Reverb: seconds to lose 60 dB.
    pub room_s: f64,
    /// Reverb: dry to wet, 0 to 1.
    pub wet: f64,
    /// Stereo width, 0 mono to 1.
    pub width: f64,
    /// Hiss of the recording, dB below full scale.
    pub floor_db: f64,
    /// Preferred mastering, 0 softest to 1 loudest of the style.
    pub level: f64,
}

impl Performer {
    /// The performer of number `index`.
    pub fn new(seed: u64, index: usize, name: String, style_index: usize, style: &Style) -> Self {
        let mut rng = Rng::new(seed, "performer", &[index as u64]);
        let wet = rng.range(style.wet.0, style.wet.1);
        Self {
            name,
            style: style_index,
            seed: mix(seed, "instruments", &[index as u64]),
            tuning_cents: 9.0 * rng.normal(),
            keys: std::array::from_fn(|_| rng.below(12) as u8),
            pace: rng.unit(),
            loose_s: rng.range(0.002, 0.011),
            tilt_db: 2.5 * rng.normal(),
            room_s: rng.range(0.5, 1.2) + 4.0 * wet,
            wet,
            width: rng.range(0.35, 1.0),
            floor_db: rng.range(-86.0, -64.0),
            level: rng.unit(),
        }
    }

    /// The instrument this performer plays in seats of `family`.
    pub fn patch(&self, family: Family) -> Patch {
        Patch::draw(&mut Rng::new(self.seed, "patch", &[family as u64]))
    }
}
