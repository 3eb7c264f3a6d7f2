//! One recording outside any corpus: what a model says window by window, and the mean over the windows.
//!
//! The windows are those of a scored track: the same lengths, starts and padding as the loader's. N windows, C outputs.

use crate::error::{Error, Result};
use crate::task::Task;
use etude_models::Model;
use etude_shards::Crop;
use tch::{Kind, Tensor};

/// What a model says about one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Windowed {
    /// First sample of each window, N numbers.
    pub starts: Vec<u64>,
    /// Samples in a window; the last one may reach past the end of the recording, where it hears silence.
    pub steps: u64,
    /// `[N, C]` row-major: activated outputs.
    pub outputs: Vec<f32>,
    /// Mean over the windows, C numbers.
    pub mean: Vec<f32>,
}

impl Windowed {
    /// Output `class` in each window.
    pub fn over_time(&self, class: usize) -> impl Iterator<Item = f32> + '_ {
        self.outputs.chunks(self.mean.len()).map(move |row| row[class])
    }
}

/// Runs the model over the windows of a wave at the model's rate, without gradients and in evaluation mode. The batch
/// size changes nothing but rounding. `name` is what errors call the recording.
///
/// # Errors
/// [`Error::Empty`] for a wave of nothing, [`Error::NotFinite`] for an output that is no number.
pub fn windows(
    model: &Model,
    task: &dyn Task,
    (name, wave): (&str, &[f32]),
    crop: &Crop,
    batch: usize,
) -> Result<Windowed> {
    let _guard = tch::no_grad_guard();
    let samples = wave.len() as u64;
    if samples == 0 {
        return Err(Error::Empty { place: name.to_owned() });
    }
    let steps = crop.steps().unwrap_or(samples);
    let starts: Vec<u64> =
        (0..crop.windows(samples)).map(|n| crop.start(0, 0, 0, n, samples)).collect();
    let mut outputs = Vec::new();
    for part in starts.chunks(batch.max(1)) {
        let rows: Vec<f32> = part.iter().flat_map(|&at| window(wave, at, steps)).collect();
        let x = Tensor::f_from_slice(&rows)?.f_view([part.len() as i64, steps as i64])?; // [B, T]
        let logits = model.logits(&x.f_to(model.vs.device())?, false)?; // [B, C]
        let said = task.activate(&logits)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        outputs.extend(Vec::<f32>::try_from(said.f_view(-1)?)?);
    }
    if outputs.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { key: name.to_owned() });
    }
    let mut mean = mean(&outputs, task.outputs() as usize);
    task.settle(&mut mean);
    task.settle(&mut outputs);
    Ok(Windowed { starts, steps, outputs, mean })
}

/// `steps` samples from `at` on, zeros behind the end.
fn window(wave: &[f32], at: u64, steps: u64) -> impl Iterator<Item = f32> + '_ {
    let heard = wave.iter().copied().skip(at as usize);
    heard.chain(std::iter::repeat(0.0)).take(steps as usize)
}

fn mean(outputs: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; width];
    for row in outputs.chunks(width) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x);
        }
    }
    let rows = (outputs.len() / width) as f64;
    sums.iter().map(|sum| (sum / rows) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_past_the_end_is_filled_with_silence() {
        let cut = |at, steps| window(&[1.0, 2.0, 3.0], at, steps).collect::<Vec<_>>();
        assert_eq!(cut(1, 2), [2.0, 3.0]);
        assert_eq!(cut(2, 3), [3.0, 0.0, 0.0]);
        assert_eq!(cut(9, 2), [0.0, 0.0]);
    }

    #[test]
    fn the_mean_is_taken_class_by_class() {
        assert_eq!(mean(&[0.0, 1.0, 0.5, 0.5], 2), [0.25, 0.75]);
    }
}
