//! Composes a piece: tempo, scale, form, harmony, then every seat's part.
//!
//! A piece is a pure function of its seed, so each clip can compose it anew and render only its own seconds.

use crate::culture::{Role, Scale, Seat, Style};
use crate::melody;
use crate::parts;
use crate::performer::Performer;
use crate::rng::Rng;
use crate::score::{Clock, Hit, Line, Part, Score};
use crate::voices::Family;

/// A stretch of bars with one intensity.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// First bar.
    pub bar: u32,
    /// Number of bars.
    pub bars: u32,
    /// 0 sparse to 1 full.
    pub intensity: f64,
    /// Which of the piece's tunes and progressions it uses.
    pub theme: usize,
}

/// Everything the seats have to agree on.
pub(crate) struct Plan<'a> {
    /// The style.
    pub style: &'a Style,
    /// The scale.
    pub scale: &'a Scale,
    /// Note number of the tonic, between 57 and 69, tuning included.
    pub tonic: f64,
    /// Beats of a bar.
    pub metre: u32,
    /// Beats to seconds.
    pub clock: Clock,
    /// The form.
    pub sections: Vec<Section>,
    /// Chord roots, one a bar.
    pub chords: Vec<i32>,
    /// Rhythm and contour of the two themes.
    pub themes: [melody::Theme; 2],
    /// Deviation of onsets, seconds.
    pub loose_s: f64,
}

impl Plan<'_> {
    /// Note number of a degree while the chord of `bar` sounds.
    pub fn pitch(&self, degree: i32, bar: u32) -> f64 {
        self.tonic + self.scale.over(degree, self.root(bar))
    }

    /// Chord root of a bar.
    pub fn root(&self, bar: u32) -> i32 {
        self.chords.get(bar as usize).copied().unwrap_or(0)
    }

    /// Degrees of the chord of a bar: root, third, fifth and in rich styles the seventh.
    pub fn chord(&self, bar: u32) -> Vec<i32> {
        let root = self.root(bar);
        let size = if self.style.sevenths { 4 } else { 3 };
        (0..size).map(|i| root + 2 * i).collect()
    }

    /// Sections in which a seat plays.
    pub fn played<'b>(&'b self, seat: &'b Seat) -> impl Iterator<Item = &'b Section> {
        self.sections.iter().filter(|section| section.intensity >= seat.from)
    }
}

/// What is to be composed.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Line-up, an index into the style's bands.
    pub band: usize,
    /// Beats in a bar.
    pub metre: u32,
    /// Tempo, 0 slow to 1 fast within the style.
    pub pace: f64,
    /// The same seed gives the same piece.
    pub seed: u64,
    /// Shortest length.
    pub seconds: f64,
}

/// Composes a piece for `performer`.
pub fn compose(style: &Style, performer: &Performer, order: &Order) -> Score {
    let Order { band, metre, pace, seed, seconds } = *order;
    let mut rng = Rng::new(seed, "piece", &[]);
    let scale = style.scales[rng.weighted(style.scales.iter().map(|s| s.1))].0;
    let bpm = style.bpm.0 * (style.bpm.1 / style.bpm.0).powf(stretch(pace));
    let tonic = 57.0 + f64::from(*rng.pick(&performer.keys)) + performer.tuning_cents / 100.0;
    let clock =
        Clock { bpm, rubato: style.rubato, breath: f64::from(metre * 4), swing: style.swing };
    let bars = (seconds * bpm / 60.0 / f64::from(metre)).ceil() as u32 + 2;
    let sections = form(&mut rng, bars, bpm / f64::from(metre));
    let progressions = if scale.minor { style.dark } else { style.bright };
    let pair = [*rng.pick(progressions), *rng.pick(progressions)];
    let mut chords = vec![0; bars as usize + 1];
    for section in &sections {
        let progression = pair[section.theme];
        for bar in 0..section.bars {
            let slot = (bar / style.chord_bars) as usize % progression.len();
            chords[(section.bar + bar) as usize] = progression[slot];
        }
    }
    let themes = [0, 1].map(|n| melody::Theme::new(&mut Rng::new(seed, "theme", &[n]), metre, bpm));
    let plan = Plan {
        style,
        scale,
        tonic,
        metre,
        clock,
        sections,
        chords,
        themes,
        loose_s: performer.loose_s,
    };

    let seats = style.bands[band].seats;
    let parts = seats.iter().enumerate().map(|(index, seat)| {
        let mut rng = Rng::new(seed, "part", &[index as u64]);
        let line = match seat.role {
            Role::Drums => Line::Hits(beat(&plan, seat, &mut rng)),
            Role::Ambience(place) => Line::Ambience(place),
            Role::Melody => Line::Notes(melody::tune(&plan, seat, &mut rng)),
            Role::Counter => Line::Notes(melody::counter(&plan, seat, &mut rng)),
            _ => Line::Notes(parts::accompany(&plan, seat, &mut rng)),
        };
        Part {
            family: seat.family,
            patch: performer.patch(seat.family),
            gain_db: seat.gain_db + 1.2 * rng.normal(),
            pan: place(seat, index, seats.len(), performer.width),
            width: spread(seat.family) * performer.width as f32,
            line,
        }
    });
    let parts = parts.collect();
    let beats = (0..bars * metre).map(|beat| clock.at(f64::from(beat))).collect();
    Score { parts, beats, metre, minor: scale.minor, mode: scale.tag }
}

/// Pushes tempi away from the middle, so that slow and fast pieces are both common.
fn stretch(pace: f64) -> f64 {
    let x = 2.0 * pace - 1.0;
    0.5 + 0.5 * x.signum() * x.abs().powf(0.75)
}

/// Cuts `bars` into sections of about eight seconds or more, sparse at first, fullest in the middle.
fn form(rng: &mut Rng, bars: u32, bars_per_minute: f64) -> Vec<Section> {
    let length = if bars_per_minute > 30.0 { 8 } else { 4 };
    let shape = [0.6, 0.8, 1.0, 0.85, 0.55, 0.95, 1.0, 0.7];
    let skip = rng.below(3);
    let mut sections = Vec::new();
    let mut bar = 0;
    while bar < bars {
        let n = sections.len() + skip;
        let intensity = (shape[n % shape.len()] + 0.06 * rng.normal()).clamp(0.3, 1.0);
        let count = length.min(bars - bar);
        sections.push(Section {
            bar,
            bars: count,
            intensity,
            theme: usize::from(intensity > 0.87),
        });
        bar += count;
    }
    sections
}

/// Where a seat sits: singers and basses in the middle, the others fanned out.
fn place(seat: &Seat, index: usize, of: usize, width: f64) -> f32 {
    let central = matches!(seat.role, Role::Bass(_) | Role::Drums | Role::Drone)
        || matches!(seat.family, Family::Singer | Family::Texture);
    if central || of == 1 {
        return 0.0;
    }
    let fan = 2.0 * index as f64 / (of - 1) as f64 - 1.0;
    (0.7 * fan * width) as f32
}

/// How wide an instrument is by itself.
fn spread(family: Family) -> f32 {
    match family {
        Family::Piano
        | Family::Harp
        | Family::Pad
        | Family::Choir
        | Family::Strings
        | Family::Organ => 0.7,
        Family::Blip | Family::Bells | Family::Overdrive => 0.5,
        Family::Kit | Family::Frame => 0.8,
        _ => 0.15,
    }
}

/// The kit's part: the groove of the metre, with a fill at the end of sections and a crash after it.
fn beat(plan: &Plan, seat: &Seat, rng: &mut Rng) -> Vec<Hit> {
    let grooves = plan.style.grooves;
    let Some(groove) = grooves.iter().find(|g| g.beats == plan.metre).or(grooves.first()) else {
        return Vec::new();
    };
    let beats = f64::from(plan.metre);
    let mut hits = Vec::new();
    for section in plan.played(seat) {
        let force = (0.6 + 0.4 * section.intensity) as f32;
        for bar in 0..section.bars {
            let start = f64::from(section.bar + bar) * beats;
            let fill = bar + 1 == section.bars && section.bars > 2 && rng.chance(0.6);
            for &(beat, piece, loud, chance) in groove.strokes {
                let thin = if section.intensity < 0.6 { 0.8 } else { 1.0 };
                if rng.chance(chance * thin) && !(fill && beat >= beats - 1.0) {
                    let start_s = plan.clock.at(start + beat) + 0.4 * plan.loose_s * rng.normal();
                    let force = force * loud * (0.92 + 0.08 * rng.normal() as f32);
                    hits.push(Hit { start_s: start_s.max(0.0), piece, force });
                }
            }
            for &(beat, piece, loud, _) in plan.style.fill.iter().filter(|_| fill) {
                let start_s = plan.clock.at(start + beats - 1.0 + beat);
                hits.push(Hit { start_s, piece, force: force * loud });
            }
            if bar == 0 && section.intensity > 0.8 {
                let start_s = plan.clock.at(start);
                hits.push(Hit { start_s, piece: plan.style.accent, force: 0.6 * force });
            }
        }
    }
    hits.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::western::WESTERN;

    fn all_bands(mut check: impl FnMut(&Style, &Score)) {
        for (index, style) in WESTERN.styles.iter().enumerate() {
            for band in 0..style.bands.len() {
                let performer = Performer::new(4, index, "x".into(), index, style);
                check(
                    style,
                    &compose(
                        style,
                        &performer,
                        &Order { band, metre: 4, pace: 0.5, seed: 17 + band as u64, seconds: 40.0 },
                    ),
                );
            }
        }
    }

    #[test]
    fn every_band_fills_forty_seconds_with_something_to_hear() {
        all_bands(|style, score| {
            for second in 0..8 {
                let (from, to) = (5.0 * f64::from(second), 5.0 * f64::from(second + 1));
                let sounding = score.parts.iter().any(|part| match &part.line {
                    Line::Notes(notes) => {
                        notes.iter().any(|n| n.start_s < to && n.start_s + n.len_s > from)
                    }
                    Line::Hits(hits) => hits.iter().any(|h| h.start_s < to && h.start_s > from),
                    Line::Ambience(_) => false,
                });
                assert!(sounding, "{} is silent from {from} s", style.name);
            }
        });
    }

    #[test]
    fn notes_stay_within_a_playable_compass() {
        all_bands(|style, score| {
            for part in &score.parts {
                let (low, high) = part.family.compass();
                if let Line::Notes(notes) = &part.line {
                    for note in notes {
                        let fits = note.pitch > low - 13.0 && note.pitch < high + 13.0;
                        assert!(fits, "{} {:?} at {}", style.name, part.family, note.pitch);
                        assert!(
                            note.len_s > 0.0
                                && note.start_s >= 0.0
                                && note.force > 0.0
                                && note.force <= 1.0
                        );
                    }
                }
            }
        });
    }

    #[test]
    fn the_tempo_played_lies_within_the_styles_range() {
        all_bands(|style, score| {
            let bpm = score.bpm(0.0, 40.0).unwrap();
            assert!(bpm > 0.93 * style.bpm.0 && bpm < 1.07 * style.bpm.1, "{} {bpm}", style.name);
        });
    }

    #[test]
    fn the_same_seed_composes_the_same_piece_and_another_seed_another() {
        let style = &WESTERN.styles[0];
        let performer = Performer::new(4, 0, "x".into(), 0, style);
        let order = Order { band: 0, metre: 4, pace: 0.5, seed: 9, seconds: 20.0 };
        let line = |order| compose(style, &performer, &order).parts[0].line.clone();
        assert_eq!(line(order), line(order));
        assert_ne!(line(order), line(Order { seed: 10, ..order }));
    }

    #[test]
    fn pace_sets_the_tempo() {
        let style = &WESTERN.styles[1];
        let performer = Performer::new(4, 1, "x".into(), 1, style);
        let bpm = |pace| {
            let order = Order { band: 0, metre: 4, pace, seed: 9, seconds: 60.0 };
            compose(style, &performer, &order).bpm(0.0, 60.0).unwrap()
        };
        assert!(
            (bpm(0.0) / style.bpm.0 - 1.0).abs() < 0.05
                && (bpm(1.0) / style.bpm.1 - 1.0).abs() < 0.05
        );
    }
}
