//! Analysis windows. The angle is rounded to f32, as torch does: up to 2e-7 from the exact window, and the same
//! numbers that the published models were trained with.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// The shape that a frame is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Periodic Hann, `0.5 - 0.5 cos(2 pi i / n)`: torch's and librosa's.
    Hann,
    /// Symmetric Hann, with `n - 1` below the fraction: Kaldi's "hanning".
    HannSymmetric,
    /// Symmetric Hann to the power 0.85: Kaldi's default, "povey".
    Povey,
}

impl Window {
    /// The window of `n` points.
    pub fn points(self, n: usize) -> Vec<f32> {
        match self {
            Window::Hann => hann(n, true),
            Window::HannSymmetric => hann(n, false),
            Window::Povey => raised_cosine(n, false).map(|v| v.powf(0.85) as f32).collect(),
        }
    }
}

/// Hann window of `n` points; periodic divides by `n`, symmetric by `n - 1`. One point is 1.
pub fn hann(n: usize, periodic: bool) -> Vec<f32> {
    raised_cosine(n, periodic).map(|v| v as f32).collect()
}

fn raised_cosine(n: usize, periodic: bool) -> impl Iterator<Item = f64> {
    let span = if periodic { n } else { n.saturating_sub(1) };
    let turn = (TAU / span as f64) as f32;
    (0..n).map(move |i| if n == 1 { 1.0 } else { 0.5 - 0.5 * f64::from(i as f32 * turn).cos() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_periodic_window_is_a_symmetric_one_of_one_point_more_less_its_last() {
        let (periodic, symmetric) = (hann(400, true), hann(401, false));
        for i in 0..400 {
            assert!((periodic[i] - symmetric[i]).abs() < 1e-7);
        }
        assert!(symmetric[400].abs() < 1e-7);
        assert_eq!(periodic[200], 1.0);
    }

    #[test]
    fn povey_is_hann_to_the_power_0_85() {
        let (povey, hann) = (Window::Povey.points(400), hann(400, false));
        assert!((f64::from(povey[100]) - f64::from(hann[100]).powf(0.85)).abs() < 1e-7);
        assert_eq!((hann[0], povey[0]), (0.0, 0.0));
    }

    #[test]
    fn windows_of_zero_and_one_point_exist() {
        assert!(hann(0, false).is_empty());
        assert_eq!((hann(1, true), hann(1, false)), (vec![1.0], vec![1.0]));
    }
}
