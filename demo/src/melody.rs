//! Tunes: a rhythm and a contour make a theme; phrases repeat and vary it over the harmony.

use crate::composer::{Plan, Section};
use crate::culture::Seat;
use crate::rng::Rng;
use crate::score::Note;

/// Rhythms of one beat or more: lengths in beats.
const CELLS: [&[f64]; 9] = [
    &[1.0],
    &[0.5, 0.5],
    &[2.0],
    &[1.5, 0.5],
    &[0.5, 1.0, 0.5],
    &[0.25, 0.25, 0.5],
    &[0.5, 0.25, 0.25],
    &[0.25, 0.25, 0.25, 0.25],
    &[1.0, 1.0],
];

/// One note of a theme: beat within the phrase, length, step from the last note, and whether it rests.
#[derive(Debug, Clone, Copy)]
struct Step {
    beat: f64,
    len: f64,
    step: i32,
    rest: bool,
}

/// Two bars of rhythm and contour, and how the phrase ends.
#[derive(Debug, Clone)]
pub(crate) struct Theme {
    steps: Vec<Step>,
}

impl Theme {
    /// Draws a theme; quick tempi get fewer short notes.
    pub fn new(rng: &mut Rng, metre: u32, bpm: f64) -> Self {
        let total = f64::from(2 * metre);
        let quick = (bpm - 60.0) / 120.0;
        let busy = rng.range(-0.3, 0.5);
        let mut steps = Vec::new();
        let mut beat = 0.0;
        while beat < total - 1e-9 {
            let left = total - beat;
            let weights = CELLS.iter().map(|cell| {
                let len: f64 = cell.iter().sum();
                let shortest = cell.iter().copied().fold(f64::INFINITY, f64::min);
                let short = (shortest.log2() + 1.0) * (quick - busy); // short cells in slow or busy music
                if len > left + 1e-9 { 0.0 } else { (1.6 * short).exp() }
            });
            for &len in CELLS[rng.weighted(weights)] {
                let step = match rng.below(10) {
                    0 | 1 => 0,
                    2..=4 => 1,
                    5..=7 => -1,
                    8 => 2,
                    _ => *rng.pick(&[-4, -2, 3, 4]),
                };
                let rest = !steps.is_empty() && rng.chance(0.08);
                steps.push(Step { beat, len, step, rest });
                beat += len;
            }
        }
        Self { steps }
    }
}

/// The tune of a seat: phrases of two bars, the fourth ending on a long chord note.
pub(crate) fn tune(plan: &Plan, seat: &Seat, rng: &mut Rng) -> Vec<Note> {
    let mut notes = Vec::new();
    for section in plan.played(seat) {
        sing(plan, seat, section, rng, &mut notes);
    }
    notes
}

/// One section of the tune.
fn sing(plan: &Plan, seat: &Seat, section: &Section, rng: &mut Rng, notes: &mut Vec<Note>) {
    let theme = &plan.themes[section.theme];
    let beats = f64::from(plan.metre);
    let (low, high) = seat.family.compass();
    let centre = low + 0.6 * (high - low);
    let home = nearest_degree(plan, centre);
    let mut degree = home;
    for phrase in 0..section.bars.div_ceil(2) {
        let varied = phrase % 4 == 2;
        let closing = phrase % 2 == 1;
        for step in &theme.steps {
            let bar = section.bar + 2 * phrase + (step.beat / beats) as u32;
            if bar >= section.bar + section.bars {
                break;
            }
            let ends = closing && step.beat >= 2.0 * beats - 2.0;
            if ends && step.beat > 2.0 * beats - 2.0 {
                continue;
            }
            let turn = if varied && rng.chance(0.4) { -step.step } else { step.step };
            degree += turn + pull(degree - home);
            let strong = step.beat.fract() == 0.0
                && (step.len >= 1.0 || (step.beat as u32).is_multiple_of(plan.metre));
            if strong || ends {
                degree = chord_degree(plan, bar, degree);
            }
            if step.rest {
                continue;
            }
            let len = if ends { 1.9 } else { 0.92 * step.len };
            let start = f64::from(section.bar + 2 * phrase) * beats + step.beat;
            let start_s = (plan.clock.at(start) + plan.loose_s * rng.normal()).max(0.0);
            let arch = (std::f64::consts::PI * step.beat / (2.0 * beats)).sin();
            let force = 0.5 + 0.25 * section.intensity + 0.12 * arch + 0.05 * rng.normal();
            notes.push(Note {
                start_s,
                len_s: (plan.clock.at(start + len) - start_s).max(0.06),
                pitch: fold(plan.pitch(degree, bar), low, high),
                force: force.clamp(0.2, 1.0) as f32,
            });
        }
    }
}

/// A slower line: chord notes of half a bar, moving as little as possible, below the tune.
pub(crate) fn counter(plan: &Plan, seat: &Seat, rng: &mut Rng) -> Vec<Note> {
    let beats = f64::from(plan.metre);
    let (low, high) = seat.family.compass();
    let mut degree = nearest_degree(plan, low + 0.4 * (high - low));
    let mut notes = Vec::new();
    for section in plan.played(seat) {
        for bar in section.bar..section.bar + section.bars {
            let halves = if rng.chance(0.5) { 2 } else { 1 };
            for half in 0..halves {
                let start = beats * (f64::from(bar) + f64::from(half) / f64::from(halves));
                degree = chord_degree(plan, bar, degree + *rng.pick(&[-2, -1, 1, 2]));
                degree += pull(degree - nearest_degree(plan, low + 0.4 * (high - low)));
                degree = chord_degree(plan, bar, degree);
                let start_s = (plan.clock.at(start) + plan.loose_s * rng.normal()).max(0.0);
                let end_s = plan.clock.at(start + beats / f64::from(halves));
                notes.push(Note {
                    start_s,
                    len_s: 0.97 * (end_s - start_s),
                    pitch: fold(plan.pitch(degree, bar), low, high),
                    force: (0.45 + 0.25 * section.intensity) as f32,
                });
            }
        }
    }
    notes
}

/// A step back once the tune has strayed too far from home.
fn pull(away: i32) -> i32 {
    match away {
        6.. => -2,
        ..=-5 => 2,
        _ => 0,
    }
}

/// The chord note of `bar` nearest to a degree.
fn chord_degree(plan: &Plan, bar: u32, degree: i32) -> i32 {
    let n = plan.scale.steps.len() as i32;
    let chord = plan.chord(bar);
    let near = |d: i32| chord.iter().take(3).any(|c| (c - d).rem_euclid(n) == 0);
    [0, 1, -1, 2, -2].into_iter().map(|off| degree + off).find(|&d| near(d)).unwrap_or(degree)
}

/// The degree whose pitch is nearest to a note number.
fn nearest_degree(plan: &Plan, pitch: f64) -> i32 {
    let n = plan.scale.steps.len() as i32;
    let far = |d: &i32| (plan.tonic + plan.scale.semitones(*d) - pitch).abs();
    (-3 * n..3 * n).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0)
}

/// Moves a pitch by octaves into a compass.
pub(crate) fn fold(mut pitch: f64, low: f64, high: f64) -> f64 {
    while pitch > high {
        pitch -= 12.0;
    }
    while pitch < low {
        pitch += 12.0;
    }
    pitch
}
