//! What can go wrong in signal processing: a setting that cannot be planned, or a wave too short for its frames.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong here. Each variant names the setting or the input, what was expected and what came.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that no plan can be made of.
    #[error("{field}: expected {expected}, got {got}")]
    Config {
        /// Name of the setting as it stands in a config file.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// The wave is too short for a single frame.
    #[error(
        "wave: expected at least {expected} samples for one frame, got {got}; pad the wave or skip the track"
    )]
    TooShort {
        /// The fewest samples that give a frame.
        expected: usize,
        /// Samples given.
        got: usize,
    },
}

/// `Err` with the setting's name unless `ok`.
pub(crate) fn ensure(
    ok: bool,
    field: &'static str,
    expected: impl ToString,
    got: impl ToString,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::Config { field, expected: expected.to_string(), got: got.to_string() })
}
