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
    /// Length in seconds; 0 when the rate is 0.
    pub fn seconds(&self) -> f64 {
        if self.rate == 0 { 0.0 } else { self.samples.len() as f64 / f64::from(self.rate) }
    }
}
