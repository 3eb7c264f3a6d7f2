//! Mel sets: frames from audio, frames from published mel files, and mel files from both.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "shared/corpus.rs"]
mod corpus;

use corpus::{Corpus, StopAfter, assert_same, contents, ingest, shards};
use etude_features::{MelConfig, MelSpec, handcrafted};
use etude_ingest::{Bad, Config, DecodeLimits, Resample, Resampler, decode, stage};
use etude_manifests::{Status, read_tracks};
use etude_shards::{Index, Kind, Number, Reader};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const MEL: &str = "shards.mel=vgg_16k_db";
const BANDS: usize = 128;

/// Frames `[T, F]` of every track by key.
fn stored(cfg: &Config) -> Vec<(String, Vec<f32>)> {
    let index = Index::open(&cfg.shards_dir()).unwrap();
    index.verify().unwrap();
    let reader = Reader::new(&index);
    let tracks = index.tracks().enumerate().map(|(i, t)| {
        let mut data = vec![0.0; t.steps as usize * index.spec().kind.width()];
        reader.read(i, 0, &mut data).unwrap();
        (t.key.clone(), data)
    });
    tracks.collect()
}

/// What the front end makes of a file, `[T, F]`.
fn computed(path: &Path, cap_s: f64) -> Vec<f32> {
    let mut pcm = decode(path, None, &DecodeLimits::default()).pcm;
    pcm.samples.truncate((cap_s * f64::from(pcm.rate)) as usize);
    let pcm = Resample::new(Resampler::default()).run(pcm, 16_000).unwrap();
    let mut out = Vec::new();
    let mut mel = MelSpec::new(&MelConfig::preset("vgg_16k_db").unwrap()).unwrap();
    mel.run_frames(&pcm.samples, &mut out).unwrap();
    out
}

#[test]
fn a_mel_set_holds_the_front_ends_frames_of_every_track_beside_the_wave_set() {
    let corpus = Corpus::new(20);
    let cfg = corpus.with(&[MEL]);
    ingest(&cfg).unwrap();
    let waves = shards(&corpus.with(&[])).unwrap();
    let report = shards(&cfg).unwrap();
    assert!(cfg.shards_dir().ends_with("shards/tones-vgg-16k-db"));
    assert_eq!((report.stored, report.refused.len()), (20, 0));
    assert!((report.audio_s - waves.audio_s).abs() < 20.0 * 0.02, "{}", report.audio_s);
    let index = Index::open(&cfg.shards_dir()).unwrap();
    assert_eq!(index.spec().kind, Kind::Frames { fps: 62.5, bands: 128 });
    assert_eq!(index.spec().number, Number::F32);
    assert!(index.spec().resampler.ends_with(", then vgg_16k_db"), "{}", index.spec().resampler);
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    for (key, frames) in stored(&cfg) {
        let track = tracks.iter().find(|t| t.key == key).unwrap();
        assert_eq!(frames, computed(&cfg.root.join(&track.path), f64::MAX), "{key}");
    }
}

#[test]
fn threads_stops_and_second_runs_do_not_show_in_the_bytes() {
    let corpus = Corpus::new(40);
    let mut one = corpus.out("one", Bad::Skip);
    one.shards.mel = Some("vgg_16k_db".into());
    one.threads = 1;
    ingest(&one).unwrap();
    shards(&one).unwrap();
    let mut many = Config { threads: 5, memory_mb: 1, ..one.clone() };
    many.data = corpus.dir.path().join("many");
    ingest(&many).unwrap();
    let stop = AtomicBool::new(false);
    let after = StopAfter::new(&stop, 39);
    stage::pack::run(&many, &after, &stop).unwrap_err();
    assert!(!shards(&many).unwrap().nothing_to_do);
    assert_same(&one.data, &many.data, "five threads, stopped once");
    assert!(shards(&many).unwrap().nothing_to_do);
    many.shards.mel_number = Some(Number::Bf16);
    assert!(!shards(&many).unwrap().nothing_to_do, "another number format is another set");
    let worst = stored(&one)
        .iter()
        .zip(stored(&many))
        .flat_map(|(a, b)| a.1.iter().zip(b.1).map(|(x, y)| (x - y).abs()).collect::<Vec<_>>())
        .fold(0.0, f32::max);
    assert!(worst > 0.0 && worst <= 0.25, "half of a bf16 step below 128 dB: {worst}");
}

#[test]
fn tracks_longer_than_the_cap_are_stored_up_to_it() {
    let corpus = Corpus::new(12);
    let cfg = corpus.with(&[MEL, "shards.cap_s=0.5"]);
    ingest(&cfg).unwrap();
    shards(&cfg).unwrap();
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    assert!(tracks.iter().any(|t| t.facts.duration_s > Some(1.0)));
    for (key, frames) in stored(&cfg) {
        let track = tracks.iter().find(|t| t.key == key).unwrap();
        assert!(frames.len() <= BANDS * 32, "{}", frames.len() / BANDS);
        assert_eq!(frames, computed(&cfg.root.join(&track.path), 0.5), "{key}");
    }
}

#[test]
fn a_set_of_features_holds_one_vector_of_every_track() {
    let corpus = Corpus::new(8);
    for kind in handcrafted::Kind::ALL {
        let cfg = corpus.with(&[&format!("shards.features={}", kind.name())]);
        ingest(&cfg).unwrap();
        let report = shards(&cfg).unwrap();
        assert_eq!((report.stored, report.audio_s), (8, 0.0));
        assert!(cfg.shards_dir().ends_with(format!("tones-16k-{}", kind.name())));
        let index = Index::open(&cfg.shards_dir()).unwrap();
        assert_eq!(index.spec().kind, Kind::Embedding { fps: 0.0, dim: kind.dim() as u32 });
        let tracks = read_tracks(&cfg.tracks_path()).unwrap();
        let mut features = handcrafted::Handcrafted::new(kind, 16_000).unwrap();
        for (key, vector) in stored(&cfg) {
            let track = tracks.iter().find(|t| t.key == key).unwrap();
            let pcm = decode(&cfg.root.join(&track.path), None, &DecodeLimits::default()).pcm;
            let wave = Resample::new(Resampler::default()).run(pcm, 16_000).unwrap().samples;
            let mut want = Vec::new();
            features.summary(&wave, &mut want).unwrap();
            assert_eq!(vector, want, "{key}");
        }
    }
}

#[test]
fn a_track_too_short_for_a_frame_is_refused_and_the_others_are_stored() {
    let corpus = Corpus::new(6);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(corpus.clip(3), spec).unwrap();
    (0..200).for_each(|n| wav.write_sample(1000 * (n % 7) as i16).unwrap());
    wav.finalize().unwrap();
    let cfg = corpus.with(&[MEL, "ingest.min_s=0.0"]);
    ingest(&cfg).unwrap();
    let report = shards(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (5, 1));
    assert_eq!(report.refused[0].status, "too_short");
    assert!(report.refused[0].text.contains("257 samples"), "{}", report.refused[0].text);
}

/// The corpus's mel files in the published form.
fn mel_files(cfg: &Config, out: &Path) -> etude_ingest::Report {
    stage::mel_files::run(cfg, out, &(), &AtomicBool::new(false)).unwrap()
}

/// A corpus whose tracks are the mel files in `files`: a table of paths and one tag.
fn mel_corpus(dir: &Path, files: &[&str]) -> Config {
    let mut table = String::from("path,tags\n");
    for (i, file) in files.iter().enumerate() {
        table.push_str(&format!("{file},{}\n", ["a", "b"][i % 2]));
    }
    fs::write(dir.join("tracks.csv"), table).unwrap();
    let config = dir.join("mels.toml");
    let text = format!(
        "corpus = \"folder\"\ndataset = \"mels\"\nroot = {dir:?}\ndata = {:?}\n\
         [ingest]\nmax_bad = 0.9\n[shards]\nmel = \"vgg_16k_db\"\n",
        dir.join("data")
    );
    fs::write(&config, text).unwrap();
    Config::read(&config, &[]).unwrap()
}

#[test]
fn published_mel_files_become_the_set_that_their_audio_gives_and_come_out_byte_for_byte() {
    let corpus = Corpus::new(9);
    let audio = corpus.with(&[MEL]);
    ingest(&audio).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let report = mel_files(&audio, dir.path());
    assert_eq!((report.stored, report.reused, report.refused.len()), (9, 0, 0), "{report}");
    let names: Vec<String> = (0..9).map(|i| format!("clip_{i:04}.npy")).collect();
    let cfg = mel_corpus(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    ingest(&cfg).unwrap();
    let report = shards(&cfg).unwrap();
    assert_eq!((report.stored, report.refused.len()), (9, 0), "{report}");
    let tracks = read_tracks(&cfg.tracks_path()).unwrap();
    let from_files = stored(&cfg);
    for (i, name) in names.iter().enumerate() {
        let track = tracks.iter().find(|t| &t.path == name).unwrap();
        let frames = &from_files.iter().find(|(key, _)| *key == track.key).unwrap().1;
        assert_eq!(*frames, computed(&corpus.clip(i), f64::MAX), "{name}");
        let facts = &track.facts;
        assert_eq!(facts.frames, Some((frames.len() / BANDS) as i64));
        assert_eq!(facts.duration_s, Some((frames.len() / BANDS) as f64 / 62.5));
        assert_eq!(facts.codec.as_deref(), Some("float32"));
        assert!(facts.sha256.is_some() && facts.pcm_sha256.is_some());
    }
    let again = dir.path().join("again");
    mel_files(&cfg, &again);
    for name in &names {
        assert_eq!(fs::read(again.join(name)).unwrap(), fs::read(dir.path().join(name)).unwrap());
    }
}

#[test]
fn mel_files_that_are_there_are_left_alone_and_failures_are_listed() {
    let corpus = Corpus::new(8);
    fs::write(corpus.clip(3), [0x55; 900]).unwrap();
    let cfg = corpus.with(&["ingest.check=header"]);
    ingest(&cfg).unwrap();
    let out = corpus.dir.path().join("mels");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("clip_0002.npy"), "mine").unwrap();
    let report = mel_files(&cfg, &out);
    assert_eq!((report.stored, report.reused, report.refused.len()), (7, 1, 1), "{report}");
    assert_eq!(report.refused[0].status, "unknown_format");
    assert_eq!(fs::read(out.join("clip_0002.npy")).unwrap(), b"mine");
    let files = contents(&out);
    assert_eq!(files.len(), 7);
    let report = mel_files(&cfg, &out);
    assert_eq!((report.stored, report.reused, report.refused.len()), (7, 7, 1));
    assert_eq!(contents(&out), files);
}

#[test]
fn one_bad_mel_file_is_a_line_of_the_report_and_never_the_end_of_a_run() {
    let corpus = Corpus::new(4);
    let audio = corpus.with(&[MEL]);
    ingest(&audio).unwrap();
    let dir = tempfile::tempdir().unwrap();
    mel_files(&audio, dir.path());
    let good = fs::read(dir.path().join("clip_0000.npy")).unwrap();
    let narrow = String::from_utf8_lossy(&good[..128]).replace("(128, ", "(96,  ");
    let narrow = [&[0x93], &narrow.as_bytes()["\u{fffd}".len()..], &good[128..]].concat();
    fs::write(dir.path().join("narrow.npy"), narrow).unwrap();
    fs::write(dir.path().join("cut.npy"), &good[..good.len() / 2]).unwrap();
    fs::write(dir.path().join("text.npy"), "hello").unwrap();
    let files = ["clip_0000.npy", "clip_0001.npy", "narrow.npy", "cut.npy", "text.npy", "gone.npy"];
    for check in ["decode", "header"] {
        let mut cfg = mel_corpus(dir.path(), &files);
        cfg.data = dir.path().join(check);
        if check == "header" {
            cfg.ingest.check = etude_ingest::Check::Header;
        }
        ingest(&cfg).unwrap();
        assert_eq!(shards(&cfg).unwrap().stored, 2);
        let tracks = read_tracks(&cfg.tracks_path()).unwrap();
        let status = |file: &str| tracks.iter().find(|t| t.path == file).unwrap().status;
        assert_eq!(status("narrow.npy"), Status::WrongBands);
        assert_eq!(status("cut.npy"), Status::Truncated);
        assert_eq!(status("text.npy"), Status::UnknownFormat);
        assert_eq!(status("gone.npy"), Status::MissingFile);
        assert!(status("clip_0001.npy").usable());
    }
}

#[test]
fn published_mel_files_in_a_set_of_another_kind_are_one_error_that_says_which_kind_they_are() {
    let corpus = Corpus::new(3);
    let audio = corpus.with(&[MEL]);
    ingest(&audio).unwrap();
    let dir = tempfile::tempdir().unwrap();
    mel_files(&audio, dir.path());
    let mut cfg = mel_corpus(dir.path(), &["clip_0000.npy", "clip_0001.npy", "clip_0002.npy"]);
    ingest(&cfg).unwrap();
    for mel in [None, Some("musicnn_sota_16k_db".to_owned())] {
        cfg.shards.mel = mel;
        let why = shards(&cfg).unwrap_err().to_string();
        assert!(why.starts_with("shards.mel: expected \"vgg_16k_db\""), "{why}");
    }
}
