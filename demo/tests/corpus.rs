//! The corpus on disk: layout, tables, tags against measurement, broken files, repeated and interrupted runs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_demo::{Bad, Config, CultureName, Error, LOUD_DB, QUIET_DB, Report, TAGS, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;

/// One corpus for all tests that only read: the default number of clips, a second each.
fn corpus() -> &'static (TempDir, Report) {
    static CORPUS: OnceLock<(TempDir, Report)> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let report = make(&Config { seconds: 1.0, ..Config::default() }, dir.path()).unwrap();
        (dir, report)
    })
}

fn make(cfg: &Config, out: &Path) -> etude_demo::Result<Report> {
    run(cfg, out, &|_, _| {}, &AtomicBool::new(false))
}

/// Rows of a table by column name.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let split = |line: &str| -> Vec<String> {
        line.split('\t')
            .map(|field| field.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_string())
            .collect()
    };
    let mut lines = text.strip_suffix("\r\n").unwrap().split("\r\n");
    let header = split(lines.next().unwrap());
    lines
        .map(|line| {
            let fields = split(line);
            assert_eq!(fields.len(), header.len(), "{line}");
            header.iter().cloned().zip(fields).collect()
        })
        .collect()
}

fn annotations() -> Vec<BTreeMap<String, String>> {
    table(&corpus().0.path().join("annotations_final.csv"))
}

/// Paths of broken files.
fn bad() -> BTreeMap<String, Bad> {
    corpus().1.summary.bad.iter().map(|bad| (bad.path.clone(), bad.kind)).collect()
}

/// Mono mean and rate of a WAV file.
fn wav(path: &Path) -> (Vec<f64>, f64) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    let top = f64::from(2f32.powi(i32::from(spec.bits_per_sample) - 1));
    let samples: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.samples::<f32>().map(|x| f64::from(x.unwrap())).collect()
        }
        hound::SampleFormat::Int => {
            reader.samples::<i32>().map(|x| f64::from(x.unwrap()) / top).collect()
        }
    };
    let channels = usize::from(spec.channels);
    let mono =
        samples.chunks(channels).map(|frame| frame.iter().sum::<f64>() / channels as f64).collect();
    (mono, f64::from(spec.sample_rate))
}

fn loudness_db(wave: &[f64]) -> f64 {
    10.0 * (wave.iter().map(|x| x * x).sum::<f64>() / wave.len() as f64).max(1e-12).log10()
}

#[test]
fn the_tables_are_quoted_tab_separated_ascii_with_crlf_and_ascending_ids() {
    for name in ["annotations_final.csv", "clip_info_final.csv"] {
        let bytes = fs::read(corpus().0.path().join(name)).unwrap();
        assert!(bytes.is_ascii() && bytes.ends_with(b"\"\r\n"), "{name}");
        let lone = bytes.windows(2).filter(|w| w[1] == b'\n' && w[0] != b'\r').count();
        assert_eq!(lone, 0, "{name} has bare line feeds");
        let rows = table(&corpus().0.path().join(name));
        let ids: Vec<u32> = rows.iter().map(|row| row["clip_id"].parse().unwrap()).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]), "{name} is not sorted by id");
        assert!(ids.windows(2).any(|w| w[1] > w[0] + 1), "{name} has no gaps");
    }
}

#[test]
fn annotations_have_an_id_the_tags_and_a_path_in_this_order() {
    let text = fs::read_to_string(corpus().0.path().join("annotations_final.csv")).unwrap();
    let header: Vec<&str> =
        text.lines().next().unwrap().split('\t').map(|f| f.trim_matches('"')).collect();
    assert_eq!(header[0], "clip_id");
    assert_eq!(header[1..=TAGS.len()], TAGS);
    assert_eq!(header[TAGS.len() + 1..], ["mp3_path"]);
    for row in annotations() {
        assert!(TAGS.iter().all(|tag| row[*tag] == "0" || row[*tag] == "1"));
    }
    assert_eq!(annotations().len(), 320);
}

#[test]
fn clip_info_lists_every_annotated_clip_and_stretches_without_a_file() {
    let rows = table(&corpus().0.path().join("clip_info_final.csv"));
    let annotated: BTreeMap<_, _> = annotations()
        .into_iter()
        .map(|row| (row["clip_id"].clone(), row["mp3_path"].clone()))
        .collect();
    let mut bare = 0;
    for row in &rows {
        let (start, end): (u32, u32) =
            (row["segmentStart"].parse().unwrap(), row["segmentEnd"].parse().unwrap());
        assert_eq!(end - start, 1);
        assert!(!row["artist"].is_empty() && !row["album"].is_empty() && !row["title"].is_empty());
        assert!(row["url"].starts_with("http://") && row["track_number"].parse::<u32>().is_ok());
        match annotated.get(&row["clip_id"]) {
            Some(path) => {
                assert_eq!(*path, row["mp3_path"]);
                assert!(!row["original_url"].is_empty());
            }
            None => {
                bare += 1;
                assert!(row["mp3_path"].is_empty() && row["original_url"].is_empty());
            }
        }
    }
    assert_eq!(rows.len(), annotated.len() + bare);
    assert!(bare > 20, "{bare} rows without a file");
}

#[test]
fn paths_name_folder_performer_album_number_title_and_segment() {
    let mut folders = BTreeSet::new();
    let mut rates = BTreeSet::new();
    for row in annotations() {
        let path = &row["mp3_path"];
        assert!(corpus().0.path().join(path).is_file(), "{path} is missing");
        let (folder, name) = path.split_once('/').unwrap();
        assert!(folder.len() == 1 && u8::from_str_radix(folder, 16).is_ok());
        folders.insert(folder.to_string());
        let (stem, extension) = name.rsplit_once('.').unwrap();
        let parts: Vec<&str> = stem.split('-').collect();
        assert_eq!(parts.len(), 6, "{path}");
        assert!(parts[2].len() == 2 && parts[2].parse::<u32>().is_ok(), "{path}");
        assert_eq!(parts[5].parse::<u32>().unwrap() - parts[4].parse::<u32>().unwrap(), 1);
        if extension == "wav" && !bad().contains_key(path) {
            rates.insert(
                hound::WavReader::open(corpus().0.path().join(path)).unwrap().spec().sample_rate,
            );
        }
    }
    assert_eq!(folders.len(), 16);
    assert!(rates.len() >= 4, "WAV rates {rates:?}");
}

#[test]
fn every_tag_has_positives_in_every_split_and_none_is_on_every_clip() {
    for tag in &corpus().1.summary.tags {
        assert!(tag.train >= 2 && tag.valid >= 2 && tag.test >= 2, "{tag:?}");
        assert!(tag.train + tag.valid + tag.test < 160, "{tag:?}");
    }
    let share = |tag: &str| {
        let n = annotations().iter().filter(|row| row[tag] == "1").count();
        n as f64 / 320.0
    };
    for rare in ["harp", "bells", "waltz"] {
        assert!((0.015..0.09).contains(&share(rare)), "{rare}: {}", share(rare));
    }
}

#[test]
fn tags_are_correlated_as_listeners_would_expect() {
    let rows = annotations();
    let given = |tag: &str, condition: &str| {
        let of: Vec<_> = rows.iter().filter(|row| row[condition] == "1").collect();
        of.iter().filter(|row| row[tag] == "1").count() as f64 / of.len() as f64
    };
    assert!(given("synth", "dance") > 0.6 && given("synth", "classical") < 0.1);
    assert!(given("fast", "dance") > 0.5 && given("fast", "ambient") < 0.1);
    assert!(given("slow", "ambient") > 0.5 && given("drums", "classical") < 0.1);
    assert!(given("drums", "rock") > 0.8 && given("vocal", "choir") > 0.8);
    assert!(given("fast", "slow") < 0.15 && given("quiet", "loud") < 0.15);
}

#[test]
fn loud_and_quiet_agree_with_the_samples() {
    let (mut agree, mut of) = (0, 0);
    for row in annotations() {
        let path = &row["mp3_path"];
        if !path.ends_with(".wav") || bad().contains_key(path) {
            continue;
        }
        let db = loudness_db(&wav(&corpus().0.path().join(path)).0);
        for (tag, holds) in [("quiet", db < QUIET_DB), ("loud", db > LOUD_DB)] {
            of += 1;
            agree += u32::from((row[tag] == "1") == holds);
        }
    }
    assert!(of > 100 && f64::from(agree) > 0.95 * f64::from(of), "{agree} of {of}");
}

#[test]
fn whole_wav_files_have_the_length_asked_for_and_no_sample_beyond_full_scale() {
    for row in annotations() {
        let path = &row["mp3_path"];
        if path.ends_with(".wav") && !bad().contains_key(path) {
            let (wave, rate) = wav(&corpus().0.path().join(path));
            assert!((wave.len() as f64 / rate - 1.0).abs() < 1e-4, "{path}");
            let peak = wave.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            assert!(peak > 0.003 && peak < 1.0, "{path}: {peak}");
        }
    }
}

#[test]
fn flac_files_state_rate_and_length_in_their_header() {
    let mut seen = 0;
    for row in annotations() {
        let path = &row["mp3_path"];
        if path.ends_with(".flac") && !bad().contains_key(path) {
            let bytes = fs::read(corpus().0.path().join(path)).unwrap();
            assert_eq!(&bytes[..4], b"fLaC", "{path}");
            let word = u64::from_be_bytes(bytes[18..26].try_into().unwrap());
            assert_eq!(
                word >> 44,
                word & 0xf_ffff_ffff,
                "{path}: one second has as many samples as the rate"
            );
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} FLAC files");
}

#[test]
fn each_broken_file_is_broken_in_the_way_the_readme_says() {
    let dir = corpus().0.path();
    let readme = fs::read_to_string(dir.join("README.txt")).unwrap();
    assert!(readme.contains("CC0"));
    assert_eq!(bad().len(), 8);
    for (path, kind) in bad() {
        assert!(readme.contains(&format!("{path}: {}", kind.text())), "{path}");
        let bytes = fs::read(dir.join(&path)).unwrap();
        match kind {
            Bad::Empty => assert!(bytes.is_empty()),
            Bad::Truncated => {
                let frames = u64::from_be_bytes(bytes[18..26].try_into().unwrap()) & 0xf_ffff_ffff;
                assert!(bytes.starts_with(b"fLaC") && frames >= 16_000 && bytes.len() < 150_000);
            }
            Bad::Text => assert!(bytes.is_ascii() && bytes.starts_with(b"<!DOCTYPE")),
            Bad::Duplicate => {
                let twins = annotations()
                    .iter()
                    .filter(|row| fs::read(dir.join(&row["mp3_path"])).unwrap() == bytes)
                    .map(|row| u8::from_str_radix(&row["mp3_path"][..1], 16).unwrap() < 12)
                    .collect::<Vec<_>>();
                assert!(
                    twins.len() == 2 && twins[0] != twins[1],
                    "{path}: one copy in train, one outside"
                );
            }
            Bad::Silent => {
                let silent = if path.ends_with(".wav") {
                    wav(&dir.join(&path)).0.iter().all(|&x| x == 0.0)
                } else {
                    bytes.len() < 4000
                };
                assert!(silent, "{path}: {} bytes", bytes.len());
            }
            Bad::NotANumber => assert!(wav(&dir.join(&path)).0.iter().any(|x| x.is_nan())),
            Bad::Short => assert!(bytes.len() < 80_000, "{path}: {} bytes", bytes.len()),
            Bad::Mislabelled => assert!(path.ends_with(".flac") && bytes.starts_with(b"RIFF")),
        }
    }
}

#[test]
fn a_second_run_writes_nothing_and_repairs_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = Config { clips: 16, seed: 3, seconds: 0.5, ..Config::default() };
    let first = make(&cfg, dir.path()).unwrap();
    assert!(!first.reused);
    let table = dir.path().join("annotations_final.csv");
    let (text, time) =
        (fs::read(&table).unwrap(), fs::metadata(&table).unwrap().modified().unwrap());
    let again = make(&cfg, dir.path()).unwrap();
    assert!(again.reused && again.summary == first.summary);
    assert_eq!(fs::metadata(&table).unwrap().modified().unwrap(), time);

    fs::remove_file(&table).unwrap();
    assert!(!make(&cfg, dir.path()).unwrap().reused);
    assert_eq!(fs::read(&table).unwrap(), text);
}

#[test]
fn another_corpus_or_strange_files_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = Config { clips: 16, seed: 3, seconds: 0.5, ..Config::default() };
    make(&cfg, dir.path()).unwrap();
    let other = make(&Config { seed: 4, ..cfg.clone() }, dir.path()).unwrap_err();
    assert!(other.to_string().contains("seed 3"), "{other}");

    let strange = tempfile::tempdir().unwrap();
    fs::write(strange.path().join("thesis.tex"), "x").unwrap();
    let refused = make(&cfg, strange.path()).unwrap_err();
    assert!(refused.to_string().contains("thesis.tex"), "{refused}");
    assert_eq!(fs::read_dir(strange.path()).unwrap().count(), 1);
}

#[test]
fn a_stopped_run_says_so_and_the_next_one_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = Config { clips: 24, seed: 3, seconds: 0.5, ..Config::default() };
    let stop = AtomicBool::new(false);
    let ticks = AtomicUsize::new(0);
    let tick = |done: usize, of: usize| {
        ticks.fetch_add(1, Ordering::Relaxed);
        assert!(done >= 1 && done <= of && of == 24);
        stop.store(true, Ordering::Relaxed);
    };
    let stopped = run(&cfg, dir.path(), &tick, &stop).unwrap_err();
    assert!(
        matches!(stopped, Error::Stopped { done, of: 24 } if (1..24).contains(&done)),
        "{stopped}"
    );
    assert!(!dir.path().join("annotations_final.csv").exists());
    let report = make(&cfg, dir.path()).unwrap();
    assert_eq!((report.reused, report.summary.clips), (false, 24));
}

#[test]
fn settings_out_of_range_are_refused_with_their_range() {
    let dir = tempfile::tempdir().unwrap();
    let few = make(&Config { clips: 15, ..Config::default() }, dir.path()).unwrap_err();
    assert!(few.to_string().contains("16") && few.to_string().contains("15"), "{few}");
    for seconds in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(make(&Config { seconds, ..Config::default() }, dir.path()).is_err());
    }
}

#[test]
fn the_modal_corpus_has_tags_of_its_own_each_heard_in_every_split() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = Config { seconds: 2.0, culture: CultureName::Modal, ..Config::default() };
    let report = make(&cfg, dir.path()).unwrap();
    let text = fs::read_to_string(dir.path().join("annotations_final.csv")).unwrap();
    let header = text.lines().next().unwrap();
    let tags = CultureName::Modal.tags();
    let named: Vec<&str> = header.split('\t').map(|f| f.trim_matches('"')).collect();
    assert_eq!(named[1..=tags.len()], *tags);
    assert_eq!(report.summary.splits.iter().sum::<usize>(), 320);
    for tag in &report.summary.tags {
        let least = tag.train.min(tag.valid).min(tag.test);
        assert!(least >= 2, "{tag:?}");
        assert!(tag.train + tag.valid + tag.test < 290, "{tag:?} says nothing");
    }
    let western = Config { seconds: 2.0, ..Config::default() };
    let why = make(&western, dir.path()).unwrap_err().to_string();
    assert!(why.contains("a modal demo corpus of 320 clips"), "{why}");
}
