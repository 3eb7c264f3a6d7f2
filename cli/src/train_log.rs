//! What the user sees of a run: a bar with rate, stall and time left, and a line per validation.

use crate::ui::Ui;
use etude_train::{Log, Pace, Phase, Row};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A stall above this share is worth a word.
const STALL: f64 = 0.02;

/// A [`Log`] for the terminal.
pub struct TrainLog {
    bar: ProgressBar,
    phase: Option<Phase>,
    quiet: bool,
}

impl TrainLog {
    /// Draws nothing until the first step.
    pub fn new(ui: &Ui) -> Self {
        let draws = std::io::stderr().is_terminal() && !ui.quiet;
        let target = if draws {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = "{prefix:>9} {wide_bar:.cyan/dim} {human_pos}/{human_len}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, phase: None, quiet: ui.quiet }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: String) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }
}

impl Log for TrainLog {
    fn row(&mut self, row: &Row) {
        match row {
            Row::Step { .. } => {}
            Row::Valid { step, scores, best, timing, .. } => {
                let scores: Vec<String> =
                    scores.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
                let mark = if *best { "  ← best so far" } else { "" };
                let (scores, s) = (scores.join("  "), timing.seconds);
                self.say(format!("step {step:>6}  valid  {scores}  ({s:.1} s){mark}"));
            }
            Row::Event { step, text, .. } => self.say(format!("step {step:>6}  {text}")),
        }
    }

    fn pace(&mut self, pace: &Pace) {
        if self.phase != Some(pace.phase) {
            self.phase = Some(pace.phase);
            let name = match pace.phase {
                Phase::Training => "train",
                Phase::Scoring => "score",
                Phase::Caching => "cache",
            };
            self.bar.set_prefix(name);
        }
        self.bar.set_length(pace.total);
        self.bar.set_position(pace.done);
        let stall = if pace.stall > STALL {
            format!(", waiting for data {:.0} %", pace.stall * 100.0)
        } else {
            String::new()
        };
        let left = Duration::try_from_secs_f64(pace.eta_s.ceil()).unwrap_or_default();
        let (rate, left) = (pace.samples_s, HumanDuration(left));
        self.bar.set_message(format!("{rate:.1} clips/s{stall}, {left} left"));
    }
}
