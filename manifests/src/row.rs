//! Rows of the two tables: [`Track`] (what audio exists and what is known of it) and [`Example`] (who trains on it).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One audio clip of a corpus: one row of `<corpus>.tracks.parquet`, sorted by `key`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Track {
    /// Corpus id, e.g. `mtat`.
    pub dataset: String,
    /// `<dataset>:<clip_id>`, unique over all manifests.
    pub key: String,
    /// The publisher's id, unchanged.
    pub clip_id: String,
    /// Recording the clip was cut from; equals `clip_id` if the clip is the recording.
    pub track_id: Option<String>,
    /// Publisher's artist id, or `name:` and the normalised name.
    pub artist_id: Option<String>,
    /// Publisher's album id, or `name:` and the normalised name.
    pub album_id: Option<String>,
    /// As published.
    pub artist: Option<String>,
    /// As published.
    pub album: Option<String>,
    /// As published.
    pub title: Option<String>,
    /// Relative to the corpus root, `/` separators.
    pub path: String,
    /// Offset of the clip in its recording, seconds.
    pub clip_start_s: Option<f64>,
    /// Hex digest as published (`sha256:…`, `sha1:…` or `md5:…`), compared during ingest.
    pub published_digest: Option<String>,
    /// What a full decode found.
    pub facts: Facts,
    /// Usable or not, and why.
    pub status: Status,
    /// Message of the decoder or checker, at most 500 characters, no absolute path.
    pub status_text: Option<String>,
    /// Oddities that do not make the clip unusable, sorted.
    pub warnings: Vec<Warning>,
    /// Licence as published per track.
    pub licence: Option<String>,
    /// Address of the licence.
    pub licence_url: Option<String>,
    /// Raw tags as published, in published order. `None`: not annotated; empty: annotated, all negative.
    pub tags: Option<Vec<String>>,
    /// Vocabulary id to sorted indices of the positive classes (columns `labels:<vocab>`); same rule for `None` as `tags`.
    pub labels: BTreeMap<String, Option<Vec<i32>>>,
    /// Scheme to split (columns `split:<scheme>`); absent = not in that scheme.
    pub splits: BTreeMap<String, Split>,
    /// Augmentation of a derived file, e.g. `key:-3`; `None` = original.
    pub aug: Option<String>,
    /// Key of the original of a derived file.
    pub source_key: Option<String>,
}

/// What one full decode of a file found. Everything is `None` until the file has been decoded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Size of the file; `None` if it is missing.
    pub file_bytes: Option<i64>,
    /// SHA-256 of the file's bytes.
    pub sha256: Option<[u8; 32]>,
    /// Whether the published digest matched; `None` = none published.
    pub digest_ok: Option<bool>,
    /// SHA-256 of the decoded samples (mono mean, s16 little endian, source rate): finds re-tagged duplicates.
    pub pcm_sha256: Option<[u8; 32]>,
    /// Container found by content: `mp3`, `wave`, `flac`, `ogg`, …
    pub container: Option<String>,
    /// Codec found by content: `mp3`, `pcm_s16le`, `flac`, `vorbis`, …
    pub codec: Option<String>,
    /// Bits per second, bytes * 8 / duration.
    pub bit_rate: Option<i32>,
    /// Source rate, Hz.
    pub src_rate: Option<i32>,
    /// Source channels.
    pub src_channels: Option<i16>,
    /// Bits per sample where the format has such a number.
    pub src_bits: Option<i16>,
    /// Frames promised by the header; `None` if only estimated.
    pub header_frames: Option<i64>,
    /// Frames kept at the source rate, after trimming.
    pub frames: Option<i64>,
    /// Frames that came out of the decoder before trimming, zeros for refused packets included.
    pub decoded_frames: Option<i64>,
    /// What told how much encoder delay to cut: `lame` (a LAME tag), `ogg` (the positions in Ogg pages) or `none`.
    pub trim_policy: Option<String>,
    /// Encoder delay cut from the start, frames.
    pub delay: Option<i32>,
    /// Encoder padding cut from the end, frames.
    pub padding: Option<i32>,
    /// `frames / src_rate`.
    pub duration_s: Option<f64>,
    /// Packets refused by the decoder.
    pub decode_errors: Option<i32>,
    /// NaN and infinite samples.
    pub nonfinite: Option<i64>,
    /// Largest absolute value of the mono mean; may exceed 1.
    pub peak: Option<f32>,
    /// Root mean square of the mono mean.
    pub rms: Option<f32>,
    /// Mean of the mono mean.
    pub dc: Option<f32>,
    /// Share of 100 ms blocks with an RMS below -60 dBFS.
    pub silence_ratio: Option<f32>,
    /// Share of samples with an absolute value of at least 0.999.
    pub clip_ratio: Option<f32>,
}

/// Usable or not, and why: the first rule that matches wins, in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The path does not exist.
    MissingFile,
    /// 0 bytes.
    EmptyFile,
    /// The file could not be read.
    IoError,
    /// No container recognised.
    UnknownFormat,
    /// Container read, no decoder.
    UnsupportedCodec,
    /// Header or decoder refuses the file.
    DecodeError,
    /// Rate 0 or outside 4 000 to 384 000 Hz.
    BadSampleRate,
    /// 0 channels or more than the allowed number.
    BadChannels,
    /// A mel file with another number of bands than its front end has.
    WrongBands,
    /// 0 frames decoded.
    NoSamples,
    /// NaN or infinite samples.
    Nonfinite,
    /// Rate or channels change inside the stream.
    SpecChange,
    /// Fewer than 98 % of the frames that a trustworthy header promises.
    Truncated,
    /// Refused packets, or 98 to 99.9 % of the promised frames.
    Partial,
    /// Below the corpus minimum.
    TooShort,
    /// Peak below 1e-3 (-60 dBFS) on the mono mean.
    Silent,
    /// The published digest differs.
    DigestMismatch,
    /// On a published exclusion list.
    Excluded,
    /// No annotation row.
    Unlabelled,
    /// Nothing found.
    Ok,
    /// Usable, with warnings.
    OkWarn,
    /// Not decoded yet (`check = "header"`).
    #[default]
    Unchecked,
}

/// Oddities that leave a clip usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The header does not say how long the stream is.
    LengthUnknown,
    /// Bytes after the declared end of the audio.
    TrailingBytes,
    /// The extension names another format than the content.
    ExtensionMismatch,
    /// More than 0.1 % of the samples are at full scale.
    Clipping,
    /// Mean of the samples above 0.05.
    Dc,
    /// At least 90 % of the 100 ms blocks are silent.
    MostlySilent,
    /// Peak above 1.
    PeakAboveOne,
    /// One of the channels is silent.
    ChannelSilent,
    /// The channels cancel out in the mono mean.
    Antiphase,
    /// The MD5 inside a FLAC file differs from its audio.
    Md5Mismatch,
    /// Another file of the corpus has the same bytes.
    DuplicateFile,
    /// Another file of the corpus has the same samples.
    DuplicatePcm,
    /// The published duration differs.
    DurationMismatch,
    /// Part of the stream could not be decoded and is silence, or was cut off (policy `keep_good`).
    KeptGoodPart,
    /// Bytes between packets belong to none of them.
    SkippedBytes,
    /// The checksum in a LAME tag differs from that of the audio's bytes.
    CrcMismatch,
}

/// Part of a corpus an example belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Gradients.
    Train,
    /// Model selection.
    Valid,
    /// Scores that are reported.
    Test,
}

/// What a model should say about an example.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Target {
    /// Multi-label tagging: sorted indices into the view's vocabulary.
    Tags(Vec<u16>),
    /// Genre, key, instrument, pitch: index into the vocabulary.
    Class(u16),
    /// Valence and arousal; tempo in BPM.
    Values(Vec<f32>),
    /// Beats, downbeats, in seconds.
    Times(Vec<f32>),
    /// Chords, sections: start and end in seconds, label.
    Spans(Vec<(f32, f32, u16)>),
    /// A caption.
    Text(String),
    /// Pre-training without labels.
    #[default]
    None,
}

/// One row of a view: a track (or a variant of it), its split, its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Unique in the view; `track` and, unless it is the original, `#variant`.
    pub key: String,
    /// [`Track::key`] of the audio.
    pub track: String,
    /// `orig`, `key-3`, `stretch0.95`, …
    pub variant: String,
    /// Who may use it for what.
    pub split: Split,
    /// What a model should say.
    pub target: Target,
}

impl Status {
    /// Whether the audio may be used without a policy that says so.
    pub fn usable(self) -> bool {
        matches!(self, Status::Ok | Status::OkWarn)
    }
}
