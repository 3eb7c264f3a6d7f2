//! Names of the enums that appear in tables: the same words in Parquet, JSON and on the terminal.

use crate::row::{Split, Status, Warning};
use std::fmt;

/// Gives an enum its list of variants, its words, and the way back from a word.
macro_rules! names {
    ($type:ident, $count:literal, $($variant:ident => $word:literal),+ $(,)?) => {
        impl $type {
            /// Every variant, in the order of the documentation.
            pub const ALL: [$type; $count] = [$($type::$variant),+];

            /// The word that tables and JSON use.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $word),+
                }
            }

            /// The variant that a word stands for.
            pub fn from_name(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|v| v.name() == word)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

names! { Split, 3, Train => "train", Valid => "valid", Test => "test" }

names! {
    Status, 22,
    MissingFile => "missing_file",
    EmptyFile => "empty_file",
    IoError => "io_error",
    UnknownFormat => "unknown_format",
    UnsupportedCodec => "unsupported_codec",
    DecodeError => "decode_error",
    BadSampleRate => "bad_sample_rate",
    BadChannels => "bad_channels",
    WrongBands => "wrong_bands",
    NoSamples => "no_samples",
    Nonfinite => "nonfinite",
    SpecChange => "spec_change",
    Truncated => "truncated",
    Partial => "partial",
    TooShort => "too_short",
    Silent => "silent",
    DigestMismatch => "digest_mismatch",
    Excluded => "excluded",
    Unlabelled => "unlabelled",
    Ok => "ok",
    OkWarn => "ok_warn",
    Unchecked => "unchecked",
}

names! {
    Warning, 16,
    LengthUnknown => "length_unknown",
    TrailingBytes => "trailing_bytes",
    ExtensionMismatch => "extension_mismatch",
    Clipping => "clipping",
    Dc => "dc",
    MostlySilent => "mostly_silent",
    PeakAboveOne => "peak_above_one",
    ChannelSilent => "channel_silent",
    Antiphase => "antiphase",
    Md5Mismatch => "md5_mismatch",
    DuplicateFile => "duplicate_file",
    DuplicatePcm => "duplicate_pcm",
    DurationMismatch => "duration_mismatch",
    KeptGoodPart => "kept_good_part",
    SkippedBytes => "skipped_bytes",
    CrcMismatch => "crc_mismatch",
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn json_word<T: serde::Serialize>(value: T) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn tables_and_json_use_the_same_words() {
        for v in Status::ALL {
            assert_eq!(v.name(), json_word(v));
            assert_eq!(Status::from_name(v.name()), Some(v));
        }
        for v in Warning::ALL {
            assert_eq!(v.name(), json_word(v));
            assert_eq!(Warning::from_name(v.name()), Some(v));
        }
        for v in Split::ALL {
            assert_eq!(v.name(), json_word(v));
            assert_eq!(Split::from_name(v.name()), Some(v));
        }
    }

    #[test]
    fn an_unknown_word_is_no_variant() {
        assert_eq!(Status::from_name("fine"), None);
        assert_eq!(Split::from_name("validation"), None);
    }
}
