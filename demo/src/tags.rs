//! Tags: what a listener would say of a clip, from what is audible in it, and how annotators miss some of it.

use crate::culture::{Culture, Style};
use crate::mix::{Mix, Stem};
use crate::rng::Rng;
use crate::score::Score;
use crate::voices::Family;

/// Slower than this is slow, beats per minute.
pub const SLOW_BPM: f64 = 82.0;
/// Faster than this is fast, beats per minute.
pub const FAST_BPM: f64 = 124.0;
/// Softer than this is quiet, dB below full scale.
pub const QUIET_DB: f64 = -28.0;
/// Louder than this is loud, dB below full scale.
pub const LOUD_DB: f64 = -14.0;

/// Share of positives that annotators miss when a tag is plain, and when it is borderline.
const MISSED: (f64, f64) = (0.035, 0.22);
/// Chance of a wrong positive for any tag.
const WRONG: f64 = 0.005;

/// What is audible in a clip.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// Index into the culture's tags and how plain it is, 0 borderline to 1 obvious; by index.
    pub tags: Vec<(usize, f64)>,
    /// Root mean square, dB below full scale.
    pub loudness_db: f64,
    /// Tempo played.
    pub bpm: Option<f64>,
}

/// Listens to a clip: the mix, and the beats and onsets between `from_s` and `to_s` of its score.
pub fn listen(
    culture: &Culture,
    style: &Style,
    score: &Score,
    mix: &Mix,
    (from_s, to_s): (f64, f64),
) -> Heard {
    let loudness_db = mix.loudness_db();
    let bpm = score.bpm(from_s, to_s);
    let onsets = score.onsets(from_s, to_s);
    let mut found: Vec<(usize, f64)> = Vec::new();
    let mut say = |tag: &str, plain: f64| {
        let Some(index) = culture.tags.iter().position(|t| *t == tag) else { return };
        if plain >= 0.0 {
            match found.iter_mut().find(|f| f.0 == index) {
                Some(f) => f.1 = f.1.max(plain.min(1.0)),
                None => found.push((index, plain.min(1.0))),
            }
        }
    };

    let (mut pitched, mut vocal) = (0, false);
    for stem in &mix.stems {
        // Present at -16 dB of the mix for an eighth of the time, obvious 8 dB above that.
        let plain = ((stem.share_db + 16.0) / 8.0).min((stem.active - 0.12) / 0.3);
        for tag in culture.instruments.iter().filter(|i| i.0 == stem.family).flat_map(|i| i.1) {
            say(tag, plain);
        }
        let here = stem.share_db > -20.0 && stem.active > 0.1;
        pitched += u32::from(here && stem.family.pitched());
        vocal |= here && matches!(stem.family, Family::Singer | Family::Choir);
    }
    let beaten = |s: &Stem| matches!(s.family, Family::Kit | Family::Frame);
    let kit = mix.stems.iter().any(|s| beaten(s) && s.share_db > -17.0 && s.active > 0.2);
    let alone = pitched == 1 && mix.stems.iter().all(|s| s.family.pitched() || s.share_db < -20.0);
    if alone && !matches!(mix.stems[0].family, Family::Pad | Family::Choir) {
        say("solo", 1.0);
    }
    if !vocal {
        say("no vocals", 1.0);
    }
    for genre in style.genres {
        say(genre, 0.3);
    }
    if kit && (style.genres.contains(&"electronic") || style.genres.contains(&"rock")) {
        say("beat", 0.4);
    }
    for (_, cycle) in culture.cycles.iter().filter(|c| kit && c.0 == score.metre) {
        say(cycle, 0.5);
    }
    if let Some(mode) = score.mode {
        say(mode, 0.6);
    }
    if let Some(bpm) = bpm {
        if onsets < 7.0 {
            say("slow", (SLOW_BPM - bpm) / 12.0);
        }
        if onsets > 2.0 {
            say("fast", (bpm - FAST_BPM) / 14.0);
        }
        if score.metre == 3 && bpm > 60.0 {
            say("waltz", 0.8);
        }
    }
    say("quiet", (QUIET_DB - loudness_db) / 4.0);
    say("loud", (loudness_db - LOUD_DB) / 3.0);
    if mix.stems.iter().any(|s| s.family.pitched()) && style.name != "ambient" {
        say(if score.minor { "minor" } else { "major" }, 1.0);
    }
    found.sort_by_key(|f| f.0);
    Heard { tags: found, loudness_db, bpm }
}

/// One clip's annotation: one flag a tag, after annotators missed some and imagined others.
pub fn annotate(culture: &Culture, heard: &Heard, seed: u64, clip: u64) -> Vec<bool> {
    let mut rng = Rng::new(seed, "annotate", &[clip]);
    let mut flags = vec![false; culture.tags.len()];
    for (index, flag) in flags.iter_mut().enumerate() {
        let plain = heard.tags.iter().find(|t| t.0 == index).map(|t| t.1);
        let (miss, wrong) = (rng.unit(), rng.unit());
        *flag = match plain {
            Some(plain) => miss >= MISSED.1 + (MISSED.0 - MISSED.1) * (2.0 * plain).min(1.0),
            None => wrong < WRONG,
        };
        if let Some((_, often)) = culture.seldom.iter().find(|s| s.0 == culture.tags[index]) {
            *flag &= rng.chance(*often);
        }
    }
    flags
}

/// Makes sure that every tag heard in some clip of a split keeps at least `least` positives there, as far as it was
/// heard that often: the plainest missed ones are restored. Rows are (annotation, what is heard) of one split.
pub fn keep(rows: &mut [(&mut Vec<bool>, &Heard)], least: usize) {
    for tag in 0..rows.first().map_or(0, |row| row.0.len()) {
        let plain = |heard: &Heard| heard.tags.iter().find(|t| t.0 == tag).map(|t| t.1);
        let kept =
            rows.iter().filter(|(flags, heard)| flags[tag] && plain(heard).is_some()).count();
        let mut missed: Vec<(usize, f64)> = (0..rows.len())
            .filter(|&row| !rows[row].0[tag])
            .filter_map(|row| plain(rows[row].1).map(|p| (row, p)))
            .collect();
        missed.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (row, _) in missed.into_iter().take(least.saturating_sub(kept)) {
            rows[row].0[tag] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::western::{TAGS, WESTERN};

    fn index(tag: &str) -> usize {
        TAGS.iter().position(|t| *t == tag).unwrap()
    }

    fn mix(stems: &[(Family, f64)], level: f32) -> Mix {
        let wave: Vec<f32> = (0..4000).map(|i| level * (f32::from(i as i16) * 0.3).sin()).collect();
        let stems = stems
            .iter()
            .map(|&(family, share_db)| Stem { family, share_db, active: 0.9 })
            .collect();
        Mix { left: wave.clone(), right: wave, stems }
    }

    fn score(bpm: f64) -> Score {
        let beats = (0..100).map(|i| f64::from(i) * 60.0 / bpm).collect();
        Score { parts: Vec::new(), beats, metre: 4, minor: false, mode: None }
    }

    #[test]
    fn an_instrument_too_soft_to_hear_is_not_tagged() {
        let style = &WESTERN.styles[0];
        let mix = mix(&[(Family::Guitar, -0.1), (Family::Flute, -22.0)], 0.1);
        let heard = listen(&WESTERN, style, &score(100.0), &mix, (0.0, 10.0));
        assert!(heard.tags.iter().any(|t| t.0 == index("guitar")));
        assert!(!heard.tags.iter().any(|t| t.0 == index("flute")));
        assert!(heard.tags.iter().any(|t| t.0 == index("no vocals")));
    }

    #[test]
    fn slow_fast_quiet_and_loud_follow_the_measurements() {
        let style = &WESTERN.styles[0];
        let has = |bpm: f64, level: f32, tag: &str| {
            let mix = mix(&[(Family::Piano, 0.0)], level);
            let heard = listen(&WESTERN, style, &score(bpm), &mix, (0.0, 10.0));
            heard.tags.iter().any(|t| t.0 == index(tag))
        };
        assert!(has(60.0, 0.1, "slow") && !has(100.0, 0.1, "slow") && !has(100.0, 0.1, "fast"));
        assert!(has(100.0, 0.02, "quiet") && !has(100.0, 0.1, "quiet"));
        assert!(has(100.0, 0.6, "loud") && !has(100.0, 0.1, "loud"));
    }

    #[test]
    fn annotators_miss_some_positives_and_imagine_few() {
        let heard = Heard { tags: vec![(0, 1.0), (3, 0.0)], ..Heard::default() };
        let rows: Vec<_> = (0..4000).map(|clip| annotate(&WESTERN, &heard, 1, clip)).collect();
        let share = |tag: usize| rows.iter().filter(|r| r[tag]).count() as f64 / rows.len() as f64;
        assert!((share(0) - 0.965).abs() < 0.015, "{}", share(0));
        assert!((share(3) - 0.78).abs() < 0.03, "{}", share(3));
        assert!(share(1) > 0.001 && share(1) < 0.01, "{}", share(1));
    }

    #[test]
    fn a_tag_heard_in_a_split_keeps_two_positives_there() {
        let heard: Vec<_> = (0..5)
            .map(|i| Heard { tags: vec![(7, 0.1 * f64::from(i))], ..Heard::default() })
            .collect();
        let mut flags = vec![vec![false; TAGS.len()]; 5];
        let mut rows: Vec<_> = flags.iter_mut().zip(&heard).collect();
        keep(&mut rows, 2);
        assert_eq!(
            flags.iter().map(|f| f[7]).collect::<Vec<_>>(),
            [false, false, false, true, true]
        );
    }
}
