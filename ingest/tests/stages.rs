//! Both stages on a small corpus: what they write, what they refuse, and that nothing but the corpus and the config
//! shows in the bytes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "shared/corpus.rs"]
mod corpus;

use corpus::{Corpus, StopAfter, assert_same, contents, ingest, shards, write_clip};
use etude_ingest::{Bad, Check, Error, Progress, stage};
use etude_manifests::{Split, Status, Track, Warning, read_tracks, read_view};
use etude_shards::Index;
use std::fs;
use std::sync::atomic::AtomicBool;

/// Clip `i` has key `tones:<3 i + 2>`.
fn key(i: usize) -> String {
    format!("tones:{}", i * 3 + 2)
}

fn track(tracks: &[Track], i: usize) -> &Track {
    tracks.iter().find(|t| t.key == key(i)).unwrap()
}

#[test]
fn a_corpus_becomes_tables_and_shards_that_agree() {
    let corpus = Corpus::new(40);
    let cfg = corpus.with(&[]);
    let report = ingest(&cfg).unwrap();
    assert_eq!((report.tracks, report.stored, report.reused), (40, 40, 0), "{report}");
    assert!(report.refused.is_empty() && !report.above_max_bad);
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    assert!(tracks.iter().all(|t| t.facts.sha256.is_some() && t.facts.pcm_sha256.is_some()));
    let view = read_view(&cfg.manifests_dir().join("tones.parquet")).unwrap();
    let clean = read_view(&cfg.manifests_dir().join("tones_clean.parquet")).unwrap();
    assert_eq!((view.examples.len(), view.vocab.len()), (40, 6));
    assert!(clean.examples.len() < 40 && clean.vocab == view.vocab);
    assert_eq!(view.vocab.classes.last().unwrap(), "never");
    let expected = |i: usize| match (i * 7) % 16 {
        0..12 => Split::Train,
        12 => Split::Valid,
        _ => Split::Test,
    };
    for i in 0..40 {
        let example = view.examples.iter().find(|e| e.track == key(i)).unwrap();
        assert_eq!(example.split, expected(i));
    }

    let report = shards(&cfg).unwrap();
    assert_eq!((report.tracks, report.stored, report.refused.len()), (40, 40, 0));
    let index = Index::open(&cfg.shards_dir()).unwrap();
    index.verify().unwrap();
    let stored: Vec<_> = index.tracks().collect();
    assert_eq!(stored.len(), 40);
    assert!(stored.iter().map(|t| &t.key).is_sorted());
    for entry in &stored {
        let track = tracks.iter().find(|t| t.key == entry.key).unwrap();
        let (frames, rate) =
            (track.facts.frames.unwrap() as u64, track.facts.src_rate.unwrap() as u32);
        assert_eq!(entry.steps, etude_features::resampled_len(frames, rate, 16_000));
    }
    let seconds: f64 = tracks.iter().map(|t| t.facts.duration_s.unwrap()).sum();
    assert!((report.audio_s - seconds).abs() < 0.01, "{} {seconds}", report.audio_s);
}

#[test]
fn any_number_of_threads_and_lanes_gives_the_same_bytes() {
    let corpus = Corpus::new(60);
    for threads in [1, 2, 7] {
        let mut cfg = corpus.out(&format!("data{threads}"), Bad::Skip);
        cfg.threads = threads;
        cfg.memory_mb = [1, 64, 2048][threads % 3];
        ingest(&cfg).unwrap();
        shards(&cfg).unwrap();
        if threads > 1 {
            let dir = corpus.dir.path();
            assert_same(
                &dir.join("data1"),
                &dir.join(format!("data{threads}")),
                &threads.to_string(),
            );
        }
    }
    let files = contents(&corpus.dir.path().join("data1"));
    let shards = files.keys().filter(|n| n.contains("shard-")).count();
    assert!(shards > 1, "several files were in progress at once");
}

#[test]
fn a_second_run_has_nothing_to_do_and_a_forced_one_gives_the_same_bytes() {
    let corpus = Corpus::new(12);
    let mut cfg = corpus.with(&[]);
    let first = (ingest(&cfg).unwrap(), shards(&cfg).unwrap());
    assert!(!first.0.nothing_to_do && !first.1.nothing_to_do);
    let before = contents(&cfg.data);
    let again = (ingest(&cfg).unwrap(), shards(&cfg).unwrap());
    assert!(again.0.nothing_to_do && again.1.nothing_to_do);
    assert_eq!((again.0.stored, again.1.stored), (12, 12));
    assert!(again.0.to_string().contains("nothing to do"));
    cfg.force = true;
    let forced = (ingest(&cfg).unwrap(), shards(&cfg).unwrap());
    assert!(!forced.0.nothing_to_do && !forced.1.nothing_to_do && forced.0.reused == 0);
    assert_eq!(contents(&cfg.data), before);
}

#[test]
fn a_changed_file_is_decoded_again_and_the_others_are_not() {
    let corpus = Corpus::new(12);
    let cfg = corpus.with(&[]);
    ingest(&cfg).unwrap();
    shards(&cfg).unwrap();
    write_clip(&corpus.clip(3), 15); // same rate and extension, other samples
    let report = ingest(&cfg).unwrap();
    assert_eq!((report.nothing_to_do, report.reused), (false, 11));
    assert!(!shards(&cfg).unwrap().nothing_to_do);
    let fresh = corpus.out("fresh", Bad::Skip);
    ingest(&fresh).unwrap();
    shards(&fresh).unwrap();
    assert_same(&cfg.data, &fresh.data, "as if it had always been so");
}

/// Missing, empty, garbage, and a WAV that ends early.
fn spoil(corpus: &Corpus) {
    fs::remove_file(corpus.clip(0)).unwrap();
    fs::write(corpus.clip(2), b"").unwrap();
    fs::write(corpus.clip(3), [0x55; 5000]).unwrap();
    let whole = fs::read(corpus.clip(5)).unwrap();
    fs::write(corpus.clip(5), &whole[..whole.len() / 2]).unwrap();
    fs::copy(corpus.clip(6), corpus.clip(9)).unwrap();
}

#[test]
fn bad_files_are_told_by_cause_and_left_out_of_views_and_shards() {
    let corpus = Corpus::new(20);
    spoil(&corpus);
    let cfg = corpus.with(&["ingest.bad=quarantine", "ingest.max_bad=0.1"]);
    let report = ingest(&cfg).unwrap();
    assert!(report.above_max_bad, "{report}");
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    let statuses = [0, 2, 3, 5].map(|i| track(&tracks, i).status);
    let expected =
        [Status::MissingFile, Status::EmptyFile, Status::UnknownFormat, Status::Truncated];
    assert_eq!(statuses, expected);
    assert_eq!((report.stored, report.refused.len(), report.tracks), (16, 4, 20));
    for i in [6, 9] {
        let expected = [Warning::DuplicateFile, Warning::DuplicatePcm];
        assert_eq!(
            (track(&tracks, i).status, track(&tracks, i).warnings.as_slice()),
            (Status::OkWarn, &expected[..])
        );
    }
    let view = read_view(&cfg.manifests_dir().join("tones.parquet")).unwrap();
    assert_eq!(view.examples.len(), 16);
    let list = fs::read_to_string(cfg.manifests_dir().join("tones.quarantine.tsv")).unwrap();
    assert_eq!(list.lines().count(), 5);
    assert!(list.contains(&format!("{}\t", key(3))) && list.contains("\tunknown_format\t"));
    let text = report.to_string();
    assert!(text.contains("20.00 % refused, ingest.max_bad allows 10.00 %"), "{text}");
    let packed = shards(&cfg).unwrap();
    assert_eq!((packed.tracks, packed.stored), (16, 16));
}

#[test]
fn keep_good_stores_what_could_be_decoded_with_a_warning() {
    let corpus = Corpus::new(20);
    spoil(&corpus);
    let cfg = corpus.with(&["ingest.bad=keep_good"]);
    ingest(&cfg).unwrap();
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    let kept = track(&tracks, 5);
    assert_eq!(kept.status, Status::OkWarn);
    assert!(kept.warnings.contains(&Warning::KeptGoodPart));
    assert!(kept.status_text.as_ref().unwrap().starts_with("kept the good part: truncated"));
    let packed = shards(&cfg).unwrap();
    assert_eq!((packed.stored, packed.refused.len()), (17, 0));
    let index = Index::open(&cfg.shards_dir()).unwrap();
    let entry = index.tracks().find(|t| t.key == key(5)).unwrap();
    let frames = kept.facts.frames.unwrap() as u64;
    assert_eq!(
        entry.steps,
        etude_features::resampled_len(frames, kept.facts.src_rate.unwrap() as u32, 16_000)
    );
}

#[test]
fn under_fail_the_first_bad_file_by_key_ends_the_run_and_nothing_is_lost() {
    let corpus = Corpus::new(20);
    spoil(&corpus);
    for threads in [1, 4] {
        let mut cfg = corpus.out(&format!("fail{threads}"), Bad::Fail);
        cfg.threads = threads;
        let why = ingest(&cfg).unwrap_err().to_string();
        assert!(why.starts_with(&format!("{} (", key(3))), "{why}"); // 11 comes before 17, 2 and 8
        assert!(why.contains("unknown_format") && why.contains("ingest.bad"), "{why}");
        assert!(!cfg.tracks_path().exists());
    }
    let cfg = corpus.out("fail1", Bad::Skip);
    let report = ingest(&cfg).unwrap();
    assert!(report.reused > 0, "{report}");
}

#[test]
fn a_file_that_changed_after_ingest_is_refused_by_shards_with_the_reason() {
    let corpus = Corpus::new(12);
    let cfg = corpus.with(&[]);
    ingest(&cfg).unwrap();
    let original = fs::read(corpus.clip(3)).unwrap();
    write_clip(&corpus.clip(3), 15);
    fs::remove_file(corpus.clip(4)).unwrap();
    let report = shards(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (10, 2));
    let [changed, gone] = report.refused.as_slice() else { panic!("two") };
    assert_eq!(
        (changed.key.as_str(), changed.status.as_str()),
        (key(3).as_str(), "digest_mismatch")
    );
    assert!(changed.text.contains("run `etude ingest` again"), "{}", changed.text);
    assert_eq!(gone.status, "missing_file");
    // once the files are back, the same command completes the set
    fs::write(corpus.clip(3), original).unwrap();
    write_clip(&corpus.clip(4), 4);
    let report = shards(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (12, 0));
    let fresh = corpus.out("fresh", Bad::Skip);
    ingest(&fresh).unwrap();
    shards(&fresh).unwrap();
    assert_same(&cfg.shards_dir(), &fresh.shards_dir(), "completed");
}

#[test]
fn a_manifest_without_decode_facts_gets_them_from_shards_and_equals_the_decoded_one() {
    let corpus = Corpus::new(20);
    spoil(&corpus);
    let mut cfg = corpus.out("header", Bad::Skip);
    cfg.ingest.check = Check::Header;
    let report = ingest(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (18, 2)); // missing and empty show without a decode
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    assert_eq!(track(&tracks, 1).status, Status::Unchecked);
    let report = shards(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (16, 2));
    let again = shards(&cfg).unwrap();
    assert!(again.nothing_to_do);
    assert_eq!((again.stored, again.refused), (16, report.refused));
    assert!(ingest(&cfg).unwrap().nothing_to_do);
    let decoded = corpus.out("decoded", Bad::Skip);
    ingest(&decoded).unwrap();
    assert_same(&cfg.manifests_dir(), &decoded.manifests_dir(), "one pass or two");
}

#[test]
fn values_beyond_full_scale_are_counted_for_every_track() {
    let corpus = Corpus::new(8);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut wav = hound::WavWriter::create(corpus.clip(3), spec).unwrap();
    (0..16_000).for_each(|n| wav.write_sample(if n % 1000 == 0 { 1.5f32 } else { 0.1 }).unwrap());
    wav.finalize().unwrap();
    let cfg = corpus.with(&[]);
    ingest(&cfg).unwrap();
    let report = shards(&cfg).unwrap();
    assert_eq!(
        report.overs.iter().map(|o| (o.key.clone(), o.values)).collect::<Vec<_>>(),
        [(key(3), 16)]
    );
    assert!(report.to_string().contains("16 values of 1 tracks"), "{report}");
}

#[test]
fn shards_without_a_manifest_or_with_another_config_say_what_to_run() {
    let corpus = Corpus::new(4);
    let mut cfg = corpus.with(&[]);
    assert!(matches!(shards(&cfg), Err(Error::NoManifest { .. })));
    ingest(&cfg).unwrap();
    cfg.ingest.min_s = 0.2;
    let why = shards(&cfg).unwrap_err();
    assert!(
        matches!(why, Error::Stale { .. }) && why.to_string().contains("`etude ingest`"),
        "{why}"
    );
}

#[test]
fn a_data_set_without_one_usable_track_is_an_error_that_shows_the_first() {
    let corpus = Corpus::new(3);
    (0..3).for_each(|i| fs::write(corpus.clip(i), b"").unwrap());
    let why = ingest(&corpus.with(&[])).unwrap_err().to_string();
    assert!(why.starts_with("none of 3 tracks is usable; the first: tones:2 ("), "{why}");
    assert!(why.contains("empty_file"), "{why}");
}

#[test]
fn a_stop_ends_either_stage_cleanly_and_the_next_run_goes_on() {
    let corpus = Corpus::new(60);
    let undisturbed = corpus.out("undisturbed", Bad::Skip);
    ingest(&undisturbed).unwrap();
    shards(&undisturbed).unwrap();
    let cfg = corpus.out("stopped", Bad::Skip);
    let stages: [fn(&_, &dyn Progress, &AtomicBool) -> _; 2] =
        [stage::tables::run, stage::pack::run];
    for run in stages {
        let stop = AtomicBool::new(false);
        // So late that one of the files in progress is complete, however they were served.
        let after = StopAfter::new(&stop, 59);
        let why = run(&cfg, &after, &stop).unwrap_err();
        assert!(matches!(why, Error::Stopped { done: 1.., total: 60 }), "{why}");
        let files = contents(&cfg.data);
        assert!(!files.keys().any(|n| n.ends_with(".part")), "{:?}", files.keys());
        let report = run(&cfg, &(), &AtomicBool::new(false)).unwrap();
        assert!(report.reused > 0, "{report}");
    }
    assert_same(&undisturbed.data, &cfg.data, "stopped and gone on");
}
