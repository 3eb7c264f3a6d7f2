//! How fast files become samples, in multiples of real time on one core: `Kelem/s` reads "thousand times real time".
//!
//! Two kinds of MP3: 29.124 s at 16 kHz, mono, 32 kb/s (MagnaTagATune) and 60 s at 44.1 kHz, stereo, 192 kb/s
//! (MTG-Jamendo). `packets` is symphonia alone, from memory; `decode` adds reading, mono, facts and digests; `resample`
//! adds the way to 24 kHz.
#![allow(missing_docs, reason = "the macro's main function")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Mode, mp3, music};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etude_ingest::{DecodeLimits, Pcm, Resample, Resampler, decode};
use mp3lame_encoder::Bitrate;
use std::hint::black_box;
use std::time::Duration;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};

const RATE: u32 = 24_000;

/// Every packet of an MP3 through symphonia's decoder, samples unused.
fn packets(bytes: &[u8]) -> u64 {
    let stream = MediaSourceStream::new(Box::new(ReadOnlySource::new(bytes)), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format =
        probe.probe(&Default::default(), stream, Default::default(), Default::default()).unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let params = track.codec_params.as_ref().unwrap().audio().unwrap();
    let options = AudioDecoderOptions::default().gapless(false);
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(params, &options).unwrap();
    let mut frames = 0;
    while let Some(packet) = format.next_packet().unwrap() {
        frames += black_box(decoder.decode(&packet).unwrap()).frames() as u64;
    }
    frames
}

fn files(c: &mut Criterion) {
    let mtat = mp3(&[music(16_000, 29.124, 1)], 16_000, Mode::Cbr(Bitrate::Kbps32), false);
    let sound = [music(44_100, 60.0, 1), music(44_100, 60.0, 2)];
    let jamendo = mp3(&sound, 44_100, Mode::Cbr(Bitrate::Kbps192), true);
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("mtat", mtat), ("jamendo", jamendo)] {
        let path = dir.path().join(format!("{name}.mp3"));
        std::fs::write(&path, &bytes).unwrap();
        let limits = DecodeLimits::default();
        let pcm = decode(&path, None, &limits).pcm;
        let mut group = c.benchmark_group(name);
        group.measurement_time(Duration::from_secs(5)).sample_size(20);
        group.throughput(Throughput::Elements(pcm.seconds().round() as u64));
        group.bench_function("packets", |b| b.iter(|| packets(&bytes)));
        let quick = DecodeLimits { verify: false, ..limits.clone() };
        group.bench_function("decode, unverified", |b| b.iter(|| decode(&path, None, &quick)));
        group.bench_function("decode", |b| b.iter(|| decode(&path, None, &limits)));
        let mut resample = Resample::new(Resampler::Fft);
        group.bench_function("decode and resample", |b| {
            b.iter(|| resample.run(decode(&path, None, &limits).pcm, RATE).unwrap())
        });
        for how in [Resampler::Fft, Resampler::TorchaudioHann, Resampler::TorchaudioKaiser] {
            let mut resample = Resample::new(how);
            group.bench_function(how.id(), |b| b.iter(|| resample.run(pcm.clone(), RATE).unwrap()));
        }
        group.finish();
    }
    let silence = Pcm { samples: vec![0.0; 48_000], rate: 48_000 };
    c.bench_function("a plan for a new pair of rates", |b| {
        b.iter(|| Resample::new(Resampler::Fft).run(silence.clone(), RATE).unwrap())
    });
}

criterion_group!(benches, files);
criterion_main!(benches);
