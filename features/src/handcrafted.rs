//! Hand-crafted features of a whole clip: what a probe gets without any learnt model.
//!
//! One vector a clip: over time, mean and standard deviation of every value, then mean and standard deviation of its
//! slope. A slope is that of the straight line through nine frames (librosa's `delta`); at the ends, that of the first
//! or last nine; 0 in clips of fewer.

use crate::chroma::{CLASSES, Chroma};
use crate::error::Result;
use crate::mfcc::{COEFFICIENTS, Mfcc};
use serde::{Deserialize, Serialize};

/// Frames on either side of a slope.
const SIDE: usize = 4;

/// Which features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Pitch classes ([`Chroma`]): 48 numbers a clip.
    Chroma,
    /// Cepstral coefficients ([`Mfcc`]): 80 numbers a clip.
    Mfcc,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Chroma, Self::Mfcc];

    /// Name in configs and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chroma => "chroma",
            Self::Mfcc => "mfcc",
        }
    }

    /// The kind of that name; `None` when there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Numbers of a frame.
    pub fn width(self) -> usize {
        match self {
            Self::Chroma => CLASSES,
            Self::Mfcc => COEFFICIENTS,
        }
    }

    /// Numbers of a clip.
    pub fn dim(self) -> usize {
        4 * self.width()
    }
}

#[derive(Debug, Clone)]
enum Front {
    Chroma(Chroma),
    Mfcc(Mfcc),
}

/// Planned features with their scratch.
#[derive(Debug, Clone)]
pub struct Handcrafted {
    kind: Kind,
    front: Front,
    frames: Vec<f32>,
}

impl Handcrafted {
    /// Plans features of waves at `rate` Hz. Fails on a rate of 0.
    pub fn new(kind: Kind, rate: u32) -> Result<Self> {
        let front = match kind {
            Kind::Chroma => Front::Chroma(Chroma::new(rate)?),
            Kind::Mfcc => Front::Mfcc(Mfcc::new(rate)?),
        };
        Ok(Self { kind, front, frames: Vec::new() })
    }

    /// Which features.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Frames of a whole wave into `out`, `[T, W]` row-major, W = [`Kind::width`]. Fails on an empty wave.
    pub fn frames(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        match &mut self.front {
            Front::Chroma(chroma) => chroma.run(wave, out),
            Front::Mfcc(mfcc) => mfcc.run(wave, out),
        }
    }

    /// One vector of [`Kind::dim`] numbers of a whole wave into `out`, whose earlier contents are dropped. Fails on an
    /// empty wave.
    pub fn summary(&mut self, wave: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let mut frames = std::mem::take(&mut self.frames);
        let done = self.frames(wave, &mut frames);
        out.clear();
        if done.is_ok() {
            let width = self.kind.width();
            let columns: Vec<Vec<f64>> = (0..width)
                .map(|i| frames.iter().skip(i).step_by(width).map(|&x| f64::from(x)).collect())
                .collect();
            for columns in [&columns, &columns.iter().map(|x| slopes(x)).collect()] {
                let moments: Vec<(f64, f64)> = columns.iter().map(|x| moments(x)).collect();
                out.extend(moments.iter().map(|m| m.0 as f32));
                out.extend(moments.iter().map(|m| m.1 as f32));
            }
        }
        self.frames = frames;
        done
    }
}

/// Mean and standard deviation, over all values.
fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len().max(1) as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Least-squares slope around every value.
fn slopes(x: &[f64]) -> Vec<f64> {
    if x.len() < 2 * SIDE + 1 {
        return vec![0.0; x.len()];
    }
    let squares: f64 = (1..=SIDE).map(|n| 2.0 * (n * n) as f64).sum();
    let slope = |at: usize| {
        let rise: f64 = (1..=SIDE).map(|n| n as f64 * (x[at + n] - x[at - n])).sum();
        rise / squares
    };
    (0..x.len()).map(|at| slope(at.clamp(SIDE, x.len() - 1 - SIDE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_a_ramp_are_its_slope_to_the_ends() {
        let ramp: Vec<f64> = (0..12).map(|i| 3.0 * f64::from(i) - 7.0).collect();
        assert!(slopes(&ramp).iter().all(|s| (s - 3.0).abs() < 1e-12));
        assert_eq!(slopes(&ramp[..8]), vec![0.0; 8]);
    }

    #[test]
    fn a_clip_is_one_vector_whatever_its_length_and_nothing_is_left_of_the_one_before() {
        let wave: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.03).sin()).collect();
        for kind in Kind::ALL {
            let mut features = Handcrafted::new(kind, 16_000).unwrap();
            let (mut first, mut other, mut again) = (Vec::new(), Vec::new(), Vec::new());
            features.summary(&wave[..9000], &mut first).unwrap();
            features.summary(&wave, &mut other).unwrap();
            features.summary(&wave[..9000], &mut again).unwrap();
            assert_eq!((first.len(), other.len()), (kind.dim(), kind.dim()));
            assert_eq!(first, again);
            assert!(first.iter().chain(&other).all(|x| x.is_finite()));
            assert!(features.summary(&[], &mut again).is_err());
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
    }
}
