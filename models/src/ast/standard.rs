//! Mean and deviation of training frames, measured as the transfer study does: over one pass of random crops, each batch
//! with equal weight.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// Sums of batch means and of batch mean squares.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FrameStats {
    batches: u64,
    mean: f64,
    square: f64,
}

impl FrameStats {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one batch of frames of any shape.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn add(&mut self, frames: &Tensor) -> Result<()> {
        let frames = frames.f_to_kind(Kind::Double)?;
        self.mean += frames.f_mean(Kind::Double)?.f_double_value(&[])?;
        self.square += frames.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?;
        self.batches += 1;
        Ok(())
    }

    /// Mean m of the batch means, and square root of the mean of the batch mean squares less m^2.
    ///
    /// # Errors
    /// Without a batch, and when all frames are one number or some are none.
    pub fn finish(&self) -> Result<(f64, f64)> {
        let batches = self.batches as f64;
        let mean = self.mean / batches;
        let std = (self.square / batches - mean * mean).sqrt();
        if mean.is_finite() && std > 0.0 && std.is_finite() {
            return Ok((mean, std));
        }
        Err(Error::Shape {
            place: "frame statistics".to_owned(),
            expected: "frames that are finite and not all alike".to_owned(),
            got: format!("{} batches, mean {mean}, deviation {std}", self.batches),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_weigh_the_same_whatever_their_size() {
        let mut stats = FrameStats::new();
        assert!(stats.finish().is_err());
        stats.add(&Tensor::from_slice(&[1f32, 3.0])).unwrap();
        stats.add(&Tensor::from_slice(&[4f32, 4.0, 4.0, 4.0])).unwrap();
        // means 2 and 4, mean squares 5 and 16
        let (mean, std) = stats.finish().unwrap();
        assert!((mean - 3.0).abs() < 1e-12 && (std - 1.5f64.sqrt()).abs() < 1e-12);
        let mut same = FrameStats::new();
        same.add(&Tensor::from_slice(&[2f32, 2.0])).unwrap();
        assert!(same.finish().unwrap_err().to_string().contains("not all alike"));
    }
}
