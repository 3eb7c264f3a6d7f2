//! Checks over whole manifests: what is wrong with a table of tracks, and what makes the scores of a view doubtful.

use crate::findings::{Findings, Level};
use crate::leak::{self, Leak, Relation, leaks};
use crate::row::{Example, Split, Status, Target, Track};
use crate::table::count;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Checks a table of tracks: keys and paths unique, keys of the form `<dataset>:<clip_id>`, paths relative, labels
/// ascending, copies (same bytes, same samples), files that are not usable.
pub fn check_tracks(tracks: &[Track]) -> Findings {
    let mut found = Findings::default();
    repeated(&mut found, tracks, "key", |t| &t.key);
    repeated(&mut found, tracks, "path", |t| &t.path);
    let odd = |t: &&Track| t.key != format!("{}:{}", t.dataset, t.clip_id);
    each(
        &mut found,
        Level::Error,
        "key_form",
        "keys that are not `<dataset>:<clip_id>`",
        tracks,
        odd,
    );
    let odd = |t: &&Track| t.path.is_empty() || t.path.starts_with('/') || t.path.contains('\\');
    let text = "paths that are not relative with `/` between folders";
    each(&mut found, Level::Error, "path_form", text, tracks, odd);
    let odd = |t: &&Track| t.labels.values().flatten().any(|l| !ascending(l));
    let text = "tracks with labels below 0, repeated or not ascending";
    each(&mut found, Level::Error, "labels", text, tracks, odd);
    copies(&mut found, tracks);
    let used: Vec<&Track> = tracks.iter().collect();
    statuses(&mut found, &used, "tracks");
    found
}

/// Checks a view against the tracks of its corpus: rows that break a promise, unknown tracks, unusable audio, leaks
/// between splits, splits without examples, classes without a positive in a split, one target for all.
///
/// An artist in two splits is an error when the protocol says that splits are `artist_disjoint`, a warning otherwise.
/// The same original in two splits is always an error.
pub fn check_view(view: &View, tracks: &[Track], artist_disjoint: bool) -> Findings {
    let mut found = Findings::default();
    if let Err(why) = view.validate() {
        found.push(Level::Error, "invalid", 1, why.to_string(), []);
    }
    let by_key: HashMap<&str, &Track> = tracks.iter().map(|t| (t.key.as_str(), t)).collect();
    let unknown = |e: &&Example| !by_key.contains_key(e.track.as_str());
    let missing: Vec<&Example> = view.examples.iter().filter(unknown).collect();
    found.push(
        Level::Error,
        "unknown_tracks",
        missing.len() as u64,
        format!("examples whose track is not in the table of corpus `{}`", view.corpus),
        missing.iter().map(|e| e.key.clone()),
    );
    let keys: BTreeSet<&str> = view.examples.iter().map(|e| e.track.as_str()).collect();
    let used: Vec<&Track> = keys.iter().filter_map(|k| by_key.get(k).copied()).collect();
    statuses(&mut found, &used, "tracks of the view");
    for leak in leaks(view, tracks) {
        let level = match leak.relation {
            Relation::Original => Level::Error,
            Relation::Artist if artist_disjoint => Level::Error,
            _ => Level::Warning,
        };
        let pairs = leak.pairs.iter().map(|(left, right)| format!("{left} and {right}"));
        found.push(level, leak.relation.kind(), leak.values, describe(&leak), pairs);
    }
    let counts = view.counts();
    let empty: Vec<&str> =
        Split::ALL.into_iter().filter(|s| counts.of(*s) == 0).map(Split::name).collect();
    let level = if counts.total() == 0 { Level::Error } else { Level::Warning };
    let text = format!("splits without examples: {}", empty.join(", "));
    found.push(level, "empty_splits", empty.len() as u64, text, []);
    for split in Split::ALL.into_iter().filter(|s| counts.of(*s) > 0) {
        empty_classes(&mut found, view, split);
    }
    one_target(&mut found, view);
    found
}

/// One finding for the rows that `odd` picks.
fn each(
    found: &mut Findings,
    level: Level,
    kind: &'static str,
    text: &str,
    tracks: &[Track],
    odd: impl Fn(&&Track) -> bool,
) {
    let rows: Vec<&Track> = tracks.iter().filter(odd).collect();
    found.push(level, kind, rows.len() as u64, text.into(), rows.iter().map(|t| t.key.clone()));
}

/// An error for every value of `field` that more than one row has.
fn repeated(
    found: &mut Findings,
    tracks: &[Track],
    field: &'static str,
    get: fn(&Track) -> &String,
) {
    let mut seen = HashSet::new();
    let twice: BTreeSet<&String> = tracks.iter().map(get).filter(|v| !seen.insert(*v)).collect();
    let kind = if field == "key" { "repeated_keys" } else { "repeated_paths" };
    let text = format!("{field}s that more than one row has");
    found.push(Level::Error, kind, twice.len() as u64, text, twice.into_iter().cloned());
}

/// Groups of files with the same bytes, and of other files with the same samples.
fn copies(found: &mut Findings, tracks: &[Track]) {
    let mut bytes: HashMap<[u8; 32], Vec<&Track>> = HashMap::new();
    let mut samples: HashMap<[u8; 32], Vec<&Track>> = HashMap::new();
    for track in tracks.iter().filter(|t| leak::audible(t)) {
        if let Some(digest) = track.facts.sha256 {
            bytes.entry(digest).or_default().push(track);
        }
        if let Some(digest) = track.facts.pcm_sha256 {
            samples.entry(digest).or_default().push(track);
        }
    }
    samples.retain(|_, group| {
        let first = group[0].facts.sha256;
        first.is_none() || group.iter().any(|t| t.facts.sha256 != first)
    });
    let text = "groups of files with the same bytes";
    groups(found, "duplicate_bytes", text, bytes.into_values());
    let text = "groups of different files with the same samples";
    groups(found, "duplicate_samples", text, samples.into_values());
}

fn groups<'a>(
    found: &mut Findings,
    kind: &'static str,
    text: &str,
    groups: impl Iterator<Item = Vec<&'a Track>>,
) {
    let mut keys: Vec<Vec<&str>> = groups
        .filter(|group| group.len() > 1)
        .map(|group| {
            let mut keys: Vec<&str> = group.iter().map(|t| t.key.as_str()).collect();
            keys.sort_unstable();
            keys
        })
        .collect();
    keys.sort_unstable();
    let files: usize = keys.iter().map(Vec::len).sum();
    let text = format!("{text}: {} files", count(files as u64));
    let examples = keys.iter().map(|group| group.join(", "));
    found.push(Level::Warning, kind, keys.len() as u64, text, examples);
}

/// A warning with the statuses of audio that is not usable, a note for audio that nobody decoded yet.
fn statuses(found: &mut Findings, tracks: &[&Track], of: &str) {
    let mut counts: BTreeMap<Status, u64> = BTreeMap::new();
    for track in tracks {
        *counts.entry(track.status).or_default() += 1;
    }
    let unchecked = counts.remove(&Status::Unchecked).unwrap_or(0);
    counts.retain(|status, _| !status.usable());
    let named: Vec<String> =
        counts.iter().map(|(status, n)| format!("{} {status}", count(*n))).collect();
    let bad = tracks.iter().filter(|t| t.status != Status::Unchecked && !t.status.usable());
    let examples = bad.map(|t| format!("{}: {}", t.key, t.status));
    let text = format!("{of} that are not usable: {}", named.join(", "));
    found.push(Level::Warning, "unusable", counts.values().sum(), text, examples);
    let text = format!("{of} not decoded yet: nothing is known about their audio");
    found.push(Level::Note, "unchecked", unchecked, text, []);
}

/// `45 artists: train/test 45 (3,284 of 5,329 test examples)`
fn describe(leak: &Leak) -> String {
    let borders: Vec<String> = leak
        .borders
        .iter()
        .map(|b| {
            let (left, right) = (b.left, b.right);
            let (examples, of) = (count(b.examples), count(b.of));
            format!("{left}/{right} {} ({examples} of {of} {right})", count(b.values))
        })
        .collect();
    format!("{} in two splits: {}", leak.relation.plural(), borders.join(", "))
}

/// A warning with the classes that have no positive in a split: their scores are undefined.
fn empty_classes(found: &mut Findings, view: &View, split: Split) {
    let mut positive = vec![false; view.vocab.len()];
    let mut labelled = false;
    let mut mark = |label: u16| {
        labelled = true;
        if let Some(place) = positive.get_mut(usize::from(label)) {
            *place = true;
        }
    };
    for example in view.only(split) {
        match &example.target {
            Target::Tags(tags) => tags.iter().for_each(|t| mark(*t)),
            Target::Class(class) => mark(*class),
            Target::Spans(spans) => spans.iter().for_each(|s| mark(s.2)),
            Target::Values(_) | Target::Times(_) | Target::Text(_) | Target::None => {}
        }
    }
    let classes = view.vocab.classes.iter().zip(&positive).filter(|(_, seen)| !**seen);
    let empty: Vec<String> = classes.map(|(class, _)| class.clone()).collect();
    let kind = match split {
        Split::Train => "empty_classes_train",
        Split::Valid => "empty_classes_valid",
        Split::Test => "empty_classes_test",
    };
    let tagged = view.only(split).any(|e| matches!(e.target, Target::Tags(_)));
    if labelled || tagged {
        let all = view.vocab.len();
        let text = format!("of {all} classes without a positive in {split}: no score is defined");
        found.push(Level::Warning, kind, empty.len() as u64, text, empty);
    }
}

/// A warning if all examples have the same class, or no other tag than the same one: there is nothing to tell apart.
fn one_target(found: &mut Findings, view: &View) {
    let Some(first) = view.examples.first().filter(|_| view.examples.len() > 1) else { return };
    let labels = match &first.target {
        Target::Class(class) => std::slice::from_ref(class),
        Target::Tags(tags) if tags.len() < 2 => tags.as_slice(),
        _ => return,
    };
    if view.examples.iter().all(|e| e.target == first.target) {
        let name = |label: &u16| view.vocab.classes.get(usize::from(*label)).cloned();
        let names: Vec<String> = labels.iter().filter_map(name).collect();
        let n = view.examples.len() as u64;
        let what = if names.is_empty() { "no class".to_owned() } else { names.join(", ") };
        let text = format!("examples, all with the same target ({what}): nothing to learn");
        found.push(Level::Warning, "one_target", n, text, []);
    }
}

/// Whether labels ascend strictly from 0 on.
fn ascending(labels: &[i32]) -> bool {
    labels.first().is_none_or(|l| *l >= 0) && labels.windows(2).all(|w| w[0] < w[1])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::vocab::Vocab;

    fn track(id: &str) -> Track {
        let mut track = Track {
            dataset: "c".into(),
            key: format!("c:{id}"),
            clip_id: id.into(),
            path: format!("{id}.mp3"),
            status: Status::Ok,
            ..Track::default()
        };
        let digest = *blake3::hash(id.as_bytes()).as_bytes();
        (track.facts.sha256, track.facts.pcm_sha256) = (Some(digest), Some(digest));
        track
    }

    fn view(rows: &[(&str, Split, &[u16])]) -> View {
        let examples = rows.iter().map(|(id, split, tags)| Example {
            key: format!("c:{id}"),
            track: format!("c:{id}"),
            variant: "orig".into(),
            split: *split,
            target: Target::Tags(tags.to_vec()),
        });
        View {
            name: "v".into(),
            corpus: "c".into(),
            vocab: Vocab::published("ab", vec!["a".into(), "b".into()]).unwrap(),
            examples: examples.collect(),
            sources: vec![],
        }
    }

    #[test]
    fn sound_tables_have_no_findings() {
        assert!(check_tracks(&[track("1"), track("2")]).is_empty());
        let view = view(&[
            ("1", Split::Train, &[0, 1]),
            ("2", Split::Valid, &[0, 1]),
            ("3", Split::Test, &[0, 1]),
        ]);
        let found = check_view(&view, &[track("1"), track("2"), track("3")], true);
        assert!(found.is_empty(), "{found}");
    }

    #[test]
    fn repeated_keys_and_paths_are_errors() {
        let mut other = track("2");
        other.path = "1.mp3".into();
        let found = check_tracks(&[track("1"), track("1"), other]);
        assert_eq!(found.get("repeated_keys").unwrap().examples, ["c:1"]);
        assert_eq!(found.get("repeated_paths").unwrap().count, 1);
        assert_eq!(found.worst(), Some(Level::Error));
    }

    #[test]
    fn odd_keys_paths_and_labels_are_errors() {
        let (mut key, mut path, mut labels) = (track("1"), track("2"), track("3"));
        key.key = "1".into();
        path.path = "/music/2.mp3".into();
        labels.labels.insert("v".into(), Some(vec![2, 1]));
        let found = check_tracks(&[key, path, labels]);
        for kind in ["key_form", "path_form", "labels"] {
            assert_eq!(found.get(kind).unwrap().count, 1, "{kind}");
        }
    }

    #[test]
    fn copies_by_samples_are_told_from_copies_by_bytes() {
        let (a, mut b, mut c) = (track("1"), track("2"), track("3"));
        b.facts = a.facts.clone();
        c.facts.pcm_sha256 = Some([7; 32]);
        let mut d = track("4");
        d.facts.pcm_sha256 = Some([7; 32]);
        let found = check_tracks(&[a, b, c, d]);
        assert_eq!(found.get("duplicate_bytes").unwrap().examples, ["c:1, c:2"]);
        assert_eq!(found.get("duplicate_samples").unwrap().examples, ["c:3, c:4"]);
    }

    #[test]
    fn unusable_and_unchecked_audio_is_counted_by_status() {
        let mut rows = vec![track("1"), track("2"), track("3"), track("4")];
        rows[0].status = Status::Silent;
        rows[1].status = Status::Unchecked;
        rows[2].status = Status::Silent;
        let found = check_tracks(&rows);
        assert_eq!(found.get("unusable").unwrap().text, "tracks that are not usable: 2 silent");
        assert_eq!(found.get("unchecked").unwrap().count, 1);
    }

    #[test]
    fn an_artist_in_two_splits_is_an_error_only_where_it_is_forbidden() {
        let by = |id: &str| Track { artist_id: Some("x".into()), ..track(id) };
        let view = view(&[("1", Split::Train, &[0, 1]), ("2", Split::Test, &[0, 1])]);
        let level = |disjoint| {
            check_view(&view, &[by("1"), by("2")], disjoint).get("artist_leak").unwrap().level
        };
        assert_eq!(level(true), Level::Error);
        assert_eq!(level(false), Level::Warning);
    }

    #[test]
    fn unknown_tracks_and_empty_classes_are_found() {
        let view = view(&[("1", Split::Train, &[0]), ("9", Split::Test, &[])]);
        let found = check_view(&view, &[track("1")], false);
        assert_eq!(found.get("unknown_tracks").unwrap().examples, ["c:9"]);
        assert_eq!(found.get("empty_classes_train").unwrap().examples, ["b"]);
        assert_eq!(found.get("empty_classes_test").unwrap().count, 2);
        assert_eq!(found.get("empty_splits").unwrap().text, "splits without examples: valid");
    }

    #[test]
    fn labels_that_are_all_one_class_are_found() {
        let same = view(&[("1", Split::Train, &[1]), ("2", Split::Test, &[1])]);
        let found = check_view(&same, &[track("1"), track("2")], false);
        let text = "examples, all with the same target (b): nothing to learn";
        assert_eq!(found.get("one_target").unwrap().text, text);
        let mut one = same.clone();
        one.examples.iter_mut().for_each(|e| e.target = Target::Class(0));
        let found = check_view(&one, &[track("1"), track("2")], false);
        assert_eq!(found.get("one_target").unwrap().count, 2);
        one.examples[0].target = Target::Class(1);
        assert!(check_view(&one, &[track("1"), track("2")], false).get("one_target").is_none());
    }

    #[test]
    fn a_view_that_breaks_a_promise_is_an_error() {
        let view = view(&[("1", Split::Train, &[9])]);
        let found = check_view(&view, &[track("1")], false);
        assert!(found.get("invalid").unwrap().text.contains("labels below 2, got 9"));
    }
}
