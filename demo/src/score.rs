//! A score: parts with notes in seconds, and the beats they were played to.

use crate::drums::Piece;
use crate::texture::Place;
use crate::voices::{Family, Patch};

/// One note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Note {
    /// Onset.
    pub start_s: f64,
    /// Length.
    pub len_s: f64,
    /// Note number, 69 = 440 Hz.
    pub pitch: f64,
    /// 0 to 1.
    pub force: f32,
}

/// One hit of the kit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Onset.
    pub start_s: f64,
    /// What is hit.
    pub piece: Piece,
    /// 0 to 1.
    pub force: f32,
}

/// What a part plays.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Pitches, by onset.
    Notes(Vec<Note>),
    /// Drums, by onset.
    Hits(Vec<Hit>),
    /// A place, all the time.
    Ambience(Place),
}

/// One seat of the band with its music.
#[derive(Debug, Clone)]
pub struct Part {
    /// Instrument.
    pub family: Family,
    /// Its make.
    pub patch: Patch,
    /// Level in the mix, dB.
    pub gain_db: f64,
    /// Place, -1 left to 1 right.
    pub pan: f32,
    /// How far single notes spread around that place.
    pub width: f32,
    /// The music.
    pub line: Line,
}

/// A whole piece.
#[derive(Debug, Clone)]
pub struct Score {
    /// Who plays what.
    pub parts: Vec<Part>,
    /// Time of every beat, seconds.
    pub beats: Vec<f64>,
    /// Beats of a bar.
    pub metre: u32,
    /// Heard as minor.
    pub minor: bool,
    /// What listeners call its scale, if they have a name for it.
    pub mode: Option<&'static str>,
}

impl Score {
    /// Tempo played from the last beat before `from_s` to the first one after `to_s`, beats per minute; `None` where
    /// there are fewer than two.
    pub fn bpm(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let first = self.beats.iter().rposition(|&t| t <= from_s).unwrap_or(0);
        let last = self
            .beats
            .iter()
            .position(|&t| t >= to_s)
            .unwrap_or(self.beats.len().saturating_sub(1));
        (last > first)
            .then(|| 60.0 * (last - first) as f64 / (self.beats[last] - self.beats[first]))
    }

    /// Onsets a second between `from_s` and `to_s`; onsets less than 50 ms apart count once.
    pub fn onsets(&self, from_s: f64, to_s: f64) -> f64 {
        let mut times: Vec<f64> = Vec::new();
        for part in &self.parts {
            match &part.line {
                Line::Notes(notes) => times.extend(notes.iter().map(|note| note.start_s)),
                Line::Hits(hits) => times.extend(hits.iter().map(|hit| hit.start_s)),
                Line::Ambience(_) => {}
            }
        }
        times.retain(|&t| t >= from_s && t < to_s);
        times.sort_by(f64::total_cmp);
        let (mut count, mut last) = (0u32, f64::NEG_INFINITY);
        for t in times {
            if t - last >= 0.05 {
                count += 1;
                last = t;
            }
        }
        f64::from(count) / (to_s - from_s)
    }
}

/// Beats to seconds: a steady tempo that breathes by a slow sine.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Mean tempo.
    pub bpm: f64,
    /// Depth of the breathing, as a share of the tempo; below 0.5.
    pub rubato: f64,
    /// Beats of one breath.
    pub breath: f64,
    /// Share of a beat by which the second half of beats is delayed.
    pub swing: f64,
}

impl Clock {
    /// Time of a beat, fractions allowed; rises strictly.
    pub fn at(&self, beat: f64) -> f64 {
        let (whole, part) = (beat.floor(), beat - beat.floor());
        let middle = 0.5 * (1.0 + self.swing);
        let part = if part < 0.5 {
            2.0 * part * middle
        } else {
            middle + 2.0 * (part - 0.5) * (1.0 - middle)
        };
        let swung = whole + part;
        let angle = std::f64::consts::TAU * swung / self.breath;
        (swung + self.rubato * self.breath / std::f64::consts::TAU * (1.0 - angle.cos())) * 60.0
            / self.bpm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards_and_keeps_its_mean_tempo() {
        let clock = Clock { bpm: 90.0, rubato: 0.06, breath: 16.0, swing: 1.0 / 3.0 };
        let times: Vec<f64> = (0..3200).map(|i| clock.at(f64::from(i) / 10.0)).collect();
        assert!(times.windows(2).all(|w| w[1] > w[0]));
        assert!((clock.at(160.0) - 160.0 * 60.0 / 90.0).abs() < 1e-9);
        assert!(
            (clock.at(0.5) / clock.at(1.0) - 2.0 / 3.0).abs() < 0.01,
            "swing puts the half beat at two thirds"
        );
    }

    #[test]
    fn tempo_is_read_from_the_beats_played() {
        let beats = (0..40).map(|i| f64::from(i) * 0.5).collect();
        let score = Score { parts: Vec::new(), beats, metre: 4, minor: false, mode: None };
        assert_eq!(score.bpm(2.0, 8.0), Some(120.0));
        assert_eq!(score.bpm(2.1, 2.4), Some(120.0));
        assert_eq!(Score { beats: vec![1.0], ..score }.bpm(0.0, 8.0), None);
    }
}
