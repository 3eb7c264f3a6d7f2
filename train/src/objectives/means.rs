//! How pre-training is validated: means of its loss and scores over a loader.

use crate::error::Result;
use crate::objective::Scored;
use etude_shards::{Batch, Loader};
use tch::Tensor;

/// What a batch gave, in the order of the names, and how much it counts.
pub(super) type Counted<const N: usize> = (f64, [Tensor; N]);

/// Weighted means of what `pass` gives for each batch, by name; a batch for which it gives nothing is left out. libtorch's
/// generator is seeded before each batch with the samples done before it, so that every validation draws the same.
/// `None` when `go_on`, told the samples done, says no.
///
/// # Errors
/// When no batch counts, and whatever `pass` returns.
pub(super) fn means<const N: usize>(
    names: [&str; N],
    mut loader: Loader,
    go_on: &mut dyn FnMut(u64) -> bool,
    mut pass: impl FnMut(&Batch) -> Result<Option<Counted<N>>>,
) -> Result<Option<Scored>> {
    let _guard = tch::no_grad_guard();
    let (mut sums, mut weights, mut done) = ([0.0; N], 0.0, 0u64);
    while let Some(batch) = loader.next().transpose()? {
        tch::manual_seed(done as i64);
        if let Some((weight, values)) = pass(&batch)? {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value.f_double_value(&[])? * weight;
            }
            weights += weight;
        }
        done += batch.keys.len() as u64;
        if !go_on(done) {
            return Ok(None);
        }
        loader.recycle(batch);
    }
    if weights == 0.0 {
        return Err(etude_eval::Error::Empty { place: "validation".to_owned() }.into());
    }
    let mean = |(name, sum): (&str, f64)| (name.to_owned(), sum / weights);
    Ok(Some(names.into_iter().zip(sums).map(mean).collect()))
}
