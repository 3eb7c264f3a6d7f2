//! What the loader hands over: plain numbers, no torch.

use etude_manifests::Target;
use serde::{Deserialize, Serialize};

/// B crops stacked. Letters: B crops, T time steps (samples or frames), W numbers per step (1 for waves).
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Example key of each row.
    pub keys: Vec<String>,
    /// Start of each crop in its track, time steps.
    pub starts: Vec<u64>,
    /// Row-major `[B, T]` for waves, `[B, T, W]` otherwise; rows shorter than T are padded with zeros.
    pub data: Vec<f32>,
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

    /// New memory for `numbers` numbers, all zero. Nothing of a former, smaller buffer is kept.
    pub(crate) fn grow(&mut self, numbers: usize) {
        self.data = Vec::new(); // freed before the larger one is asked for
        self.data = vec![0.0; numbers];
        #[cfg(target_os = "linux")]
        in_huge_pages(&mut self.data);
    }

    /// A batch of nothing; its buffers grow when it is filled.
    pub(crate) fn empty() -> Self {
        Self {
            keys: Vec::new(),
            starts: Vec::new(),
            data: Vec::new(),
            shape: Vec::new(),
            lengths: Vec::new(),
            targets: Vec::new(),
            after: LoaderState::default(),
        }
    }
}

/// Asks for memory pages of 2 MiB: a fresh batch of 45 MB then costs 22 page faults, not 11 000.
#[cfg(target_os = "linux")]
fn in_huge_pages(data: &mut [f32]) {
    const PAGE: usize = 4096;
    let (begin, bytes) = (data.as_mut_ptr().cast::<u8>(), size_of_val(data));
    let skip = begin.align_offset(PAGE);
    let Some(len) = bytes.checked_sub(skip).map(|n| n / PAGE * PAGE).filter(|n| *n >= 4 << 20)
    else {
        return;
    };
    // SAFETY: the range is whole pages inside the vector, and this hint changes no contents. Without huge pages in the
    // kernel it is refused, which changes nothing either.
    let _ = unsafe {
        rustix::mm::madvise(begin.add(skip).cast(), len, rustix::mm::Advice::LinuxHugepage)
    };
}
