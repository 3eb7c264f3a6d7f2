//! What the writer leaves on disk: a plain Parquet file that any reader understands, the same bytes every time.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use common::{key, spec, value, wave, write_file, write_set};
use etude_manifests::{Split, Status};
use etude_shards::{Error, FileEntry, Index, Kind, Number, Refused, ShardFile, Spec, TrackRow};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use std::fs::{self, File};
use std::path::Path;

fn read(path: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    builder.build().unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_plain_parquet_reader_finds_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let entry = write_file(dir.path(), 3, &spec(), 0, &[2500, 1000, 1]);
    assert_eq!((entry.name.as_str(), entry.rows), ("shard-00003.parquet", 5));
    let mut at = 0;
    let expected = [(0, 0, 1000), (0, 1, 1000), (0, 2, 500), (1, 0, 1000), (2, 0, 1)];
    for batch in read(&dir.path().join(&entry.name)) {
        let text = |name| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let number =
            |name| batch.column_by_name(name).unwrap().as_primitive::<UInt32Type>().clone();
        let start = batch.column_by_name("start_s").unwrap().as_primitive::<Float64Type>();
        let tags = batch.column_by_name("tags").unwrap().as_list::<i32>();
        let data = batch.column_by_name("data").unwrap().as_binary::<i32>();
        for row in 0..batch.num_rows() {
            let (track, index, valid) = expected[at];
            assert_eq!(text("track").value(row), key(track));
            assert_eq!(text("variant").value(row), "orig");
            assert_eq!(number("index").value(row), index);
            assert_eq!(number("valid").value(row), valid);
            assert_eq!(start.value(row), f64::from(index));
            if index == 0 {
                let tags = tags.value(row);
                assert_eq!(tags.as_string::<i32>().value(0), format!("tag{track}"));
                assert_eq!(text("split").value(row), "train");
            } else {
                assert!(tags.is_null(row) && text("split").is_null(row));
            }
            let s16 = data.value(row).as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b));
            let expect = (0..valid as usize).map(|i| value(track, index as usize * 1000 + i));
            assert!(s16.map(|s| f32::from(s) / 32768.0).eq(expect));
            at += 1;
        }
    }
    assert_eq!(at, expected.len());
}

#[test]
fn data_is_plain_with_one_row_per_page_and_row_groups_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let entry = write_file(dir.path(), 0, &spec(), 0, &[2500, 4000, 3000, 100]);
    let file = File::open(dir.path().join(&entry.name)).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let meta = reader.parse_and_finish(&file).unwrap();
    assert_eq!(meta.num_row_groups() as u64, entry.row_groups);
    assert!(entry.row_groups > 1);
    let mut rows = 0;
    for (g, group) in meta.row_groups().iter().enumerate() {
        let data = group.columns().last().unwrap();
        assert_eq!(data.column_path().string(), "data");
        assert_eq!(data.compression(), Compression::UNCOMPRESSED);
        assert!(data.dictionary_page_offset().is_none() && data.statistics().is_none());
        assert!(data.encodings().all(|e| matches!(e, Encoding::PLAIN | Encoding::RLE)));
        let pages = meta.offset_index().unwrap()[g].last().unwrap().page_locations();
        assert_eq!(pages.len() as i64, group.num_rows());
        assert!(
            data.uncompressed_size() < 9_000 + 500,
            "one row group: {}",
            data.uncompressed_size()
        );
        rows += group.num_rows();
    }
    assert_eq!(rows as u64, entry.rows);
}

#[test]
fn the_same_tracks_give_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let steps = [2500, 1000, 7, 12_345];
    write_set(a.path(), &spec(), &steps, 2);
    write_set(b.path(), &spec(), &steps, 2);
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(a.path()), ["index.json", "shard-00000.parquet", "shard-00001.parquet"]);
    assert_eq!(names(a.path()), names(b.path()));
    for name in names(a.path()) {
        assert_eq!(
            fs::read(a.path().join(&name)).unwrap(),
            fs::read(b.path().join(&name)).unwrap()
        );
    }
}

#[test]
fn the_digest_of_the_entry_is_the_digest_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let entry = write_file(dir.path(), 0, &spec(), 0, &[2500]);
    let bytes = fs::read(dir.path().join(&entry.name)).unwrap();
    assert_eq!(entry.blake3, blake3::hash(&bytes).to_hex().to_string());
    assert_eq!(entry.bytes, bytes.len() as u64);
}

#[test]
fn a_track_never_crosses_files_and_the_index_says_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &spec(), &[2500, 1000, 1, 3000], 2);
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.spec(), &spec());
    let rows: Vec<_> = index.tracks().map(|t| (t.key.as_str(), t.first_row, t.steps)).collect();
    assert_eq!(
        rows,
        [("toy:0000", 0, 2500), ("toy:0001", 3, 1000), ("toy:0002", 0, 1), ("toy:0003", 1, 3000)]
    );
    index.verify().unwrap();
}

#[test]
fn tracks_that_cannot_be_stored_are_refused_with_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let spec = Spec { kind: Kind::Frames { fps: 100.0, bands: 4 }, number: Number::F32, ..spec() };
    let mut file = ShardFile::create(dir.path(), 0, &spec).unwrap();
    let row = |key| TrackRow { key, variant: "key-3", tags: &[], split: None };
    let mut text = |key, data: &[f32]| file.push(&row(key), data).unwrap_err().to_string();
    assert_eq!(text("a", &[]), "track a#key-3: expected at least one time step, got none");
    assert_eq!(text("a", &[0.0; 6]), "track a#key-3: expected a multiple of 4 numbers, got 6");
    let mut nan = [0.0; 8];
    nan[5] = f32::NAN;
    assert_eq!(text("a", &nan), "track a#key-3: expected finite numbers, got NaN at time step 1");
    file.push(&row("a"), &[0.0; 8]).unwrap();
    file.push(&row("b"), &[0.0; 8]).unwrap();
    let again = file.push(&row("a"), &[0.0; 8]).unwrap_err().to_string();
    assert_eq!(again, "track a#key-3: expected every track once, got this one again");
    let entry = file.finish().unwrap();
    assert_eq!((entry.rows, entry.tracks.len()), (2, 2));
}

#[test]
fn overs_are_counted_per_track() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = ShardFile::create(dir.path(), 0, &spec()).unwrap();
    let row = |key| TrackRow { key, variant: "orig", tags: &[], split: None };
    assert_eq!(file.push(&row("a"), &[0.5, 1.0, -1.0, 1.2]).unwrap().overs, 2);
    assert_eq!(file.push(&row("b"), &wave(0, 3000)).unwrap().overs, 0);
    let entry = file.finish().unwrap();
    assert_eq!(entry.tracks.iter().map(|t| t.overs).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn a_finished_file_is_found_again_only_for_the_same_plan_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let found = |plan| FileEntry::read_finished(dir.path(), 0, plan).unwrap();
    assert_eq!(found("plan 0"), None);
    let entry = write_file(dir.path(), 0, &spec(), 0, &[2500]);
    assert_eq!(found("plan 0"), Some(entry.clone()));
    assert_eq!(found("plan 1"), None);
    assert_eq!(found(""), None);
    let path = dir.path().join(&entry.name);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(found("plan 0"), None);
    fs::write(&path, &bytes).unwrap();
    fs::write(dir.path().join("shard-00000.json"), b"{\"name\": 3").unwrap();
    assert_eq!(found("plan 0"), None);
}

#[test]
fn a_dropped_file_leaves_nothing_and_an_unfinished_one_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    write_file(dir.path(), 0, &spec(), 0, &[2500]);
    let mut file = ShardFile::create(dir.path(), 0, &spec()).unwrap();
    let row = TrackRow { key: "a", variant: "orig", tags: &[], split: None };
    file.push(&row, &[0.0; 4000]).unwrap();
    assert!(dir.path().join("shard-00000.parquet.part").exists());
    // The older file is still there, but no entry claims to describe it.
    assert_eq!(FileEntry::read_finished(dir.path(), 0, "plan 0").unwrap(), None);
    drop(file);
    assert!(!dir.path().join("shard-00000.parquet.part").exists());
}

#[test]
fn the_index_replaces_entries_and_leftovers_but_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["shard-00007.parquet", "shard-00001.parquet.part", "shard-notes.txt", "mine.parquet"]
    {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    write_set(dir.path(), &spec(), &[1000, 2000], 2);
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["index.json", "mine.parquet", "shard-00000.parquet", "shard-notes.txt"]);
}

#[test]
fn refused_tracks_stand_in_the_index_and_an_all_refused_file_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = ShardFile::create(dir.path(), 0, &spec()).unwrap();
    let refused = Refused {
        key: "toy:bad".into(),
        variant: "orig".into(),
        status: Status::Silent,
        text: "peak 0".into(),
    };
    file.refuse(refused.clone());
    let entry = file.finish().unwrap();
    assert!(read(&dir.path().join(&entry.name)).is_empty());
    Index::assemble(dir.path(), &spec(), vec![entry]).unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.refused().collect::<Vec<_>>(), [&refused]);
}

#[test]
fn two_files_with_the_same_track_make_no_index() {
    let dir = tempfile::tempdir().unwrap();
    let files = vec![
        write_file(dir.path(), 0, &spec(), 0, &[1000, 1000]),
        write_file(dir.path(), 1, &spec(), 1, &[1000]),
    ];
    let error = Index::assemble(dir.path(), &spec(), files).unwrap_err();
    assert!(matches!(error, Error::Format { .. }));
    assert!(error.to_string().contains("toy:0001 twice"), "{error}");
    assert!(!dir.path().join("index.json").exists());
}

#[test]
fn every_number_format_and_kind_is_written() {
    for number in [Number::S16, Number::Bf16, Number::F32] {
        for kind in [
            Kind::Wave { rate: 1000 },
            Kind::Frames { fps: 43.066, bands: 8 },
            Kind::Embedding { fps: 0.0, dim: 16 },
            Kind::Embedding { fps: 2.0, dim: 16 },
        ] {
            let dir = tempfile::tempdir().unwrap();
            let spec = Spec { kind, number, ..spec() };
            write_set(dir.path(), &spec, &[90, 1, 43], 2).verify().unwrap();
            assert_eq!(Index::open(dir.path()).unwrap().spec(), &spec);
        }
    }
}

#[test]
fn split_is_written_as_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = ShardFile::create(dir.path(), 0, &spec()).unwrap();
    for (key, split) in [("a", Split::Train), ("b", Split::Valid), ("c", Split::Test)] {
        file.push(&TrackRow { key, variant: "orig", tags: &[], split: Some(split) }, &[0.0])
            .unwrap();
    }
    let entry = file.finish().unwrap();
    let batches = read(&dir.path().join(&entry.name));
    let split = batches[0].column_by_name("split").unwrap().as_string::<i32>();
    assert!(split.iter().flatten().eq(["train", "valid", "test"]));
}
