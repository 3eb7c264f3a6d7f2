//! From what a decode found to a row of the manifest: what becomes of files that are not as they should be.

use crate::config::Bad;
use crate::corpus::Durations;
use etude_manifests::{Facts, Status, Track, Warning};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What one decode found, before any policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub facts: Facts,
    pub status: Status,
    pub text: Option<String>,
    pub warnings: Vec<Warning>,
}

/// Puts an outcome into its track, as the policy says.
pub(crate) fn apply(bad: Bad, durations: &Durations, outcome: Outcome, track: &mut Track) {
    let Outcome { facts, mut status, mut text, mut warnings } = outcome;
    let has_good_part = matches!(status, Status::Truncated | Status::Partial | Status::Nonfinite)
        && facts.frames.is_some_and(|f| f > 0);
    if bad == Bad::KeepGood && has_good_part {
        text = Some(format!("kept the good part: {}", described(status, text.as_deref())));
        warnings.push(Warning::KeptGoodPart);
        status = Status::OkWarn;
    }
    if facts.duration_s.is_some_and(|s| !durations.fits(&track.clip_id, s)) {
        warnings.push(Warning::DurationMismatch);
    }
    warnings.sort_unstable();
    warnings.dedup();
    if status == Status::Ok && !warnings.is_empty() {
        status = Status::OkWarn;
    }
    if matches!(status, Status::MissingFile | Status::EmptyFile) {
        track.splits.clear(); // published splits are counted without such files
    }
    track.facts = facts;
    track.status = status;
    track.status_text = text;
    track.warnings = warnings;
}

/// Warns of usable tracks that have the same bytes or the same samples as another one.
pub(crate) fn mark_duplicates(tracks: &mut [Track]) {
    mark(tracks, Warning::DuplicateFile, |t| t.facts.sha256);
    mark(tracks, Warning::DuplicatePcm, |t| t.facts.pcm_sha256);
}

fn mark(tracks: &mut [Track], warning: Warning, digest: fn(&Track) -> Option<[u8; 32]>) {
    let mut seen: HashMap<[u8; 32], u32> = HashMap::new();
    for digest in tracks.iter().filter(|t| t.status.usable()).filter_map(digest) {
        *seen.entry(digest).or_default() += 1;
    }
    for track in tracks.iter_mut().filter(|t| t.status.usable()) {
        let twice = digest(track).is_some_and(|d| seen.get(&d).is_some_and(|&n| n > 1));
        if twice && !track.warnings.contains(&warning) {
            track.warnings.push(warning);
            track.warnings.sort_unstable();
            track.status = Status::OkWarn;
        }
    }
}

/// `status: text`.
pub(crate) fn described(status: Status, text: Option<&str>) -> String {
    match text {
        Some(text) => format!("{}: {text}", name(&status)),
        None => name(&status),
    }
}

/// A status or warning as it is written in tables.
pub(crate) fn name<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: Status, frames: i64) -> Outcome {
        let facts = Facts { frames: Some(frames), duration_s: Some(29.1), ..Facts::default() };
        Outcome { facts, status, text: Some("why".into()), warnings: vec![] }
    }

    fn applied(bad: Bad, outcome: Outcome) -> Track {
        let mut track = Track { clip_id: "1".into(), ..Track::default() };
        track.splits.insert("s".into(), etude_manifests::Split::Train);
        apply(bad, &Durations::Unknown, outcome, &mut track);
        track
    }

    #[test]
    fn only_keep_good_uses_what_could_be_decoded_and_says_so() {
        for status in [Status::Truncated, Status::Partial, Status::Nonfinite] {
            assert_eq!(applied(Bad::Skip, outcome(status, 9)).status, status);
            let kept = applied(Bad::KeepGood, outcome(status, 9));
            assert_eq!((kept.status, kept.warnings), (Status::OkWarn, vec![Warning::KeptGoodPart]));
            let text = format!("kept the good part: {}: why", name(&status));
            assert_eq!(kept.status_text, Some(text));
            assert_eq!(applied(Bad::KeepGood, outcome(status, 0)).status, status);
        }
        assert_eq!(applied(Bad::KeepGood, outcome(Status::Silent, 9)).status, Status::Silent);
    }

    #[test]
    fn a_duration_unlike_the_published_one_is_a_warning() {
        let durations = Durations::Same { seconds: 29.124, tolerance: 0.01 };
        let mut track = Track::default();
        apply(Bad::Skip, &durations, outcome(Status::Ok, 9), &mut track);
        assert_eq!(
            (track.status, track.warnings),
            (Status::OkWarn, vec![Warning::DurationMismatch])
        );
    }

    #[test]
    fn an_empty_file_is_in_no_split_and_a_broken_one_stays_in_its_split() {
        assert!(applied(Bad::Skip, outcome(Status::EmptyFile, 0)).splits.is_empty());
        assert_eq!(applied(Bad::Skip, outcome(Status::DecodeError, 0)).splits.len(), 1);
    }

    #[test]
    fn duplicates_are_told_among_usable_tracks_only() {
        let track = |status, sha: u8, pcm: u8| Track {
            status,
            facts: Facts {
                sha256: Some([sha; 32]),
                pcm_sha256: Some([pcm; 32]),
                ..Facts::default()
            },
            ..Track::default()
        };
        let mut tracks = [
            track(Status::Ok, 1, 1),
            track(Status::Ok, 1, 1),
            track(Status::OkWarn, 2, 1),
            track(Status::Ok, 3, 3),
            track(Status::Silent, 3, 3),
        ];
        mark_duplicates(&mut tracks);
        let both = vec![Warning::DuplicateFile, Warning::DuplicatePcm];
        assert_eq!((tracks[0].status, &tracks[0].warnings), (Status::OkWarn, &both));
        assert_eq!(tracks[1].warnings, both);
        assert_eq!(tracks[2].warnings, [Warning::DuplicatePcm]);
        assert_eq!((tracks[3].status, tracks[4].warnings.len()), (Status::Ok, 0));
    }
}
