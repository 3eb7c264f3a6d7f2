//! Settings of a loader.

use crate::crop::Crop;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How samples become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Samples per batch (16).
    pub batch: usize,
    /// Which part of a track is a sample (whole).
    pub crop: Crop,
    /// Threads that read and convert (2). A thread works on a batch of its own, so no more threads are busy than
    /// batches fit into `prefetch_bytes`.
    pub threads: usize,
    /// Bytes of f32 read ahead of the consumer (64 MiB); one batch is always allowed, however large it is.
    pub prefetch_bytes: u64,
    /// Leave out the last samples of an epoch that fill no batch (no). Training only.
    pub drop_last: bool,
    /// Another order in every epoch (yes); otherwise in order of the keys. Training only.
    pub shuffle: bool,
    /// End an epoch after this many batches, whatever is left of its order (none). Training only.
    pub epoch_batches: Option<u64>,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch: 16,
            crop: Crop::Whole,
            threads: 2,
            prefetch_bytes: 64 << 20,
            drop_last: false,
            shuffle: true,
            epoch_batches: None,
        }
    }
}

impl LoaderConfig {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting.
    pub fn check(&self) -> Result<()> {
        let zero = |key| Err(Error::Config { key, expected: "at least 1", got: "0".to_string() });
        match self {
            Self { batch: 0, .. } => zero("batch"),
            Self { threads: 0, .. } => zero("threads"),
            Self { epoch_batches: Some(0), .. } => zero("epoch_batches"),
            _ => self.crop.check(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_has_its_default_and_a_stray_one_is_refused() {
        let read = |text| serde_json::from_str::<LoaderConfig>(text).map_err(|e| e.to_string());
        assert_eq!(read("{}"), Ok(LoaderConfig::default()));
        assert_eq!(read(r#"{"batch": 4}"#), Ok(LoaderConfig { batch: 4, ..Default::default() }));
        assert!(read(r#"{"workers": 4}"#).unwrap_err().contains("`threads`"));
    }

    #[test]
    fn zero_batches_and_zero_threads_are_refused() {
        let base = LoaderConfig::default();
        LoaderConfig { prefetch_bytes: 0, ..base }.check().unwrap();
        let text = |c: LoaderConfig| c.check().unwrap_err().to_string();
        assert_eq!(text(LoaderConfig { batch: 0, ..base }), "batch: expected at least 1, got 0");
        assert_eq!(
            text(LoaderConfig { threads: 0, ..base }),
            "threads: expected at least 1, got 0"
        );
        let crop = Crop::Centre { steps: 0 };
        assert_eq!(
            text(LoaderConfig { crop, ..base }),
            "crop.steps: expected at least 1 time step, got 0"
        );
    }
}
