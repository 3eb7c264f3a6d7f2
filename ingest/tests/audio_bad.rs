//! Every file of the broken-and-awkward collection has one stated outcome.
//!
//! The collection's own table is `fixtures/audio-bad/README.md`. It writes `ok` for usable files whether they carry a
//! warning or not; here the two are told apart. Where a line differs from that table otherwise, its comment says why.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::{DecodeLimits, decode};
use etude_manifests::{Status, Warning};
use std::path::{Path, PathBuf};

/// Name, status, warnings, frames kept (-1: nothing was decoded), packets refused.
type Line = (&'static str, Status, &'static [Warning], i64, i32);

#[rustfmt::skip]
const OUTCOMES: &[Line] = {
    use Status::*;
    use Warning::*;
    &[
    ("good_reference.wav", Ok, &[], 132_300, 0),
    ("good_reference.mp3", Ok, &[], 132_300, 0),
    ("good_reference.flac", Ok, &[], 32_000, 0),
    ("empty.mp3", EmptyFile, &[], -1, 0),
    ("truncated_mid_frame.mp3", Truncated, &[TrailingBytes, CrcMismatch], 51_887, 0),
    ("truncated_100_bytes.mp3", UnknownFormat, &[], -1, 0),
    ("text_named.mp3", UnknownFormat, &[], -1, 0),
    ("html_error_page.mp3", UnknownFormat, &[], -1, 0),
    ("all_zero_bytes.mp3", UnknownFormat, &[], -1, 0),
    ("random_bytes.mp3", UnknownFormat, &[], -1, 0),
    ("wav_data_len_too_long.wav", Truncated, &[], 16_000, 0),
    ("wav_data_len_too_short.wav", OkWarn, &[TrailingBytes], 8_000, 0),
    ("wav_data_len_zero.wav", NoSamples, &[TrailingBytes], 0, 0),
    ("wav_data_len_ffffffff.wav", OkWarn, &[LengthUnknown], 16_000, 0),
    ("wav_data_len_odd.wav", OkWarn, &[TrailingBytes], 15_999, 0),
    ("wav_no_data_chunk.wav", DecodeError, &[], -1, 0),
    ("wav_header_only_44.wav", NoSamples, &[], 0, 0),
    ("wav_zero_channels.wav", DecodeError, &[], -1, 0),
    // The decoder would give 16 000 frames: at no rate they are no audio.
    ("wav_zero_sample_rate.wav", BadSampleRate, &[], -1, 0),
    ("wav_list_chunk_malformed.wav", DecodeError, &[], -1, 0),
    ("wav_list_chunk_odd_wellformed.wav", Ok, &[], 16_000, 0),
    ("wav_junk_after_data.wav", Ok, &[], 16_000, 0),
    ("rf64.wav", UnknownFormat, &[], -1, 0),
    ("big_endian_rifx.wav", UnknownFormat, &[], -1, 0),
    ("huge_id3_2MiB_padding.mp3", Ok, &[], 132_300, 0),
    ("id3_apic_with_fake_sync.mp3", Ok, &[], 132_300, 0),
    ("id3_size_larger_than_file.mp3", DecodeError, &[], -1, 0),
    ("id3v1_and_ape_at_end.mp3", Ok, &[], 132_300, 0),
    ("bad_frame_zeroed_middle.mp3", Partial, &[SkippedBytes, CrcMismatch], 131_375, 0),
    // Counts show nothing; the LAME tag's checksum does.
    ("bad_frame_random_middle.mp3", OkWarn, &[CrcMismatch], 132_300, 0),
    ("garbage_1000_bytes_inserted.mp3", OkWarn, &[SkippedBytes, CrcMismatch], 132_300, 0),
    ("info_frame_count_lies.mp3", Truncated, &[], 133_632, 0),
    ("cbr_without_xing.mp3", Ok, &[], 133_632, 0),
    ("vbr_without_xing.mp3", Ok, &[], 133_632, 0),
    // The bytes skipped are the second file's Info frame.
    ("sample_rate_change_midway.mp3", SpecChange, &[SkippedBytes], 132_300, 117),
    ("channel_change_midway.mp3", SpecChange, &[SkippedBytes], 132_300, 116),
    ("flac_zero_bytes.flac", EmptyFile, &[], -1, 0),
    ("flac_zero_samples.flac", DecodeError, &[], -1, 0),
    ("flac_truncated.flac", Truncated, &[TrailingBytes, Md5Mismatch], 12_672, 0),
    ("flac_wrong_md5.flac", OkWarn, &[Md5Mismatch], 32_000, 0),
    // Decoders give 30 848 frames, 96.4 %. The lost block's 1152 frames are silence here, so that what follows keeps its
    // place in time: the frames are complete and the block counts as refused.
    ("flac_bad_frame_middle.flac", Partial, &[Md5Mismatch, SkippedBytes], 32_000, 1),
    ("nan_inf_float32.wav", Nonfinite, &[], 16_000, 0),
    ("all_nan_float32.wav", Nonfinite, &[MostlySilent], 16_000, 0),
    ("float32_amplitude_1e4.wav", OkWarn, &[Clipping, Dc, PeakAboveOne], 16_000, 0),
    ("eight_channels.wav", Ok, &[], 4_000, 0),
    ("eight_channels_extensible.wav", Ok, &[], 4_000, 0),
    ("one_sample.wav", TooShort, &[Dc], 1, 0),
    ("ten_ms.wav", TooShort, &[], 160, 0),
    ("silence_digital.wav", Silent, &[MostlySilent], 16_000, 0),
    ("silence_minus_90dB.wav", Silent, &[MostlySilent], 16_000, 0),
    // 9 of 10 blocks of 100 ms are silent.
    ("silence_then_short_click.wav", OkWarn, &[MostlySilent], 16_000, 0),
    ("clipped_hard.wav", OkWarn, &[Clipping], 16_000, 0),
    ("dc_offset_0_5.wav", OkWarn, &[Dc], 16_000, 0),
    ("left_only_stereo.wav", OkWarn, &[ChannelSilent], 16_000, 0),
    ("antiphase_stereo.wav", Silent, &[MostlySilent, Antiphase], 16_000, 0),
    ("pcm_u8.wav", Ok, &[], 8_000, 0),
    ("pcm_s24.wav", Ok, &[], 8_000, 0),
    ("pcm_s32.wav", Ok, &[], 8_000, 0),
    ("pcm_f64.wav", Ok, &[], 8_000, 0),
    ("mp3_inside_named.wav", OkWarn, &[ExtensionMismatch], 132_300, 0),
    ("wav_named.mp3", Truncated, &[ExtensionMismatch], 14_989, 0),
    ("mpeg_layer2_named.mp3", OkWarn, &[ExtensionMismatch], 132_480, 0),
    #[cfg(feature = "more-codecs")]
    ("aac_m4a_named.mp3", OkWarn, &[ExtensionMismatch], 134_144, 0),
    #[cfg(not(feature = "more-codecs"))]
    ("aac_m4a_named.mp3", UnsupportedCodec, &[ExtensionMismatch], -1, 0),
    ("opus_unsupported.opus", UnsupportedCodec, &[], -1, 0),
    ("ogg_truncated.ogg", Truncated, &[], 44_032, 0),
    ]
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/audio-bad")
}

#[test]
fn every_file_of_the_collection_has_its_stated_outcome() {
    let mut wrong = Vec::new();
    for &(name, status, warnings, frames, refused) in OUTCOMES {
        let got = decode(&folder().join(name), None, &DecodeLimits::default());
        let kept = got.facts.frames.unwrap_or(-1);
        let errors = got.facts.decode_errors.unwrap_or(0);
        let same =
            (got.status, &got.warnings[..], kept, errors) == (status, warnings, frames, refused);
        if !same {
            wrong.push(format!(
                "{name}: expected {status:?} {warnings:?} {frames} frames, {refused} refused;\n    got {:?} {:?} {kept} frames, {errors} refused: {:?}",
                got.status, got.warnings, got.status_text
            ));
        }
        assert_eq!(got.pcm.samples.len() as i64, kept.max(0), "{name}");
        assert!(got.pcm.samples.iter().all(|x| x.is_finite()), "{name}");
        assert_eq!(got.status.usable(), got.status_text.is_none(), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_every_file_of_the_collection() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let mut named: Vec<String> = OUTCOMES.iter().map(|line| line.0.to_owned()).collect();
    there.sort();
    named.sort();
    assert_eq!(there, named);
    assert_eq!(there.len(), 65);
}

#[test]
fn every_file_carries_its_size_and_the_digest_of_its_bytes() {
    for &(name, ..) in OUTCOMES {
        let path = folder().join(name);
        let got = decode(&path, None, &DecodeLimits::default());
        assert_eq!(got.facts.file_bytes, Some(std::fs::metadata(&path).unwrap().len() as i64));
        assert!(got.facts.sha256.is_some(), "{name}");
        let hex: String = got.facts.sha256.unwrap().iter().map(|b| format!("{b:02x}")).collect();
        let same = decode(&path, Some(&format!("sha256:{hex}")), &DecodeLimits::default());
        assert_eq!(same.facts.digest_ok, Some(true), "{name}");
        assert_eq!(same.status, got.status, "{name}");
    }
}

#[test]
fn another_published_digest_is_a_mismatch_but_a_broken_file_stays_broken() {
    let limits = DecodeLimits::default();
    let digest = Some("md5:00000000000000000000000000000000");
    let good = decode(&folder().join("good_reference.wav"), digest, &limits);
    assert_eq!((good.status, good.facts.digest_ok), (Status::DigestMismatch, Some(false)));
    assert_eq!(good.pcm.samples.len(), 132_300);
    let cut = decode(&folder().join("flac_truncated.flac"), digest, &limits);
    assert_eq!((cut.status, cut.facts.digest_ok), (Status::Truncated, Some(false)));
}

#[test]
fn a_path_without_a_file_and_a_folder_have_their_own_statuses() {
    let limits = DecodeLimits::default();
    let none = decode(&folder().join("no_such.mp3"), None, &limits);
    assert_eq!((none.status, none.facts.file_bytes), (Status::MissingFile, None));
    assert_eq!(decode(&folder(), None, &limits).status, Status::IoError);
}

#[test]
fn the_limits_decide_about_channels_and_length() {
    let path = folder().join("eight_channels.wav");
    let limits =
        |max_channels, min_s, max_s| DecodeLimits { max_channels, min_s, max_s, verify: true };
    let status = |l: &DecodeLimits| decode(&path, None, l).status;
    assert_eq!(status(&limits(7, 0.1, None)), Status::BadChannels);
    assert_eq!(status(&limits(8, 0.25, None)), Status::Ok);
    assert_eq!(status(&limits(8, 0.26, None)), Status::TooShort);
    let long = decode(&path, None, &limits(8, 0.1, Some(0.2)));
    assert_eq!(
        (long.status, &long.warnings[..]),
        (Status::OkWarn, &[Warning::DurationMismatch][..])
    );
}

#[test]
fn no_message_tells_where_the_file_lies() {
    for &(name, ..) in OUTCOMES {
        let got = decode(&folder().join(name), None, &DecodeLimits::default());
        let text = got.status_text.unwrap_or_default();
        assert!(!text.contains("fixtures") && !text.contains(name), "{name}: {text}");
    }
}

#[test]
fn the_lost_block_of_a_flac_file_is_silence_and_what_follows_keeps_its_place() {
    let whole = decode(&folder().join("good_reference.flac"), None, &DecodeLimits::default()).pcm;
    let holed =
        decode(&folder().join("flac_bad_frame_middle.flac"), None, &DecodeLimits::default()).pcm;
    let (from, to) = (12_672, 12_672 + 1_152);
    assert_eq!(holed.samples[..from], whole.samples[..from]);
    assert!(holed.samples[from..to].iter().all(|&x| x == 0.0));
    assert_eq!(holed.samples[to..], whole.samples[to..]);
}
