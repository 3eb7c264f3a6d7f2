//! Published mel files of the cross-cultural transfer study: one `{id}.npy` a track, `(128, frames)` float32 decibels of
//! front end `vgg_16k_db`.
//!
//! Read are both orders of the axes, C and Fortran order, float16, float32 and float64 of either byte order; written is
//! the published form. A file of 128 by 128 numbers is taken as published, bands first. What is missing, cut off, not a
//! number or of another width is the track's status, never an error.

use crate::decode::{DecodeLimits, read_file};
use crate::digest;
use crate::policy::Outcome;
use etude_manifests::{Facts, Status, Warning};
use half::f16;
use std::path::Path;

/// Front end that the files were made with.
pub(crate) const FRONT_END: &str = "vgg_16k_db";
/// Bands of a frame, F.
pub(crate) const BANDS: usize = 128;
/// Frames per second.
pub(crate) const FPS: f64 = 62.5;
/// First bytes of a file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// The decibels of silence: 10 log10 of the front end's floor.
const SILENCE_DB: f32 = -100.0;

/// Whether a track's file is a mel file, by its name.
pub(crate) fn is_mel_file(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// Frames `[T, F]` of a file, empty if it cannot be used, and what was found.
pub(crate) fn read(
    path: &Path,
    published_digest: Option<&str>,
    limits: &DecodeLimits,
) -> (Vec<f32>, Outcome) {
    let mut bytes = Vec::new();
    if let Err((status, text)) = read_file(path, &mut bytes) {
        return (Vec::new(), Outcome { status, text: Some(text), ..Outcome::default() });
    }
    let sha256 = digest::sha256(&bytes);
    let digest_ok = published_digest.map(|d| digest::matches(d, &bytes, &sha256).unwrap_or(false));
    let mut outcome = Outcome {
        facts: Facts {
            file_bytes: i64::try_from(bytes.len()).ok(),
            sha256: Some(sha256),
            digest_ok,
            ..Facts::default()
        },
        status: Status::Ok,
        ..Outcome::default()
    };
    match judge(&bytes, limits, &mut outcome) {
        Ok(frames) => (frames, outcome),
        Err((status, text)) => {
            (outcome.status, outcome.text) = (status, Some(text));
            (Vec::new(), outcome)
        }
    }
}

/// A file in the published form, from frames `[T, F]`.
pub(crate) fn write(frames: &[f32], bands: usize) -> Vec<u8> {
    let steps = frames.len() / bands;
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({bands}, {steps}), }}");
    let lead = MAGIC.len() + 4; // version and length
    let padded = (lead + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', padded - lead - header.len() - 1));
    header.push('\n');
    let mut out = Vec::with_capacity(padded + 4 * frames.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(header.len() as u16).to_le_bytes()); // far below 64 KiB
    out.extend_from_slice(header.as_bytes());
    for band in 0..bands {
        frames.iter().skip(band).step_by(bands).for_each(|x| out.extend(x.to_le_bytes()));
    }
    out
}

/// What the header says.
struct Header {
    /// Bytes of a number: 2, 4 or 8.
    size: usize,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    /// Where the numbers begin.
    data: usize,
}

/// The rules, first to last; fills in the facts as far as they are known.
fn judge(
    bytes: &[u8],
    limits: &DecodeLimits,
    outcome: &mut Outcome,
) -> Result<Vec<f32>, (Status, String)> {
    if bytes.is_empty() {
        return Err((Status::EmptyFile, "expected a mel file, got 0 bytes".into()));
    }
    let header = header(bytes)?;
    let facts = &mut outcome.facts;
    facts.container = Some("npy".into());
    facts.codec = Some(format!("float{}", 8 * header.size));
    facts.src_bits = Some(8 * header.size as i16);
    let &[rows, columns] = header.shape.as_slice() else {
        let text = format!("expected two axes, (128, frames), got {:?}", header.shape);
        return Err((Status::WrongBands, text));
    };
    let (steps, bands_first) = match (rows, columns) {
        (BANDS, steps) => (steps, true),
        (steps, BANDS) => (steps, false),
        _ => {
            let text = format!("expected (128, frames) or (frames, 128), got ({rows}, {columns})");
            return Err((Status::WrongBands, text));
        }
    };
    if steps == 0 {
        return Err((Status::NoSamples, "the array holds no frame".into()));
    }
    facts.header_frames = i64::try_from(steps).ok();
    let stored = &bytes[header.data..];
    let promised = steps.saturating_mul(BANDS * header.size);
    if stored.len() < promised {
        let text = format!("expected {promised} bytes of numbers, got {}", stored.len());
        return Err((Status::Truncated, text));
    }
    if stored.len() > promised {
        outcome.warnings.push(Warning::TrailingBytes);
    }
    let numbers = header.numbers(&stored[..promised]);
    // In memory the last axis runs fastest: the frames are in order if that is the axis of the bands.
    let frames = match bands_first == header.fortran {
        true => numbers,
        false => transposed(&numbers, steps),
    };
    let wrong = frames.iter().filter(|x| !x.is_finite()).count();
    facts.nonfinite = i64::try_from(wrong).ok();
    if wrong > 0 {
        return Err((Status::Nonfinite, format!("{wrong} values are not finite")));
    }
    let seconds = steps as f64 / FPS;
    facts.frames = facts.header_frames;
    facts.decoded_frames = facts.header_frames;
    facts.duration_s = Some(seconds);
    if limits.verify {
        let plain: Vec<u8> = frames.iter().flat_map(|x| x.to_le_bytes()).collect();
        facts.pcm_sha256 = Some(digest::sha256(&plain));
    }
    if seconds < limits.min_s {
        let text = format!("expected at least {} s, got {seconds} s", limits.min_s);
        return Err((Status::TooShort, text));
    }
    if frames.iter().all(|&x| x <= SILENCE_DB) {
        return Err((Status::Silent, "no value is above -100 dB".into()));
    }
    if facts.digest_ok == Some(false) {
        let text = "the file's digest is not the published one".to_owned();
        return Err((Status::DigestMismatch, text));
    }
    if limits.max_s.is_some_and(|s| seconds > s) {
        outcome.warnings.push(Warning::DurationMismatch);
    }
    Ok(frames)
}

/// `[F, T]` to `[T, F]`.
fn transposed(numbers: &[f32], steps: usize) -> Vec<f32> {
    let mut frames = vec![0.0; numbers.len()];
    for (band, line) in numbers.chunks_exact(steps).enumerate() {
        for (t, &x) in line.iter().enumerate() {
            frames[t * BANDS + band] = x;
        }
    }
    frames
}

impl Header {
    fn numbers(&self, bytes: &[u8]) -> Vec<f32> {
        match self.size {
            2 => each::<2>(bytes, self.big_endian, |b| f16::from_le_bytes(b).to_f32()),
            4 => each::<4>(bytes, self.big_endian, f32::from_le_bytes),
            _ => each::<8>(bytes, self.big_endian, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], swap: bool, number: fn([u8; N]) -> f32) -> Vec<f32> {
    let numbers = bytes.as_chunks::<N>().0.iter().map(|&(mut b)| {
        if swap {
            b.reverse();
        }
        number(b)
    });
    numbers.collect()
}

/// Versions 1 to 3: magic, version, length of the text, and a Python dictionary of three entries.
fn header(bytes: &[u8]) -> Result<Header, (Status, String)> {
    let unknown = |text: &str| (Status::UnknownFormat, text.to_owned());
    let damaged = || (Status::DecodeError, "the header of the array cannot be read".to_owned());
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| unknown("expected an .npy file, got other bytes"))?;
    let (lead, length) = match *rest {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return Err(damaged()),
    };
    let data = lead + length;
    let text = bytes.get(lead..data).ok_or_else(damaged)?;
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    let dtype = value(text, "descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next());
    let dtype = dtype.ok_or_else(damaged)?;
    let (order, kind) = dtype.split_at_checked(1).ok_or_else(damaged)?;
    let size = match (order, kind) {
        ("<" | ">" | "=", "f2") => 2,
        ("<" | ">" | "=", "f4") => 4,
        ("<" | ">" | "=", "f8") => 8,
        _ => {
            let text = format!("expected float16, float32 or float64, got {dtype:?}");
            return Err((Status::UnsupportedCodec, text));
        }
    };
    let fortran = match value(text, "fortran_order").ok_or_else(damaged)? {
        v if v.starts_with("True") => true,
        v if v.starts_with("False") => false,
        _ => return Err(damaged()),
    };
    let shape = value(text, "shape").and_then(|v| v.strip_prefix('(')?.split(')').next());
    let sizes = shape.ok_or_else(damaged)?.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Vec<usize> =
        sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| damaged())?;
    Ok(Header { size, big_endian: order == ">", fortran, shape, data })
}

/// What stands after `'key':`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}':"))?;
    Some(rest.trim_start())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_features::MelConfig;

    /// Value of band `f` in frame `t`: exact in every number format.
    fn db(t: usize, f: usize) -> f32 {
        (t * 3 + f) as f32 / 4.0 - 90.0
    }

    fn frames(steps: usize) -> Vec<f32> {
        (0..steps).flat_map(|t| (0..BANDS).map(move |f| db(t, f))).collect()
    }

    /// A file of that type, order of axes and layout.
    fn file(dtype: &str, shape: &str, fortran: bool, values: &[f32]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let header =
            format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut out = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
        out.extend_from_slice(header.as_bytes());
        for &x in values {
            match dtype {
                "<f2" => out.extend(f16::from_f32(x).to_le_bytes()),
                ">f4" => out.extend(x.to_be_bytes()),
                "<f8" => out.extend(f64::from(x).to_le_bytes()),
                _ => out.extend(x.to_le_bytes()),
            }
        }
        out
    }

    fn judged(bytes: &[u8]) -> (Vec<f32>, Outcome) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        read(&path, None, &DecodeLimits::default())
    }

    #[test]
    fn every_type_order_of_axes_and_layout_gives_the_same_frames() {
        let by_frame = frames(20);
        let by_band: Vec<f32> = (0..BANDS).flat_map(|f| (0..20).map(move |t| db(t, f))).collect();
        for dtype in ["<f4", ">f4", "<f2", "<f8"] {
            for (shape, fortran, values) in [
                ("(128, 20)", false, &by_band),
                ("(20, 128)", false, &by_frame),
                ("(128, 20)", true, &by_frame),
                ("(20, 128)", true, &by_band),
            ] {
                let (got, outcome) = judged(&file(dtype, shape, fortran, values));
                assert_eq!(outcome.status, Status::Ok, "{dtype} {shape}: {outcome:?}");
                assert_eq!(got, by_frame, "{dtype} {shape} {fortran}");
                assert_eq!(outcome.facts.frames, Some(20));
                assert_eq!(outcome.facts.duration_s, Some(0.32));
            }
        }
    }

    #[test]
    fn what_is_written_is_the_published_form_and_reads_back_to_the_bit() {
        let bytes = write(&frames(20), BANDS);
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (128, 20), }";
        assert!(bytes[10..].starts_with(text.as_bytes()));
        assert_eq!((bytes.len() - 128 * 20 * 4) % 64, 0);
        assert_eq!(judged(&bytes).0, frames(20));
    }

    #[test]
    fn a_file_of_128_by_128_is_taken_as_published_with_bands_first() {
        let by_band: Vec<f32> = (0..BANDS).flat_map(|f| (0..128).map(move |t| db(t, f))).collect();
        assert_eq!(judged(&file("<f4", "(128, 128)", false, &by_band)).0, frames(128));
    }

    #[test]
    fn what_cannot_be_used_is_told_by_cause() {
        let good = write(&frames(20), BANDS);
        let mut nan = frames(20);
        nan[77] = f32::NAN;
        let cases = [
            (vec![], Status::EmptyFile, "0 bytes"),
            (b"RIFF....WAVE".to_vec(), Status::UnknownFormat, "other bytes"),
            (good[..40].to_vec(), Status::DecodeError, "header"),
            (good[..good.len() - 1].to_vec(), Status::Truncated, "expected 10240 bytes"),
            (file("<i4", "(128, 20)", false, &nan), Status::UnsupportedCodec, "\"<i4\""),
            (file("<f4", "(96, 20)", false, &nan), Status::WrongBands, "got (96, 20)"),
            (file("<f4", "(1, 128, 20)", false, &nan), Status::WrongBands, "two axes"),
            (file("<f4", "(128,)", false, &nan), Status::WrongBands, "two axes"),
            (file("<f4", "(128, 0)", false, &[]), Status::NoSamples, "no frame"),
            (file("<f4", "(20, 128)", false, &nan), Status::Nonfinite, "1 values"),
            (write(&frames(3), BANDS), Status::TooShort, "0.048 s"),
            (write(&[-100.0; 128 * 20], BANDS), Status::Silent, "-100 dB"),
            (
                file("<f4", "(128, 18446744073709551615)", false, &nan),
                Status::Truncated,
                "got 10240",
            ),
            (file("<f4", "(128, x)", false, &nan), Status::DecodeError, "header"),
        ];
        for (bytes, status, text) in cases {
            let (frames, outcome) = judged(&bytes);
            assert_eq!(outcome.status, status, "{outcome:?}");
            assert!(frames.is_empty());
            assert!(outcome.text.as_ref().unwrap().contains(text), "{outcome:?}");
        }
    }

    #[test]
    fn a_published_digest_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        std::fs::write(&path, write(&frames(20), BANDS)).unwrap();
        let outcome =
            read(&path, Some(&format!("md5:{}", "0".repeat(32))), &DecodeLimits::default()).1;
        assert_eq!(
            (outcome.status, outcome.facts.digest_ok),
            (Status::DigestMismatch, Some(false))
        );
    }

    #[test]
    fn the_published_files_are_those_of_the_front_end() {
        let mel = MelConfig::preset(FRONT_END).unwrap();
        assert_eq!((mel.bands, mel.frame_rate()), (BANDS, FPS));
    }
}
