//! One track in memory: mono samples and their rate.

use std::cell::RefCell;

/// Bytes a thread keeps for its next track; a longer track's memory is given back to the system.
const KEEP_BYTES: usize = 64 << 20;

thread_local! {
    static SPARE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Mono audio.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pcm {
    /// Samples; full scale is -1 to 1, lossy decoders may go beyond.
    pub samples: Vec<f32>,
    /// Samples per second, Hz.
    pub rate: u32,
}

impl Pcm {
    /// Only what begins before `seconds`, if that is less.
    pub(crate) fn cut(&mut self, seconds: f64) {
        let most = (seconds * f64::from(self.rate)) as usize;
        self.samples.truncate(most);
    }

    /// Length in seconds; 0 when the rate is 0.
    pub fn seconds(&self) -> f64 {
        if self.rate == 0 { 0.0 } else { self.samples.len() as f64 / f64::from(self.rate) }
    }

    /// Leaves the memory to the next track that this thread decodes: fresh pages cost more than the samples on them.
    pub fn recycle(mut self) {
        if self.samples.capacity() * size_of::<f32>() <= KEEP_BYTES {
            self.samples.clear();
            SPARE.set(self.samples);
        }
    }

    /// No samples, in the memory of the track that was recycled last.
    pub(crate) fn spare() -> Vec<f32> {
        SPARE.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_track_has_the_memory_of_the_last_and_none_of_its_samples() {
        let samples = vec![0.5; 1000];
        let memory = samples.as_ptr();
        Pcm { samples, rate: 8_000 }.recycle();
        let spare = Pcm::spare();
        assert_eq!((spare.as_ptr(), spare.len()), (memory, 0));
        assert_eq!(Pcm::spare().capacity(), 0);
        Pcm { samples: Vec::with_capacity(KEEP_BYTES / 4 + 1), rate: 8_000 }.recycle();
        assert_eq!(Pcm::spare().capacity(), 0);
    }
}
