//! From a score to stereo: every part into its stem, stems into a room, the sum mastered to its loudness.

use crate::culture::Style;
use crate::drums;
use crate::dsp::{Noise, OnePole, gain, hertz, rms, to_db};
use crate::performer::Performer;
use crate::rng::mix;
use crate::room::Room;
use crate::score::{Line, Part, Score};
use crate::texture;
use crate::voices::{Cue, Family, play};

/// Seconds rendered before a clip begins, so that the room already rings.
const LEAD_S: f64 = 0.7;
/// Seconds a note may sound after its end.
const RING_S: f64 = 2.0;
/// Loudness of an ordinary mix before mastering, dB.
const ORDINARY_DB: f64 = -18.0;

/// Which seconds of a piece, in which quality.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Samples per second.
    pub rate: u32,
    /// Start in the piece.
    pub start_s: f64,
    /// Length.
    pub seconds: f64,
    /// Mastering between the style's softest (0) and loudest (1).
    pub level: f64,
    /// What makes the noise of this recording its own.
    pub seed: u64,
}

/// How much of the mix one family is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stem {
    /// Who.
    pub family: Family,
    /// Energy relative to the whole mix, dB.
    pub share_db: f64,
    /// Share of the time it sounds, 0 to 1.
    pub active: f64,
}

/// A rendered clip.
#[derive(Debug)]
pub struct Mix {
    /// Left channel.
    pub left: Vec<f32>,
    /// Right channel.
    pub right: Vec<f32>,
    /// Families heard, each once, in the order of the score.
    pub stems: Vec<Stem>,
}

impl Mix {
    /// Mean of both channels.
    pub fn mono(&self) -> Vec<f32> {
        self.left.iter().zip(&self.right).map(|(l, r)| 0.5 * (l + r)).collect()
    }

    /// Root mean square of the mean of both channels, dB below full scale.
    pub fn loudness_db(&self) -> f64 {
        to_db(rms(&self.mono()))
    }
}

/// Two channels while they are mixed.
struct Bus {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Bus {
    fn silent(frames: usize) -> Self {
        Self { left: vec![0.0; frames], right: vec![0.0; frames] }
    }

    /// Adds a mono sound whose first sample falls on `at` (may lie before the bus), panned with equal power.
    fn add(&mut self, sound: &[f32], at: i64, pan: f32, gain: f32) {
        let skip = (-at).max(0) as usize;
        let start = at.max(0) as usize;
        if skip >= sound.len() || start >= self.left.len() {
            return;
        }
        let angle = 0.25 * std::f32::consts::PI * (1.0 + pan.clamp(-1.0, 1.0));
        let (left, right) = (gain * angle.cos(), gain * angle.sin());
        let both = self.left[start..].iter_mut().zip(&mut self.right[start..]);
        for ((l, r), &x) in both.zip(&sound[skip..]) {
            *l += left * x;
            *r += right * x;
        }
    }
}

/// Renders one clip of a piece.
pub fn render(score: &Score, performer: &Performer, style: &Style, take: &Take) -> Mix {
    let rate = f64::from(take.rate);
    let from_s = (take.start_s - LEAD_S).max(0.0);
    let lead = ((take.start_s - from_s) * rate).round() as usize;
    let frames = lead + (take.seconds * rate).round() as usize;

    let mut dry = Bus::silent(frames);
    let mut send = vec![0.0f32; frames];
    let mut stems = Vec::new();
    for (index, part) in score.parts.iter().enumerate() {
        let mut stem = Bus::silent(frames);
        perform(part, index as u64, from_s, take, performer, &mut stem);
        let wet = wetness(part.family);
        let sum = dry.left.iter_mut().zip(&mut dry.right).zip(&mut send);
        for (((l, r), s), (&a, &b)) in sum.zip(stem.left.iter().zip(&stem.right)) {
            *l += a;
            *r += b;
            *s += wet * 0.5 * (a + b);
        }
        note_stem(&mut stems, part.family, &stem, lead, rate);
    }

    let mut room = Room::new(performer.room_s, 2500.0 + 1500.0 * performer.level, rate);
    let wet = (1.4 * performer.wet) as f32;
    let dull = (1.0 - 0.4 * performer.wet) as f32;
    for ((l, r), &x) in dry.left.iter_mut().zip(&mut dry.right).zip(&send) {
        let (a, b) = room.sample(x);
        *l = dull * *l + wet * a;
        *r = dull * *r + wet * b;
    }
    let mut mix = Mix {
        left: dry.left.split_off(lead),
        right: dry.right.split_off(lead),
        stems: shares(&stems),
    };
    master(&mut mix, performer, style, take);
    mix
}

/// Plays one part into its stem.
fn perform(
    part: &Part,
    index: u64,
    from_s: f64,
    take: &Take,
    performer: &Performer,
    stem: &mut Bus,
) {
    let rate = f64::from(take.rate);
    let to_s = from_s + stem.left.len() as f64 / rate;
    let level = gain(part.gain_db);
    let mut sound = Vec::new();
    let place = |start_s: f64| ((start_s - from_s) * rate).round() as i64;
    match &part.line {
        Line::Notes(notes) => {
            for (number, note) in notes.iter().enumerate() {
                if note.start_s >= to_s || note.start_s + note.len_s + RING_S < from_s {
                    continue;
                }
                let seed = mix(performer.seed, "note", &[index, number as u64]);
                let hz = hertz(note.pitch);
                let cue =
                    Cue { rate, hz, len_s: note.len_s, force: note.force, seed, patch: part.patch };
                play(part.family, &cue, &mut sound);
                let spread = ((note.pitch * 7.0).rem_euclid(12.0) / 6.0 - 1.0) as f32;
                stem.add(&sound, place(note.start_s), part.pan + part.width * spread, level);
            }
        }
        Line::Hits(hits) => {
            for (number, hit) in hits.iter().enumerate() {
                if hit.start_s >= to_s || hit.start_s + RING_S < from_s {
                    continue;
                }
                let seed = mix(performer.seed, "hit", &[index, number as u64]);
                drums::hit(hit.piece, hit.force, &part.patch, seed, rate, &mut sound);
                stem.add(
                    &sound,
                    place(hit.start_s),
                    part.pan + part.width * hit.piece.pan(),
                    level,
                );
            }
        }
        Line::Ambience(kind) => {
            for (side, channel) in [&mut stem.left, &mut stem.right].into_iter().enumerate() {
                let seed = mix(take.seed, "ambience", &[index, side as u64]);
                texture::fill(*kind, seed, from_s, rate, channel);
                channel.iter_mut().for_each(|x| *x *= level);
            }
        }
    }
}

/// How much of a family goes into the room; low sounds muddy it.
fn wetness(family: Family) -> f32 {
    match family {
        Family::Upright | Family::Electric | Family::Sub => 0.1,
        Family::Kit | Family::Frame => 0.35,
        Family::Texture => 0.2,
        _ => 1.0,
    }
}

/// Energy and time of one family so far.
struct Heard {
    family: Family,
    power: f64,
    /// Power in every tenth of a second.
    tenths: Vec<f64>,
}

fn note_stem(stems: &mut Vec<Heard>, family: Family, stem: &Bus, lead: usize, rate: f64) {
    let step = ((0.1 * rate) as usize).max(1);
    let tenths: Vec<f64> = stem.left[lead..]
        .chunks(step)
        .zip(stem.right[lead..].chunks(step))
        .map(|(l, r)| rms(l).powi(2) + rms(r).powi(2))
        .collect();
    let power = tenths.iter().sum::<f64>() / tenths.len().max(1) as f64;
    match stems.iter_mut().find(|heard| heard.family == family) {
        Some(heard) => {
            heard.power += power;
            heard.tenths.iter_mut().zip(&tenths).for_each(|(a, b)| *a += b);
        }
        None => stems.push(Heard { family, power, tenths }),
    }
}

/// Shares of the whole; a family sounds in a tenth of a second when it is within 26 dB of the mean of the mix.
fn shares(stems: &[Heard]) -> Vec<Stem> {
    let whole: f64 = stems.iter().map(|heard| heard.power).sum::<f64>().max(1e-12);
    stems
        .iter()
        .map(|heard| {
            let sounding = heard.tenths.iter().filter(|&&p| p > 0.0025 * whole).count();
            Stem {
                family: heard.family,
                share_db: 10.0 * (heard.power / whole).max(1e-9).log10(),
                active: sounding as f64 / heard.tenths.len().max(1) as f64,
            }
        })
        .collect()
}

/// Colour, loudness, limiter, hiss.
fn master(mix: &mut Mix, performer: &Performer, style: &Style, take: &Take) {
    let rate = f64::from(take.rate);
    let (low, high) = (gain(-0.5 * performer.tilt_db), gain(0.5 * performer.tilt_db));
    for channel in [&mut mix.left, &mut mix.right] {
        let mut split = OnePole::new(800.0, rate);
        let mut rumble = OnePole::new(25.0, rate);
        for x in channel.iter_mut() {
            let x_clean = rumble.high(*x);
            let bass = split.low(x_clean);
            *x = low * bass + high * (x_clean - bass);
        }
    }
    let now_db = mix.loudness_db();
    let target = style.level_db.0 + (style.level_db.1 - style.level_db.0) * take.level;
    let swing = style.dynamics * (now_db - ORDINARY_DB).clamp(-9.0, 9.0);
    let up = gain(target - now_db + swing);
    let hiss = gain(performer.floor_db);
    for (side, channel) in [&mut mix.left, &mut mix.right].into_iter().enumerate() {
        let mut noise = Noise::new(take.seed ^ side as u64);
        for x in channel.iter_mut() {
            *x = limit(up * *x) + hiss * noise.sample();
        }
    }
}

/// Linear to 0.6, then bent so that nothing passes 0.97.
fn limit(x: f32) -> f32 {
    let over = x.abs() - 0.6;
    if over <= 0.0 { x } else { x.signum() * (0.6 + 0.37 * (over / 0.37).tanh()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composer::{Order, compose};
    use crate::western::WESTERN;

    fn one(style: usize, band: usize, start_s: f64, level: f64) -> Mix {
        let style_ref = &WESTERN.styles[style];
        let performer = Performer::new(3, style, "x".into(), style, style_ref);
        let score = compose(
            style_ref,
            &performer,
            &Order { band, metre: 4, pace: 0.5, seed: 5, seconds: 30.0 },
        );
        render(
            &score,
            &performer,
            style_ref,
            &Take { rate: 16_000, start_s, seconds: 3.0, level, seed: 8 },
        )
    }

    #[test]
    fn no_clip_reaches_full_scale_and_all_have_both_channels() {
        for style in 0..WESTERN.styles.len() {
            let mix = one(style, 0, 6.0, 1.0);
            assert_eq!((mix.left.len(), mix.right.len()), (48_000, 48_000));
            let peak = mix.left.iter().chain(&mix.right).fold(0f32, |m, x| m.max(x.abs()));
            assert!(peak < 0.99 && peak > 0.02, "{}: {peak}", WESTERN.styles[style].name);
            assert!(
                (mix.stems.iter().map(|s| 10f64.powf(s.share_db / 10.0)).sum::<f64>() - 1.0).abs()
                    < 1e-6
            );
        }
    }

    #[test]
    fn mastering_reaches_the_loudness_asked_for() {
        for (style, tolerance) in [(4, 3.0), (0, 5.0)] {
            let (soft, loud) =
                (one(style, 0, 9.0, 0.0).loudness_db(), one(style, 0, 9.0, 1.0).loudness_db());
            let range = WESTERN.styles[style].level_db;
            assert!(
                (soft - range.0).abs() < tolerance && (loud - range.1).abs() < tolerance,
                "{soft} {loud}"
            );
        }
    }

    #[test]
    fn a_clip_does_not_start_from_silence_when_the_piece_is_already_playing() {
        let mix = one(4, 0, 12.0, 0.5);
        assert!(rms(&mix.left[..1600]) > 0.2 * rms(&mix.left));
    }

    /// Beats per minute between 90 and 180 at which the loudness of the lows repeats best.
    fn tempo(wave: &[f32], rate: f64) -> f64 {
        let hop = (0.01 * rate) as usize;
        let mut low = OnePole::new(150.0, rate);
        let lows: Vec<f32> = wave.iter().map(|&x| low.low(x)).collect();
        let loud: Vec<f64> = lows.chunks(hop).map(rms).collect();
        let rise: Vec<f64> = loud.windows(2).map(|w| (w[1] - w[0]).max(0.0)).collect();
        let mean = rise.iter().sum::<f64>() / rise.len() as f64;
        let alike = |lag: f64| {
            let (whole, part) = (lag as usize, lag.fract());
            (0..rise.len() - whole - 1)
                .map(|i| {
                    (rise[i] - mean)
                        * (rise[i + whole] * (1.0 - part) + rise[i + whole + 1] * part - mean)
                })
                .sum::<f64>()
        };
        let bpms = (900..1800).map(|tenth| f64::from(tenth) / 10.0);
        bpms.max_by(|a, b| alike(6000.0 / a).total_cmp(&alike(6000.0 / b))).unwrap()
    }

    #[test]
    fn the_tempo_heard_is_the_tempo_of_the_score() {
        let style = &WESTERN.styles[4]; // four to the floor
        for (seed, pace) in [(1, 0.0), (2, 0.5), (3, 1.0)] {
            let performer = Performer::new(seed, 4, "x".into(), 4, style);
            let score =
                compose(style, &performer, &Order { band: 0, metre: 4, pace, seed, seconds: 40.0 });
            let take = Take { rate: 16_000, start_s: 14.0, seconds: 12.0, level: 0.5, seed };
            let heard = tempo(&render(&score, &performer, style, &take).mono(), 16_000.0);
            let played = score.bpm(14.0, 26.0).unwrap();
            assert!((heard / played - 1.0).abs() < 0.03, "heard {heard:.1}, played {played:.1}");
        }
    }
}
