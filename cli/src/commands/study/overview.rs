//! What the user sees of a study: one bar over all steps with the time left, and one for the step at work.

use crate::ui::Ui;
use etude_eval::embed;
use etude_train::{Log, Pace, Phase, Row};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Two bars on a terminal, a line per step elsewhere.
pub struct Overview {
    bars: MultiProgress,
    steps: ProgressBar,
    step: ProgressBar,
    lines: bool,
}

impl Overview {
    /// Over `total` steps.
    pub fn new(ui: &Ui, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !ui.quiet {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let (steps, step) = (bars.add(ProgressBar::new(total)), bars.add(ProgressBar::no_length()));
        for (bar, style) in [
            (&steps, "{prefix:>9} {wide_bar:.cyan/dim} {human_pos}/{human_len}  {msg}"),
            (&step, "{prefix:>9} {wide_bar:.green/dim} {human_pos}/{human_len}  {msg}"),
        ] {
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("━╸─"));
            }
        }
        steps.set_prefix("study");
        Self { bars, steps, step, lines: !terminal && !ui.quiet }
    }

    /// A step begins.
    pub fn begin(&mut self, name: &str, left: Option<(Duration, bool)>) {
        let left = match left {
            Some((left, all)) => {
                let most = if all { "about" } else { "more than" };
                format!(", {most} {} left", HumanDuration(left))
            }
            None => String::new(),
        };
        self.steps.set_message(format!("{name}{left}"));
        self.step.reset();
        if self.lines {
            let (at, of) = (self.steps.position() + 1, self.steps.length().unwrap_or_default());
            eprintln!("[{at}/{of}] {name}{left}");
        }
    }

    /// A step is over.
    pub fn done(&mut self) {
        self.steps.inc(1);
    }

    /// Prints something above the bars.
    pub fn aside(&self, print: impl FnOnce()) {
        self.bars.suspend(print);
    }

    /// Removes the bars.
    pub fn finish(&self) {
        self.step.finish_and_clear();
        self.steps.finish_and_clear();
    }

    /// How far embedding is.
    pub fn embedding(&mut self, pace: &embed::Pace) {
        self.step.set_prefix("embed");
        self.step.set_length(pace.total);
        self.step.set_position(pace.done);
        self.step.set_message("tracks");
    }
}

impl Log for Overview {
    fn row(&mut self, row: &Row) {
        if let Row::Event { step, text, .. } = row {
            self.aside(|| {
                if self.lines {
                    eprintln!("  step {step}: {text}");
                }
            });
        }
    }

    fn pace(&mut self, pace: &Pace) {
        self.step.set_prefix(match pace.phase {
            Phase::Training => "train",
            Phase::Scoring => "score",
            Phase::Caching => "cache",
        });
        self.step.set_length(pace.total);
        self.step.set_position(pace.done);
        let left = Duration::try_from_secs_f64(pace.eta_s.ceil()).unwrap_or_default();
        self.step.set_message(format!(
            "{:.1} clips/s, {} left",
            pace.samples_s,
            HumanDuration(left)
        ));
    }
}
