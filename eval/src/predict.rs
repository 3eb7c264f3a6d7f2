//! Prediction: windows over every track, outputs averaged per track, one row per track.
//!
//! Letters: N tracks, C outputs. A batch may hold windows of several tracks and a track may span batches, so the batch
//! size changes nothing but rounding. A track shorter than a window is one window, padded with zeros.

use crate::error::{Error, Result};
use crate::inputs::inputs;
use crate::task::{Scores, Task};
use etude_manifests::Target;
use etude_models::Model;
use etude_shards::{Batch, Loader};
use tch::{Kind, Tensor};

/// What a model says about the tracks of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Example keys, in key order.
    pub keys: Vec<String>,
    /// `[N, C]` row-major: mean of the activated outputs over the windows of each track, settled by the task.
    pub outputs: Vec<f32>,
    /// What each example is.
    pub targets: Vec<Target>,
    /// Windows averaged, per track.
    pub windows: Vec<u32>,
    /// C.
    pub width: usize,
    /// Mean training loss over all windows.
    pub loss: f64,
}

impl Predictions {
    /// Keeps the first `tracks`.
    pub fn truncate(&mut self, tracks: usize) {
        self.keys.truncate(tracks);
        self.outputs.truncate(tracks * self.width);
        self.targets.truncate(tracks);
        self.windows.truncate(tracks);
    }
}

/// Runs the model over everything the loader gives, without gradients and in evaluation mode. After every batch
/// `go_on` is told the number of windows done; when it says no, prediction is given up and there is no result.
///
/// # Errors
/// [`Error::Empty`] without a single window, [`Error::NotFinite`] for an output that is no number.
pub fn predict(
    model: &Model,
    mut loader: Loader,
    task: &dyn Task,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Predictions>> {
    let _guard = tch::no_grad_guard();
    let mut all = Averages::new(task.outputs() as usize);
    let (mut loss, mut windows) = (0.0, 0);
    while let Some(batch) = loader.next().transpose()? {
        let x = inputs(&batch, model.vs.device())?;
        let logits = model.logits(&x.x, false)?; // [B, C]
        let target = task.target(&batch.targets, &x)?;
        let rows = batch.keys.len();
        loss += task.loss(&logits, &target)?.f_double_value(&[])? * rows as f64;
        windows += rows as u64;
        all.add(&batch, &host(&task.activate(&logits)?)?)?;
        loader.recycle(batch);
        if !go_on(windows) {
            return Ok(None);
        }
    }
    if windows == 0 {
        return Err(Error::Empty { place: "prediction".to_owned() });
    }
    let mut predicted = all.finish(loss / windows as f64);
    task.settle(&mut predicted.outputs);
    Ok(Some(predicted))
}

/// Scores of predictions.
pub fn score(predictions: &Predictions, task: &dyn Task) -> Result<Scores> {
    let mut scorer = task.scorer();
    for (target, output) in
        predictions.targets.iter().zip(predictions.outputs.chunks(predictions.width))
    {
        scorer.add(target, output, 1)?;
    }
    scorer.finish()
}

/// A tensor's numbers, row-major.
fn host(x: &Tensor) -> Result<Vec<f32>> {
    Ok(Vec::<f32>::try_from(x.f_to_kind(Kind::Float)?.f_contiguous()?.f_view(-1)?)?)
}

/// Means over the windows of a track; windows of a track come one after the other.
struct Averages {
    keys: Vec<String>,
    sums: Vec<f64>,
    targets: Vec<Target>,
    windows: Vec<u32>,
    width: usize,
}

impl Averages {
    fn new(width: usize) -> Self {
        Self { keys: Vec::new(), sums: Vec::new(), targets: Vec::new(), windows: Vec::new(), width }
    }

    fn add(&mut self, batch: &Batch, outputs: &[f32]) -> Result<()> {
        if outputs.len() != batch.keys.len() * self.width {
            return Err(Error::Misfit {
                place: "model output".to_owned(),
                expected: format!("[{}, {}]", batch.keys.len(), self.width),
                got: format!("{} numbers", outputs.len()),
            });
        }
        let rows = outputs.chunks(self.width).zip(&batch.targets);
        for (key, (output, target)) in batch.keys.iter().zip(rows) {
            if output.iter().any(|x| !x.is_finite()) {
                return Err(Error::NotFinite { key: key.clone() });
            }
            if self.keys.last() != Some(key) {
                self.keys.push(key.clone());
                self.targets.push(target.clone());
                self.windows.push(0);
                self.sums.resize(self.sums.len() + self.width, 0.0);
            }
            let at = self.sums.len() - self.width;
            for (sum, x) in self.sums[at..].iter_mut().zip(output) {
                *sum += f64::from(*x);
            }
            if let Some(n) = self.windows.last_mut() {
                *n += 1;
            }
        }
        Ok(())
    }

    fn finish(self, loss: f64) -> Predictions {
        let Self { keys, sums, targets, windows, width } = self;
        let mean = |(i, sum): (usize, &f64)| (sum / f64::from(windows[i / width])) as f32;
        let outputs = sums.iter().enumerate().map(mean).collect();
        Predictions { keys, outputs, targets, windows, width, loss }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etude_shards::LoaderState;

    fn batch(keys: &[&str]) -> Batch {
        Batch {
            keys: keys.iter().map(|&k| k.to_owned()).collect(),
            starts: vec![0; keys.len()],
            data: vec![0.0; keys.len()].into(),
            shape: vec![keys.len(), 1],
            lengths: vec![1; keys.len()],
            targets: vec![Target::Tags(vec![0]); keys.len()],
            after: LoaderState::default(),
        }
    }

    #[test]
    fn the_windows_of_a_track_are_averaged_across_batches() {
        let mut all = Averages::new(2);
        all.add(&batch(&["a", "a", "b"]), &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).unwrap();
        all.add(&batch(&["b", "c"]), &[0.7, 0.8, 0.9, 1.0]).unwrap();
        let p = all.finish(0.0);
        assert_eq!(p.keys, ["a", "b", "c"]);
        assert_eq!(p.windows, [2, 2, 1]);
        let want = [0.2, 0.3, 0.6, 0.7, 0.9, 1.0];
        assert!(
            p.outputs.iter().zip(want).all(|(x, w): (&f32, f32)| (x - w).abs() < 1e-6),
            "{p:?}"
        );
    }

    #[test]
    fn an_output_that_is_no_number_names_the_track() {
        let mut all = Averages::new(1);
        let text = all.add(&batch(&["a", "b"]), &[0.1, f32::NAN]).unwrap_err().to_string();
        assert!(text.starts_with("b: "), "{text}");
    }
}
