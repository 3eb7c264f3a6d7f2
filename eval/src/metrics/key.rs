//! Key scores as MIREX weighs mistakes, in the form of mir_eval.
//!
//! Same key 1; estimate a fifth above, same mode 0.5; relative 0.3; parallel 0.2; else 0. The fifth counts in one
//! direction only: C major answered with G major, not with F major.

use super::{Error, Result, mean};
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A tonic and a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Semitones above C, 0 to 11; enharmonic names are one.
    pub tonic: u8,
    /// Whether the mode is minor.
    pub minor: bool,
}

/// Scores over tracks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KeyScores {
    /// Mean of the weighted score.
    pub weighted: f64,
    /// Mean over reference keys, as they are spelled, of the mean within each.
    #[serde(rename = "macro")]
    pub macro_avg: f64,
    /// Share of exactly right keys.
    pub accuracy: f64,
}

impl FromStr for Key {
    type Err = Error;

    /// `C major`, `f# minor`, `Bb major`; letter case does not matter.
    fn from_str(name: &str) -> Result<Self> {
        parse(&name.to_lowercase()).ok_or_else(|| Error::Value {
            what: "key".into(),
            expected: "a tonic and a mode like `F# minor`",
            got: format!("{name:?}"),
        })
    }
}

fn parse(name: &str) -> Option<Key> {
    let (tonic, mode) = name.split_once(' ')?;
    let (letter, accidental) = tonic.split_at_checked(1)?;
    let natural = match letter {
        "c" => 0,
        "d" => 2,
        "e" => 4,
        "f" => 5,
        "g" => 7,
        "a" => 9,
        "b" => 11,
        _ => return None,
    };
    let shift = match accidental {
        "" => 0,
        "#" => 1,
        "b" => 11,
        _ => return None,
    };
    let minor = match mode {
        "major" => false,
        "minor" => true,
        _ => return None,
    };
    Some(Key { tonic: (natural + shift) % 12, minor })
}

/// Weighted score of one estimate.
pub fn weighted(reference: Key, estimate: Key) -> f64 {
    let up = (estimate.tonic + 12 - reference.tonic) % 12;
    match (reference.minor == estimate.minor, up) {
        (true, 0) => 1.0,
        (true, 7) => 0.5,
        (false, 0) => 0.2,
        (false, 9) if estimate.minor => 0.3,
        (false, 3) if reference.minor => 0.3,
        _ => 0.0,
    }
}

/// Scores of tracks as (reference, estimate) names. Fails on a name that is no key, and on no tracks.
pub fn scores(pairs: &[(&str, &str)]) -> Result<KeyScores> {
    let (mut all, mut exact, mut by_reference) = (Vec::new(), 0usize, BTreeMap::new());
    for &(reference, estimate) in pairs {
        let score = weighted(reference.parse()?, estimate.parse()?);
        all.push(score);
        exact += usize::from(score == 1.0);
        by_reference.entry(reference).or_insert_with(Vec::new).push(score);
    }
    let none = || Error::Length { what: "tracks", expected: 1, got: 0 };
    Ok(KeyScores {
        accuracy: exact as f64 / all.len() as f64,
        weighted: mean(all).ok_or_else(none)?,
        macro_avg: mean(by_reference.into_values().filter_map(mean)).ok_or_else(none)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_fifth_counts_upwards_only() {
        let score = |a: &str, b: &str| weighted(a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(score("C major", "G major"), 0.5);
        assert_eq!(score("C major", "F major"), 0.0);
        assert_eq!(score("C major", "A minor"), 0.3);
        assert_eq!(score("A minor", "C major"), 0.3);
        assert_eq!(score("C major", "C minor"), 0.2);
        assert_eq!(score("C# major", "db major"), 1.0);
        assert_eq!(score("Cb major", "B major"), 1.0);
    }

    #[test]
    fn a_name_that_is_no_key_is_an_error() {
        for name in ["", "H major", "C", "C  major", "C dorian", "é major"] {
            assert!(name.parse::<Key>().is_err(), "{name}");
        }
        assert_eq!(
            "H major".parse::<Key>().unwrap_err().to_string(),
            "key: expected a tonic and a mode like `F# minor`, got \"H major\""
        );
        assert!(scores(&[]).is_err());
    }
}
