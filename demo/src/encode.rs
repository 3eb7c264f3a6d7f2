//! From samples to the bytes of a file: WAV, FLAC and, with the feature `lame`, MP3.

use crate::error::{Error, Result};
use crate::mix::Mix;
use flacenc::component::BitRepr;
use flacenc::error::Verify;
use std::io::Cursor;

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Integer WAV of 16 or 24 bits.
    Wav(u16),
    /// WAV of 32-bit floats.
    Float,
    /// FLAC of 16 or 24 bits.
    Flac(u16),
    /// MP3 at a constant rate in kbit/s, or 0 for a variable one.
    #[cfg(feature = "lame")]
    Mp3(u16),
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How samples are stored.
    pub codec: Codec,
    /// Samples per second.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u16,
}

impl Format {
    /// Extension of its files.
    pub fn extension(&self) -> &'static str {
        match self.codec {
            Codec::Wav(_) | Codec::Float => "wav",
            Codec::Flac(_) => "flac",
            #[cfg(feature = "lame")]
            Codec::Mp3(_) => "mp3",
        }
    }
}

const fn format(codec: Codec, rate: u32, channels: u16) -> Format {
    Format { codec, rate, channels }
}

/// The formats of the corpus and how many of every deck of albums have them.
pub const FORMATS: &[(Format, u32)] = &[
    (format(Codec::Wav(16), 16_000, 1), 4),
    (format(Codec::Flac(16), 22_050, 1), 3),
    (format(Codec::Flac(16), 44_100, 2), 3),
    (format(Codec::Flac(16), 16_000, 1), 2),
    (format(Codec::Wav(16), 22_050, 2), 2),
    (format(Codec::Float, 32_000, 1), 2),
    (format(Codec::Flac(24), 48_000, 2), 1),
    (format(Codec::Wav(24), 44_100, 2), 1),
    (format(Codec::Flac(16), 32_000, 2), 1),
    (format(Codec::Wav(16), 48_000, 1), 1),
    #[cfg(feature = "lame")]
    (format(Codec::Mp3(32), 16_000, 1), 3),
    #[cfg(feature = "lame")]
    (format(Codec::Mp3(128), 44_100, 2), 3),
    #[cfg(feature = "lame")]
    (format(Codec::Mp3(64), 22_050, 1), 2),
    #[cfg(feature = "lame")]
    (format(Codec::Mp3(192), 48_000, 2), 1),
    #[cfg(feature = "lame")]
    (format(Codec::Mp3(0), 44_100, 2), 1),
];

/// Samples of one clip, channels interleaved, about -1 to 1.
pub fn interleave(mix: &Mix, channels: u16) -> Vec<f32> {
    if channels == 1 {
        return mix.mono();
    }
    mix.left.iter().zip(&mix.right).flat_map(|(&l, &r)| [l, r]).collect()
}

/// The bytes of a file; `path` only names it in errors.
pub fn encode(samples: &[f32], format: &Format, path: &str) -> Result<Vec<u8>> {
    let result = match format.codec {
        Codec::Wav(bits) => wav(samples, format, bits),
        Codec::Float => float(samples, format),
        Codec::Flac(bits) => flac(samples, format, bits),
        #[cfg(feature = "lame")]
        Codec::Mp3(kbps) => mp3(samples, format, kbps),
    };
    result.map_err(|reason| Error::Encode {
        path: path.to_string(),
        format: format!("{format:?}"),
        reason,
    })
}

/// Nearest integer of `bits` bits.
fn integer(x: f32, bits: u16) -> i32 {
    let top = f64::from(1i32 << (bits - 1)) - 1.0;
    (f64::from(x) * top).round().clamp(-top, top) as i32
}

fn wav(samples: &[f32], format: &Format, bits: u16) -> Result<Vec<u8>, String> {
    write_wav(format, bits, hound::SampleFormat::Int, samples, |writer, x| {
        writer.write_sample(integer(x, bits))
    })
}

fn float(samples: &[f32], format: &Format) -> Result<Vec<u8>, String> {
    write_wav(format, 32, hound::SampleFormat::Float, samples, |writer, x| writer.write_sample(x))
}

fn write_wav(
    format: &Format,
    bits_per_sample: u16,
    sample_format: hound::SampleFormat,
    samples: &[f32],
    mut put: impl FnMut(&mut hound::WavWriter<&mut Cursor<Vec<u8>>>, f32) -> hound::Result<()>,
) -> Result<Vec<u8>, String> {
    let spec = hound::WavSpec {
        channels: format.channels,
        sample_rate: format.rate,
        bits_per_sample,
        sample_format,
    };
    let mut bytes =
        Cursor::new(Vec::with_capacity(samples.len() * usize::from(bits_per_sample / 8) + 80));
    let mut writer = hound::WavWriter::new(&mut bytes, spec).map_err(|why| why.to_string())?;
    for &x in samples {
        put(&mut writer, x).map_err(|why| why.to_string())?;
    }
    writer.finalize().map_err(|why| why.to_string())?;
    Ok(bytes.into_inner())
}

fn flac(samples: &[f32], format: &Format, bits: u16) -> Result<Vec<u8>, String> {
    let integers: Vec<i32> = samples.iter().map(|&x| integer(x, bits)).collect();
    let config =
        flacenc::config::Encoder::default().into_verified().map_err(|(_, why)| why.to_string())?;
    let source = flacenc::source::MemSource::from_samples(
        &integers,
        usize::from(format.channels),
        usize::from(bits),
        format.rate as usize,
    );
    let block = config.block_size;
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, block)
        .map_err(|why| format!("{why:?}"))?;
    // The encoder counts the short last block as the smallest; RFC 9639 leaves it out, and decoders that see two sizes
    // take the stream for one of variable blocks.
    stream.stream_info_mut().set_block_sizes(block, block).map_err(|why| format!("{why:?}"))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).map_err(|why| format!("{why:?}"))?;
    Ok(sink.into_inner())
}

#[cfg(feature = "lame")]
fn mp3(samples: &[f32], format: &Format, kbps: u16) -> Result<Vec<u8>, String> {
    use mp3lame_encoder::{Bitrate, Builder, FlushGap, InterleavedPcm, MonoPcm, Quality, VbrMode};
    let told = |why: mp3lame_encoder::BuildError| format!("{why:?}");
    let rate = match kbps {
        32 => Bitrate::Kbps32,
        64 => Bitrate::Kbps64,
        192 => Bitrate::Kbps192,
        _ => Bitrate::Kbps128,
    };
    let mut builder = Builder::new().ok_or("LAME has no memory")?;
    builder.set_num_channels(format.channels as u8).map_err(told)?;
    builder.set_sample_rate(format.rate).map_err(told)?;
    builder.set_quality(Quality::Good).map_err(told)?;
    if kbps == 0 {
        builder.set_vbr_mode(VbrMode::Mtrh).map_err(told)?;
        builder.set_vbr_quality(Quality::Nice).map_err(told)?;
        builder.set_to_write_vbr_tag(true).map_err(told)?;
    } else {
        builder.set_brate(rate).map_err(told)?;
    }
    let mut encoder = builder.build().map_err(told)?;
    let integers: Vec<i16> = samples.iter().map(|&x| integer(x, 16) as i16).collect();
    let mut bytes = Vec::with_capacity(mp3lame_encoder::max_required_buffer_size(samples.len()));
    if format.channels == 1 {
        encoder.encode_to_vec(MonoPcm(&integers), &mut bytes)
    } else {
        encoder.encode_to_vec(InterleavedPcm(&integers), &mut bytes)
    }
    .map_err(|why| format!("{why:?}"))?;
    bytes.reserve(7200);
    encoder.flush_to_vec::<FlushGap>(&mut bytes).map_err(|why| format!("{why:?}"))?;
    if encoder.lame_tag_size() > 0 {
        let mut tag = Vec::with_capacity(encoder.lame_tag_size());
        if let Some(size) = encoder.lame_tag_encode_to_vec(&mut tag) {
            let start = encoder.id3v2_tag_size();
            bytes[start..start + size.get()].copy_from_slice(&tag[..size.get()]); // over the empty frame kept for it
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(format: &Format) -> Vec<f32> {
        let n = 4000 * usize::from(format.channels);
        (0..n).map(|i| 0.5 * (i as f32 * 0.02).sin()).collect()
    }

    #[test]
    fn wav_files_decode_to_the_samples_put_in() {
        for (format, _) in FORMATS.iter().filter(|f| f.0.extension() == "wav") {
            let samples = sine(format);
            let bytes = encode(&samples, format, "x.wav").unwrap();
            let mut reader = hound::WavReader::new(Cursor::new(bytes)).unwrap();
            assert_eq!(
                (reader.spec().sample_rate, reader.spec().channels),
                (format.rate, format.channels)
            );
            let back: Vec<f32> = match format.codec {
                Codec::Float => reader.samples::<f32>().map(|x| x.unwrap()).collect(),
                _ => {
                    let top = f64::from(1 << (reader.spec().bits_per_sample - 1)) - 1.0;
                    reader.samples::<i32>().map(|x| (f64::from(x.unwrap()) / top) as f32).collect()
                }
            };
            assert_eq!(back.len(), samples.len());
            assert!(back.iter().zip(&samples).all(|(a, b)| (a - b).abs() < 2e-5));
        }
    }

    #[test]
    fn a_flac_header_states_rate_channels_bits_and_length() {
        for (format, _) in FORMATS.iter().filter(|f| f.0.extension() == "flac") {
            let Codec::Flac(bits) = format.codec else { continue };
            let bytes = encode(&sine(format), format, "x.flac").unwrap();
            assert_eq!(&bytes[..4], b"fLaC");
            let word = u64::from_be_bytes(bytes[18..26].try_into().unwrap());
            assert_eq!(word >> 44, u64::from(format.rate));
            assert_eq!((word >> 41) & 7, u64::from(format.channels) - 1);
            assert_eq!((word >> 36) & 31, u64::from(bits) - 1);
            assert_eq!(word & 0xf_ffff_ffff, 4000);
        }
    }

    #[cfg(feature = "lame")]
    #[test]
    fn an_mp3_starts_with_a_frame_and_has_about_the_size_of_its_rate() {
        for (format, _) in FORMATS.iter().filter(|f| f.0.extension() == "mp3") {
            let samples = vec![0.1; format.rate as usize * usize::from(format.channels)];
            let bytes = encode(&samples, format, "x.mp3").unwrap();
            assert_eq!((bytes[0], bytes[1] & 0xe0), (0xff, 0xe0), "{format:?}");
            if let Codec::Mp3(kbps @ 1..) = format.codec {
                let expected = f64::from(kbps) * 125.0;
                let got = bytes.len() as f64;
                assert!(
                    got > expected && got < 1.25 * expected + 1000.0,
                    "{format:?}: {got} bytes"
                );
            }
        }
    }
}
