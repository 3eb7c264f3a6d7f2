//! The published files of TinySOL, of the Beatport keys and of GiantSteps give the published counts and splits.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod shared;

use etude_ingest::corpus::{Beatport, Giantsteps, Tinysol};
use etude_ingest::{Corpus, CorpusConfig};
use etude_manifests::{Split, Target, View};
use std::collections::BTreeMap;
use std::fs;

fn counts(view: &View) -> [usize; 3] {
    [Split::Train, Split::Valid, Split::Test].map(|s| view.only(s).count())
}

/// Classes and how many notes each has.
fn sizes(view: &View) -> Vec<(&str, usize)> {
    let of = |class: u16| view.examples.iter().filter(|e| e.target == Target::Class(class)).count();
    view.vocab.classes.iter().zip(0..).map(|(name, class)| (name.as_str(), of(class))).collect()
}

#[test]
fn tinysol_has_its_published_folds_and_classes() {
    let Some(data) = shared::data() else { return };
    let cfg = CorpusConfig { dataset: "tinysol".into(), root: data.join("tinysol") };
    let corpus = Tinysol::default();
    let tracks = corpus.tracks(&cfg).unwrap();
    let views = corpus.views(&cfg, &tracks).unwrap();
    let [instrument, pitch_class, register] = views.as_slice() else { panic!("three views") };
    for view in &views {
        view.validate().unwrap();
        assert_eq!(counts(view), [583 + 582 + 583, 583, 582], "{}", view.name);
    }
    assert_eq!(
        sizes(instrument),
        [
            ("Accordion", 689),
            ("Alto Saxophone", 99),
            ("Bass Tuba", 108),
            ("Bassoon", 126),
            ("Cello", 291),
            ("Clarinet in Bb", 126),
            ("Contrabass", 309),
            ("Flute", 118),
            ("French Horn", 134),
            ("Oboe", 107),
            ("Trombone", 117),
            ("Trumpet in C", 96),
            ("Viola", 309),
            ("Violin", 284),
        ]
    );
    let names = ["A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#"];
    assert_eq!(pitch_class.vocab.classes, names);
    assert!(sizes(pitch_class).iter().all(|(_, n)| (234..=254).contains(n)));
    let octaves: Vec<usize> = sizes(register).iter().map(|(_, n)| *n).collect();
    assert_eq!(octaves, [103, 392, 638, 760, 592, 322, 98, 8]);
}

#[test]
fn each_fold_of_tinysol_tests_once() {
    let Some(data) = shared::data() else { return };
    let cfg = CorpusConfig { dataset: "tinysol".into(), root: data.join("tinysol") };
    let tests = |fold| {
        let tracks = Tinysol { fold, ..Tinysol::default() }.tracks(&cfg).unwrap();
        tracks.iter().filter(|t| t.splits["tinysol"] == Split::Test).count()
    };
    assert_eq!([0, 1, 2, 3, 4].map(tests), [582, 583, 582, 583, 583]);
}

#[test]
fn the_beatport_example_has_one_key_and_its_shop_data() {
    let Some(data) = shared::data() else { return };
    let root = data.join("giantsteps/beatport_key");
    let cfg = CorpusConfig { dataset: "beatport".into(), root };
    let tracks = Beatport::default().tracks(&cfg).unwrap();
    let [track] = tracks.as_slice() else { panic!("one track") };
    assert_eq!(track.key, "beatport:100066");
    assert_eq!(track.path, "audio/100066 Lindstrom - Monsteer (Original Mix).mp3");
    assert_eq!(track.tags.as_deref().unwrap(), ["D minor"]);
    let known = (track.artist.as_deref(), track.artist_id.as_deref(), track.album_id.as_deref());
    assert_eq!(known, (Some("Lindstrom"), Some("7992"), Some("23943")));
}

/// Both repositories of GiantSteps, with the published annotations.
fn giantsteps() -> Option<tempfile::TempDir> {
    let data = shared::data()?.join("giantsteps");
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("giantsteps-mtg-key-dataset/annotations");
    let keys = dir.path().join("giantsteps-key-dataset/annotations/key");
    let md5 = dir.path().join("giantsteps-key-dataset/md5");
    [&train, &keys, &md5].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    fs::copy(data.join("mtg_annotations.txt"), train.join("annotations.txt")).unwrap();
    fs::copy(data.join("mtg_beatport_metadata.txt"), train.join("beatport_metadata.txt")).unwrap();
    let test = fs::read_to_string(data.join("key_test604_derived.tsv")).unwrap();
    for row in test.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()) {
        fs::write(keys.join(format!("{}.LOFI.key", row[0])), row[1]).unwrap();
        fs::write(md5.join(format!("{}.LOFI.md5", row[0])), row[3]).unwrap();
    }
    Some(dir)
}

#[test]
fn giantsteps_has_its_published_split_and_keys() {
    let Some(root) = giantsteps() else { return };
    let cfg = CorpusConfig { dataset: "giantsteps".into(), root: root.path().to_path_buf() };
    let corpus = Giantsteps::default();
    let tracks = corpus.tracks(&cfg).unwrap();
    assert_eq!(tracks.len(), 1486 + 604);
    let view = corpus.views(&cfg, &tracks).unwrap().remove(0);
    view.validate().unwrap();
    assert_eq!(counts(&view), [923, 236, 604]);
    let clips = shared::text("jukemir/giantsteps_clips.json.gz").unwrap();
    let clips: BTreeMap<String, serde_json::Value> = serde_json::from_str(&clips).unwrap();
    let mut published = BTreeMap::new();
    for clip in clips.values() {
        let (split, key) = (clip["split"].as_str().unwrap(), clip["y"].as_str().unwrap());
        published.insert(format!("giantsteps:{}", clip["extra"]["id"]), format!("{split} {key}"));
    }
    let ours = view.examples.iter().map(|e| {
        let Target::Class(class) = e.target else { panic!("{:?}", e.target) };
        (e.key.clone(), format!("{} {}", e.split, view.vocab.classes[usize::from(class)]))
    });
    assert_eq!(ours.collect::<BTreeMap<_, _>>(), published);
    let digests = tracks.iter().filter(|t| t.published_digest.is_some()).count();
    assert_eq!(digests, 604);
}
