//! From bytes to an open container and a decoder for its first audio track; what the content says it is.

use super::flac;
use super::stream::Failure;
use etude_manifests::Status;
use std::io::{Cursor, Read};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;

/// Extensions a container goes by; the first one is what its files should be called.
const EXTENSIONS: &[(&str, &[&str])] = &[
    ("mp1", &["mp1"]),
    ("mp2", &["mp2", "mpa"]),
    ("mp3", &["mp3", "mpga"]),
    ("wave", &["wav", "wave", "bwf"]),
    ("flac", &["flac"]),
    ("ogg", &["ogg", "oga", "opus", "spx"]),
    ("mp4", &["m4a", "mp4", "m4b"]),
    ("aiff", &["aiff", "aif", "aifc"]),
    ("adts", &["aac", "adts"]),
];

/// A container with the track that will be decoded.
pub(super) struct Open<'a> {
    pub format: Box<dyn FormatReader + 'a>,
    pub track: Track,
    pub container: String,
}

/// Whether a file of this container should not have this extension, because it is another container's.
pub(super) fn extension_misleads(container: &str, extension: &str) -> bool {
    let extension = extension.to_ascii_lowercase();
    let owner = EXTENSIONS.iter().find(|(_, all)| all.contains(&extension.as_str()));
    owner.is_some_and(|(name, _)| *name != container)
}

/// Finds the container by its content and picks its first audio track.
pub(super) fn open(bytes: &[u8]) -> Result<Open<'_>, Failure> {
    let sniffed = sniff(bytes);
    if let Some(name) = sniffed
        && !cfg!(feature = "more-codecs")
    {
        let text = format!("{name} needs a build with the feature more-codecs");
        return Err(Failure { status: Status::UnsupportedCodec, text, container: Some(name) });
    }
    // An MPEG stream that cannot be seeked has a frame count only if its header gives one; a seekable one is guessed at.
    let source: Box<dyn MediaSource + '_> = match sniffed {
        Some(_) => Box::new(Cursor::new(bytes)),
        None => match flac::mended(bytes) {
            Some(head) => {
                let rest = &bytes[flac::HEAD..];
                Box::new(ReadOnlySource::new(Cursor::new(head).chain(rest)))
            }
            None => Box::new(ReadOnlySource::new(bytes)),
        },
    };
    let stream = MediaSourceStream::new(source, Default::default());
    let format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| refusal(bytes, &e))?;
    let container = match format.format_info().short_name {
        "isomp4" => "mp4".to_owned(),
        name => name.to_owned(),
    };
    let Some(track) = format.default_track(TrackType::Audio).cloned() else {
        let text = format!("{container} without an audio track");
        return Err(Failure { status: Status::UnsupportedCodec, text, container: None });
    };
    Ok(Open { format, track, container })
}

/// A decoder that leaves encoder delay and padding in place.
pub(super) fn decoder(track: &Track, verify: bool) -> Result<Box<dyn AudioDecoder>, Failure> {
    let failure =
        |text: String| Failure { status: Status::UnsupportedCodec, text, container: None };
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(failure("the container does not say which codec it holds".into()));
    };
    let options = AudioDecoderOptions::default().gapless(false).verify(verify);
    symphonia::default::get_codecs().make_audio_decoder(params, &options).map_err(|e| {
        let name = undecodable(track).unwrap_or("the codec");
        failure(format!("no decoder for {name}: {e}"))
    })
}

/// The name of a codec that some builds, or all, have no decoder for.
pub(super) fn undecodable(track: &Track) -> Option<&'static str> {
    match track.codec_params.as_ref()?.audio()?.codec {
        codec::CODEC_ID_OPUS => Some("opus"),
        codec::CODEC_ID_SPEEX => Some("speex"),
        codec::CODEC_ID_AAC => Some("aac"),
        codec::CODEC_ID_ALAC => Some("alac"),
        _ => None,
    }
}

/// Containers that need `more-codecs`, by their first bytes.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("mp4"),
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Some("aiff"),
        _ => None,
    }
}

/// What a failed probe means.
fn refusal(bytes: &[u8], error: &Error) -> Failure {
    let said = error.to_string();
    let (status, text) = match error {
        Error::Unsupported(what) if what.starts_with("core (probe)") => {
            let text = match bytes {
                [b'R', b'F', b'6', b'4', ..] => "RF64 is not read; convert it to FLAC",
                [b'R', b'I', b'F', b'X', ..] => {
                    "big-endian WAV (RIFX) is not read; convert it to FLAC"
                }
                _ => "no audio container recognised",
            };
            (Status::UnknownFormat, text.to_owned())
        }
        Error::Unsupported(what) if what.contains("support") => (Status::UnsupportedCodec, said),
        _ => (Status::DecodeError, said),
    };
    Failure { status, text, container: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_extension_of_another_container_misleads() {
        assert!(extension_misleads("mp3", "wav") && extension_misleads("mp2", "mp3"));
        assert!(!extension_misleads("mp3", "MP3") && !extension_misleads("wave", "dat"));
    }
}
