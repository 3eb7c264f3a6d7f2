//! Sounds and MP3 files for tests and benches.
#![allow(dead_code, reason = "each test and bench uses a part")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use mp3lame_encoder::{Bitrate, Builder, DualPcm, Encoder, FlushGap, MonoPcm, Quality, VbrMode};
use std::path::PathBuf;

/// How an MP3 is encoded.
#[derive(Clone, Copy)]
pub enum Mode {
    Cbr(Bitrate),
    Vbr,
}

/// Something like music: decaying chords of five harmonics, a beat and noise, seeded by `seed`, peak below 0.8.
pub fn music(rate: u32, seconds: f64, seed: u32) -> Vec<f32> {
    let n = (seconds * f64::from(rate)) as usize;
    let mut noise = 0x9e37_79b9u32 ^ seed;
    (0..n)
        .map(|i| {
            let t = i as f64 / f64::from(rate);
            let beat = t % 0.5;
            let note = 110.0 * 2f64.powf(f64::from((t * 2.0) as u32 * 7 + seed) % 24.0 / 12.0);
            let chord: f64 = (1..=5)
                .map(|h| (std::f64::consts::TAU * note * f64::from(h) * t).sin() / f64::from(h))
                .sum();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = f64::from(noise as i32) / f64::from(i32::MAX);
            (0.3 * chord * (-3.0 * beat).exp() + 0.05 * hiss * (-20.0 * beat).exp()) as f32
        })
        .collect()
}

/// An MP3 of one or two channels; with `tag` it opens with a LAME tag.
pub fn mp3(channels: &[Vec<f32>], rate: u32, mode: Mode, tag: bool) -> Vec<u8> {
    let mut builder = Builder::new().unwrap();
    builder.set_num_channels(channels.len() as u8).unwrap();
    builder.set_sample_rate(rate).unwrap();
    builder.set_output_sample_rate(std::num::NonZeroU32::new(rate)).unwrap();
    builder.set_quality(Quality::Decent).unwrap();
    builder.set_to_write_vbr_tag(tag).unwrap();
    match mode {
        Mode::Cbr(rate) => builder.set_brate(rate).unwrap(),
        Mode::Vbr => {
            builder.set_vbr_mode(VbrMode::Mtrh).unwrap();
            builder.set_vbr_quality(Quality::Good).unwrap();
        }
    }
    let mut encoder: Encoder = builder.build().unwrap();
    let frames = channels[0].len();
    let mut out = Vec::with_capacity(mp3lame_encoder::max_required_buffer_size(frames) + 16_384);
    match channels {
        [mono] => encoder.encode_to_vec(MonoPcm(mono), &mut out).unwrap(),
        [left, right] => encoder.encode_to_vec(DualPcm { left, right }, &mut out).unwrap(),
        _ => panic!("LAME takes one or two channels"),
    };
    encoder.flush_to_vec::<FlushGap>(&mut out).unwrap();
    if tag && encoder.lame_tag_size() > 0 {
        // The encoder leaves an empty frame of the tag's size at the start.
        let mut head = Vec::with_capacity(encoder.lame_tag_size());
        encoder.lame_tag_encode_to_vec(&mut head).unwrap();
        out[..head.len()].copy_from_slice(&head);
    }
    out
}

/// The repository's fixtures.
pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Published data for tests: the folder that `ETUDE_SHARED` names, or `shared` beside the workspace.
pub fn shared(part: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("ETUDE_SHARED").map_or_else(beside, PathBuf::from);
    let found = root.join(part);
    if !found.exists() {
        println!("skipped: {part} is not in the folder that ETUDE_SHARED names");
        return None;
    }
    Some(found)
}
