//! One track in memory: mono samples and their rate.

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
}
