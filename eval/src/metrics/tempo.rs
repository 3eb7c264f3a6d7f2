//! Tempo: accuracy with one estimate per track (Gouyon et al. 2006) and the two-tempo score of MIREX.

use super::{Error, Result};

/// Tolerance of both accuracies, a share of the reference.
const TOLERANCE: f64 = 0.04;
/// Tolerance of the two-tempo score.
const TWO_TEMPO_TOLERANCE: f64 = 0.08;

/// What the two-tempo score says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoTempi {
    /// Weight of the reference tempi that were found.
    pub p_score: f64,
    /// At least one reference tempo was found.
    pub one_correct: bool,
    /// Both were.
    pub both_correct: bool,
}

/// Whether `estimate` is within 4 % of `reference`, both in BPM. Fails on a reference that is no tempo.
pub fn acc1(reference: f64, estimate: f64) -> Result<bool> {
    check("reference", reference)?;
    Ok(within(reference, estimate, TOLERANCE))
}

/// Whether `estimate` is within 4 % of the reference, its double, triple, half or third.
pub fn acc2(reference: f64, estimate: f64) -> Result<bool> {
    check("reference", reference)?;
    let multiples = [1.0, 2.0, 3.0, 1.0 / 2.0, 1.0 / 3.0];
    Ok(multiples.iter().any(|m| within(m * reference, estimate, TOLERANCE)))
}

/// Two reference tempi, the share of listeners that tap the first, and two estimates: a reference tempo is found when
/// an estimate is within 8 % of it. Fails on tempi or a weight that are none; a reference of 0 is never found.
pub fn two_tempi(reference: [f64; 2], weight: f64, estimate: [f64; 2]) -> Result<TwoTempi> {
    if !(0.0..=1.0).contains(&weight) {
        let got = weight.to_string();
        return Err(Error::Value { what: "weight".into(), expected: "0 to 1", got });
    }
    let found =
        |tempo: f64| tempo > 0.0 && estimate.iter().any(|&e| within(tempo, e, TWO_TEMPO_TOLERANCE));
    for tempo in reference {
        if !(tempo >= 0.0 && tempo.is_finite()) {
            check("reference", tempo)?;
        }
    }
    let hits = reference.map(found);
    let share = |hit: bool, weight: f64| if hit { weight } else { 0.0 };
    Ok(TwoTempi {
        p_score: share(hits[0], weight) + share(hits[1], 1.0 - weight),
        one_correct: hits[0] || hits[1],
        both_correct: hits[0] && hits[1],
    })
}

fn check(what: &str, bpm: f64) -> Result<()> {
    if bpm > 0.0 && bpm.is_finite() {
        return Ok(());
    }
    Err(Error::Value { what: what.into(), expected: "a tempo above 0 BPM", got: bpm.to_string() })
}

fn within(reference: f64, estimate: f64, tolerance: f64) -> bool {
    (estimate - reference).abs() <= tolerance * reference
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn four_percent_off_is_a_hit_and_five_is_not() {
        assert_eq!(acc1(100.0, 104.0), Ok(true));
        assert_eq!(acc1(100.0, 96.0), Ok(true));
        assert_eq!(acc1(100.0, 105.0), Ok(false));
        assert_eq!(acc1(100.0, f64::NAN), Ok(false));
    }

    #[test]
    fn octave_errors_count_in_the_second_accuracy_only() {
        for estimate in [50.0, 200.0, 300.0, 100.0 / 3.0] {
            assert_eq!((acc1(100.0, estimate), acc2(100.0, estimate)), (Ok(false), Ok(true)));
        }
        assert_eq!(acc2(100.0, 150.0), Ok(false));
    }

    #[test]
    fn a_reference_that_is_no_tempo_is_an_error() {
        for bpm in [0.0, -60.0, f64::NAN, f64::INFINITY] {
            assert!(acc1(bpm, 60.0).is_err() && acc2(bpm, 60.0).is_err());
        }
        assert!(two_tempi([60.0, -1.0], 0.5, [60.0, 120.0]).is_err());
        assert!(two_tempi([60.0, 120.0], 1.5, [60.0, 120.0]).is_err());
    }
}
