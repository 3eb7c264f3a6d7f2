//! MP3 files as LAME writes them: trimming, lengths and damage.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Mode, mp3, music};
use etude_ingest::{DecodeLimits, Decoded, decode};
use etude_manifests::{Status, Warning};
use mp3lame_encoder::Bitrate;

const RATE: u32 = 44_100;

fn read(bytes: &[u8]) -> Decoded {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp3");
    std::fs::write(&path, bytes).unwrap();
    decode(&path, None, &DecodeLimits::default())
}

fn stereo(seconds: f64) -> Vec<Vec<f32>> {
    vec![music(RATE, seconds, 1), music(RATE, seconds, 2)]
}

fn mean(channels: &[Vec<f32>]) -> Vec<f32> {
    channels[0].iter().zip(&channels[1]).map(|(l, r)| (l + r) / 2.0).collect()
}

/// The shift of `got` against `want`, in -2000..=2000 samples, at which they agree best.
fn lag(want: &[f32], got: &[f32]) -> i32 {
    let middle = want.len() / 2;
    let agreement = |lag: i32| -> f64 {
        let from = (middle as i32 + lag) as usize;
        let pair = want[middle..middle + 8192].iter().zip(&got[from..]);
        pair.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (-2000..=2000).max_by(|a, b| agreement(*a).total_cmp(&agreement(*b))).unwrap()
}

#[test]
fn a_lame_tag_gives_the_encoded_length_back_at_lag_0() {
    for mode in [Mode::Cbr(Bitrate::Kbps192), Mode::Vbr] {
        let sound = stereo(4.0);
        let got = read(&mp3(&sound, RATE, mode, true));
        assert_eq!((got.status, got.pcm.samples.len()), (Status::Ok, sound[0].len()));
        assert_eq!(lag(&mean(&sound), &got.pcm.samples), 0);
        assert_eq!(got.facts.trim_policy.as_deref(), Some("lame"));
        assert_eq!(got.facts.header_frames, Some(sound[0].len() as i64));
        let cut = i64::from(got.facts.delay.unwrap() + got.facts.padding.unwrap());
        assert_eq!(got.facts.decoded_frames, Some(sound[0].len() as i64 + cut));
    }
}

#[test]
fn a_variable_bit_rate_without_tag_keeps_every_sample() {
    // Silence first, noise later: the first frames say nothing about the length.
    let mut sound = vec![0.0; 2 * RATE as usize];
    sound.extend(music(RATE, 10.0, 3));
    let bytes = mp3(std::slice::from_ref(&sound), RATE, Mode::Vbr, false);
    let got = read(&bytes);
    assert_eq!(got.status, Status::Ok);
    assert_eq!(got.facts.header_frames, None);
    assert_eq!(got.facts.trim_policy.as_deref(), Some("none"));
    let frames = got.pcm.samples.len();
    assert!(frames >= sound.len() + 1105 && frames < sound.len() + 4 * 1152, "{frames} frames");
    assert_eq!(lag(&sound, &got.pcm.samples), 1105);
}

#[test]
fn clips_at_16_khz_and_32_kbit_are_too_small_for_a_tag_and_stay_whole() {
    let sound = music(16_000, 29.124, 4);
    let got = read(&mp3(std::slice::from_ref(&sound), 16_000, Mode::Cbr(Bitrate::Kbps32), true));
    assert_eq!((got.status, got.pcm.rate, got.facts.src_channels), (Status::Ok, 16_000, Some(1)));
    assert_eq!((got.facts.header_frames, got.facts.delay), (None, None));
    let frames = got.pcm.samples.len();
    assert!(frames > sound.len() && frames.is_multiple_of(576), "{frames} frames");
    assert_eq!(lag(&sound, &got.pcm.samples), 1105);
}

#[test]
fn one_flipped_bit_anywhere_in_the_audio_is_noticed() {
    let bytes = mp3(&stereo(1.0), RATE, Mode::Cbr(Bitrate::Kbps128), true);
    for at in [500, 5_000, bytes.len() - 300] {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        assert!(read(&bent).warnings.contains(&Warning::CrcMismatch), "byte {at}");
    }
    assert_eq!(read(&bytes).warnings, []);
}

#[test]
fn a_file_without_tag_that_was_cut_inside_a_frame_has_trailing_bytes() {
    let bytes = mp3(&stereo(1.0), RATE, Mode::Cbr(Bitrate::Kbps128), false);
    assert_eq!(read(&bytes).warnings, []);
    let cut = read(&bytes[..bytes.len() - 100]);
    assert_eq!((cut.status, &cut.warnings[..]), (Status::OkWarn, &[Warning::TrailingBytes][..]));
}

#[test]
fn two_files_one_after_the_other_are_cut_at_the_first_ones_length() {
    let sound = stereo(1.0);
    let one = mp3(&sound, RATE, Mode::Cbr(Bitrate::Kbps128), true);
    let got = read(&[one.clone(), one].concat());
    assert_eq!(got.pcm.samples.len(), sound[0].len());
    assert_eq!(got.warnings, [Warning::TrailingBytes, Warning::SkippedBytes]);
}
