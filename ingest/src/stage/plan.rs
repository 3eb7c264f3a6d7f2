//! Which track goes into which shard file: a pure function of the manifest and the config.

use super::{DECODER, digest, extension};
use crate::config::{Check, Config, Ingest, Shards};
use etude_manifests::{Facts, Status, Track, tracks_hash};
use etude_shards::{Spec, TrackRow};
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
        let spec = Spec {
            corpus: cfg.dataset.clone(),
            kind: cfg.shards.kind(),
            number: cfg.shards.stored_number(),
            block_s: cfg.shards.block_s,
            row_group_bytes: cfg.shards.row_group_mb << 20,
            resampler: match &cfg.shards.mel {
                Some(mel) => format!("{}, then {mel}", cfg.shards.resampler.id()),
                None => match cfg.shards.features {
                    Some(kind) => format!("{}, then {}", cfg.shards.resampler.id(), kind.name()),
                    None => cfg.shards.resampler.id(),
                },
            },
            config_digest: config_digest(cfg),
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

/// Digest of the part of the config that shows in the set.
fn config_digest(cfg: &Config) -> String {
    let Ingest { check, bad, max_channels, min_s, .. } = &cfg.ingest;
    match cfg.shards.front_end() {
        None => digest(&(DECODER, &cfg.shards, check, bad, max_channels, min_s)),
        Some(mel) => {
            let number = cfg.shards.stored_number();
            let shards = Shards { rate: mel.rate, number, mel_number: None, ..cfg.shards.clone() };
            digest(&(DECODER, shards, mel, check, bad, max_channels, min_s))
        }
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

/// Size of a track in its shard: nearly exact if it was decoded, otherwise guessed from its file.
fn stored_bytes(cfg: &Config, track: &Track) -> u64 {
    let shards = &cfg.shards;
    let positive = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
    let capped = |frames: u64, rate: u32| match shards.cap_s {
        Some(cap_s) => frames.min((cap_s * f64::from(rate)) as u64),
        None => frames,
    };
    let rate = positive(track.facts.src_rate.map(i64::from));
    if let (Some(frames), Some(rate)) = (positive(track.facts.frames), rate) {
        let rate = rate as u32; // it came from 32 bits
        let to = shards.audio_rate();
        let samples = etude_features::resampled_len(capped(frames, rate), rate, to);
        let steps = match (shards.front_end(), shards.features) {
            (Some(mel), _) => samples / mel.hop as u64 + 1,
            (None, Some(_)) => 1,
            (None, None) => samples,
        };
        return steps * (shards.kind().width() * shards.stored_number().bytes()) as u64;
    }
    let swell = match extension(&track.path).as_str() {
        "wav" | "aif" | "aiff" | "npy" => 1,
        "flac" => 2,
        _ => 8,
    };
    positive(track.facts.file_bytes).unwrap_or(0) * swell
}
