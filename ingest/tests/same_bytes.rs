//! What étude writes does not depend on what it was compiled for: no flag of a build may change a stored sample.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::{DecodeLimits, Resample, Resampler, decode};
use std::path::Path;

/// Digest of the decoded mono samples as 16 bit, hex: on every processor.
const DECODED: &str = "0a986e806e364282";
/// Digest of the same at 24 kHz, as 16 bit: on processors with AVX2 and FMA, whose transforms round like this.
const RESAMPLED: &str = "14383b0a48c4508c";

#[test]
fn an_mp3_has_the_same_samples_whatever_instructions_the_build_may_use() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/audio-bad/good_reference.mp3");
    let decoded = decode(&path, None, &DecodeLimits::default());
    let digest = decoded.facts.pcm_sha256.unwrap();
    let hex: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, DECODED);
    let pcm = Resample::new(Resampler::Fir).run(decoded.pcm, 24_000).unwrap();
    let s16: Vec<u8> = pcm
        .samples
        .iter()
        .flat_map(|x| ((x * 32768.0).round_ties_even() as i16).to_le_bytes())
        .collect();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        assert_eq!(blake3::hash(&s16).to_hex()[..16], *RESAMPLED);
        return;
    }
    println!("skipped: {} bytes of another processor's rounding", s16.len());
}
