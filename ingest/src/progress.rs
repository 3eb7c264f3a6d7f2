//! How a stage tells how far it is. Library code draws nothing.

/// Told by a stage as it goes, from several threads.
pub trait Progress: Sync {
    /// A stage begins; `tracks` is how many steps will follow.
    fn start(&self, stage: &str, tracks: u64);
    /// One track is done.
    fn done(&self, step: &Step);
    /// The stage is over.
    fn finish(&self);
}

/// One track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Seconds of audio decoded; 0 for a track that was known already or could not be decoded.
    pub audio_s: f64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it is usable.
    pub ok: bool,
}

/// Says nothing.
impl Progress for () {
    fn start(&self, _stage: &str, _tracks: u64) {}
    fn done(&self, _step: &Step) {}
    fn finish(&self) {}
}
