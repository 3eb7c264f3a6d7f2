//! A batch of plain numbers becomes tensors on a device.
//!
//! Letters: B crops, T time steps, W numbers per step (mel bands, embedding width).

use crate::error::Result;
use crate::memory::Pinned;
use etude_shards::Batch;
use tch::{Device, Tensor};

/// What a model gets.
#[derive(Debug)]
pub struct Inputs {
    /// Waves `[B, T]`; frames and embeddings `[B, T, W]`. Padding is zero.
    pub x: Tensor,
    /// Time steps of each row that are not padding, B numbers.
    pub lengths: Vec<usize>,
}

/// Copies a batch to `device`. To a GPU, from the memory of [`crate::BatchMemory`], the copy is only begun: what the GPU
/// is told next comes after it, and nobody waits.
pub fn inputs(batch: &Batch, device: Device) -> Result<Inputs> {
    let shape: Vec<i64> = batch.shape.iter().map(|&n| n as i64).collect();
    let x = match batch.data.lent::<Pinned>() {
        Some(pinned) => pinned.0.to(&shape, device)?,
        None => Tensor::f_from_slice(&batch.data)?.f_view(shape.as_slice())?.f_to(device)?,
    };
    Ok(Inputs { x, lengths: batch.lengths.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etude_manifests::Target;
    use etude_shards::LoaderState;

    fn batch(shape: &[usize]) -> Batch {
        let numbers: usize = shape.iter().product();
        Batch {
            keys: vec!["a:1".into(); shape[0]],
            starts: vec![0; shape[0]],
            data: (0..numbers).map(|n| n as f32).collect::<Vec<_>>().into(),
            shape: shape.to_vec(),
            lengths: vec![shape[1]; shape[0]],
            targets: vec![Target::None; shape[0]],
            after: LoaderState::default(),
        }
    }

    #[test]
    fn numbers_keep_their_places() {
        assert_eq!(inputs(&batch(&[2, 5]), Device::Cpu).unwrap().x.size(), [2, 5]);
        let frames = inputs(&batch(&[2, 5, 3]), Device::Cpu).unwrap();
        assert_eq!(frames.x.size(), [2, 5, 3]);
        assert_eq!(frames.x.double_value(&[0, 2, 1]), 7.0);
        assert_eq!(frames.lengths, [5, 5]);
    }
}
