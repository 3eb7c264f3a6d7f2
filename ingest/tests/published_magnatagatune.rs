//! The published annotation files of MagnaTagATune give the published numbers (specification of the data sets, table
//! of splits, table of the top 50, leaks).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod shared;

use etude_ingest::{Corpus, CorpusConfig, corpus};
use etude_manifests::{Split, Status, Track, View};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

struct Mtat {
    cfg: CorpusConfig,
    tracks: Vec<Track>,
    views: Vec<View>,
    _root: tempfile::TempDir,
}

/// All 25 863 rows as a run with every file present sees them: three clips are empty files.
fn mtat() -> Option<&'static Mtat> {
    static MTAT: OnceLock<Option<Mtat>> = OnceLock::new();
    MTAT.get_or_init(|| {
        let root =
            shared::unpacked("magnatagatune", &["annotations_final.csv", "clip_info_final.csv"])?;
        let cfg = CorpusConfig { dataset: "mtat".into(), root: root.path().to_path_buf() };
        let corpus = corpus::Magnatagatune::default();
        let mut tracks = corpus.tracks(&cfg).unwrap();
        for track in &mut tracks {
            let empty = ["35644", "55753", "57881"].contains(&track.clip_id.as_str());
            track.status = if empty { Status::EmptyFile } else { Status::Ok };
        }
        let views = corpus.views(&cfg, &tracks).unwrap();
        Some(Mtat { cfg, tracks, views, _root: root })
    })
    .as_ref()
}

fn counts(view: &View) -> [usize; 3] {
    [Split::Train, Split::Valid, Split::Test].map(|s| view.only(s).count())
}

fn positives(track: &Track) -> usize {
    track.labels["mtat50"].as_ref().unwrap().len()
}

#[test]
fn the_splits_have_the_published_sizes() {
    let Some(mtat) = mtat() else { return };
    let annotated = |split| mtat.tracks.iter().filter(|t| t.splits["mtat"] == split).count();
    assert_eq!([Split::Train, Split::Valid, Split::Test].map(annotated), [18_709, 1825, 5329]);
    let [all, clean, jp] = mtat.views.as_slice() else { panic!("three views") };
    assert_eq!((all.name.as_str(), counts(all)), ("mtat", [18_706, 1825, 5329]));
    assert_eq!((clean.name.as_str(), counts(clean)), ("mtat_clean", [15_247, 1529, 4332]));
    assert_eq!((jp.name.as_str(), counts(jp)), ("mtat_jp", [15_244, 1529, 4332]));
    assert_eq!(
        (mtat.tracks.len(), all.examples.len(), clean.examples.len()),
        (25_863, 25_860, 21_108)
    );
}

#[test]
fn every_clip_is_in_the_split_that_the_published_lists_say() {
    let Some(mtat) = mtat() else { return };
    let text = shared::text("magnatagatune/splits_derived.tsv.gz").unwrap();
    let published = |column: usize| -> BTreeSet<(String, String)> {
        let rows = text.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>());
        let named = rows.filter(|r| ["train", "valid", "test"].contains(&r[column]));
        named.map(|r| (format!("mtat:{}", r[1]), r[column].to_owned())).collect()
    };
    for (view, column) in mtat.views.iter().zip(4..) {
        let ours = view
            .examples
            .iter()
            .map(|e| (e.track.clone(), format!("{:?}", e.split).to_lowercase()));
        assert_eq!(ours.collect::<BTreeSet<_>>(), published(column), "{}", view.name);
    }
}

#[test]
fn the_annotation_files_are_the_published_bytes() {
    let Some(mtat) = mtat() else { return };
    let files = corpus::Magnatagatune::default().files(&mtat.cfg).unwrap();
    let digests: Vec<String> =
        corpus::sources(&files).unwrap().into_iter().map(|s| s.sha256).collect();
    assert_eq!(
        digests,
        [
            "99b94e95825d4fa576386a5367b9c96e0ec636e9f9c240aceb492f4728f68c3c",
            "cb6108a10d3a91f0bfd7d2fbec2382559d15f20c8d28093f14e12162a47a3e78"
        ]
    );
}

#[test]
fn tags_per_clip_are_distributed_as_published() {
    let Some(mtat) = mtat() else { return };
    assert_eq!(mtat.tracks.iter().map(positives).sum::<usize>(), 69_714);
    let readable: Vec<usize> =
        mtat.tracks.iter().filter(|t| t.status.usable()).map(positives).collect();
    let with = |n| readable.iter().filter(|&&p| p == n).count();
    assert_eq!([0, 1, 2, 3, 4, 5].map(with), [4752, 4431, 4685, 3944, 3002, 2014]);
    assert_eq!(readable.iter().max(), Some(&19));
    let untagged = mtat.tracks.iter().filter(|t| t.tags.as_ref().unwrap().is_empty()).count();
    assert_eq!(untagged, 4221);
}

#[test]
fn the_vocabulary_is_in_order_a_with_the_published_counts() {
    let Some(mtat) = mtat() else { return };
    let clean = &mtat.views[1];
    let order_a = shared::text("magnatagatune/top50_order_A_sota.txt").unwrap();
    assert_eq!(clean.vocab.classes, order_a.lines().collect::<Vec<_>>());
    // index, total over all rows, positives in mtat_clean train/valid/test
    let published = include_str!("mtat_top50.tsv");
    assert_eq!(published.lines().count(), 50);
    for line in published.lines() {
        let n: Vec<usize> = line.split('\t').map(|f| f.parse().unwrap()).collect();
        let label = i32::try_from(n[0]).unwrap();
        let has = |t: &&Track| t.labels["mtat50"].as_ref().unwrap().contains(&label);
        assert_eq!(mtat.tracks.iter().filter(has).count(), n[1], "{line}");
        for (split, expected) in [(Split::Train, n[2]), (Split::Valid, n[3]), (Split::Test, n[4])] {
            let class = u16::try_from(label).unwrap();
            let tagged = clean.only(split).filter(|e| match &e.target {
                etude_manifests::Target::Tags(tags) => tags.contains(&class),
                other => panic!("{other:?}"),
            });
            assert_eq!(tagged.count(), expected, "{line} {split:?}");
        }
    }
}

#[test]
fn the_full_vocabulary_is_the_188_columns_in_order() {
    let Some(mtat) = mtat() else { return };
    let columns = shared::text("magnatagatune/tags188_csv_order.txt").unwrap();
    let columns: Vec<&str> = columns.lines().collect();
    assert_eq!(columns.len(), 188);
    for track in &mtat.tracks {
        let labels = track.labels["mtat188"].as_ref().unwrap();
        let tags: Vec<&str> =
            labels.iter().map(|&l| columns[usize::try_from(l).unwrap()]).collect();
        assert_eq!(track.tags.as_deref().unwrap(), tags);
    }
}

#[test]
fn artists_are_shared_between_splits_as_published_and_albums_are_not() {
    let Some(mtat) = mtat() else { return };
    let set = |split, of: fn(&Track) -> &Option<String>| -> HashSet<&String> {
        let tracks = mtat.tracks.iter().filter(move |t| t.splits["mtat"] == split);
        tracks.filter_map(|t| of(t).as_ref()).collect()
    };
    let shared = |of| {
        let [a, b, c] = [Split::Train, Split::Valid, Split::Test].map(|s| set(s, of));
        let common =
            [a.intersection(&b).count(), a.intersection(&c).count(), b.intersection(&c).count()];
        ([a.len(), b.len(), c.len()], common)
    };
    assert_eq!(shared(|t| &t.artist_id), ([190, 26, 75], [13, 45, 8]));
    assert_eq!(shared(|t| &t.album_id).1, [0, 0, 0]);
    assert_eq!(shared(|t| &t.track_id).1, [0, 0, 0]);
    let distinct = |of: fn(&Track) -> &Option<String>| {
        mtat.tracks.iter().filter_map(|t| of(t).as_ref()).collect::<HashSet<_>>().len()
    };
    assert_eq!(
        (distinct(|t| &t.artist_id), distinct(|t| &t.album_id), distinct(|t| &t.track_id)),
        (230, 446, 5405)
    );
}

#[test]
fn re_released_recordings_in_two_splits_can_be_told_from_the_tracks() {
    let Some(mtat) = mtat() else { return };
    let twins = shared::text("magnatagatune/suspected_cross_split_twins.tsv").unwrap();
    let by_id: HashMap<&str, &Track> =
        mtat.tracks.iter().map(|t| (t.clip_id.as_str(), t)).collect();
    let mut groups: HashMap<&str, Vec<&Track>> = HashMap::new();
    for row in twins.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()) {
        groups.entry(row[0]).or_default().push(by_id[row[1]]);
    }
    assert_eq!(groups.len(), 203);
    for group in groups.values() {
        assert!(group.iter().all(|t| t.clip_start_s == group[0].clip_start_s));
        assert!(group.iter().any(|t| t.splits["mtat"] != group[0].splits["mtat"]));
    }
}
