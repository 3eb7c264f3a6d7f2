//! The loop over a file's packets: decode, keep what is good, put silence where a packet was refused, and count.

use super::DecodeLimits;
use super::container::{self, Open};
use super::lame;
use super::layout::{Trail, wav_data};
use super::mpeg;
use super::sink::{Sink, TooLong};
use etude_manifests::Status;
use std::io::ErrorKind;
use symphonia::core::audio::{Audio, GenericAudioBufferRef};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;

/// Rates a music file can sensibly have, Hz.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Longest stretch of silence that stands for one refused packet; no codec has longer packets than FLAC.
const MAX_PACKET: u64 = 65_536;
/// Lost frames that one skipped or refused byte can stand for. Music needs about one byte a frame, silence a hundredth of that.
const FRAMES_PER_BYTE: u64 = 1024;

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: Status,
    pub text: String,
    pub container: Option<&'static str>,
}

impl Failure {
    fn new(status: Status, text: String) -> Self {
        Self { status, text, container: None }
    }
}

/// What one pass over a file found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The file could not be opened, or not decoded to the end.
    pub failure: Option<(Status, String)>,
    pub container: Option<String>,
    pub codec: Option<String>,
    pub bits: Option<u32>,
    pub rate: Option<u32>,
    pub channels: Option<usize>,
    /// Frames the header promises, where it can be trusted.
    pub header_frames: Option<u64>,
    /// The format has a place for the length, and it is empty.
    pub length_unknown: bool,
    /// Delay and padding of a LAME tag.
    pub lame: Option<(u32, u32)>,
    pub refused: u32,
    /// What the decoder said about the first packet it refused.
    pub refusal: Option<String>,
    pub spec_change: Option<String>,
    /// The file ended inside a packet.
    pub cut: bool,
    /// Outcome of the comparison with the MD5 in a FLAC header.
    pub md5_ok: Option<bool>,
    /// Outcome of the comparison with the checksum in a LAME tag.
    pub crc_ok: Option<bool>,
    /// The container's own positions trim its packets.
    pub page_trims: bool,
    /// Bytes after the end of the audio that are no tag.
    pub trailing: u64,
    /// Bytes between packets that belong to none.
    pub skipped: u64,
    pub sink: Option<Sink>,
}

/// Decodes `bytes` into `found`, as far as it goes.
pub(super) fn read(
    bytes: &[u8],
    planes: &mut Vec<Vec<f32>>,
    limits: &DecodeLimits,
    found: &mut Found,
) {
    if bytes.is_empty() {
        found.failure = Some((Status::EmptyFile, "the file has 0 bytes".into()));
    } else if let Err(failure) = try_read(bytes, planes, limits, found) {
        found.container = found.container.take().or(failure.container.map(str::to_owned));
        found.failure = Some((failure.status, failure.text));
    }
}

fn try_read(
    bytes: &[u8],
    planes: &mut Vec<Vec<f32>>,
    limits: &DecodeLimits,
    found: &mut Found,
) -> Result<(), Failure> {
    let mut open = container::open(bytes)?;
    describe(&open, bytes, found);
    found.codec = container::undecodable(&open.track).map(str::to_owned);
    let mut decoder = container::decoder(&open.track, limits.verify)?;
    found.codec = Some(decoder.codec_info().short_name.to_owned());
    check_spec(found, limits)?;
    if let Some(rate) = found.rate {
        found.sink = Some(sink(found, rate, limits));
    }
    let mut pass = Pass {
        bytes,
        planes,
        limits,
        found,
        trail: Trail::default(),
        elementary: is_mpeg(&open.container) || open.container == "flac",
        timed: open.container == "flac",
        first_spec: None,
        foreign: 0,
        pending: 0,
        good: 0,
    };
    let ended = pass.run(&mut open, decoder.as_mut());
    let (trail, elementary) = (pass.trail, pass.elementary);
    found.md5_ok = decoder.finalize().verify_ok;
    found.skipped = trail.skipped;
    if elementary {
        found.trailing = trail.trailing(bytes);
    }
    if limits.verify && found.lame.is_some() {
        found.crc_ok = trail.first.and_then(|first| lame::music_intact(bytes, first));
    }
    ended
}

/// Notes what the container says before a packet is read.
fn describe(open: &Open<'_>, bytes: &[u8], found: &mut Found) {
    let track = &open.track;
    found.container = Some(open.container.clone());
    if let Some(CodecParameters::Audio(params)) = &track.codec_params {
        found.rate = params.sample_rate;
        found.channels = params.channels.as_ref().map(|c| c.count());
        found.bits = params.bits_per_sample;
    }
    match open.container.as_str() {
        "wave" => {
            let data = wav_data(bytes);
            found.header_frames = data.and_then(|d| d.declared).and(track.num_frames);
            found.length_unknown = found.header_frames.is_none();
            found.trailing = data.map_or(0, |d| d.trailing);
        }
        "flac" => {
            found.header_frames = track.num_frames;
            found.length_unknown = track.num_frames.is_none();
        }
        name if is_mpeg(name) => {
            found.header_frames = track.num_frames;
            let lame = track.delay.map(|delay| (delay, track.padding.unwrap_or(0)));
            found.lame = lame.filter(|&(delay, padding)| delay + padding > 0);
        }
        "ogg" => found.page_trims = true,
        _ => {}
    }
}

fn check_spec(found: &Found, limits: &DecodeLimits) -> Result<(), Failure> {
    if let Some(rate) = found.rate
        && !RATES.contains(&rate)
    {
        let text = format!("expected {} to {} Hz, got {rate} Hz", RATES.start(), RATES.end());
        return Err(Failure::new(Status::BadSampleRate, text));
    }
    match found.channels {
        Some(n) if n == 0 || n > usize::from(limits.max_channels) => {
            let text = format!("expected 1 to {} channels, got {n}", limits.max_channels);
            Err(Failure::new(Status::BadChannels, text))
        }
        _ => Ok(()),
    }
}

fn sink(found: &Found, rate: u32, limits: &DecodeLimits) -> Sink {
    match found.lame {
        Some((delay, _)) => Sink::new(rate, u64::from(delay), found.header_frames, limits.verify),
        None => Sink::new(rate, 0, None, limits.verify),
    }
}

fn is_mpeg(container: &str) -> bool {
    matches!(container, "mp1" | "mp2" | "mp3")
}

/// One pass over the packets of a track.
struct Pass<'a> {
    bytes: &'a [u8],
    planes: &'a mut Vec<Vec<f32>>,
    limits: &'a DecodeLimits,
    found: &'a mut Found,
    trail: Trail,
    /// Packets lie in the file one after the other, as they are.
    elementary: bool,
    /// Packets carry their own place in time.
    timed: bool,
    /// What the first MPEG header states.
    first_spec: Option<mpeg::Spec>,
    /// Packets in a row that state something else.
    foreign: u32,
    /// Frames of silence that are due before the next good packet.
    pending: u64,
    good: u64,
}

impl Pass<'_> {
    fn run(&mut self, open: &mut Open<'_>, decoder: &mut dyn AudioDecoder) -> Result<(), Failure> {
        loop {
            let packet = match open.format.next_packet() {
                Ok(Some(packet)) if packet.track_id != open.track.id => continue,
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(Error::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => {
                    self.found.cut = true;
                    break;
                }
                Err(Error::ResetRequired) => {
                    self.change("another stream begins".into());
                    break;
                }
                Err(e) => {
                    self.refuse(e.to_string());
                    break;
                }
            };
            let skipped = match self.elementary {
                true => self.trail.follow(self.bytes, &packet.data),
                false => 0,
            };
            if self.found.spec_change.is_some() {
                self.found.refused += 1;
                continue;
            }
            self.note_gap(&packet, skipped);
            self.packet(&packet, open, decoder)?;
        }
        if self.good == 0 && self.found.refused > 0 {
            let said = self.found.refusal.clone().unwrap_or_default();
            let text = format!("all {} packets refused: {said}", self.found.refused);
            return Err(Failure::new(Status::DecodeError, text));
        }
        self.settle()
    }

    fn packet(
        &mut self,
        packet: &Packet,
        open: &Open<'_>,
        decoder: &mut dyn AudioDecoder,
    ) -> Result<(), Failure> {
        if is_mpeg(&open.container) && self.is_foreign(packet) {
            return Ok(());
        }
        match decoder.decode(packet) {
            Ok(audio) if self.found.page_trims => {
                let (start, end) = (packet.trim_start.get(), packet.trim_end.get());
                self.keep(&audio, start as usize, end as usize)
            }
            Ok(audio) => self.keep(&audio, 0, 0),
            Err(e) => {
                self.refuse(e.to_string());
                self.pending += frames_of(packet, open, self.found.rate);
                Ok(())
            }
        }
    }

    /// Notes frames that are missing between the last packet and this one, where packets carry their time.
    fn note_gap(&mut self, packet: &Packet, skipped: u64) {
        if !self.timed || skipped == 0 {
            return;
        }
        let here = self.found.sink.as_ref().map_or(0, |s| s.decoded) + self.pending;
        let gap = u64::try_from(packet.pts.get()).unwrap_or(0).saturating_sub(here);
        if gap > 0 && gap <= skipped.saturating_mul(FRAMES_PER_BYTE) {
            self.pending += gap;
            self.refuse(format!(
                "{gap} frames lost at frame {here}: {skipped} bytes make no packet"
            ));
        }
    }

    /// Whether an MPEG packet states another rate or channel count than the first. One may be an accident in damaged
    /// bytes, two in a row are another stream.
    fn is_foreign(&mut self, packet: &Packet) -> bool {
        let Some(spec) = mpeg::spec(&packet.data) else { return false };
        let first = *self.first_spec.get_or_insert(spec);
        if spec == first {
            self.foreign = 0;
            return false;
        }
        self.foreign += 1;
        self.refuse(format!("{} Hz, {} channels", spec.rate, spec.channels));
        if self.foreign > 1 {
            let text = format!(
                "from {} Hz, {} channels to {} Hz, {} channels",
                first.rate, first.channels, spec.rate, spec.channels
            );
            self.change(text);
        }
        true
    }

    /// Everything from here on is another stream: what came before stays.
    fn change(&mut self, to: String) {
        let at = self.found.sink.as_ref().map_or(0, |s| s.decoded);
        self.found.spec_change = Some(format!("{to} after {at} frames"));
        self.pending = 0;
    }

    fn refuse(&mut self, why: String) {
        self.found.refused += 1;
        self.found.refusal.get_or_insert(why);
    }

    /// Keeps decoded audio without `start` frames before and `end` frames after it.
    fn keep(
        &mut self,
        audio: &GenericAudioBufferRef<'_>,
        start: usize,
        end: usize,
    ) -> Result<(), Failure> {
        let until = audio.frames().saturating_sub(end);
        if start >= until {
            return Ok(());
        }
        let (rate, channels) = (audio.spec().rate(), audio.num_planes());
        if self.found.sink.is_none() || self.good == 0 {
            self.found.rate = Some(rate);
            self.found.channels = Some(channels);
            check_spec(self.found, self.limits)?;
            if self.found.sink.is_none() {
                self.found.sink = Some(sink(self.found, rate, self.limits));
            }
        } else if (self.found.rate, self.found.channels) != (Some(rate), Some(channels)) {
            self.change(format!("to {rate} Hz, {channels} channels"));
            return Ok(());
        }
        self.settle()?;
        self.good += 1;
        let Some(sink) = &mut self.found.sink else { return Ok(()) };
        let stored = match audio {
            GenericAudioBufferRef::F32(buffer) => {
                sink.push(&mut buffer.iter_planes().map(|p| &p[start..until]).collect::<Vec<_>>())
            }
            other => {
                other.copy_to_vecs_planar(self.planes);
                sink.push(&mut self.planes.iter().map(|p| &p[start..until]).collect::<Vec<_>>())
            }
        };
        stored.map_err(too_long)
    }

    /// Puts the silence that is due.
    fn settle(&mut self) -> Result<(), Failure> {
        let frames = std::mem::take(&mut self.pending);
        match &mut self.found.sink {
            Some(sink) if frames > 0 => sink.silence(frames).map_err(too_long),
            _ => Ok(()),
        }
    }
}

fn too_long(_: TooLong) -> Failure {
    Failure::new(Status::DecodeError, "more than 2^31 frames".into())
}

/// Frames a refused packet stands for: its duration, from the track's time base to the audio's rate.
fn frames_of(packet: &Packet, open: &Open<'_>, rate: Option<u32>) -> u64 {
    let ticks = u128::from(packet.block_dur().get());
    let frames = match (open.track.time_base, rate) {
        (Some(base), Some(rate)) => {
            ticks * u128::from(base.numer.get()) * u128::from(rate) / u128::from(base.denom.get())
        }
        _ => ticks,
    };
    let warranted = (packet.data.len() as u64).saturating_mul(FRAMES_PER_BYTE).min(MAX_PACKET);
    frames.min(u128::from(warranted)) as u64
}
