//! Published MagnaTagATune metadata: vocabularies in the orders in circulation, and the leaks of its splits.
//!
//! Reads the files under `$ETUDE_SHARED` or `../shared` beside the workspace; without them each test says so and passes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_manifests::{
    Example, Level, Relation, Split, Status, Synonyms, Target, Track, View, Vocab, check_view,
    leaks,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of the published files, or `None` after a line that says what is skipped.
fn published() -> Option<PathBuf> {
    let shared = std::env::var_os("ETUDE_SHARED").map(PathBuf::from);
    let root = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let dir = root.join("data/magnatagatune");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: no published metadata at {}", dir.display());
    None
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let field = |f: &str| f.trim_matches('"').to_owned();
    text.lines().map(|line| line.trim_end().split('\t').map(field).collect()).collect()
}

/// Every annotated clip with its tags, artist, album, title and place; status `ok`.
fn tracks(dir: &Path) -> Vec<Track> {
    let clips = rows(&dir.join("clip_info_final.csv.gz"));
    let clips: HashMap<&str, &Vec<String>> =
        clips[1..].iter().map(|r| (r[0].as_str(), r)).collect();
    let annotations = rows(&dir.join("annotations_final.csv.gz"));
    let header = &annotations[0];
    let track = |row: &Vec<String>| {
        let clip = clips[row[0].as_str()];
        let positive = (1..189).filter(|&i| row[i] == "1").map(|i| header[i].clone());
        Track {
            dataset: "mtat".into(),
            key: format!("mtat:{}", row[0]),
            clip_id: row[0].clone(),
            path: row[189].clone(),
            title: Some(clip[2].clone()),
            artist: Some(clip[3].clone()),
            artist_id: Some(clip[3].clone()),
            album_id: Some(clip[5].clone()),
            track_id: Some(format!("{}#{}", clip[5], clip[1])),
            clip_start_s: clip[6].parse().ok(),
            status: Status::Ok,
            tags: Some(positive.collect()),
            ..Track::default()
        }
    };
    annotations[1..].iter().map(track).collect()
}

/// All clips but the three empty ones, split by folder.
fn view(vocab: &Vocab, tracks: &[Track]) -> View {
    let mut examples: Vec<Example> = tracks
        .iter()
        .filter(|t| !["35644", "55753", "57881"].contains(&t.clip_id.as_str()))
        .map(|t| Example {
            key: t.key.clone(),
            track: t.key.clone(),
            variant: "orig".into(),
            split: match t.path.chars().next().and_then(|c| c.to_digit(16)) {
                Some(0..12) => Split::Train,
                Some(12) => Split::Valid,
                _ => Split::Test,
            },
            target: Target::Tags(vocab.labels(t.tags.as_ref().unwrap())),
        })
        .collect();
    examples.sort_by(|a, b| a.key.cmp(&b.key));
    View {
        name: "mtat".into(),
        corpus: "mtat".into(),
        vocab: vocab.clone(),
        examples,
        sources: vec![],
    }
}

#[test]
fn the_top_50_in_column_order_is_order_b_and_the_published_one_is_order_a() {
    let Some(dir) = published() else { return };
    let tracks = tracks(&dir);
    let columns = Vocab::from_order_file("mtat188", &dir.join("tags188_csv_order.txt")).unwrap();
    assert_eq!(columns.len(), 188);
    let counted = Vocab::top_in("mtat50", &tracks, 50, &columns.classes);
    let b = Vocab::from_order_file("mtat50", &dir.join("top50_order_B_stable.txt")).unwrap();
    assert_eq!(counted.classes, b.classes);
    let a = Vocab::from_order_file("mtat50", &dir.join("top50_order_A_sota.txt")).unwrap();
    let moved: Vec<usize> = (0..50).filter(|&i| a.classes[i] != b.classes[i]).collect();
    assert_eq!(moved, [47, 48]);
    assert_ne!(a.hash(), b.hash());
    let mut sorted = Vocab::top("mtat50", &tracks, 50).classes;
    sorted.sort_unstable();
    let mut expected = a.classes;
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    let positives: usize = tracks.iter().map(|t| b.labels(t.tags.as_ref().unwrap()).len()).sum();
    assert_eq!(positives, 69_714);
}

#[test]
fn leaks_of_the_published_split_are_the_known_ones() {
    let Some(dir) = published() else { return };
    let tracks = tracks(&dir);
    let vocab = Vocab::from_order_file("mtat50", &dir.join("top50_order_A_sota.txt")).unwrap();
    let view = view(&vocab, &tracks);
    let counts = view.counts();
    assert_eq!((counts.train, counts.valid, counts.test), (18_706, 1_825, 5_329));
    let leaks = leaks(&view, &tracks);
    let relations: Vec<Relation> = leaks.iter().map(|l| l.relation).collect();
    assert_eq!(relations, [Relation::Twin, Relation::Artist]);
    let twins: Vec<u64> = leaks[0].borders.iter().map(|b| b.examples).collect();
    assert_eq!((leaks[0].values, twins[0], twins[1]), (203, 60, 132));
    let artists: Vec<(u64, u64)> =
        leaks[1].borders.iter().map(|b| (b.values, b.examples)).collect();
    assert_eq!(artists[..2], [(13, 1_083), (45, 3_284)]);
    assert_eq!(artists[2].0, 8);
    let found = check_view(&view, &tracks, false);
    assert_eq!(found.worst(), Some(Level::Warning), "{found}");
    assert!(found.get("empty_classes_test").is_none(), "{found}");
}

#[test]
fn the_29_groups_of_synonyms_merge_82_tags() {
    let Some(dir) = published() else { return };
    let text = fs::read_to_string(dir.join("tag_synonyms_29groups.json")).unwrap();
    let groups: Vec<Vec<String>> = serde_json::from_str(&text).unwrap();
    let synonyms = Synonyms::from_groups(&groups).unwrap();
    let all = Vocab::from_order_file("mtat188", &dir.join("tags188_csv_order.txt")).unwrap();
    let known = groups.iter().flatten().filter(|t| all.index(t).is_some()).count();
    assert_eq!((groups.len(), known), (29, 82));
    assert_eq!(all.merged("mtat188_merged", &synonyms).len(), 188 - (82 - 29));
}
