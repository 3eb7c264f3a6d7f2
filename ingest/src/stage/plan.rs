//! Which track goes into which shard file: a pure function of the manifest and the config.

use super::{DECODER, digest, extension};
use crate::config::{Check, Config, Ingest};
use etude_manifests::{Facts, Status, Track, tracks_hash};
use etude_shards::{Kind, Spec, TrackRow};
use std::borrow::Cow;
use std::ops::Range;

/// Files to be.
pub(super) struct Plan {
    /// Rows of the manifest whose audio shall be stored, in order.
    pub tracks: Vec<usize>,
    /// Positions in `tracks` of each file.
    pub units: Vec<Range<usize>>,
    /// What the set is.
    pub spec: Spec,
}

impl Plan {
    /// Files are filled in key order and end when they have reached `file_mb`.
    pub fn new(cfg: &Config, manifest: &[Track]) -> Self {
        let seen = as_planned(cfg, manifest);
        let planned = |t: &Track| t.status.usable() || t.status == Status::Unchecked;
        let tracks: Vec<usize> = (0..seen.len()).filter(|&i| planned(&seen[i])).collect();
        let mut units = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (n, &i) in tracks.iter().enumerate() {
            bytes += stored_bytes(cfg, &seen[i]);
            if bytes >= cfg.shards.file_mb << 20 || n + 1 == tracks.len() {
                units.push(start..n + 1);
                (start, bytes) = (n + 1, 0);
            }
        }
        let Ingest { check, bad, max_channels, min_s, .. } = &cfg.ingest;
        let spec = Spec {
            corpus: cfg.dataset.clone(),
            kind: Kind::Wave { rate: cfg.shards.rate },
            number: cfg.shards.number,
            block_s: cfg.shards.block_s,
            row_group_bytes: cfg.shards.row_group_mb << 20,
            resampler: cfg.shards.resampler.id(),
            config_digest: digest(&(DECODER, &cfg.shards, check, bad, max_channels, min_s)),
            manifest_hash: tracks_hash(&seen),
        };
        Self { tracks, units, spec }
    }

    /// Identity of a file: the set, its tracks, their tags and splits.
    pub fn identity(&self, unit: usize, scheme: &str, manifest: &[Track]) -> String {
        let rows = self.tracks[self.units[unit].clone()].iter().map(|&i| row(&manifest[i], scheme));
        self.spec.identity(rows)
    }
}

/// A track as its shard sees it.
pub(super) fn row<'a>(track: &'a Track, scheme: &str) -> TrackRow<'a> {
    TrackRow {
        key: &track.key,
        variant: "orig",
        tags: track.tags.as_deref().unwrap_or_default(),
        split: track.splits.get(scheme).copied(),
    }
}

/// Under `check = "header"` the plan rests on sizes alone, so that it is the same before and after the decode facts are
/// filled in.
fn as_planned<'a>(cfg: &Config, manifest: &'a [Track]) -> Cow<'a, [Track]> {
    if cfg.ingest.check == Check::Decode {
        return Cow::Borrowed(manifest);
    }
    let mut tracks = manifest.to_vec();
    for track in tracks.iter_mut().filter(|t| t.facts.file_bytes.is_some_and(|b| b > 0)) {
        let file_bytes = track.facts.file_bytes;
        track.facts = Facts { file_bytes, ..Facts::default() };
        track.status = Status::Unchecked;
    }
    Cow::Owned(tracks)
}

/// Size of a track in its shard: exact if it was decoded, otherwise guessed from its file.
fn stored_bytes(cfg: &Config, track: &Track) -> u64 {
    let number = cfg.shards.number.bytes() as u64;
    let positive = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
    match (positive(track.facts.frames), positive(track.facts.src_rate.map(i64::from))) {
        (Some(frames), Some(rate)) => {
            let most = cfg.shards.cap_s.map_or(u64::MAX, |s| (s * rate as f64) as u64);
            etude_features::resampled_len(frames.min(most), rate as u32, cfg.shards.rate) * number
        }
        _ => {
            let swell = match extension(&track.path).as_str() {
                "wav" | "aif" | "aiff" => 1,
                "flac" => 2,
                _ => 8,
            };
            positive(track.facts.file_bytes).unwrap_or(0) * swell
        }
    }
}
