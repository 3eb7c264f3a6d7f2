//! Real recordings decode to what FFmpeg 5.1.9 and Symphonia measured, file by file (`audio/expected.json`).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_ingest::{DecodeLimits, Decoded, decode};
use etude_manifests::{Status, Warning};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Largest difference between two MP3 or Vorbis decoders' peaks and levels, expected values rounded to six digits.
const TOLERANCE: f64 = 2e-6;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What a file is called in our facts, from FFmpeg's names.
fn names(container: &str, codec: &str) -> (String, String) {
    let container = match container {
        "wav" => "wave",
        "mov,mp4,m4a,3gp,3g2,mj2" => "mp4",
        other => other,
    };
    (container.to_owned(), codec.to_owned())
}

fn differences(want: &Value, got: &Decoded) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, a: String, b: String| {
        if a != b {
            wrong.push(format!("{what}: expected {a}, got {b}"));
        }
    };
    let facts = &got.facts;
    let (container, codec) =
        names(want["container"].as_str().unwrap(), want["codec"].as_str().unwrap());
    same("bytes", want["bytes"].to_string(), facts.file_bytes.unwrap().to_string());
    same("sha256", want["sha256"].as_str().unwrap().into(), hex(&facts.sha256.unwrap()));
    same("container", container, facts.container.clone().unwrap());
    same("rate", want["sample_rate"].to_string(), facts.src_rate.unwrap().to_string());
    same("channels", want["channels"].to_string(), facts.src_channels.unwrap().to_string());
    same("codec", codec.clone(), facts.codec.clone().unwrap());
    // AAC's priming is trimmed by FFmpeg and kept by Symphonia.
    let counter = if codec == "aac" { "symphonia_0_6_1" } else { "ffmpeg" };
    same("frames", want[counter]["frames"].to_string(), facts.frames.unwrap().to_string());
    let close =
        |key: &str, got: f32| (want["ffmpeg"][key].as_f64().unwrap() - f64::from(got)).abs();
    if codec != "aac" {
        let peak = close("mono_mean_peak", facts.peak.unwrap());
        let rms = close("mono_mean_rms", facts.rms.unwrap());
        same("peak within 2e-6", "true".into(), (peak <= TOLERANCE).to_string());
        same("rms within 2e-6", "true".into(), (rms <= TOLERANCE).to_string());
    }
    if let (Some(sha), Some(1)) = (want["ffmpeg"]["s16le_sha256"].as_str(), facts.src_channels) {
        same("16-bit samples", sha.into(), hex(&facts.pcm_sha256.unwrap()));
    }
    wrong
}

#[test]
fn every_real_file_has_the_frames_level_and_samples_that_other_decoders_found() {
    let Some(root) = common::shared("data/audio") else { return };
    let text = std::fs::read_to_string(root.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 30);
    let mut wrong = Vec::new();
    for (name, want) in &expected {
        let got = decode(&root.join(name), None, &DecodeLimits::default());
        let needs_more = [".m4a", ".aiff"].iter().any(|e| name.ends_with(e));
        if needs_more && !cfg!(feature = "more-codecs") {
            assert_eq!(got.status, Status::UnsupportedCodec, "{name}");
            continue;
        }
        let quiet = want["ffmpeg"]["mono_mean_peak"].as_f64().unwrap() < 1e-3;
        let status = if quiet { Status::Silent } else { Status::Ok };
        if got.status != status {
            wrong
                .push(format!("{name}: {:?} {:?} {:?}", got.status, got.warnings, got.status_text));
        }
        wrong.extend(differences(want, &got).into_iter().map(|d| format!("{name}: {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_sample_digest_of_a_stereo_file_is_that_of_its_rounded_mean() {
    let path = common::fixtures().join("audio-bad/good_reference.wav");
    let mut wav = hound::WavReader::open(&path).unwrap();
    let samples: Vec<i32> = wav.samples::<i16>().map(|s| i32::from(s.unwrap())).collect();
    let mean = samples.chunks_exact(2).flat_map(|lr| {
        let sum = lr[0] + lr[1];
        let half = sum.div_euclid(2);
        let even = if sum % 2 != 0 && half % 2 != 0 { half + 1 } else { half };
        (even as i16).to_le_bytes()
    });
    let want = hex(&Sha256::digest(mean.collect::<Vec<u8>>()));
    let got = decode(&path, None, &DecodeLimits::default());
    assert_eq!(hex(&got.facts.pcm_sha256.unwrap()), want);
}

#[test]
fn a_file_gives_the_same_answer_on_every_thread_and_the_second_time() {
    let path = common::fixtures().join("audio-bad/good_reference.mp3");
    let first = decode(&path, None, &DecodeLimits::default());
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for name in ["good_reference.mp3", "nan_inf_float32.wav", "good_reference.mp3"] {
                    let got = decode(&path.with_file_name(name), None, &DecodeLimits::default());
                    if name == "good_reference.mp3" {
                        assert_eq!(got, first);
                    }
                }
            });
        }
    });
}

#[test]
fn without_verification_samples_are_the_same_and_undigested() {
    let path = common::fixtures().join("audio-bad/flac_wrong_md5.flac");
    let quick = DecodeLimits { verify: false, ..DecodeLimits::default() };
    let (a, b) = (decode(&path, None, &quick), decode(&path, None, &DecodeLimits::default()));
    assert_eq!(a.pcm, b.pcm);
    assert_eq!((a.status, a.facts.pcm_sha256), (Status::Ok, None));
    assert_eq!(b.warnings, [Warning::Md5Mismatch]);
}

#[test]
fn tags_around_the_same_audio_change_the_file_digest_and_not_the_sample_digest() {
    let at = |name: &str| {
        let path = common::fixtures().join("audio-bad").join(name);
        decode(Path::new(&path), None, &DecodeLimits::default()).facts
    };
    let (plain, tagged) = (at("good_reference.mp3"), at("id3v1_and_ape_at_end.mp3"));
    assert_ne!(plain.sha256, tagged.sha256);
    assert_eq!(plain.pcm_sha256, tagged.pcm_sha256);
}
