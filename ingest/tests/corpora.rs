//! Both stages on small trees in the layouts of published corpora, with the configs as they are shipped.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "shared/corpus.rs"]
#[allow(dead_code, reason = "other test files make more of it")]
mod corpus;
mod shared;

use corpus::{Corpus, ingest, shards, write_clip};
use etude_ingest::Config;
use etude_manifests::{Example, Split, Target, View, read_view};
use etude_shards::Index;
use std::fs;
use std::path::Path;

/// `configs/data/<name>.toml` for a corpus in this folder.
fn shipped(name: &str, dir: &Path, sets: &[&str]) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../configs/data/{name}.toml"));
    let mut config =
        Config::read(&path, &sets.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()).unwrap();
    (config.root, config.data, config.threads) = (dir.join("raw"), dir.join("data"), 2);
    config
}

/// A tone of 0.3 to 1.2 s at `path`, made with its folders.
fn tone(root: &Path, path: &str, i: usize) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_clip(&path, i);
}

fn text(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn view(config: &Config, name: &str) -> View {
    read_view(&config.manifests_dir().join(format!("{name}.parquet"))).unwrap()
}

fn keys(view: &View, split: Split) -> Vec<&str> {
    view.only(split).map(|e: &Example| e.key.as_str()).collect()
}

#[test]
fn fma_is_checked_against_its_list_of_digests_and_makes_views_of_tags_and_of_classes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("raw");
    let mut rows = String::from(
        ",artist,artist,album,album,set,set,track,track,track,track\n,id,name,id,title,split,subset,genre_top,genres_all,license,title\n\
         track_id,,,,,,,,,,\n",
    );
    for (i, split) in
        ["training", "validation", "test", "training", "training", "training"].iter().enumerate()
    {
        let (id, subset) = (1000 + i, if i == 4 { "medium" } else { "small" });
        let (genre, top) = [("10", "Pop"), ("12", "Rock")][i % 2];
        rows += &format!("{id},{i},\"A\nB\",1,x,{split},{subset},{top},\"[{genre}, 25]\",by,t\n");
        tone(&root, &format!("fma_medium/001/00{id}.mp3"), i);
    }
    text(&root, "fma_metadata/tracks.csv", &rows);
    let genres =
        "genre_id,#tracks,parent,title,top_level\n10,1,0,Pop,10\n12,1,0,Rock,12\n25,1,12,Punk,12\n";
    text(&root, "fma_metadata/genres.csv", genres);
    let wrong = format!("{}  001/001005.mp3\n", "0".repeat(40));
    text(&root, "fma_medium/checksums", &wrong);

    let config = shipped("fma", dir.path(), &["ingest.min_s=0.1"]);
    let report = ingest(&config).unwrap();
    assert_eq!((report.stored, report.refused.len()), (5, 1), "{report}");
    assert_eq!(
        (report.refused[0].key.as_str(), report.refused[0].status.as_str()),
        ("fma:1005", "digest_mismatch")
    );
    let medium = view(&config, "fma_medium");
    assert_eq!(medium.vocab.classes, ["Punk", "Pop", "Rock"]); // all annotated train clips count
    let parts = Split::ALL.map(|split| keys(&medium, split));
    assert_eq!(
        parts,
        [vec!["fma:1000", "fma:1003", "fma:1004"], vec!["fma:1001"], vec!["fma:1002"]]
    );
    let small = view(&config, "fma_small");
    assert_eq!(small.vocab.classes, ["Pop", "Rock"]);
    let targets: Vec<&Target> = small.examples.iter().map(|e| &e.target).collect();
    assert_eq!(targets, [0, 1, 0, 1].map(Target::Class).iter().collect::<Vec<_>>());
    let report = shards(&config).unwrap();
    assert_eq!((report.stored, report.refused.len()), (5, 0), "{report}");
    assert!(ingest(&config).unwrap().nothing_to_do);
}

#[test]
fn tinysol_reports_notes_that_its_table_names_and_the_folder_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("raw");
    let mut rows =
        String::from("Path,Fold,Instrument (abbr.),Instrument (in full),Pitch,Instance ID\r\n");
    for i in 0..10 {
        let (name, pitch) = [("Flute", "F#4"), ("Oboe", "A3")][i / 5];
        rows += &format!("Winds/{name}/{i}-{pitch}.wav,{},{name},{name},{pitch},0\r\n", i % 5);
        if i != 2 {
            tone(&root, &format!("audio/Winds/{name}/{i}-{pitch}.wav"), i);
        }
    }
    text(&root, "TinySOL_metadata.csv", &rows);
    let config = shipped("tinysol", dir.path(), &[]);
    let report = ingest(&config).unwrap();
    assert_eq!((report.stored, report.refused.len()), (9, 1), "{report}");
    assert_eq!(report.refused[0].status, "missing_file");
    assert!(report.above_max_bad);
    for name in ["tinysol_instrument", "tinysol_pitch_class", "tinysol_register"] {
        let view = view(&config, name);
        let n = Split::ALL.map(|split| keys(&view, split).len());
        assert_eq!((n, view.vocab.len()), ([5, 2, 2], 2), "{name}");
        assert!(view.examples.iter().all(|e| matches!(e.target, Target::Class(_))));
    }
    assert_eq!(shards(&config).unwrap().stored, 9);
}

#[test]
fn notes_of_one_instrument_are_a_view_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("raw");
    let mut rows =
        String::from("Path,Fold,Instrument (abbr.),Instrument (in full),Pitch,Instance ID\n");
    for i in 0..5 {
        rows += &format!("{i}.wav,{i},Fl,Flute,{},0\n", ["C4", "D5", "E6", "C4", "D5"][i]);
        tone(&root, &format!("audio/{i}.wav"), i);
    }
    text(&root, "TinySOL_metadata.csv", &rows);
    let report = ingest(&shipped("tinysol", dir.path(), &[])).unwrap();
    let expected = "warning in view tinysol_instrument: 5 examples, all with the same target (Flute): nothing to learn";
    assert!(report.findings.iter().any(|f| f == expected), "{report}");
    assert!(!report.findings.iter().any(|f| f.contains("tinysol_pitch_class: 5 examples, all")));
}

#[test]
fn makam_recordings_are_cut_and_what_the_server_lacks_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("raw");
    fs::create_dir_all(root.join("split")).unwrap();
    let ids: Vec<String> = (0..8).map(|i| format!("{i:08}-0000-0000-0000-000000000000")).collect();
    let lists = [("train", &ids[..4]), ("valid", &ids[4..6]), ("test", &ids[6..])];
    for (name, ids) in lists {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        shared::write_texts(&root.join(format!("split/{name}.npy")), &ids);
    }
    for (i, id) in ids.iter().enumerate() {
        let makam = ["U\\u015f\\u015fak", "Hicaz"][i % 2];
        let json = format!(
            "{{\"mbid\": \"{id}\", \"makamlist\": [{{\"name\": \"{makam}\"}}], \"usullist\": [], \"performers\": []}}"
        );
        if i != 3 {
            text(&root, &format!("recordings/{id}.json"), &json);
        }
        if i != 6 {
            tone(&root, &format!("audio/{id}.mp3"), i + 5); // 0.8 to 1.2 s, then 0.3 s
        }
    }
    let sets = ["ingest.min_s=0.1", "ingest.max_bad=0.2", "shards.cap_s=0.75"];
    let config = shipped("makam", dir.path(), &sets);
    let report = ingest(&config).unwrap();
    assert_eq!((report.stored, report.refused.len()), (7, 1), "{report}");
    assert_eq!(
        (report.refused[0].path.clone(), report.refused[0].status.as_str()),
        (format!("audio/{}.mp3", ids[6]), "missing_file")
    );
    let expected = format!(
        "warning in view makam: 1 of 8 recordings have no annotation in recordings, the first is {}",
        ids[3]
    );
    assert!(report.findings.contains(&expected), "{report}");

    let packed = shards(&config).unwrap();
    assert_eq!((packed.stored, packed.refused.len()), (7, 0), "{packed}");
    let index = Index::open(&config.shards_dir()).unwrap();
    let steps: Vec<u64> = index.tracks().map(|t| t.steps).collect();
    assert_eq!(steps.iter().filter(|&&n| n == 12_000).count(), 5, "{steps:?}");
    assert!(steps.iter().all(|&n| n <= 12_000));
    let view = view(&config, "makam");
    assert_eq!(view.vocab.classes, ["makam--Uşşak", "makam--Hicaz"]);
    assert_eq!(Split::ALL.map(|split| keys(&view, split).len()), [3, 2, 1]);
    assert!(shards(&config).unwrap().nothing_to_do);
}

#[test]
fn beatport_keys_become_classes_in_a_split_with_shares_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("raw");
    for i in 0..20 {
        let key = ["Db minor", "A major"][i % 2];
        text(&root, &format!("keys/{i} x - y (z).txt"), key);
        tone(&root, &format!("audio/{i} x - y (z).mp3"), i);
    }
    text(&root, "keys/99 several.txt", "C major | A minor");
    tone(&root, "audio/99 several.mp3", 3);
    let config = shipped("beatport", dir.path(), &["ingest.min_s=0.1"]);
    let report = ingest(&config).unwrap();
    assert_eq!(report.stored, 21, "{report}");
    let expected = "note on view beatport_key: 1 of 21 tracks have no single key and are not in it, the first is 99 with \"C major | A minor\"";
    assert!(report.findings.iter().any(|f| f == expected), "{report}");
    let view = view(&config, "beatport_key");
    assert_eq!(view.vocab.classes, ["A major", "C# minor"]);
    assert_eq!(Split::ALL.map(|split| keys(&view, split).len()), [16, 2, 2]);
    assert_eq!(shards(&config).unwrap().stored, 21);
}

#[test]
fn limited_views_thin_train_and_say_where_the_corpus_is_too_small() {
    let corpus = Corpus::new(40);
    let sets = ["limited.clips=[1, 3, 50]", "limited.genres=[\"low\", \"high\"]"];
    let config = corpus.with(&sets);
    let report = ingest(&config).unwrap();
    let whole = view(&config, "tones");
    let mut before: Vec<&str> = Vec::new();
    let small: Vec<View> =
        [1, 3, 50].iter().map(|n| view(&config, &format!("tones_limited_{n}"))).collect();
    for view in &small {
        let now = keys(view, Split::Train);
        assert!(now.len() > before.len() && before.iter().all(|key| now.contains(key)));
        before = now;
        for split in [Split::Valid, Split::Test] {
            assert_eq!(keys(view, split), keys(&whole, split));
        }
    }
    assert_eq!(keys(&small[0], Split::Train).len(), 2);
    let short: Vec<&String> =
        report.findings.iter().filter(|f| f.contains("train split has only")).collect();
    assert_eq!(short.len(), 1, "{report}");
    assert!(
        short[0].starts_with("warning in view tones_limited_50: the train split has only "),
        "{short:?}"
    );
    assert!(
        short[0].contains(" of 50 clips of \"low\", ")
            && short[0].ends_with(" of 50 clips of \"high\""),
        "{short:?}"
    );
    assert_eq!(shards(&config).unwrap().stored, 40);
}

#[test]
fn genres_and_views_that_the_corpus_lacks_are_told_before_anything_is_decoded() {
    let corpus = Corpus::new(4);
    let why = |sets: &[&str]| ingest(&corpus.with(sets)).unwrap_err().to_string();
    let text = why(&["limited.clips=[1]"]);
    assert!(
        text.starts_with("view tones: expected genres among its classes (")
            && text.ends_with("got `classical`"),
        "{text}"
    );
    let text = why(&["limited.view=tonnes"]);
    assert_eq!(text, "limited.view: expected one of tones, tones_clean, got tonnes");
    assert!(!corpus.with(&[]).tracks_path().exists());
    assert!(!corpus.dir.path().join("data/manifests/.tones.journal").exists());
}
