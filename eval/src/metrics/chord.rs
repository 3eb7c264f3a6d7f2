//! Chord recognition scores in the form of mir_eval: each comparison is a share of the time over which it is defined.
//!
//! Labels are Harte's: `N`, `X`, or root, `:quality`, `(degrees)`, `/bass`, as in `Eb:min7(*5,9)/b3`; a bare root is
//! major. The estimate is cut to the reference's span and padded with `N`. Seconds and semitones.

use super::{Error, Result};
use serde::Serialize;

/// All scores of one track.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChordScores {
    /// Equal roots.
    pub root: f64,
    /// Equal roots and minor or no minor third.
    pub thirds: f64,
    /// Equal roots and notes up to the fifth.
    pub triads: f64,
    /// Three notes or more in common; an estimate of `X` counts as right, as in mir_eval.
    pub mirex: f64,
    /// As triads, where the reference is major, minor or no chord.
    pub majmin: f64,
    /// As majmin, with the bass, where the reference's bass is one of its notes.
    pub majmin_inv: f64,
    /// Equal roots and notes, where the reference is a major or minor triad, major or minor seventh, seventh or none.
    pub sevenths: f64,
}

/// A label from `start_s` to `end_s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<'a> {
    /// First moment.
    pub start_s: f64,
    /// First moment after.
    pub end_s: f64,
    /// Label as annotated.
    pub label: &'a str,
}

/// Notes above the root, with -1 everywhere for what must not be scored.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chord {
    /// Semitones above C; -1 for none.
    root: i8,
    notes: [i8; 12],
    /// Semitones above the root; -1 for none.
    bass: i8,
}

const NONE: Chord = Chord { root: -1, notes: [0; 12], bass: -1 };
const UNKNOWN: Chord = Chord { root: -1, notes: [-1; 12], bass: -1 };

/// Notes that one comparison looks at: up to the fifth.
const TRIAD: usize = 8;

/// All scores of one track. Fails on an empty reference, on spans that do not ascend, and on labels that are no chord.
/// A comparison that is defined nowhere scores 0.
pub fn scores(reference: &[Span], estimate: &[Span]) -> Result<ChordScores> {
    let truth = parse_all("reference", reference)?;
    let answer = parse_all("estimate", estimate)?;
    let (Some(first), Some(last)) = (reference.first(), reference.last()) else {
        return Err(Error::Length { what: "reference spans", expected: 1, got: 0 });
    };
    let inside = |t: &f64| (first.start_s..=last.end_s).contains(t);
    let edges = |s: &Span| [s.start_s, s.end_s];
    let mut edges: Vec<f64> =
        reference.iter().chain(estimate).flat_map(edges).filter(inside).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let mut sums = [Share::default(); 7];
    for edge in edges.windows(2) {
        let pair = (at(reference, &truth, edge[0]), at(estimate, &answer, edge[0]));
        for (share, compare) in sums.iter_mut().zip(COMPARISONS) {
            share.add(compare(pair.0, pair.1), edge[1] - edge[0]);
        }
    }
    let [root, thirds, triads, mirex, majmin, majmin_inv, sevenths] = sums.map(|s| s.value());
    Ok(ChordScores { root, thirds, triads, mirex, majmin, majmin_inv, sevenths })
}

#[derive(Default, Clone, Copy)]
struct Share {
    right_s: f64,
    all_s: f64,
}

impl Share {
    fn add(&mut self, right: Option<bool>, seconds: f64) {
        if let Some(right) = right {
            self.all_s += seconds;
            self.right_s += if right { seconds } else { 0.0 };
        }
    }

    fn value(self) -> f64 {
        if self.all_s > 0.0 { self.right_s / self.all_s } else { 0.0 }
    }
}

/// The chord that sounds at a moment.
fn at(spans: &[Span], chords: &[Chord], time: f64) -> Chord {
    let after = spans.partition_point(|s| s.end_s <= time);
    match spans.get(after) {
        Some(span) if span.start_s <= time => chords[after],
        _ => NONE,
    }
}

/// Whether reference and estimate agree; `None` where the reference is outside the comparison.
type Comparison = fn(Chord, Chord) -> Option<bool>;

const COMPARISONS: [Comparison; 7] = [root, thirds, triads, mirex, majmin, majmin_inv, sevenths];

fn root(reference: Chord, estimate: Chord) -> Option<bool> {
    (reference != UNKNOWN).then_some(reference.root == estimate.root)
}

fn thirds(reference: Chord, estimate: Chord) -> Option<bool> {
    Some(root(reference, estimate)? && reference.notes[3] == estimate.notes[3])
}

fn triads(reference: Chord, estimate: Chord) -> Option<bool> {
    Some(root(reference, estimate)? && reference.notes[..TRIAD] == estimate.notes[..TRIAD])
}

fn mirex(reference: Chord, estimate: Chord) -> Option<bool> {
    let count = reference.notes.iter().filter(|&&n| n > 0).count();
    if reference == UNKNOWN || (1..3).contains(&count) {
        return None;
    }
    // as in mir_eval, an estimate of `X` has all twelve notes, and so is right about any chord
    let sounds = |c: Chord, pitch: i8| c.notes[(pitch - c.root).rem_euclid(12) as usize] != 0;
    let common = (0..12).filter(|&p| sounds(reference, p) && sounds(estimate, p)).count();
    Some(common >= 3 || (reference.root == -1 && estimate.root == -1))
}

fn majmin(reference: Chord, estimate: Chord) -> Option<bool> {
    let is = |quality: &str| notes(quality).is_some_and(|n| n[..TRIAD] == reference.notes[..TRIAD]);
    (is("maj") || is("min") || reference == NONE).then(|| {
        reference.root == estimate.root && reference.notes[..TRIAD] == estimate.notes[..TRIAD]
    })
}

fn majmin_inv(reference: Chord, estimate: Chord) -> Option<bool> {
    let right = majmin(reference, estimate)?;
    let bass = usize::try_from(reference.bass).ok();
    let valid = bass.is_none_or(|bass| reference.notes[bass] > 0);
    valid.then_some(right && reference.bass == estimate.bass)
}

fn sevenths(reference: Chord, estimate: Chord) -> Option<bool> {
    let known = ["maj", "min", "maj7", "7", "min7"];
    let valid = reference == NONE || known.iter().any(|q| notes(q) == Some(reference.notes));
    valid.then_some(reference.root == estimate.root && reference.notes == estimate.notes)
}

fn parse_all(what: &str, spans: &[Span]) -> Result<Vec<Chord>> {
    let mut end = f64::NEG_INFINITY;
    spans
        .iter()
        .enumerate()
        .map(|(i, span)| {
            if !(span.start_s >= end && span.end_s >= span.start_s && span.end_s.is_finite()) {
                return Err(Error::Value {
                    what: format!("{what} span {i}"),
                    expected: "a start not before the last end, and an end not before it",
                    got: format!("{} to {} s", span.start_s, span.end_s),
                });
            }
            end = span.end_s;
            parse(span.label).ok_or_else(|| Error::Value {
                what: format!("{what} span {i}"),
                expected: "a chord label like `N`, `C`, `F#:min7` or `Bb:maj/3`",
                got: format!("{:?}", span.label),
            })
        })
        .collect()
}

fn parse(label: &str) -> Option<Chord> {
    match label {
        "N" => return Some(NONE),
        "X" => return Some(UNKNOWN),
        _ => {}
    }
    let (chord, bass) = label.split_once('/').unwrap_or((label, "1"));
    let (root, quality) = chord.split_once(':').map_or((chord, None), |(r, q)| (r, Some(q)));
    let letter = root.chars().next()?;
    let natural = match letter {
        'C' => 0,
        'D' => 2,
        'E' => 4,
        'F' => 5,
        'G' => 7,
        'A' => 9,
        'B' => 11,
        _ => return None,
    };
    let root = (natural + accidentals(&root[1..])?).rem_euclid(12);
    let (quality, degrees) = match quality {
        None => ("maj", ""),
        Some(quality) => match quality.split_once('(') {
            None => (quality, ""),
            Some((quality, degrees)) => (quality, degrees.strip_suffix(')')?),
        },
    };
    let mut edits = notes(quality)?;
    edits[0] = 1;
    for degree in degrees.split(',').filter(|d| !d.is_empty()) {
        let (degree, sign) = degree.strip_prefix('*').map_or((degree, 1), |d| (d, -1));
        // beyond the octave a note is an extension, which no comparison looks at
        if let Some(note) = edits.get_mut(usize::try_from(semitones(degree)?).ok()?) {
            *note += sign;
        }
    }
    let mut notes = edits.map(|n| i8::from(n > 0));
    let bass = semitones(bass)?.rem_euclid(12);
    notes[bass as usize] = 1;
    Some(Chord { root: root as i8, notes, bass: bass as i8 })
}

/// Sharps less flats; `None` when there is anything else.
fn accidentals(text: &str) -> Option<i32> {
    text.chars().try_fold(0, |sum, c| match c {
        '#' => Some(sum + 1),
        'b' => Some(sum - 1),
        _ => None,
    })
}

/// Semitones of a scale degree such as `b7` or `9`.
fn semitones(degree: &str) -> Option<i32> {
    let number = degree.trim_start_matches(['#', 'b']);
    let steps = [0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21];
    let step: usize = number.parse().ok()?;
    let step = steps.get(step.checked_sub(1)?)?;
    Some(step + accidentals(&degree[..degree.len() - number.len()])?)
}

/// Notes of a quality; extended ones without their extension. The empty quality is left to its degrees.
fn notes(quality: &str) -> Option<[i8; 12]> {
    let sounding: &[usize] = match quality {
        "" => &[],
        "maj" => &[0, 4, 7],
        "min" => &[0, 3, 7],
        "aug" => &[0, 4, 8],
        "dim" => &[0, 3, 6],
        "sus4" => &[0, 5, 7],
        "sus2" => &[0, 2, 7],
        "7" | "9" | "b9" | "#9" | "11" | "#11" | "13" | "b13" => &[0, 4, 7, 10],
        "maj7" | "maj9" | "maj13" => &[0, 4, 7, 11],
        "min7" | "min9" | "min11" | "min13" => &[0, 3, 7, 10],
        "minmaj7" => &[0, 3, 7, 11],
        "maj6" => &[0, 4, 7, 9],
        "min6" => &[0, 3, 7, 9],
        "dim7" => &[0, 3, 6, 9],
        "hdim7" => &[0, 3, 6, 10],
        "1" => &[0],
        "5" => &[0, 7],
        _ => return None,
    };
    let mut notes = [0; 12];
    sounding.iter().for_each(|&n| notes[n] = 1);
    Some(notes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn span(start_s: f64, end_s: f64, label: &str) -> Span<'_> {
        Span { start_s, end_s, label }
    }

    #[test]
    fn labels_become_root_notes_and_bass() {
        let chord = parse("Eb:min7(*5,9)/b3").unwrap();
        assert_eq!((chord.root, chord.bass), (3, 3));
        assert_eq!(chord.notes, [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(parse("C"), parse("C:maj"));
        assert_eq!(parse("Cb").unwrap().root, 11);
        assert_eq!(parse("A:(1,b3,5)").unwrap().notes, parse("A:min").unwrap().notes);
        for label in ["", "H", "C:major", "C/0", "C:maj(", "C/x", "é:maj", "C:maj(z)"] {
            assert_eq!(parse(label), None, "{label}");
        }
    }

    #[test]
    fn half_of_the_time_right_scores_one_half() {
        let reference = [span(0.0, 2.0, "C:maj"), span(2.0, 4.0, "G:maj")];
        let got = scores(&reference, &[span(0.0, 4.0, "C:maj")]).unwrap();
        assert_eq!((got.root, got.majmin, got.sevenths), (0.5, 0.5, 0.5));
    }

    #[test]
    fn what_the_estimate_leaves_out_counts_as_no_chord() {
        let reference = [span(1.0, 2.0, "N"), span(2.0, 3.0, "C:maj")];
        let got = scores(&reference, &[span(2.5, 9.0, "C:maj")]).unwrap();
        assert_eq!(got.root, 0.75);
    }

    #[test]
    fn a_reference_outside_a_comparison_is_left_out_of_it() {
        let reference = [span(0.0, 1.0, "C:maj"), span(1.0, 2.0, "C:dim"), span(2.0, 3.0, "X")];
        let got = scores(&reference, &[span(0.0, 3.0, "C:maj")]).unwrap();
        assert_eq!((got.root, got.triads, got.majmin), (1.0, 0.5, 1.0));
    }

    #[test]
    fn spans_and_labels_that_are_none_are_named() {
        let bad = |spans: &[Span]| scores(spans, &[]).unwrap_err().to_string();
        assert_eq!(bad(&[]), "reference spans: expected 1 values, got 0");
        assert!(bad(&[span(0.0, 1.0, "C:foo")]).ends_with("got \"C:foo\""));
        assert!(bad(&[span(0.0, 1.0, "C"), span(0.5, 2.0, "C")]).starts_with("reference span 1"));
    }
}
