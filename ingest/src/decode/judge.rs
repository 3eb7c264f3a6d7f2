//! From what was found to a verdict: the rules of [`Status`] in order, then the warnings.

use super::container::extension_misleads;
use super::sink::Collected;
use super::stream::Found;
use super::{DecodeLimits, Decoded};
use crate::pcm::Pcm;
use crate::quality::SILENT_PEAK;
use etude_manifests::{Facts, Status, Warning};

/// Longest status text, characters.
const MAX_TEXT: usize = 500;
/// Frames beyond the header's promise that are no surprise: two MPEG frames.
const SURPLUS: u64 = 2 * 1152;

/// Share of clipped samples, absolute mean and share of silent blocks from which there is a warning.
const CLIPPING: f32 = 0.001;
const DC: f32 = 0.05;
const MOSTLY_SILENT: f32 = 0.9;

/// The verdict on a file of `bytes` with this extension.
pub(super) fn judge(
    mut found: Found,
    bytes: &[u8],
    extension: Option<&str>,
    digest_ok: Option<bool>,
    limits: &DecodeLimits,
) -> Decoded {
    let collected = found.sink.take().map(super::sink::Sink::finish);
    let facts = facts(&found, collected.as_ref(), bytes.len());
    let warnings = warnings(&found, collected.as_ref(), &facts, extension, limits);
    let (status, text) = match rule(&found, collected.as_ref(), &facts, digest_ok, limits) {
        Some((status, text)) => (status, Some(clip(text))),
        None if warnings.is_empty() => (Status::Ok, None),
        None => (Status::OkWarn, None),
    };
    let samples = collected.map(|c| c.samples).unwrap_or_default();
    let pcm = Pcm { samples, rate: found.rate.unwrap_or(0) };
    Decoded { pcm, facts, status, status_text: text, warnings }
}

/// At most 500 characters of `text`.
pub(super) fn clip(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
    text
}

/// The first rule that matches.
fn rule(
    found: &Found,
    collected: Option<&Collected>,
    facts: &Facts,
    digest_ok: Option<bool>,
    limits: &DecodeLimits,
) -> Option<(Status, String)> {
    if let Some(failure) = &found.failure {
        return Some(failure.clone());
    }
    let frames = facts.frames.unwrap_or(0) as u64;
    let Some(c) = collected.filter(|_| frames > 0) else {
        let text = format!("expected samples, got 0 frames from {}", promise(found));
        return Some((Status::NoSamples, text));
    };
    if c.nonfinite > 0 {
        let text = format!("{} samples are NaN or infinite", c.nonfinite);
        return Some((Status::Nonfinite, text));
    }
    if let Some(change) = &found.spec_change {
        return Some((Status::SpecChange, change.clone()));
    }
    let promised = found.header_frames.unwrap_or(0);
    let counts = format!("expected {promised} frames, got {frames}");
    if u128::from(frames) * 100 < u128::from(promised) * 98 {
        return Some((Status::Truncated, counts));
    }
    if found.cut && found.header_frames.is_none() && found.container.as_deref() != Some("wave") {
        let text = format!("the file ends inside a packet, after {frames} frames");
        return Some((Status::Truncated, text));
    }
    if found.refused > 0 {
        let why = found.refusal.as_deref().unwrap_or("no message");
        let text = format!("{} packets refused, silence in their place: {why}", found.refused);
        return Some((Status::Partial, text));
    }
    if u128::from(frames) * 1000 < u128::from(promised) * 999 {
        return Some((Status::Partial, counts));
    }
    let seconds = facts.duration_s.unwrap_or(0.0);
    if seconds < limits.min_s {
        let text = format!("expected at least {} s, got {seconds:.4} s", limits.min_s);
        return Some((Status::TooShort, text));
    }
    if c.summary.peak < SILENT_PEAK {
        let text = format!("expected a peak of {SILENT_PEAK} or more, got {:e}", c.summary.peak);
        return Some((Status::Silent, text));
    }
    if digest_ok == Some(false) {
        let text = "the bytes do not have the published digest".to_owned();
        return Some((Status::DigestMismatch, text));
    }
    None
}

fn promise(found: &Found) -> String {
    match found.header_frames {
        Some(n) => format!("a header that promises {n}"),
        None => "a header without a count".to_owned(),
    }
}

fn facts(found: &Found, collected: Option<&Collected>, bytes: usize) -> Facts {
    let mut facts = Facts {
        container: found.container.clone(),
        codec: found.codec.clone(),
        src_rate: found.rate.and_then(|r| i32::try_from(r).ok()),
        src_channels: found.channels.and_then(|c| i16::try_from(c).ok()),
        src_bits: found.bits.and_then(|b| i16::try_from(b).ok()),
        header_frames: found.header_frames.and_then(|n| i64::try_from(n).ok()),
        ..Facts::default()
    };
    let Some(c) = collected else { return facts };
    let frames = c.samples.len();
    facts.frames = Some(frames as i64);
    facts.decoded_frames = Some(c.decoded as i64);
    facts.decode_errors = i32::try_from(found.refused).ok();
    facts.nonfinite = Some(c.nonfinite as i64);
    let policy = match (found.lame, found.page_trims) {
        (Some(_), _) => "lame",
        (None, true) => "ogg",
        (None, false) => "none",
    };
    facts.trim_policy = Some(policy.to_owned());
    facts.delay = found.lame.and_then(|(delay, _)| i32::try_from(delay).ok());
    facts.padding = found.lame.and_then(|(_, padding)| i32::try_from(padding).ok());
    if let Some(rate) = found.rate.filter(|&r| r > 0) {
        let seconds = frames as f64 / f64::from(rate);
        facts.duration_s = Some(seconds);
        if frames > 0 {
            facts.bit_rate = Some((bytes as f64 * 8.0 / seconds).round() as i32);
        }
    }
    if frames > 0 {
        facts.pcm_sha256 = c.pcm_sha256;
        facts.peak = Some(c.summary.peak);
        facts.rms = Some(c.summary.rms);
        facts.dc = Some(c.summary.dc);
        facts.silence_ratio = Some(c.summary.silence_ratio);
        facts.clip_ratio = Some(c.summary.clip_ratio);
    }
    facts
}

fn warnings(
    found: &Found,
    collected: Option<&Collected>,
    facts: &Facts,
    extension: Option<&str>,
    limits: &DecodeLimits,
) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |when: bool, what: Warning| {
        if when {
            all.push(what);
        }
    };
    let container = found.container.as_deref();
    let misleads = extension.zip(container).is_some_and(|(e, c)| extension_misleads(c, e));
    warn(found.length_unknown, Warning::LengthUnknown);
    warn(misleads, Warning::ExtensionMismatch);
    warn(found.md5_ok == Some(false), Warning::Md5Mismatch);
    warn(found.crc_ok == Some(false), Warning::CrcMismatch);
    warn(found.skipped > 0, Warning::SkippedBytes);
    let Some(c) = collected.filter(|c| !c.samples.is_empty()) else {
        warn(found.trailing > 0, Warning::TrailingBytes);
        all.sort_unstable();
        return all;
    };
    let (delay, padding) = found.lame.unwrap_or((0, 0));
    let declared = found.header_frames.map(|n| n + u64::from(delay) + u64::from(padding));
    let surplus = declared.is_some_and(|n| c.decoded > n.saturating_add(SURPLUS));
    warn(found.trailing > 0 || surplus, Warning::TrailingBytes);
    warn(c.summary.clip_ratio > CLIPPING, Warning::Clipping);
    warn(c.summary.dc.abs() > DC, Warning::Dc);
    warn(c.summary.silence_ratio >= MOSTLY_SILENT, Warning::MostlySilent);
    warn(c.summary.peak > 1.0, Warning::PeakAboveOne);
    warn(c.channel_silent, Warning::ChannelSilent);
    warn(c.antiphase, Warning::Antiphase);
    let too_long = facts.duration_s.zip(limits.max_s).is_some_and(|(got, max)| got > max);
    warn(too_long, Warning::DurationMismatch);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_500_characters_not_bytes() {
        assert_eq!(clip("é".repeat(600)).chars().count(), 500);
        assert_eq!(clip("short".into()), "short");
    }
}
