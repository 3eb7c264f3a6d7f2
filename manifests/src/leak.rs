//! Leaks: what examples of different splits have in common.

use crate::row::{Split, Status, Track};
use crate::view::View;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What two examples share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same track, or derived from the same original.
    Original,
    /// The same bytes.
    Bytes,
    /// The same decoded samples.
    Samples,
    /// Cut from the same recording.
    Recording,
    /// The same artist, title and place in the recording: a re-release.
    Twin,
    /// The same album.
    Album,
    /// The same artist.
    Artist,
}

impl Relation {
    /// Every relation, the closest first.
    pub const ALL: [Relation; 7] = [
        Relation::Original,
        Relation::Bytes,
        Relation::Samples,
        Relation::Recording,
        Relation::Twin,
        Relation::Album,
        Relation::Artist,
    ];

    /// Word for programs, e.g. `artist_leak`.
    pub fn kind(self) -> &'static str {
        match self {
            Relation::Original => "original_leak",
            Relation::Bytes => "bytes_leak",
            Relation::Samples => "samples_leak",
            Relation::Recording => "recording_leak",
            Relation::Twin => "twin_leak",
            Relation::Album => "album_leak",
            Relation::Artist => "artist_leak",
        }
    }

    /// Plural for people.
    pub fn plural(self) -> &'static str {
        match self {
            Relation::Original => "originals",
            Relation::Bytes => "files (same bytes)",
            Relation::Samples => "signals (same samples)",
            Relation::Recording => "recordings",
            Relation::Twin => "re-releases (artist, title, place)",
            Relation::Album => "albums",
            Relation::Artist => "artists",
        }
    }

    /// The value that examples of different splits should not share; `None` if the track does not tell.
    fn value<'a>(self, track: &'a Track, artists: &HashSet<String>) -> Option<Cow<'a, [u8]>> {
        let text = |s: &'a Option<String>| s.as_ref().map(|s| Cow::Borrowed(s.as_bytes()));
        match self {
            Relation::Original => {
                let key = track.source_key.as_ref().unwrap_or(&track.key);
                Some(Cow::Borrowed(key.as_bytes()))
            }
            Relation::Bytes if audible(track) => {
                track.facts.sha256.as_ref().map(|d| Cow::Borrowed(&d[..]))
            }
            Relation::Samples if audible(track) => {
                track.facts.pcm_sha256.as_ref().map(|d| Cow::Borrowed(&d[..]))
            }
            Relation::Bytes | Relation::Samples => None,
            Relation::Recording => text(&track.track_id),
            Relation::Album => text(&track.album_id),
            Relation::Artist => text(&track.artist_id),
            Relation::Twin => twin(track, artists).map(|t| Cow::Owned(t.into_bytes())),
        }
    }
}

/// One relation that crosses borders between splits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// What is shared.
    pub relation: Relation,
    /// Different values (artists, files, …) in two splits or more.
    pub values: u64,
    /// Train and valid, train and test, valid and test; without the borders that nothing crosses.
    pub borders: Vec<Border>,
    /// One pair of keys per value, in key order.
    pub pairs: Vec<(String, String)>,
}

/// A border between two splits and what crosses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Border {
    /// The split that one learns from.
    pub left: Split,
    /// The split that one measures on.
    pub right: Split,
    /// Values found on both sides.
    pub values: u64,
    /// Examples of `right` that share a value with `left`.
    pub examples: u64,
    /// Examples of `right` in all.
    pub of: u64,
}

const BORDERS: [(Split, Split); 3] =
    [(Split::Train, Split::Valid), (Split::Train, Split::Test), (Split::Valid, Split::Test)];

/// Every relation that crosses a border between the splits of a view, the closest relation first.
///
/// Examples whose track is not in `tracks` are left out.
pub fn leaks(view: &View, tracks: &[Track]) -> Vec<Leak> {
    let by_key: HashMap<&str, &Track> = tracks.iter().map(|t| (t.key.as_str(), t)).collect();
    let examples: Vec<(&str, Split, &Track)> = view
        .examples
        .iter()
        .filter_map(|e| Some((e.key.as_str(), e.split, *by_key.get(e.track.as_str())?)))
        .collect();
    let all = |split| view.only(split).count() as u64;
    let totals = Split::ALL.map(all);
    let artists = tracks.iter().filter_map(|t| t.artist.as_deref()).map(plain).collect();
    let values = |relation: Relation| {
        let of = |&(key, split, track)| Some((key, split, relation.value(track, &artists)?));
        cross(relation, examples.iter().filter_map(of), totals)
    };
    let found = Relation::ALL.into_iter().map(values);
    found.filter(|leak| leak.values > 0).collect()
}

/// Examples per split that share a value, and the first key of each split.
#[derive(Default)]
struct Shared<'a> {
    examples: [u64; 3],
    first: [Option<&'a str>; 3],
}

/// Collects what crosses borders; `examples` are key, split and value, `totals` the examples per split.
fn cross<'a>(
    relation: Relation,
    examples: impl Iterator<Item = (&'a str, Split, Cow<'a, [u8]>)>,
    totals: [u64; 3],
) -> Leak {
    let mut shared: HashMap<Cow<'_, [u8]>, Shared<'_>> = HashMap::new();
    for (key, split, value) in examples {
        let entry = shared.entry(value).or_default();
        entry.examples[split as usize] += 1;
        let first = &mut entry.first[split as usize];
        *first = Some(first.map_or(key, |old: &str| old.min(key)));
    }
    let crossing: Vec<&Shared<'_>> =
        shared.values().filter(|s| s.first.iter().flatten().count() > 1).collect();
    let borders = BORDERS.into_iter().map(|(left, right)| {
        let both = crossing
            .iter()
            .filter(|s| s.examples[left as usize] > 0 && s.examples[right as usize] > 0);
        Border {
            left,
            right,
            values: both.clone().count() as u64,
            examples: both.map(|s| s.examples[right as usize]).sum(),
            of: totals[right as usize],
        }
    });
    let mut pairs: Vec<(String, String)> = crossing
        .iter()
        .filter_map(|s| {
            let mut firsts = s.first.iter().flatten();
            Some((firsts.next()?.to_string(), firsts.next()?.to_string()))
        })
        .collect();
    pairs.sort_unstable();
    Leak {
        relation,
        values: crossing.len() as u64,
        borders: borders.filter(|b| b.values > 0).collect(),
        pairs,
    }
}

/// Whether equal digests mean equal music: empty and silent files are all alike.
pub(crate) fn audible(track: &Track) -> bool {
    !matches!(
        track.status,
        Status::MissingFile | Status::EmptyFile | Status::NoSamples | Status::Silent
    )
}

/// Artist, title and place of a clip in plain letters. On a compilation the title may be `Artist_ Title`: it is taken
/// apart when `artists` knows the first part.
fn twin(track: &Track, artists: &HashSet<String>) -> Option<String> {
    let (mut artist, mut title) = (plain(track.artist.as_deref()?), plain(track.title.as_deref()?));
    if let Some((first, rest)) = track.title.as_deref().and_then(|t| t.split_once("_ "))
        && artists.contains(&plain(first))
    {
        (artist, title) = (plain(first), plain(rest));
    }
    Some(format!("{artist}\t{title}\t{:.2}", track.clip_start_s.unwrap_or(0.0)))
}

/// Lower case letters and digits, everything else one space.
fn plain(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::row::{Example, Target};
    use crate::vocab::Vocab;

    fn view(splits: &[(&str, Split)]) -> View {
        let examples = splits.iter().map(|(key, split)| Example {
            key: (*key).into(),
            track: (*key).into(),
            variant: "orig".into(),
            split: *split,
            target: Target::None,
        });
        View {
            name: "v".into(),
            corpus: "c".into(),
            vocab: Vocab::published("none", vec![]).unwrap(),
            examples: examples.collect(),
            sources: vec![],
        }
    }

    fn track(key: &str) -> Track {
        Track { key: key.into(), status: Status::Ok, ..Track::default() }
    }

    #[test]
    fn an_artist_on_both_sides_counts_once_and_all_its_test_examples_count() {
        let by = |key: &str, artist: &str| Track { artist_id: Some(artist.into()), ..track(key) };
        let tracks = [by("1", "a"), by("2", "a"), by("3", "a"), by("4", "b"), by("5", "c")];
        let view = view(&[
            ("1", Split::Train),
            ("2", Split::Test),
            ("3", Split::Test),
            ("4", Split::Train),
            ("5", Split::Test),
        ]);
        let leaks = leaks(&view, &tracks);
        assert_eq!(leaks.len(), 1);
        assert_eq!((leaks[0].relation, leaks[0].values), (Relation::Artist, 1));
        let border =
            Border { left: Split::Train, right: Split::Test, values: 1, examples: 2, of: 3 };
        assert_eq!(leaks[0].borders, [border]);
        assert_eq!(leaks[0].pairs, [("1".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn empty_and_silent_files_are_no_duplicates() {
        let same = |key: &str, status| {
            let mut t = Track { status, ..track(key) };
            t.facts.sha256 = Some([1; 32]);
            t.facts.pcm_sha256 = Some([2; 32]);
            t
        };
        let view = view(&[("1", Split::Train), ("2", Split::Valid)]);
        assert_eq!(leaks(&view, &[same("1", Status::Ok), same("2", Status::Ok)]).len(), 2);
        assert!(leaks(&view, &[same("1", Status::Silent), same("2", Status::Silent)]).is_empty());
    }

    #[test]
    fn a_derived_file_leaks_its_original() {
        let derived = Track { source_key: Some("1".into()), ..track("2") };
        let view = view(&[("1", Split::Test), ("2", Split::Train)]);
        let leaks = leaks(&view, &[track("1"), derived]);
        assert_eq!(leaks[0].relation, Relation::Original);
        assert_eq!(leaks[0].pairs, [("2".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_compilation_is_a_twin_of_the_album() {
        let song = |key: &str, artist: &str, title: &str| Track {
            artist: Some(artist.into()),
            title: Some(title.into()),
            clip_start_s: Some(30.0),
            ..track(key)
        };
        let tracks = [
            song("1", "Jan Hanford", "Prelude No. 14"),
            song("2", "Magnatune Compilation", "Jan Hanford_ Prelude no 14"),
            song("3", "Jan Hanford", "x_ Prelude No. 14"),
        ];
        let view = view(&[("1", Split::Train), ("2", Split::Test), ("3", Split::Test)]);
        let leaks = leaks(&view, &tracks);
        assert_eq!(leaks.len(), 1);
        assert_eq!((leaks[0].relation, leaks[0].borders[0].examples), (Relation::Twin, 1));
    }
}
