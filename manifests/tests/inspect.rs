//! What `inspect` says about tables, shard sets and runs that are known to the last row.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use etude_manifests::inspect::{Options, Report, inspect};
use etude_manifests::{
    Example, Source, Split, Status, TableMeta, Target, Track, View, Vocab, Warning, write_tracks,
    write_view,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ten clips of 30 s: 0 to 5 train, 6 and 7 valid, 8 and 9 test; 9 is a copy of 0, 8 is by the artist of 1; 7 is silent.
fn tracks() -> Vec<Track> {
    let track = |i: usize| {
        let mut t = Track {
            dataset: "c".into(),
            key: format!("c:{i}"),
            clip_id: i.to_string(),
            artist_id: Some(format!("artist {}", if i == 8 { 1 } else { i })),
            path: format!("{i}.mp3"),
            status: if i == 7 { Status::Silent } else { Status::Ok },
            warnings: if i < 2 { vec![Warning::Clipping] } else { vec![] },
            tags: Some(vec!["rock".into()]),
            splits: [("c".to_owned(), split(i))].into(),
            ..Track::default()
        };
        t.facts.sha256 = Some([if i == 9 { 0 } else { i as u8 }; 32]);
        t.facts.file_bytes = Some(1_000_000);
        t.facts.duration_s = Some(30.0);
        t.facts.codec = Some(if i == 3 { "flac" } else { "mp3" }.into());
        t.facts.src_rate = Some(44_100);
        t.facts.src_channels = Some(2);
        t
    };
    (0..10).map(track).collect()
}

fn split(i: usize) -> Split {
    match i {
        0..6 => Split::Train,
        6 | 7 => Split::Valid,
        _ => Split::Test,
    }
}

/// Class `a` for every clip, class `b` for clip 0.
fn view() -> View {
    let example = |i: usize| Example {
        key: format!("c:{i}"),
        track: format!("c:{i}"),
        variant: "orig".into(),
        split: split(i),
        target: Target::Tags(if i == 0 { vec![0, 1] } else { vec![0] }),
    };
    View {
        name: "c_top".into(),
        corpus: "c".into(),
        vocab: Vocab::published("two", vec!["a".into(), "b".into()]).unwrap(),
        examples: (0..10).map(example).collect(),
        sources: vec![Source { name: "tags.csv".into(), sha256: "ab".repeat(32) }],
    }
}

fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("c.tracks.parquet");
    let meta =
        TableMeta { corpus: "c".into(), decoder: "symphonia".into(), ..TableMeta::default() };
    write_tracks(&table, &tracks(), &meta).unwrap();
    write_view(dir.path(), &view()).unwrap();
    let view = dir.path().join("c_top.parquet");
    (dir, table, view)
}

fn report(path: &Path) -> Report {
    inspect(path, &Options::default()).unwrap()
}

fn sql(path: &Path, query: &str) -> Report {
    inspect(path, &Options { sql: Some(query.into()), head: None }).unwrap()
}

#[test]
fn a_table_of_tracks_is_counted_in_every_respect() {
    let (_dir, table, _) = folder();
    let Report { text, json } = report(&table);
    assert_eq!(
        (&json["tracks"], &json["audio_s"], &json["bytes"]),
        (&10.into(), &300.0.into(), &10_000_000.into())
    );
    assert_eq!(json["status"][0]["name"], "ok");
    assert_eq!(json["status"][0]["tracks"], 9);
    assert_eq!(json["status"][1]["name"], "silent");
    assert_eq!(json["warnings"][0]["name"], "clipping");
    assert_eq!(json["warnings"][0]["tracks"], 2);
    assert_eq!(json["formats"][0]["codec"], "mp3");
    assert_eq!(json["formats"][0]["tracks"], 9);
    assert_eq!(json["formats"][1]["rate"], 44_100);
    assert_eq!(json["duration_s"]["median"], 30.0);
    let split = &json["splits"][0];
    assert_eq!([&split["train"], &split["valid"], &split["test"]], [6, 2, 2]);
    assert_eq!((&split["none"], &split["train_s"]), (&0.into(), &180.0.into()));
    assert_eq!(json["copies"][0]["groups"], 1);
    for line in ["  tracks   10\n", "5.0 min", "44,100 Hz", "by warning"] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn leaks_are_counted_per_scheme_and_border() {
    let (_dir, table, _) = folder();
    let Report { text, json } = report(&table);
    let leaks: Vec<_> =
        json["leaks"].as_array().unwrap().iter().filter(|l| l["values"] != 0).collect();
    assert_eq!(leaks.len(), 2);
    assert_eq!((&leaks[0]["shared"], &leaks[0]["right"]), (&"sha256".into(), &"test".into()));
    assert_eq!((&leaks[1]["shared"], &leaks[1]["tracks"]), (&"artist_id".into(), &1.into()));
    assert!(text.contains("artists"), "{text}");
}

#[test]
fn a_view_has_labels_splits_and_the_leaks_of_its_corpus() {
    let (_dir, _, path) = folder();
    let Report { text, json } = report(&path);
    assert_eq!(
        json["labels"][0],
        serde_json::json!({"class": "a", "train": 6, "valid": 2, "test": 2})
    );
    assert_eq!(
        json["labels"][1],
        serde_json::json!({"class": "b", "train": 1, "valid": 0, "test": 0})
    );
    assert_eq!(json["splits"][0]["audio_s"], 180.0);
    assert_eq!(json["status"][1]["name"], "silent");
    assert_eq!(json["leaks"].as_array().unwrap().iter().filter(|l| l["values"] == 1).count(), 2);
    assert!(text.contains("a          6      2     2   10  ████████████████████████"), "{text}");
    assert_eq!(report(&path.with_extension("json")), Report { text, json });
}

#[test]
fn a_view_without_its_corpus_says_so() {
    let (_dir, table, path) = folder();
    fs::remove_file(table).unwrap();
    let Report { text, json } = report(&path);
    assert!(text.contains("no c.tracks.parquet beside it"), "{text}");
    assert_eq!(json["splits"][0]["examples"], 6);
}

#[test]
fn queries_see_the_table_under_its_names() {
    let (_dir, table, path) = folder();
    let count = sql(&table, "SELECT COUNT(*) AS n FROM t WHERE status = 'ok'");
    assert_eq!(count.json["rows"], serde_json::json!([{"n": 9}]));
    assert_eq!(count.text, "n\n─\n9\n");
    let joined = sql(
        &path,
        "SELECT view.split, SUM(tracks.duration_s) AS seconds FROM view \
         JOIN tracks ON view.track = tracks.key GROUP BY view.split ORDER BY view.split",
    );
    assert_eq!(joined.json["rows"][1], serde_json::json!({"split": "train", "seconds": 180.0}));
    let schemes =
        sql(&table, "SELECT \"split:c\" AS split, warnings FROM tracks ORDER BY key LIMIT 1");
    assert_eq!(
        schemes.json["rows"],
        serde_json::json!([{"split": "train", "warnings": ["clipping"]}])
    );
}

#[test]
fn a_query_that_does_not_run_says_why() {
    let (_dir, table, _) = folder();
    let wrong = Options { sql: Some("SELECT nothing FROM t".into()), head: None };
    let error = inspect(&table, &wrong).unwrap_err().to_string();
    assert!(error.contains("c.tracks.parquet") && error.contains("nothing"), "{error}");
}

#[test]
fn the_first_rows_of_a_wide_table_are_one_value_a_line() {
    let (_dir, table, path) = folder();
    let wide = inspect(&table, &Options { sql: None, head: Some(2) }).unwrap();
    assert_eq!(wide.json["rows"].as_array().unwrap().len(), 2);
    assert!(wide.text.starts_with("row 0\n  dataset"), "{}", wide.text);
    assert!(wide.text.contains(&"00".repeat(32)), "{}", wide.text);
    let rows = inspect(&path, &Options { sql: None, head: Some(1) }).unwrap();
    assert_eq!(rows.json["rows"][0]["tags"], serde_json::json!([0, 1]));
}

/// Two tracks of two and one blocks at 10 Hz.
fn shard_set(dir: &Path) {
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in [vec!["rock", "pop"], vec![], vec!["rock"]] {
        row.into_iter().for_each(|t| tags.values().append_value(t));
        tags.append(true);
    }
    let mut data = BinaryBuilder::new();
    (0..3).for_each(|_| data.append_value([7; 100]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("track", Arc::new(StringArray::from(vec!["c:0", "c:0", "c:1"]))),
        ("variant", Arc::new(StringArray::from(vec!["orig"; 3]))),
        ("index", Arc::new(UInt32Array::from(vec![0, 1, 0]))),
        ("valid", Arc::new(UInt32Array::from(vec![100, 50, 30]))),
        ("tags", Arc::new(tags.finish())),
        ("split", Arc::new(StringArray::from(vec![Some("train"), None, Some("test")]))),
        ("data", Arc::new(data.finish())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(dir.join("shard-00000.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let index = serde_json::json!({
        "version": 1,
        "spec": {"corpus": "c", "kind": {"kind": "wave", "rate": 10}, "number": "s16", "block_s": 10.0,
                 "row_group_bytes": 1, "resampler": "fft", "config_digest": "ab", "manifest_hash": "cd"},
        "files": [{"name": "shard-00000.parquet", "identity": "", "rows": 3, "row_groups": 1, "bytes": 900,
                   "blake3": "", "tracks": [["c:0", "orig", 0, 150, 4], ["c:1", "orig", 2, 30, 0]]}],
    });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_shard_set_is_told_by_its_small_columns() {
    let dir = tempfile::tempdir().unwrap();
    shard_set(dir.path());
    let Report { text, json } = report(dir.path());
    assert_eq!(
        (&json["tracks"], &json["rows"], &json["audio_s"]),
        (&2.into(), &3.into(), &18.0.into())
    );
    assert_eq!(
        json["splits"][0],
        serde_json::json!({"split": "train", "tracks": 1, "audio_s": 15.0})
    );
    assert_eq!(json["tags"][0], serde_json::json!({"tag": "rock", "tracks": 2}));
    assert_eq!(json["overs"], serde_json::json!({"tracks": 1, "values": 4}));
    assert!(text.contains("waves at 10 Hz"), "{text}");
    let rows = sql(dir.path(), "SELECT * FROM shards");
    assert!(rows.json["rows"][0].get("data").is_none());
    assert_eq!(report(&dir.path().join("index.json")).json["rows"], 3);
}

#[test]
fn a_run_shows_its_best_validation_and_survives_half_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[run]\nseed = 7\n[data]\nview = \"c_top\"\n[model]\nbackbone = { name = \"vggish\" }\n\
                  [trainer]\nkeep = { best = 1, by = \"mAP\", mode = \"max\" }\n";
    fs::write(dir.path().join("config.toml"), config).unwrap();
    let valid = |step: u64, map: f64, best: bool| {
        serde_json::json!({"row": "valid", "step": step, "epoch": 1, "scores": {"mAP": map, "ROC-AUC": 0.8},
                           "best": best, "timing": {"wall": 1e9, "seconds": 3.0}})
    };
    let step = |step: u64, loss: f64| serde_json::json!({"row": "step", "step": step, "loss": loss, "timing": {"wall": 1e9, "stall": 0.01}});
    let rows = [step(1, 0.7), valid(10, 0.4, true), valid(20, 0.3, false), step(20, 0.5)];
    let mut log: String = rows.iter().map(|row| format!("{row}\n")).collect();
    log.push_str("{\"row\":\"st");
    fs::write(dir.path().join("log.jsonl"), log).unwrap();
    let end = "{\"ending\":\"done\",\"minutes\":2.0,\"peak_memory_bytes\":1500000000,\"kept\":[]}";
    fs::write(dir.path().join("report.json"), end).unwrap();
    let scores = "{\"split\":\"test\",\"summary\":{\"mAP\":0.35},\"chance\":{\"mAP\":0.06},\
                  \"published\":{\"mAP\":0.486},\"per_class\":[]}";
    fs::write(dir.path().join("scores.test.json"), scores).unwrap();
    let Report { text, json } = report(dir.path());
    assert_eq!(json["best"]["step"], 10);
    assert_eq!(json["train"][1]["loss"], 0.5);
    assert_eq!(json["scores"]["test"]["summary"]["mAP"], 0.35);
    for line in ["vggish", "0.4000", "best\n", "1.50 GB", "2.0 min"] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    assert!(text.contains("test   mAP      0.3500     0.4860  0.0600"), "{text}");
    assert!(!text.contains("wall"), "{text}");
}

#[test]
fn folders_and_foreign_files_are_listed() {
    let (dir, ..) = folder();
    fs::write(dir.path().join("broken.parquet"), "garbage").unwrap();
    let listed = report(dir.path()).json;
    let kinds: Vec<&str> =
        listed["files"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["damaged", "tracks", "view"]);
    let other = tempfile::tempdir().unwrap();
    shard_set(other.path());
    let Report { text, json } = report(&other.path().join("shard-00000.parquet"));
    assert_eq!(json["columns"][4], serde_json::json!({"name": "tags", "type": "list<utf8>"}));
    assert!(json["head"][0].get("data").is_none());
    assert!(text.contains("first rows"), "{text}");
}

#[test]
fn what_cannot_be_shown_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let says = |path: &Path| inspect(path, &Options::default()).unwrap_err().to_string();
    assert!(says(dir.path()).contains("expected index.json (a shard set)"));
    assert!(says(&dir.path().join("nothing")).contains("nothing"));
    fs::write(dir.path().join("a.txt"), "text").unwrap();
    assert!(says(&dir.path().join("a.txt")).contains("expected a .parquet file"));
}
