//! Instruments: from a [`Cue`] (pitch, length, force) to samples. One family of sound production a file.
//!
//! Every note comes out at about the same loudness (root mean square 0.1 to 0.2 at full force), so that the composer's
//! gains alone decide the balance.

mod bowed;
mod organ;
mod plucked;
mod struck;
mod synth;
mod throat;
mod wave;
mod wind;

use crate::rng::Rng;

/// What plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Steel or nylon guitar.
    Guitar,
    /// Guitar through an overdriven amplifier.
    Overdrive,
    /// Concert harp.
    Harp,
    /// Grand piano.
    Piano,
    /// Tuned bars and bells.
    Bells,
    /// A desk of bowed strings.
    Strings,
    /// One bowed string.
    Fiddle,
    /// Transverse flute.
    Flute,
    /// Trumpet or horn.
    Brass,
    /// Pipe or tone-wheel organ.
    Organ,
    /// Slow synthesiser chord.
    Pad,
    /// Synthesiser melody.
    Lead,
    /// Short synthesiser note with a closing filter.
    Blip,
    /// Plucked bass.
    Upright,
    /// Electric bass.
    Electric,
    /// Synthesiser bass.
    Sub,
    /// One singer.
    Singer,
    /// Many singers.
    Choir,
    /// Drum kit.
    Kit,
    /// Noise as a place: wind, rain, tape.
    Texture,
    /// Short-necked lute with strings in pairs.
    Lute,
    /// Double reed: loud and nasal.
    Reed,
    /// Long strings that are plucked to ring, over a bridge that makes them buzz.
    Hum,
    /// Frame drum with jingles.
    Frame,
}

impl Family {
    /// Whether it plays pitches.
    pub fn pitched(self) -> bool {
        !matches!(self, Self::Kit | Self::Texture | Self::Frame)
    }

    /// Lowest and highest comfortable note number.
    pub fn compass(self) -> (f64, f64) {
        match self {
            Self::Guitar => (45.0, 76.0),
            Self::Overdrive => (40.0, 74.0),
            Self::Harp => (48.0, 88.0),
            Self::Piano => (45.0, 86.0),
            Self::Bells => (72.0, 96.0),
            Self::Strings => (50.0, 84.0),
            Self::Fiddle => (57.0, 88.0),
            Self::Flute => (67.0, 93.0),
            Self::Brass => (55.0, 80.0),
            Self::Organ => (48.0, 80.0),
            Self::Pad => (50.0, 78.0),
            Self::Lead => (62.0, 88.0),
            Self::Blip => (57.0, 84.0),
            Self::Upright | Self::Electric => (28.0, 48.0),
            Self::Sub => (26.0, 45.0),
            Self::Singer => (53.0, 76.0),
            Self::Choir => (50.0, 79.0),
            Self::Lute => (45.0, 76.0),
            Self::Reed => (60.0, 84.0),
            Self::Hum => (36.0, 55.0),
            Self::Kit | Self::Texture | Self::Frame => (0.0, 0.0),
        }
    }
}

/// How one player's instrument differs from the next one's. Each field lies in -1..1.
#[derive(Debug, Clone, Copy)]
pub struct Patch {
    /// Dull to brilliant.
    pub bright: f32,
    /// Crisp to soft onset.
    pub soft: f32,
    /// Plain to rich vibrato and detuning.
    pub motion: f32,
    /// Which resonances the body has.
    pub body: u64,
}

impl Patch {
    /// Draws an instrument.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            bright: rng.range(-1.0, 1.0) as f32,
            soft: rng.range(-1.0, 1.0) as f32,
            motion: rng.range(-1.0, 1.0) as f32,
            body: (rng.unit() * 1e12) as u64,
        }
    }
}

/// One note to be played.
#[derive(Debug, Clone, Copy)]
pub struct Cue {
    /// Samples per second.
    pub rate: f64,
    /// Fundamental.
    pub hz: f64,
    /// From onset to release, seconds; the sound may ring on.
    pub len_s: f64,
    /// 0 to 1.
    pub force: f32,
    /// What makes this note unlike the last.
    pub seed: u64,
    /// The instrument.
    pub patch: Patch,
}

/// Replaces `out` by the note, mono, including what rings on after its release.
pub fn play(family: Family, cue: &Cue, out: &mut Vec<f32>) {
    out.clear();
    match family {
        Family::Guitar => plucked::guitar(cue, out),
        Family::Overdrive => plucked::overdrive(cue, out),
        Family::Harp => plucked::harp(cue, out),
        Family::Upright => plucked::upright(cue, out),
        Family::Electric => plucked::electric(cue, out),
        Family::Piano => struck::piano(cue, out),
        Family::Bells => struck::bells(cue, out),
        Family::Strings => bowed::section(cue, out),
        Family::Fiddle => bowed::solo(cue, out),
        Family::Flute => wind::flute(cue, out),
        Family::Brass => wind::brass(cue, out),
        Family::Organ => organ::organ(cue, out),
        Family::Pad => synth::pad(cue, out),
        Family::Lead => synth::lead(cue, out),
        Family::Blip => synth::blip(cue, out),
        Family::Sub => synth::sub(cue, out),
        Family::Singer => throat::singer(cue, out),
        Family::Choir => throat::choir(cue, out),
        Family::Lute => plucked::lute(cue, out),
        Family::Hum => plucked::hum(cue, out),
        Family::Reed => wind::reed(cue, out),
        Family::Kit | Family::Texture | Family::Frame => {} // not made of notes: see `drums` and `texture`
    }
}

/// Fades the last `s` seconds to zero so that a ringing note never ends in a click.
fn fade_out(out: &mut [f32], s: f64, rate: f64) {
    let n = ((s * rate) as usize).min(out.len());
    let start = out.len() - n;
    for (index, x) in out[start..].iter_mut().enumerate() {
        *x *= 1.0 - (index + 1) as f32 / n as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{hertz, rms, to_db};

    const PITCHED: [Family; 21] = [
        Family::Guitar,
        Family::Overdrive,
        Family::Harp,
        Family::Piano,
        Family::Bells,
        Family::Strings,
        Family::Fiddle,
        Family::Flute,
        Family::Brass,
        Family::Organ,
        Family::Pad,
        Family::Lead,
        Family::Blip,
        Family::Upright,
        Family::Electric,
        Family::Sub,
        Family::Singer,
        Family::Choir,
        Family::Lute,
        Family::Reed,
        Family::Hum,
    ];

    fn note(family: Family, pitch: f64, rate: f64, seed: u64) -> Vec<f32> {
        let patch = Patch::draw(&mut Rng::new(seed, "patch", &[]));
        let mut out = Vec::new();
        let cue = Cue { rate, hz: hertz(pitch), len_s: 0.5, force: 0.9, seed, patch };
        play(family, &cue, &mut out);
        out
    }

    #[test]
    fn every_voice_is_finite_and_of_like_loudness_at_every_rate() {
        for family in PITCHED {
            let (low, high) = family.compass();
            for (seed, rate) in [16_000.0, 22_050.0, 48_000.0].into_iter().enumerate() {
                for pitch in [low, 0.5 * (low + high), high] {
                    let wave = note(family, pitch, rate, seed as u64);
                    assert!(wave.iter().all(|x| x.is_finite()), "{family:?} {pitch} {rate}");
                    let level = to_db(rms(&wave[..(0.4 * rate) as usize]));
                    assert!(
                        (-28.0..-8.0).contains(&level),
                        "{family:?} {pitch} {rate}: {level:.1} dB"
                    );
                }
            }
        }
    }

    #[test]
    fn a_voice_sounds_at_the_pitch_it_was_asked_for() {
        let rate = 32_000.0;
        for family in PITCHED {
            let (low, high) = family.compass();
            let hz = hertz((0.5 * (low + high)).round());
            let wave = note(family, (0.5 * (low + high)).round(), rate, 7);
            let wave = &wave[(0.08 * rate) as usize..(0.45 * rate) as usize];
            let alike = |lag: f64| {
                let (whole, part) = (lag as usize, lag.fract() as f32);
                let n = wave.len() - whole - 1;
                let pair = |i: usize| wave[i + whole] * (1.0 - part) + wave[i + whole + 1] * part;
                let dot: f32 = (0..n).map(|i| wave[i] * pair(i)).sum();
                let norm: f32 = (0..n).map(|i| pair(i) * pair(i)).sum();
                dot / norm.sqrt()
            };
            let best: i32 = (-60..=60)
                .map(|cents| (cents, alike(rate / hz * 2f64.powf(f64::from(cents) / 1200.0))))
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .map(|(cents, _)| cents)
                .unwrap();
            if family != Family::Bells {
                assert!(best.abs() <= 25, "{family:?}: off by {best} cents");
            }
        }
    }
}
