//! FLAC files whose header says what their frames do not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::{DecodeLimits, Decoded, decode};
use etude_manifests::Status;
use flacenc::component::BitRepr;
use flacenc::error::Verify;

const FRAMES: usize = 10_000;

/// Two channels as flacenc writes them: blocks of 4096 frames, the last one of 1808, and that one in the header as the
/// smallest.
fn written() -> (Vec<i32>, Vec<u8>) {
    let samples: Vec<i32> =
        (0..2 * FRAMES).map(|i| ((i as f64 * 0.03).sin() * 9000.0) as i32).collect();
    let config = flacenc::config::Encoder::default().into_verified().unwrap();
    let source = flacenc::source::MemSource::from_samples(&samples, 2, 16, 44_100);
    let stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size).unwrap();
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).unwrap();
    (samples, sink.into_inner())
}

fn read(bytes: &[u8]) -> Decoded {
    let file = tempfile::Builder::new().suffix(".flac").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    decode(file.path(), None, &DecodeLimits::default())
}

#[test]
fn a_header_that_counts_the_short_last_block_as_the_smallest_costs_no_sample() {
    let (samples, bytes) = written();
    assert_eq!(bytes[8..12], [0x07, 0x10, 0x10, 0x00], "block sizes 1808 and 4096");
    let got = read(&bytes);
    assert_eq!((got.status, got.status_text), (Status::Ok, None));
    assert_eq!((got.facts.frames, got.facts.decode_errors), (Some(FRAMES as i64), Some(0)));
    for (mean, pair) in got.pcm.samples.iter().zip(samples.chunks_exact(2)) {
        assert_eq!(*mean, (pair[0] + pair[1]) as f32 / 65_536.0);
    }
}

#[test]
fn the_same_file_cut_in_the_middle_is_truncated_like_any_other() {
    let (_, bytes) = written();
    let got = read(&bytes[..bytes.len() * 2 / 3]);
    assert_eq!(got.status, Status::Truncated);
    assert!(got.facts.frames.is_some_and(|n| n >= 4096), "{:?}", got.facts.frames);
}
