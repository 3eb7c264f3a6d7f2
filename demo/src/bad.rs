//! Files that are broken on purpose, as every downloaded corpus has some.

use crate::encode::{Codec, Format, encode};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// In which way a file is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// 0 bytes.
    Empty,
    /// A FLAC file that ends after 55 % of its bytes.
    Truncated,
    /// A page of text under an audio name.
    Text,
    /// Byte for byte another clip, in another split.
    Duplicate,
    /// Samples that are all zero.
    Silent,
    /// Floating-point WAV with samples that are not numbers.
    NotANumber,
    /// A fifth of a second or less.
    Short,
    /// A WAV file named `.flac`; harmless to those who look inside.
    Mislabelled,
}

impl Bad {
    /// In the order in which they are dealt out.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Truncated,
        Self::Text,
        Self::Duplicate,
        Self::Silent,
        Self::NotANumber,
        Self::Short,
        Self::Mislabelled,
    ];

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "empty file",
            Self::Truncated => "FLAC cut off after 55 % of its bytes",
            Self::Text => "text under an audio name",
            Self::Duplicate => "the bytes of another clip, which lies in another split",
            Self::Silent => "silence",
            Self::NotANumber => "samples that are not numbers",
            Self::Short => "much shorter than the rest",
            Self::Mislabelled => "WAV named .flac",
        }
    }

    /// The format such a file is made from.
    pub fn format(self, usual: Format) -> Format {
        match self {
            Self::Truncated => Format { codec: Codec::Flac(16), ..usual },
            Self::NotANumber => Format { codec: Codec::Float, ..usual },
            Self::Mislabelled => Format { codec: Codec::Wav(16), ..usual },
            _ => usual,
        }
    }

    /// Its extension.
    pub fn extension(self, usual: Format) -> &'static str {
        if self == Self::Mislabelled { "flac" } else { self.format(usual).extension() }
    }

    /// The bytes of the broken file, from the samples it would have had in `format`.
    pub fn spoil(self, mut samples: Vec<f32>, format: &Format, path: &str) -> Result<Vec<u8>> {
        let frame = usize::from(format.channels);
        match self {
            Self::Empty => return Ok(Vec::new()),
            Self::Text => {
                let page = "<!DOCTYPE html>\n<title>404 Not Found</title>\n<p>The clip you asked for is not here.</p>\n";
                return Ok(page.repeat(20).into_bytes());
            }
            Self::Truncated => {
                let mut bytes = encode(&samples, format, path)?;
                bytes.truncate(bytes.len() * 55 / 100);
                return Ok(bytes);
            }
            Self::Silent => samples.fill(0.0),
            Self::NotANumber => {
                let middle = samples.len() / 2;
                let end = (middle + 64).min(samples.len());
                samples[middle..end].fill(f32::NAN);
            }
            Self::Short => {
                let frames = (format.rate as usize / 5).min(samples.len() / frame / 4).max(1);
                samples.truncate(frames * frame);
            }
            Self::Duplicate | Self::Mislabelled => {}
        }
        encode(&samples, format, path)
    }
}
