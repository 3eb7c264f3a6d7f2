//! Corpora that are not what their files or configs say: what `etude` makes of each, and how it says so.
#![cfg(all(feature = "data", feature = "torch"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, TINY, assert_done, assert_fails, etude};
use std::fs;
use std::path::Path;
use std::process::Output;

fn run(dir: &Path, args: &[&str]) -> Output {
    etude().current_dir(dir).args(args).output().unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn file(dir: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Half a second of a tone.
fn tone(dir: &Path, path: &str, hz: f32) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..40_000 {
        let x = (n as f32 * hz * std::f32::consts::TAU / 16_000.0).sin();
        wav.write_sample((x * 9000.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
}

/// A `.npy` file: a header with these facts, and the data.
fn npy(facts: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{{facts}, 'fortran_order': False}}");
    header.extend(std::iter::repeat_n(' ', 63 - (header.len() + 10) % 64));
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// Six-letter ids as numpy writes them.
fn ids(ids: &[&str]) -> Vec<u8> {
    let letters = ids.iter().flat_map(|id| id.chars()).flat_map(|c| u32::from(c).to_le_bytes());
    npy(&format!("'descr': '<U6', 'shape': ({},)", ids.len()), &letters.collect::<Vec<_>>())
}

#[test]
fn a_list_that_names_clips_the_corpus_lacks_is_an_error_with_the_first_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let tracks = ",album,album,artist,artist,set,set,track,track,track,track\n\
                  ,id,title,id,name,split,subset,genre_top,genres_all,license,title\n\
                  track_id,,,,,,,,,,\n7,1,x,1,y,training,medium,Pop,[10],by,t\n";
    file(dir, "raw/fma_metadata/tracks.csv", tracks);
    file(
        dir,
        "raw/fma_metadata/genres.csv",
        "genre_id,#tracks,parent,title,top_level\n10,1,0,Pop,10\n",
    );
    file(dir, "raw/lists/train.npy", ids(&["000007", "000008"]));
    file(dir, "raw/lists/valid.npy", ids(&["000009"]));
    file(dir, "raw/lists/test.npy", ids(&[]));
    let config = "corpus = \"fma\"\ndataset = \"fma\"\nroot = \"raw\"\n[shards]\nrate = 16000\n";
    file(dir, "fma.toml", config.to_owned() + "[fma]\nccml = \"lists\"\n");
    let words = ["raw/lists: expected ids that tracks.csv has", "got 000008 and 1 more"];
    assert_fails(&run(dir, &["ingest", "fma.toml"]), &words);
    file(dir, "raw/lists/valid.npy", ids(&["000007"]));
    let words = ["valid.npy: expected every id once in the three lists", "000007", "in train"];
    assert_fails(&run(dir, &["ingest", "fma.toml"]), &words);
    file(dir, "raw/lists/valid.npy", "these are no ids");
    assert_fails(
        &run(dir, &["ingest", "fma.toml"]),
        &["valid.npy: expected a .npy", "no .npy file"],
    );
    assert!(!dir.join("data/manifests/fma.parquet").exists());
}

/// Rows of TinySOL's table, one note each: path, fold, instrument.
fn tinysol(dir: &Path, rows: &[(&str, &str, &str)]) {
    let mut table = "Path,Fold,Family,Instrument (abbr.),Instrument (in full),Technique (abbr.),\
                     Technique (in full),Pitch,Pitch ID,Dynamics,Dynamics ID,Instance ID,\
                     String ID (if applicable),Needed digital retuning\r\n"
        .to_owned();
    for (path, fold, instrument) in rows {
        table += &format!("{path},{fold},F,I,{instrument},ord,ordinario,A4,69,mf,2,0,,FALSE\r\n");
    }
    file(dir, "raw/TinySOL_metadata.csv", table);
    let config = "corpus = \"tinysol\"\ndataset = \"notes\"\nroot = \"raw\"\n\
                  [ingest]\nmax_bad = 0.3\n[shards]\nrate = 16000\n";
    file(dir, "notes.toml", config.to_owned() + "[tinysol]\naudio = \"\"\n");
}

#[test]
fn a_fold_that_names_a_note_without_audio_is_a_refused_track_and_an_unknown_fold_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tone(dir, "raw/a.wav", 440.0);
    tone(dir, "raw/b.wav", 550.0);
    tinysol(dir, &[("a.wav", "0", "Violin"), ("b.wav", "1", "Violin"), ("gone.wav", "2", "Flute")]);
    let out = run(dir, &["ingest", "notes.toml"]);
    assert_eq!(out.status.code(), Some(1), "more refused than max_bad");
    assert!(
        said(&out).contains("missing_file") && said(&out).contains("notes:gone"),
        "{}",
        said(&out)
    );
    tinysol(dir, &[("a.wav", "0", "Violin"), ("b.wav", "7", "Flute")]);
    let words = ["TinySOL_metadata.csv:3: expected a fold from 0 to 4, got 7"];
    assert_fails(&run(dir, &["ingest", "notes.toml"]), &words);
}

#[test]
fn a_subset_larger_than_the_corpus_is_what_there_is_and_a_warning_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 24, 1.0);
    let limited = "[limited]\nclips = [1, 1000]\ngenres = [\"drums\", \"bass\"]\n";
    let config = fs::read_to_string(dir.path().join("demo.toml")).unwrap();
    file(dir.path(), "demo.toml", config.clone() + limited);
    let said = place.done(&["ingest", "demo.toml"]);
    let line = said.lines().find(|l| l.contains("the train split has only")).unwrap();
    assert!(line.starts_with("warning in view demo_limited_1000: "), "{line}");
    assert!(line.contains("of 1000 clips of \"drums\""), "{line}");
    file(dir.path(), "demo.toml", config + "[limited]\ngenres = [\"drums\", \"polka\"]\n");
    let words = ["view demo: expected genres among its classes", "got `polka`"];
    assert_fails(&place.run(&["ingest", "demo.toml"]), &words);
}

#[test]
fn mel_files_of_another_width_than_declared_are_refused_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mel = |bands: usize| {
        let data: Vec<u8> = (0..bands * 40).flat_map(|i| (i as f32 / 90.0).to_le_bytes()).collect();
        npy(&format!("'descr': '<f4', 'shape': ({bands}, 40)"), &data)
    };
    for (name, bands) in [("a", 128), ("b", 128), ("narrow", 96)] {
        file(dir, &format!("raw/{name}.npy"), mel(bands));
    }
    file(dir, "raw/tracks.csv", "path,tags\na.npy,x\nb.npy,y\nnarrow.npy,x\n");
    let config = "corpus = \"folder\"\ndataset = \"mels\"\nroot = \"raw\"\n\
                  [shards]\nmel = \"vgg_16k_db\"\n";
    file(dir, "mels.toml", config);
    let out = run(dir, &["ingest", "mels.toml"]);
    assert_eq!(out.status.code(), Some(1), "one in three is more than max_bad");
    for words in ["wrong_bands", "narrow.npy", "128", "96"] {
        assert!(said(&out).contains(words), "{words}: {}", said(&out));
    }
    let out = run(dir, &["shards", "mels.toml"]);
    assert_done(&out, "shards");
    assert!(said(&out).contains("2 tracks, 2 stored, 0 refused"), "{}", said(&out));
    // where only the headers were looked at, the shards find out
    let header = ["--set", "dataset=late", "--set", "ingest.check=header"];
    assert_done(&run(dir, &[&["ingest", "mels.toml"], &header[..]].concat()), "ingest");
    let out = run(dir, &[&["shards", "mels.toml"], &header[..]].concat());
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("2 stored, 1 refused"), "{}", said(&out));
    assert!(said(&out).contains("wrong_bands"), "{}", said(&out));
}

/// A folder corpus of twelve tones in fixed splits with these tags, ingested and sharded.
fn tagged(dir: &Path, tags: impl Fn(usize) -> &'static str) -> String {
    let mut table = "path,tags,split\n".to_owned();
    for i in 0..12 {
        let split = ["train", "train", "valid", "test"][i % 4];
        tone(dir, &format!("raw/{i}.wav"), 200.0 + 40.0 * i as f32);
        table += &format!("{i}.wav,{},{split}\n", tags(i));
    }
    file(dir, "raw/tracks.csv", table);
    let config = "corpus = \"folder\"\ndataset = \"demo\"\nroot = \"raw\"\n\
                  [shards]\nrate = 16000\n[folder]\nsplit = \"split\"\n";
    file(dir, "demo.toml", config);
    file(dir, "tiny.toml", TINY);
    let out = run(dir, &["ingest", "demo.toml"]);
    assert_done(&out, "ingest");
    assert_done(&run(dir, &["shards", "demo.toml"]), "shards");
    said(&out)
}

#[test]
fn a_corpus_of_one_class_is_a_warning_when_read_and_an_error_when_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let said = tagged(dir.path(), |_| "piano");
    assert!(
        said.contains("12 examples, all with the same target (piano): nothing to learn"),
        "{said}"
    );
    let words = ["view demo: expected training examples that differ in a tag", "got only piano"];
    assert_fails(&run(dir.path(), &["train", "tiny.toml"]), &words);
    assert!(!dir.path().join("runs/tiny/1/config.toml").exists(), "nothing was begun");
    for task in ["class", "key"] {
        let kind = format!("objective.task.kind={task}");
        let by = "trainer.keep={ best = 1, by = \"accuracy\", mode = \"max\" }";
        let out = run(dir.path(), &["train", "tiny.toml", "--set", &kind, "--set", by]);
        assert_fails(&out, &["expected at least two classes to tell apart, got 1"]);
    }
}

#[test]
fn a_split_of_one_class_defines_no_roc_auc_and_says_so_before_training_and_in_the_scores() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tagged(dir, |i| if i % 4 == 0 { "flute" } else { "piano" });
    let keep = "trainer.keep={ best = 1, by = \"ROC-AUC\", mode = \"max\" }";
    let out = run(dir, &["train", "tiny.toml", "--set", keep]);
    let words =
        ["trainer.keep.by: the validation split does not define \"ROC-AUC\"", "defines mAP, loss"];
    assert_fails(&out, &words);
    assert!(!dir.join("runs/tiny/1/config.toml").exists(), "nothing was begun");
    assert_done(&run(dir, &["train", "tiny.toml"]), "train");
    let out = run(dir, &["eval", "runs/tiny/1"]);
    assert_done(&out, "eval");
    assert!(
        said(&out).contains("left out of the means, lacking positives or negatives: "),
        "{}",
        said(&out)
    );
    let out = run(dir, &["--json", "eval", "runs/tiny/1"]);
    let scores: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(scores["undefined"], serde_json::json!([0, 1]));
    assert!(scores["summary"].get("ROC-AUC").is_none() && scores["summary"]["mAP"] == 1.0);
}

#[test]
fn a_training_split_of_one_instrument_is_named_where_a_class_per_note_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let notes =
        [("a", "0", "Flute"), ("b", "1", "Flute"), ("c", "2", "Violin"), ("d", "3", "Violin")];
    let rows = notes.map(|(name, fold, instrument)| (format!("{name}.wav"), fold, instrument));
    for (i, (path, ..)) in rows.iter().enumerate() {
        tone(dir, &format!("raw/{path}"), 300.0 + 100.0 * i as f32);
    }
    tinysol(
        dir,
        &rows.each_ref().map(|(path, fold, instrument)| (path.as_str(), *fold, *instrument)),
    );
    assert_done(&run(dir, &["ingest", "notes.toml"]), "ingest");
    assert_done(&run(dir, &["shards", "notes.toml"]), "shards");
    let tiny = TINY.replace("\"demo\"", "\"notes_instrument\"").replace("demo-16k", "notes-16k");
    let keep = "keep = { best = 1, by = \"accuracy\", mode = \"max\" }\n";
    file(dir, "tiny.toml", tiny.replace("tagging", "class") + keep);
    let words = [
        "view notes_instrument: expected training examples of at least two classes",
        "got only Violin",
    ];
    assert_fails(&run(dir, &["train", "tiny.toml"]), &words);
}
