//! Stretches of tracks come back exactly, read no more than they need, and damage is noticed and named.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use arrow_array::{ArrayRef, BinaryArray, LargeBinaryArray, RecordBatch};
use common::{spec, value, wave, write_file, write_set};
use etude_shards::{
    Error, FileEntry, Index, Kind, Number, ReadFacts, Reader, ShardFile, Spec, TrackRow,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

const STEPS: [usize; 5] = [2500, 1000, 1, 3999, 12_345];

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn whole_tracks_come_back_to_the_bit() {
    for kind in [
        Kind::Wave { rate: 1000 },
        Kind::Frames { fps: 43.066, bands: 8 },
        Kind::Embedding { fps: 0.0, dim: 16 },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec { kind, ..spec() };
        let index = write_set(dir.path(), &spec, &STEPS, 2);
        let reader = Reader::new(&index);
        for (t, steps) in STEPS.iter().enumerate() {
            assert_eq!(reader.steps(t), *steps as u64);
            let mut out = vec![f32::NAN; steps * kind.width()];
            reader.read(t, 0, &mut out).unwrap();
            assert!(out == wave(t, steps * kind.width()), "{kind:?} track {t}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_stretch_comes_back_to_the_bit(track in 0usize..5, a in 0.0..1.0, b in 0.0..1.0, number in 0usize..3) {
        let dir = tempfile::tempdir().unwrap();
        let number = [Number::S16, Number::F32, Number::Bf16][number];
        let index = write_set(dir.path(), &Spec { number, ..spec() }, &STEPS, 2);
        let (a, b) = ((a * STEPS[track] as f64) as usize, (b * STEPS[track] as f64) as usize);
        let (from, to) = (a.min(b), a.max(b));
        let mut out = vec![f32::NAN; to - from];
        Reader::new(&index).read(track, from as u64, &mut out).unwrap();
        for (i, x) in out.iter().enumerate() {
            let expect = value(track, from + i);
            let near = if number == Number::Bf16 { expect.abs() / 256.0 } else { 0.0 };
            prop_assert!((x - expect).abs() <= near, "{} against {}", x, expect);
        }
    }
}

#[test]
fn a_stretch_beyond_the_track_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader::new(&write_set(dir.path(), &spec(), &STEPS, 2));
    for (start, n) in [(0, 2501), (2500, 1), (u64::MAX, 2)] {
        assert!(matches!(reader.read(0, start, &mut vec![0.0; n]), Err(Error::Config { .. })));
    }
    assert_eq!(reader.read(0, 2500, &mut []).unwrap(), ReadFacts::default());
}

#[test]
fn random_crops_of_30_s_read_little_more_than_they_use() {
    // 4-minute tracks at 24 kHz, crops at 40 places.
    let dir = tempfile::tempdir().unwrap();
    let spec = Spec {
        kind: Kind::Wave { rate: 24_000 },
        block_s: 10.0,
        row_group_bytes: 16 << 20,
        ..spec()
    };
    let (track, crop) = (240 * 24_000, 30 * 24_000);
    let index = write_set(dir.path(), &spec, &[track], 1);
    let reader = Reader::new(&index);
    let (mut read, mut used) = (0, 0);
    let mut out = vec![0.0; crop];
    for i in 0..40 {
        let start = i * 7_919_113 % (track - crop + 1);
        let facts = reader.read(0, start as u64, &mut out).unwrap();
        assert_eq!((out[0], out[crop - 1]), (value(0, start), value(0, start + crop - 1)));
        read += facts.bytes_read;
        used += facts.bytes_used;
    }
    assert_eq!(used, 40 * 2 * crop as u64);
    let ratio = read as f64 / used as f64;
    assert!((1.0..1.02).contains(&ratio), "{ratio}");
}

#[test]
fn a_flipped_byte_is_found_and_both_digests_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &STEPS, 2);
    index.verify().unwrap();
    flip(&dir.path().join("shard-00001.parquet"), 1000);
    flip(&dir.path().join("shard-00002.parquet"), 4000);
    let Err(Error::Digest { path, expected, got }) = index.verify() else { panic!("not found") };
    assert_eq!(path, dir.path().join("shard-00001.parquet"));
    assert_eq!((expected.as_str(), got.len()), (index.files()[1].blake3.as_str(), 64));
    assert_ne!(expected, got);
    let text = index.verify().unwrap_err().to_string();
    assert!(text.contains(&expected) && text.contains(&got), "{text}");
    assert_eq!(index.damage().len(), 2);
}

#[test]
fn truncated_and_missing_files_are_noticed_when_the_set_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &STEPS, 2);
    let path = dir.path().join("shard-00001.parquet");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    let text = Index::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("shard-00001.parquet") && text.contains("truncated"), "{text}");
    assert!(matches!(index.verify(), Err(Error::Size { .. })));
    fs::remove_file(&path).unwrap();
    let error = Index::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Missing { path } if path.ends_with("shard-00001.parquet")),
        "{error}"
    );
}

#[test]
fn garbage_and_other_versions_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Index::open(dir.path()).unwrap_err();
    assert!(matches!(open(), Error::Io { .. }));
    write_set(dir.path(), &spec(), &STEPS, 2);
    let path = dir.path().join("index.json");
    let text = fs::read_to_string(&path).unwrap();
    for broken in ["", "{", "[]", "null", "\u{0}", "{\"version\":1}", &text[..text.len() / 2]] {
        fs::write(&path, broken).unwrap();
        let error = open();
        assert!(matches!(error, Error::Format { .. }), "{broken:?}: {error}");
        assert!(error.to_string().contains("index.json"), "{error}");
    }
    fs::write(&path, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    let error = open();
    assert!(matches!(&error, Error::Version { expected: 1, got, .. } if got == "2"), "{error}");
    let lies = [
        ("\"toy:0001\",\"orig\",3,1000", "\"toy:0001\",\"orig\",2,1000"),
        ("\"toy:0001\",\"orig\",3,1000", "\"toy:0001\",\"orig\",3,0"),
        ("\"toy:0001\",\"orig\",3,1000", "\"toy:0001\",\"orig\",3,9000"),
        ("\"toy:0001\"", "\"toy:0000\""),
        ("\"shard-00000.parquet\"", "\"../shard-00000.parquet\""),
        ("\"block_s\":1.0", "\"block_s\":0.0"),
        ("\"rows\":4", "\"rows\":18446744073709551615"),
    ];
    for (truth, lie) in lies {
        assert!(text.contains(truth), "{truth}");
        fs::write(&path, text.replacen(truth, lie, 1)).unwrap();
        let error = open();
        assert!(matches!(error, Error::Format { .. } | Error::Config { .. }), "{lie}: {error}");
    }
}

#[test]
fn leftovers_of_a_killed_run_are_no_set() {
    let dir = tempfile::tempdir().unwrap();
    write_file(dir.path(), 0, &spec(), 0, &[2500]);
    fs::write(dir.path().join("shard-00001.parquet.part"), b"half").unwrap();
    fs::write(dir.path().join("index.json.part"), b"{").unwrap();
    assert!(matches!(Index::open(dir.path()), Err(Error::Io { .. })));
    // The next run keeps what is whole.
    let first = FileEntry::read_finished(dir.path(), 0, "plan 0").unwrap().unwrap();
    let second = write_file(dir.path(), 1, &spec(), 1, &[700]);
    let index = Index::assemble(dir.path(), &spec(), vec![first, second]).unwrap();
    let mut out = vec![0.0; 700];
    Reader::new(&index).read(1, 0, &mut out).unwrap();
    assert_eq!(out, wave(1, 700));
    assert!(!dir.path().join("shard-00001.parquet.part").exists());
}

/// Lists the file as it is now, as if a set had been rewritten on purpose.
fn relist(dir: &Path, index: &Index) -> Index {
    let files = index.files().iter().cloned().map(|mut f| {
        let bytes = fs::read(dir.join(&f.name)).unwrap();
        f.bytes = bytes.len() as u64;
        f.blake3 = blake3::hash(&bytes).to_hex().to_string();
        f
    });
    let files = files.collect();
    Index::assemble(dir, index.spec(), files).unwrap()
}

#[test]
fn files_rewritten_with_compression_dictionary_or_large_pages_still_read() {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let plain = || WriterProperties::builder().set_dictionary_enabled(false);
    let forms = [
        WriterProperties::builder().build(),
        plain().set_compression(zstd).build(),
        plain().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(2)).build(),
        plain().set_offset_index_disabled(true).build(),
    ];
    for (i, form) in forms.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let index = write_set(dir.path(), &spec(), &[2500, 1000, 1], 3);
        let path = dir.path().join("shard-00000.parquet");
        let blocks: Vec<Vec<u8>> = [2500, 1000, 1]
            .iter()
            .enumerate()
            .flat_map(|(t, n)| {
                let bytes: Vec<u8> =
                    wave(t, *n).iter().flat_map(|x| ((x * 32768.0) as i16).to_le_bytes()).collect();
                bytes.chunks(2000).map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .collect();
        let data: ArrayRef = if i == 1 {
            Arc::new(blocks.iter().map(|b| Some(b.as_slice())).collect::<LargeBinaryArray>())
        } else {
            Arc::new(blocks.iter().map(|b| Some(b.as_slice())).collect::<BinaryArray>())
        };
        let rows = RecordBatch::try_from_iter_with_nullable([("data", data, i == 1)]).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), Some(form)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let reader = Reader::new(&relist(dir.path(), &index));
        for (t, n) in [2500, 1000, 1].into_iter().enumerate() {
            let mut out = vec![0.0; n];
            reader.read(t, 0, &mut out).unwrap();
            assert_eq!(out, wave(t, n), "form {i} track {t}");
        }
        let mut out = vec![0.0; 700];
        reader.read(0, 900, &mut out).unwrap();
        assert_eq!(out, wave(0, 2500)[900..1600]);
    }
}

#[test]
fn files_with_other_contents_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &[2500, 1000], 2);
    let path = dir.path().join("shard-00000.parquet");
    let read =
        || Reader::new(&relist(dir.path(), &index)).read(0, 0, &mut [0.0; 2500]).unwrap_err();
    // As many rows, but blocks of other sizes.
    write_file(dir.path(), 0, &spec(), 0, &[1000, 1000, 1000, 1000]);
    let error = read();
    assert!(matches!(&error, Error::Format { path: p, .. } if *p == path), "{error}");
    assert!(error.to_string().contains("row 2"), "{error}");
    write_file(dir.path(), 0, &spec(), 0, &[1000]);
    assert!(read().to_string().ends_with("expected 4 rows, got 1"), "{}", read());
    fs::write(&path, b"PAR1 this is no table PAR1").unwrap();
    assert!(matches!(read(), Error::Parquet { .. }));
    fs::write(&path, b"").unwrap();
    assert!(matches!(read(), Error::Parquet { .. }));
}

#[test]
fn every_flipped_byte_of_a_small_file_is_an_error_or_harmless_but_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let small = Spec { kind: Kind::Wave { rate: 100 }, ..spec() };
    let mut file = ShardFile::create(dir.path(), 0, &small).unwrap();
    file.push(&TrackRow { key: "a", variant: "orig", tags: &[], split: None }, &wave(0, 250))
        .unwrap();
    let index = Index::assemble(dir.path(), &small, vec![file.finish().unwrap()]).unwrap();
    let path = dir.path().join("shard-00000.parquet");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(index.verify(), Err(Error::Digest { .. })), "byte {at}");
        let _ = Reader::new(&index).read(0, 0, &mut [0.0; 250]);
    }
}
