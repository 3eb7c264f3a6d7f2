//! Tables go to disk and come back: same rows, same bytes, and a clear error for everything that is no table.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod arbitrary;

use arbitrary::{tracks, views};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use etude_manifests::{
    Error, Source, Split, Status, TableMeta, Track, View, read_tracks, read_tracks_meta, read_view,
    write_tracks, write_view,
};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn meta() -> TableMeta {
    TableMeta {
        corpus: "c".into(),
        decoder: "symphonia 0.6.1".into(),
        inputs: vec![Source { name: "annotations.csv".into(), sha256: "ab".repeat(32) }],
        vocabs: vec![("c50".into(), "cd".repeat(32))],
    }
}

fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("c.tracks.parquet")
}

/// What reading promises: sorted by key, every label column in every row.
fn normal(tracks: &[Track]) -> Vec<Track> {
    let mut rows = tracks.to_vec();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let vocabs: Vec<String> = rows.iter().flat_map(|t| t.labels.keys().cloned()).collect();
    for row in &mut rows {
        for vocab in &vocabs {
            row.labels.entry(vocab.clone()).or_insert(None);
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tracks_come_back_as_they_were(rows in tracks()) {
        let dir = tempfile::tempdir().unwrap();
        write_tracks(&file(&dir), &rows, &meta()).unwrap();
        prop_assert_eq!(read_tracks(&file(&dir)).unwrap(), normal(&rows));
        prop_assert_eq!(read_tracks_meta(&file(&dir)).unwrap(), meta());
    }

    #[test]
    fn the_order_of_the_rows_does_not_change_the_bytes(rows in tracks()) {
        let dir = tempfile::tempdir().unwrap();
        write_tracks(&file(&dir), &rows, &meta()).unwrap();
        let first = fs::read(file(&dir)).unwrap();
        let mut turned = rows;
        turned.reverse();
        write_tracks(&file(&dir), &turned, &meta()).unwrap();
        prop_assert!(first == fs::read(file(&dir)).unwrap(), "the bytes differ");
    }

    #[test]
    fn any_view_comes_back_as_it_was(view in views()) {
        let dir = tempfile::tempdir().unwrap();
        write_view(dir.path(), &view).unwrap();
        let path = dir.path().join(format!("{}.parquet", view.name));
        prop_assert_eq!(&read_view(&path).unwrap(), &view);
        let first = fs::read(&path).unwrap();
        let mut turned = view.clone();
        turned.examples.reverse();
        write_view(dir.path(), &turned).unwrap();
        prop_assert!(first == fs::read(&path).unwrap(), "the bytes differ");
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_damaged_table_is_an_error_or_the_same_identity(rows in tracks(), cut in 0.0..1.0_f64, flip in 1..=255_u8) {
        let dir = tempfile::tempdir().unwrap();
        write_tracks(&file(&dir), &rows, &meta()).unwrap();
        let whole = fs::read(file(&dir)).unwrap();
        let at = (whole.len() as f64 * cut) as usize;
        fs::write(file(&dir), &whole[..at]).unwrap();
        prop_assert!(read_tracks(&file(&dir)).is_err(), "cut at {} of {}", at, whole.len());
        let mut flipped = whole.clone();
        flipped[at] ^= flip;
        fs::write(file(&dir), &flipped).unwrap();
        if let Ok(read) = read_tracks(&file(&dir)) {
            prop_assert_eq!(etude_manifests::tracks_hash(&read), etude_manifests::tracks_hash(&rows));
        }
    }

    #[test]
    fn a_damaged_view_is_an_error_or_the_same_view(view in views(), cut in 0.0..1.0_f64, flip in 1..=255_u8) {
        let dir = tempfile::tempdir().unwrap();
        write_view(dir.path(), &view).unwrap();
        let path = dir.path().join(format!("{}.parquet", view.name));
        let whole = fs::read(&path).unwrap();
        let at = (whole.len() as f64 * cut) as usize;
        fs::write(&path, &whole[..at]).unwrap();
        prop_assert!(read_view(&path).is_err(), "cut at {} of {}", at, whole.len());
        let mut flipped = whole.clone();
        flipped[at] ^= flip;
        fs::write(&path, &flipped).unwrap();
        if let Ok(read) = read_view(&path) {
            prop_assert_eq!(read, view);
        }
    }
}

fn one_track() -> Track {
    Track {
        dataset: "c".into(),
        key: "c:1".into(),
        clip_id: "1".into(),
        path: "1.mp3".into(),
        status: Status::Ok,
        ..Track::default()
    }
}

fn one_view() -> View {
    let vocab = etude_manifests::Vocab::published("two", vec!["a".into(), "b".into()]).unwrap();
    let examples = vec![etude_manifests::Example {
        key: "c:1".into(),
        track: "c:1".into(),
        variant: "orig".into(),
        split: Split::Train,
        target: etude_manifests::Target::Tags(vec![1]),
    }];
    View { name: "v".into(), corpus: "c".into(), vocab, examples, sources: vec![] }
}

#[test]
fn the_same_key_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let err = write_tracks(&file(&dir), &[one_track(), one_track()], &meta()).unwrap_err();
    assert!(err.to_string().ends_with("expected unique keys, got `c:1` twice"), "{err}");
    assert!(!file(&dir).exists());
}

#[test]
fn an_empty_table_has_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    write_tracks(&file(&dir), &[], &meta()).unwrap();
    assert_eq!(read_tracks(&file(&dir)).unwrap(), vec![]);
    assert_eq!(read_tracks_meta(&file(&dir)).unwrap(), meta());
}

#[test]
fn garbage_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(file(&dir), b"not a table").unwrap();
    let text = read_tracks(&file(&dir)).unwrap_err().to_string();
    assert!(text.contains("c.tracks.parquet: not a readable Parquet file"), "{text}");
    assert!(text.contains("etude ingest"), "{text}");
    let missing = read_tracks(Path::new("nowhere.parquet")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

#[test]
fn a_view_is_not_a_table_of_tracks() {
    let dir = tempfile::tempdir().unwrap();
    write_view(dir.path(), &one_view()).unwrap();
    let text = read_tracks(&dir.path().join("v.parquet")).unwrap_err().to_string();
    assert!(text.contains("expected a Parquet file of kind `tracks`"), "{text}");
    assert!(text.ends_with("got view"), "{text}");
}

#[test]
fn another_version_is_a_version_error() {
    let dir = tempfile::tempdir().unwrap();
    write_view(dir.path(), &one_view()).unwrap();
    let json = dir.path().join("v.json");
    let text = fs::read_to_string(&json).unwrap().replace("\"version\": 1", "\"version\": 2");
    fs::write(&json, text).unwrap();
    let err = read_view(&dir.path().join("v.parquet")).unwrap_err();
    assert!(matches!(&err, Error::Version { expected: 1, got, .. } if got == "2"), "{err}");
}

#[test]
fn an_edited_vocabulary_is_a_mismatch() {
    let dir = tempfile::tempdir().unwrap();
    write_view(dir.path(), &one_view()).unwrap();
    let json = dir.path().join("v.json");
    let text = fs::read_to_string(&json).unwrap().replace("\"a\",", "\"c\",");
    fs::write(&json, text).unwrap();
    let err = read_view(&dir.path().join("v.parquet")).unwrap_err();
    assert!(matches!(&err, Error::Mismatch { what, .. } if what == "vocabulary hash"), "{err}");
}

#[test]
fn a_description_of_other_splits_is_a_mismatch() {
    let dir = tempfile::tempdir().unwrap();
    let mut view = one_view();
    write_view(dir.path(), &view).unwrap();
    let json = fs::read(dir.path().join("v.json")).unwrap();
    view.examples[0].split = Split::Test;
    write_view(dir.path(), &view).unwrap();
    fs::write(dir.path().join("v.json"), json).unwrap();
    let err = read_view(&dir.path().join("v.parquet")).unwrap_err();
    assert!(matches!(&err, Error::Mismatch { what, .. } if what == "split hash"), "{err}");
}

#[test]
fn a_description_of_other_labels_is_a_mismatch() {
    let dir = tempfile::tempdir().unwrap();
    let mut view = one_view();
    write_view(dir.path(), &view).unwrap();
    let json = fs::read(dir.path().join("v.json")).unwrap();
    view.examples[0].target = etude_manifests::Target::Tags(vec![0]);
    write_view(dir.path(), &view).unwrap();
    fs::write(dir.path().join("v.json"), json).unwrap();
    let err = read_view(&dir.path().join("v.parquet")).unwrap_err();
    assert!(matches!(&err, Error::Mismatch { what, .. } if what == "hash of the view"), "{err}");
}

/// A table as another tool might write it: these text columns and an empty list of warnings.
fn foreign(dir: &tempfile::TempDir, columns: &[(&str, Option<&str>)], warnings: bool) -> PathBuf {
    let mut arrays: Vec<(&str, ArrayRef)> = columns
        .iter()
        .map(|(name, value)| (*name, Arc::new(StringArray::from(vec![*value])) as ArrayRef))
        .collect();
    if warnings {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append(true);
        arrays.push(("warnings", Arc::new(lists.finish())));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        arrays.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let pairs = [("etude.kind", "tracks"), ("etude.version", "1")];
    let pairs = pairs.map(|(k, v)| KeyValue::new(k.to_owned(), v.to_owned()));
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(pairs.to_vec())).build();
    let out = fs::File::create(file(dir)).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file(dir)
}

const NEEDED: [(&str, Option<&str>); 5] = [
    ("dataset", Some("c")),
    ("key", Some("c:1")),
    ("clip_id", Some("1")),
    ("path", Some("1.mp3")),
    ("status", Some("ok")),
];

#[test]
fn optional_columns_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read_tracks(&foreign(&dir, &NEEDED, true)).unwrap(), [one_track()]);
}

#[test]
fn required_columns_may_not_be_missing_empty_or_odd() {
    let dir = tempfile::tempdir().unwrap();
    let says = |columns: &[(&str, Option<&str>)], warnings| {
        read_tracks(&foreign(&dir, columns, warnings)).unwrap_err().to_string()
    };
    let text = says(&NEEDED, false);
    assert!(text.ends_with("expected a column `warnings`, got none"), "{text}");
    let mut columns = NEEDED;
    columns[3].1 = None;
    let text = says(&columns, true);
    assert!(text.ends_with("expected a value in column `path` of row 0, got null"), "{text}");
    columns = NEEDED;
    columns[4].1 = Some("fine");
    let text = says(&columns, true);
    assert!(text.ends_with("expected a status in column `status` of row 0, got `fine`"), "{text}");
}

#[test]
fn more_rows_than_a_row_group_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<Track> = (0..70_000)
        .map(|i| Track {
            key: format!("c:{i:06}"),
            clip_id: i.to_string(),
            splits: [("s".to_owned(), Split::ALL[i % 3])].into(),
            labels: [("v".to_owned(), (i % 2 == 0).then(|| vec![i as i32, i as i32 + 1]))].into(),
            tags: (i % 5 > 0).then(|| vec!["tag".to_owned(); i % 5]),
            ..one_track()
        })
        .collect();
    write_tracks(&file(&dir), &rows, &meta()).unwrap();
    assert!(read_tracks(&file(&dir)).unwrap() == rows, "the rows differ");
}
