//! What the loader hands over: plain numbers, no torch.

use crate::buffer::{Buffer, Lender};
use etude_manifests::Target;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// B crops stacked. Letters: B crops, T time steps (samples or frames), W numbers per step (1 for waves).
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Example key of each row.
    pub keys: Vec<String>,
    /// Start of each crop in its track, time steps.
    pub starts: Vec<u64>,
    /// Row-major `[B, T]` for waves, `[B, T, W]` otherwise; rows shorter than T are padded with zeros.
    pub data: Buffer,
    /// `[B, T]` or `[B, T, W]`.
    pub shape: Vec<usize>,
    /// Time steps of each row that are not padding.
    pub lengths: Vec<usize>,
    /// What a model should say about each row.
    pub targets: Vec<Target>,
    /// Where the loader stands once this batch has been consumed.
    pub after: LoaderState,
}

/// Where a loader is: everything needed to go on at exactly the next sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderState {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Samples of this epoch already handed over.
    pub sample: u64,
}

impl Batch {
    /// Bytes of memory that the numbers hold.
    pub(crate) fn bytes(&self) -> u64 {
        (self.data.capacity() * size_of::<f32>()) as u64
    }

    /// A batch of nothing; its buffers grow when it is filled, `data` in memory of `lender`.
    pub(crate) fn empty(lender: Option<Arc<dyn Lender>>) -> Self {
        Self {
            keys: Vec::new(),
            starts: Vec::new(),
            data: Buffer::lent_by(lender),
            shape: Vec::new(),
            lengths: Vec::new(),
            targets: Vec::new(),
            after: LoaderState::default(),
        }
    }
}
