//! What a musical culture is to the composer: scales, metres, progressions, bands and customs, all as data.
//!
//! There are two, [`crate::western::WESTERN`] and [`crate::modal::MODAL`]. Another one is another table of the same shape:
//! scales may have any number of degrees at any fraction of a semitone, bars any number of beats.

use crate::drums::{Groove, Piece, Stroke};
use crate::texture::Place;
use crate::voices::Family;

/// A scale: semitones above the tonic, ascending, less than an octave.
#[derive(Debug)]
pub struct Scale {
    /// One entry a degree; degree 0 is the tonic.
    pub steps: &'static [f64],
    /// Heard as minor.
    pub minor: bool,
    /// Degree raised by a semitone while the chord on degree 4 sounds (the leading note), if any.
    pub raised: Option<usize>,
    /// Tag of music in it, if listeners have a name for it.
    pub tag: Option<&'static str>,
}

impl Scale {
    /// Semitones above the tonic of any degree, below or beyond the first octave too.
    pub fn semitones(&self, degree: i32) -> f64 {
        let n = self.steps.len() as i32;
        12.0 * f64::from(degree.div_euclid(n)) + self.steps[degree.rem_euclid(n) as usize]
    }

    /// [`Scale::semitones`] while the chord on `root` sounds.
    pub fn over(&self, degree: i32, root: i32) -> f64 {
        let n = self.steps.len() as i32;
        let leads = root.rem_euclid(n) == 4 && self.raised == Some(degree.rem_euclid(n) as usize);
        self.semitones(degree) + if leads { 1.0 } else { 0.0 }
    }
}

/// How a bass moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// One long root a chord.
    Root,
    /// Root and fifth in turn.
    Fifth,
    /// A step a beat towards the next root.
    Steps,
    /// Roots between the beats.
    Offbeat,
    /// Straight eighths.
    Eighths,
}

/// What a seat of the band does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The tune.
    Melody,
    /// A slower line below the tune.
    Counter,
    /// Held chords.
    Chords,
    /// Broken chords.
    Arpeggio,
    /// Strummed chords.
    Strum,
    /// Short chords off the beat.
    Comp,
    /// Repeated low fifths.
    Riff,
    /// Bass line.
    Bass(Walk),
    /// Tonic and fifth, held.
    Drone,
    /// Drum kit.
    Drums,
    /// A place.
    Ambience(Place),
}

/// One seat: who, doing what, how loud, and from which intensity of a section on.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// Instrument.
    pub family: Family,
    /// Task.
    pub role: Role,
    /// Relative to the other seats, dB.
    pub gain_db: f64,
    /// Plays in sections at least this intense, 0 = always.
    pub from: f64,
}

/// A line-up.
#[derive(Debug)]
pub struct Band {
    /// How often it is drawn relative to the style's other bands.
    pub copies: u32,
    /// Who plays.
    pub seats: &'static [Seat],
}

/// A way of making music.
#[derive(Debug)]
pub struct Style {
    /// For the README.
    pub name: &'static str,
    /// What a listener calls it.
    pub genres: &'static [&'static str],
    /// Slowest and fastest, beats per minute.
    pub bpm: (f64, f64),
    /// Beats in a bar and how often.
    pub metres: &'static [(u32, f64)],
    /// Scales and how often.
    pub scales: &'static [(&'static Scale, f64)],
    /// Progressions in major-like scales: degrees, one a bar.
    pub bright: &'static [&'static [i32]],
    /// Progressions in minor-like scales.
    pub dark: &'static [&'static [i32]],
    /// Bars a chord lasts.
    pub chord_bars: u32,
    /// Chords of four notes.
    pub sevenths: bool,
    /// 0 = straight, 1/3 = triplets: how far the second half of a beat is delayed.
    pub swing: f64,
    /// How much the beat breathes, as a share of the tempo.
    pub rubato: f64,
    /// Softest and loudest mastering, root mean square, dB below full scale.
    pub level_db: (f64, f64),
    /// How strongly loudness follows the music rather than the mastering, 0 to 1.
    pub dynamics: f64,
    /// Dry to wet.
    pub wet: (f64, f64),
    /// Drum bars; the first whose beats fit the metre is played.
    pub grooves: &'static [&'static Groove],
    /// What drummers play in the last beat before a new section.
    pub fill: &'static [Stroke],
    /// What they strike when a full section begins.
    pub accent: Piece,
    /// Line-ups.
    pub bands: &'static [Band],
}

/// A collection of styles, and what its listeners call what they hear.
#[derive(Debug)]
pub struct Culture {
    /// For the README.
    pub name: &'static str,
    /// The vocabulary in column order; what has no word here is not tagged.
    pub tags: &'static [&'static str],
    /// Tags for which few listeners have an ear, and the share of them that do; the others are common ground.
    pub seldom: &'static [(&'static str, f64)],
    /// What listeners call instruments.
    pub instruments: &'static [(Family, &'static [&'static str])],
    /// What they call bars of so many beats, once drums make them plain.
    pub cycles: &'static [(u32, &'static str)],
    /// Its styles.
    pub styles: &'static [Style],
}
