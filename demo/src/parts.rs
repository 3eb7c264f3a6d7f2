//! Accompaniment: chords held, broken, strummed or struck, riffs, bass lines and drones.

use crate::composer::{Plan, Section};
use crate::culture::{Role, Seat, Walk};
use crate::melody::fold;
use crate::rng::Rng;
use crate::score::Note;
use crate::voices::Family;

/// Orders in which the notes of a chord over two octaves are broken.
const ORDERS: [&[usize]; 6] = [
    &[0, 1, 2, 3, 4, 5],
    &[0, 2, 1, 2],
    &[0, 2, 3, 4, 3, 2],
    &[5, 4, 3, 2, 1, 0],
    &[0, 3, 1, 4],
    &[0, 2, 4, 2],
];
/// Strumming: beats and force, of a bar of four.
const STRUMS: [&[(f64, f32)]; 3] = [
    &[(0.0, 1.0), (1.0, 0.7), (1.5, 0.6), (2.5, 0.6), (3.0, 0.8), (3.5, 0.5)],
    &[(0.0, 1.0), (1.0, 0.8), (2.0, 0.9), (3.0, 0.8), (3.5, 0.6)],
    &[
        (0.0, 1.0),
        (0.5, 0.5),
        (1.0, 0.8),
        (1.5, 0.5),
        (2.0, 0.9),
        (2.5, 0.5),
        (3.0, 0.8),
        (3.5, 0.5),
    ],
];
/// Comping: beats and lengths, of a bar of four.
const COMPS: [&[(f64, f64)]; 4] = [
    &[(0.0, 0.8), (1.5, 0.4), (3.5, 0.5)],
    &[(0.5, 0.4), (2.0, 0.9), (3.5, 0.4)],
    &[(0.0, 0.4), (0.75, 0.4), (1.5, 0.5), (2.5, 0.5), (3.25, 0.4)],
    &[(1.0, 0.4), (2.5, 0.6)],
];
/// Riffs: beats and lengths, of a bar of four; short ones are damped with the palm.
const RIFFS: [&[(f64, f64)]; 3] = [
    &[(0.0, 0.9), (1.0, 0.3), (1.5, 0.3), (2.0, 0.9), (3.0, 0.3), (3.5, 0.4)],
    &[
        (0.0, 0.3),
        (0.5, 0.3),
        (1.0, 0.3),
        (1.5, 0.3),
        (2.0, 0.3),
        (2.5, 0.3),
        (3.0, 0.3),
        (3.5, 0.3),
    ],
    &[(0.0, 1.4), (1.5, 0.4), (2.0, 1.9)],
];

/// Habits of one part, drawn once a piece.
struct Habit {
    order: &'static [usize],
    strum: &'static [(f64, f32)],
    comp: &'static [(f64, f64)],
    riff: &'static [(f64, f64)],
    quick: bool,
}

/// The part of an accompanying seat.
pub(crate) fn accompany(plan: &Plan, seat: &Seat, rng: &mut Rng) -> Vec<Note> {
    let habit = Habit {
        order: ORDERS[rng.below(ORDERS.len())],
        strum: STRUMS[rng.below(STRUMS.len())],
        comp: COMPS[rng.below(COMPS.len())],
        riff: RIFFS[rng.below(RIFFS.len())],
        quick: rng.chance(0.4),
    };
    let mut notes = Vec::new();
    for section in plan.played(seat) {
        for bar in section.bar..section.bar + section.bars {
            let mut writer = Bar { plan, seat, section, bar, rng, notes: &mut notes };
            match seat.role {
                Role::Chords => writer.held(),
                Role::Arpeggio => writer.broken(&habit),
                Role::Strum => writer.strummed(&habit),
                Role::Comp => writer.struck(&habit),
                Role::Riff => writer.riff(&habit),
                Role::Bass(walk) => writer.bass(walk),
                Role::Drone => writer.drone(),
                Role::Melody | Role::Counter | Role::Drums | Role::Ambience(_) => {} // written elsewhere
            }
        }
    }
    notes.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    notes
}

/// One bar being written.
struct Bar<'a, 'p> {
    plan: &'a Plan<'p>,
    seat: &'a Seat,
    section: &'a Section,
    bar: u32,
    rng: &'a mut Rng,
    notes: &'a mut Vec<Note>,
}

impl Bar<'_, '_> {
    /// Adds a note at `beat` of this bar for `len` beats, `late_s` after the beat.
    fn note(&mut self, beat: f64, len: f64, pitch: f64, force: f32, late_s: f64) {
        let start = f64::from(self.bar * self.plan.metre) + beat;
        let at = self.plan.clock.at(start);
        let start_s = (at + late_s + self.plan.loose_s * self.rng.normal()).max(0.0);
        let len_s = (self.plan.clock.at(start + len) - at).max(0.05);
        let shape = (0.55 + 0.45 * self.section.intensity) as f32;
        let force = (force * shape * (1.0 + 0.06 * self.rng.normal() as f32)).clamp(0.15, 1.0);
        self.notes.push(Note { start_s, len_s, pitch, force });
    }

    /// Pitches of the chord, each in the octave nearest to the middle of the compass; with the fourth for the third if
    /// `late`.
    fn voicing(&self, late: bool) -> Vec<f64> {
        let (low, high) = self.seat.family.compass();
        let centre = 0.5 * (low + high) - 2.0;
        let chord = self.plan.chord(self.bar);
        let pitch = |degree: i32| self.plan.pitch(degree, self.bar);
        let mut pitches: Vec<f64> = chord
            .iter()
            .enumerate()
            .map(|(index, &d)| {
                let plain = fold(pitch(d), centre - 6.0, centre + 6.0);
                plain + if late && index == 1 { pitch(d + 1) - pitch(d) } else { 0.0 }
            })
            .collect();
        pitches.sort_by(f64::total_cmp);
        if matches!(self.seat.family, Family::Strings | Family::Choir | Family::Organ | Family::Pad)
        {
            pitches.insert(0, fold(pitch(chord[0]), centre - 18.0, centre - 6.0));
        }
        pitches
    }

    /// The chord over two octaves from the bottom of the compass.
    fn ladder(&self) -> Vec<f64> {
        let (low, _) = self.seat.family.compass();
        let chord = self.plan.chord(self.bar);
        let root = fold(self.plan.pitch(chord[0], self.bar), low, low + 12.0);
        let base = self.plan.pitch(chord[0], self.bar);
        (0..2)
            .flat_map(|octave| chord.iter().map(move |&d| (d, octave)))
            .map(|(d, octave)| {
                root + self.plan.pitch(d, self.bar) - base + 12.0 * f64::from(octave)
            })
            .collect()
    }

    /// A chord for its whole length; at times its third is held back for half a bar, the fourth in its place.
    fn held(&mut self) {
        let bars = self.plan.style.chord_bars;
        let offset = self.bar - self.section.bar;
        if !offset.is_multiple_of(bars) {
            return;
        }
        let left = (self.section.bars - offset).min(bars);
        let beats = f64::from(left * self.plan.metre);
        let bowed = matches!(self.seat.family, Family::Strings | Family::Choir | Family::Organ);
        let plain = self.voicing(false);
        if bowed && self.rng.chance(0.4) {
            let half = 0.5 * beats;
            for (from, to) in self.voicing(true).into_iter().zip(plain) {
                if (from - to).abs() < 0.01 {
                    self.note(0.0, 0.98 * beats, to, 0.7, 0.0);
                } else {
                    self.note(0.0, half, from, 0.75, 0.0);
                    self.note(half, 0.96 * half, to, 0.65, 0.0);
                }
            }
            return;
        }
        for pitch in plain {
            self.note(0.0, 0.98 * beats, pitch, 0.7, 0.0);
        }
    }

    fn broken(&mut self, habit: &Habit) {
        let ladder = self.ladder();
        let synth = self.seat.family == Family::Blip;
        let slow = self.plan.clock.bpm < 100.0;
        let grid = if synth || (habit.quick && slow) { 0.25 } else { 0.5 };
        let count = (f64::from(self.plan.metre) / grid) as usize;
        for index in 0..count {
            let beat = grid * index as f64;
            let pitch = ladder[habit.order[index % habit.order.len()] % ladder.len()];
            let rest = f64::from(self.plan.metre) - beat;
            let len = if synth { grid } else { rest.min(2.5) };
            let accent = if beat.fract() == 0.0 { 0.75 } else { 0.6 };
            self.note(beat, len, pitch, accent, 0.0);
        }
    }

    fn strummed(&mut self, habit: &Habit) {
        let ladder = self.ladder();
        for (index, &(beat, force)) in habit.strum.iter().enumerate() {
            if beat >= f64::from(self.plan.metre) {
                break;
            }
            let next =
                habit.strum.get(index + 1).map_or(4.0, |s| s.0).min(f64::from(self.plan.metre));
            let down = beat.fract() == 0.0;
            for string in 0..5usize {
                let pitch = if down {
                    ladder[string % ladder.len()]
                } else {
                    ladder[(5 - string) % ladder.len()]
                };
                if down || string < 4 {
                    self.note(beat, next - beat, pitch, 0.75 * force, 0.011 * string as f64);
                }
            }
        }
    }

    fn struck(&mut self, habit: &Habit) {
        for &(beat, len) in habit.comp {
            if beat < f64::from(self.plan.metre) && self.rng.chance(0.9) {
                for pitch in self.voicing(false) {
                    self.note(beat, len, pitch, 0.7, 0.0);
                }
            }
        }
    }

    fn riff(&mut self, habit: &Habit) {
        let root = fold(self.plan.pitch(self.plan.root(self.bar), self.bar), 40.0, 52.0);
        for &(beat, len) in habit.riff {
            if beat < f64::from(self.plan.metre) {
                let fifth = root + 7.0;
                for pitch in [root, fifth] {
                    self.note(beat, len, pitch, 0.85, 0.0);
                }
            }
        }
    }

    fn bass(&mut self, walk: Walk) {
        let beats = f64::from(self.plan.metre);
        let (low, high) = self.seat.family.compass();
        let here = self.plan.root(self.bar);
        let at =
            |bass: &Self, degree: i32| fold(bass.plan.pitch(degree, bass.bar), low, high - 7.0);
        let root = at(self, here);
        match walk {
            Walk::Root => self.note(0.0, 0.95 * beats, root, 0.8, 0.0),
            Walk::Fifth => {
                self.note(0.0, 1.7, root, 0.85, 0.0);
                let fifth = at(self, here + 4);
                self.note(if beats > 3.0 { 2.0 } else { 1.5 }, 1.4, fifth, 0.7, 0.0);
            }
            Walk::Steps => {
                let goal = self.plan.root(self.bar + 1);
                for beat in 0..self.plan.metre {
                    let toward = f64::from(beat) / beats * f64::from(goal - here);
                    let chordal = if beat % 2 == 0 { 0 } else { 2 };
                    let degree = here + toward.round() as i32 + chordal;
                    let pitch = if beat == 0 { root } else { at(self, degree) };
                    self.note(f64::from(beat), 0.9, pitch, 0.75, 0.0);
                }
            }
            Walk::Offbeat => {
                for beat in 0..self.plan.metre {
                    self.note(f64::from(beat) + 0.5, 0.4, root, 0.85, 0.0);
                }
            }
            Walk::Eighths => {
                for eighth in 0..2 * self.plan.metre {
                    let force = if eighth % 2 == 0 { 0.85 } else { 0.7 };
                    self.note(0.5 * f64::from(eighth), 0.42, root, force, 0.0);
                }
            }
        }
    }

    fn drone(&mut self) {
        if !(self.bar - self.section.bar).is_multiple_of(2) {
            return;
        }
        let (low, _) = self.seat.family.compass();
        let len = f64::from(2 * self.plan.metre);
        let tonic = fold(self.plan.tonic, low, low + 12.0);
        self.note(0.0, len, tonic, 0.75, 0.0);
        if self.seat.family != Family::Sub {
            self.note(0.0, len, tonic + 7.0, 0.6, 0.0);
            self.note(0.0, len, tonic + 12.0, 0.55, 0.0);
        }
    }
}
