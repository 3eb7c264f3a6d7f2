//! What one shard set is: its identity, and how tracks are cut into rows.

use crate::error::{Error, Result};
use crate::kind::{Kind, Number};
use etude_manifests::Split;
use serde::{Deserialize, Serialize};

/// Everything that makes two shard sets of one corpus different.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Corpus id, e.g. `mtat`.
    pub corpus: String,
    /// Waves, frames or embeddings.
    pub kind: Kind,
    /// How one number is stored.
    pub number: Number,
    /// Length of a row, seconds; 10 unless there is a reason. Sets of one vector per track have one row per track.
    pub block_s: f64,
    /// Bytes of `data` after which a row group ends; 8 to 32 MB.
    pub row_group_bytes: u64,
    /// Resampler and its settings, e.g. `fft-4096`; `none` for rates left alone. Of mel frames also the front end.
    pub resampler: String,
    /// Digest of the configuration that made the set, hex.
    pub config_digest: String,
    /// Digest of the table of tracks, hex.
    pub manifest_hash: String,
}

/// One track as a shard sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackRow<'a> {
    /// Key of the track in the manifest.
    pub key: &'a str,
    /// `orig`, `key-3`, `stretch0.95`, …
    pub variant: &'a str,
    /// Raw tags as published; repeated here so that a shard seen alone explains itself.
    pub tags: &'a [String],
    /// Default split; views may say otherwise.
    pub split: Option<Split>,
}

impl Spec {
    /// Refuses what cannot be written.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn check(&self) -> Result<()> {
        let bad = |key, expected, got| Err(Error::Config { key, expected, got });
        if self.kind.width() == 0 {
            return bad("kind", "at least one number per time step", "0".to_string());
        }
        let steps_per_s = self.kind.steps_per_s();
        let fixed = matches!(self.kind, Kind::Embedding { fps, .. } if fps == 0.0);
        if !(fixed || steps_per_s > 0.0 && steps_per_s.is_finite()) {
            return bad("kind", "a finite rate above 0", steps_per_s.to_string());
        }
        if !(self.block_s > 0.0 && self.block_s.is_finite()) {
            return bad("block_s", "a number of seconds above 0", self.block_s.to_string());
        }
        let block_bytes = self.block_steps().saturating_mul(self.step_bytes() as u64);
        if !fixed && block_bytes > 1 << 30 {
            return bad("block_s", "blocks of at most 1 GiB", format!("{block_bytes} bytes"));
        }
        if self.row_group_bytes == 0 {
            return bad("row_group_bytes", "a number of bytes above 0", "0".to_string());
        }
        Ok(())
    }

    /// Time steps of a full row; a set of one vector per track has no limit.
    pub fn block_steps(&self) -> u64 {
        match self.kind {
            Kind::Embedding { fps: 0.0, .. } => u64::from(u32::MAX),
            _ => ((self.block_s * self.kind.steps_per_s()).round() as u64)
                .clamp(1, u64::from(u32::MAX)),
        }
    }

    /// Bytes of one time step.
    pub fn step_bytes(&self) -> usize {
        self.kind.width() * self.number.bytes()
    }

    /// Rows of a track of `steps` time steps.
    pub fn rows_of(&self, steps: u64) -> u64 {
        steps.div_ceil(self.block_steps())
    }

    /// Identity of one planned file: this set and the tracks that shall go into it, in order, with tags and split. Hex.
    pub fn identity<'a>(&self, planned: impl IntoIterator<Item = TrackRow<'a>>) -> String {
        let mut hash = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        put(format!("{} {self:?}", crate::index::VERSION).as_bytes());
        for row in planned {
            put(row.key.as_bytes());
            put(row.variant.as_bytes());
            put(row.split.map_or("", split_name).as_bytes());
            put(&(row.tags.len() as u64).to_le_bytes());
            row.tags.iter().for_each(|tag| put(tag.as_bytes()));
        }
        hash.finalize().to_hex().to_string()
    }
}

/// `train`, `valid`, `test`.
pub(crate) fn split_name(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Valid => "valid",
        Split::Test => "test",
    }
}

/// How a track is named in messages: its key, with `#variant` unless it is the original.
pub(crate) fn track_name(key: &str, variant: &str) -> String {
    if variant == "orig" { key.to_string() } else { format!("{key}#{variant}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Spec {
        Spec {
            corpus: "mtat".into(),
            kind: Kind::Wave { rate: 24_000 },
            number: Number::S16,
            block_s: 10.0,
            row_group_bytes: 16 << 20,
            resampler: "fft-4096".into(),
            config_digest: "c".into(),
            manifest_hash: "m".into(),
        }
    }

    #[test]
    fn a_clip_of_29_seconds_is_three_rows() {
        let spec = wave();
        assert_eq!(spec.block_steps(), 240_000);
        assert_eq!(spec.rows_of(698_976), 3);
        assert_eq!((spec.rows_of(0), spec.rows_of(240_000), spec.rows_of(240_001)), (0, 1, 2));
    }

    #[test]
    fn one_vector_per_track_is_one_row() {
        let spec =
            Spec { kind: Kind::Embedding { fps: 0.0, dim: 768 }, number: Number::F32, ..wave() };
        spec.check().unwrap();
        assert_eq!((spec.rows_of(1), spec.rows_of(12)), (1, 1));
    }

    #[test]
    fn settings_that_cannot_be_written_are_refused_by_name() {
        let bad = [
            (Spec { block_s: 0.0, ..wave() }, "block_s"),
            (Spec { block_s: f64::NAN, ..wave() }, "block_s"),
            (Spec { block_s: 1e6, ..wave() }, "block_s"),
            (Spec { row_group_bytes: 0, ..wave() }, "row_group_bytes"),
            (Spec { kind: Kind::Wave { rate: 0 }, ..wave() }, "kind"),
            (Spec { kind: Kind::Frames { fps: 100.0, bands: 0 }, ..wave() }, "kind"),
            (Spec { kind: Kind::Frames { fps: 0.0, bands: 8 }, ..wave() }, "kind"),
        ];
        for (spec, field) in bad {
            let text = spec.check().unwrap_err().to_string();
            assert!(text.starts_with(field), "{text}");
        }
    }

    #[test]
    fn the_identity_sees_every_planned_fact() {
        let tags = ["a".to_string(), "b".to_string()];
        let row = TrackRow { key: "k", variant: "orig", tags: &tags, split: Some(Split::Train) };
        let spec = wave();
        let base = spec.identity([row]);
        assert_eq!(base, spec.identity([row]));
        let others = [
            spec.identity([row, row]),
            spec.identity([TrackRow { key: "l", ..row }]),
            spec.identity([TrackRow { variant: "key-3", ..row }]),
            spec.identity([TrackRow { tags: &tags[..1], ..row }]),
            spec.identity([TrackRow { split: None, ..row }]),
            Spec { manifest_hash: "n".into(), ..wave() }.identity([row]),
            Spec { block_s: 5.0, ..wave() }.identity([row]),
        ];
        assert!(others.iter().all(|o| *o != base));
    }
}
