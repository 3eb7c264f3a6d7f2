//! Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere.

use crate::ui::Ui;
use etude_ingest::{Progress, Step};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Seconds between two lines when stderr is no terminal.
const QUIET_S: u64 = 15;

/// A bar over a known number of units, with a figure of the caller's own behind it.
pub struct Bar {
    bar: ProgressBar,
    lines: Option<Mutex<Lines>>,
}

struct Lines {
    stage: String,
    total: u64,
    done: u64,
    begun: Instant,
    said: Instant,
}

impl Bar {
    /// Draws nothing until [`Bar::start`].
    pub fn new(ui: &Ui) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !ui.quiet {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let now = Instant::now();
        let lines = Lines { stage: String::new(), total: 0, done: 0, begun: now, said: now };
        Self {
            bar: ProgressBar::with_draw_target(None, target),
            lines: (!terminal && !ui.quiet).then(|| Mutex::new(lines)),
        }
    }

    /// Begins a stage of `total` units, e.g. `("decode", 320)`.
    pub fn start(&self, stage: &str, total: u64) {
        let style =
            "{prefix:>9} {wide_bar:.cyan/dim} {human_pos}/{human_len}  {msg}  {elapsed} + {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.bar.set_style(style.progress_chars("━╸─"));
        }
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_prefix(stage.to_string());
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.with_lines(|lines| {
            let now = Instant::now();
            *lines = Lines { stage: stage.to_string(), total, done: 0, begun: now, said: now };
        });
    }

    /// One more unit is done; `figure` is what to show beside the bar, e.g. `412 x real time`.
    pub fn done(&self, figure: impl FnOnce(Duration) -> String) {
        self.bar.inc(1);
        let elapsed = self.bar.elapsed();
        if self.lines.is_none() {
            self.bar.set_message(figure(elapsed));
            return;
        }
        self.with_lines(|lines| {
            lines.done += 1;
            if lines.said.elapsed() >= Duration::from_secs(QUIET_S) {
                lines.said = Instant::now();
                let elapsed = lines.begun.elapsed();
                let left = elapsed.mul_f64(
                    lines.total.saturating_sub(lines.done) as f64 / lines.done.max(1) as f64,
                );
                eprintln!(
                    "{}: {}/{}  {}  {} s left",
                    lines.stage,
                    lines.done,
                    lines.total,
                    figure(elapsed),
                    left.as_secs()
                );
            }
        });
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn with_lines(&self, f: impl FnOnce(&mut Lines)) {
        if let Some(lines) = &self.lines
            && let Ok(mut lines) = lines.lock()
        {
            f(&mut lines);
        }
    }
}

/// The bar of a data stage: audio seconds per second.
pub struct StageBar {
    bar: Bar,
    audio_s: Mutex<(f64, u64)>,
}

impl StageBar {
    /// Draws nothing until the stage starts.
    pub fn new(ui: &Ui) -> Self {
        Self { bar: Bar::new(ui), audio_s: Mutex::new((0.0, 0)) }
    }
}

impl Progress for StageBar {
    fn start(&self, stage: &str, tracks: u64) {
        if let Ok(mut sum) = self.audio_s.lock() {
            *sum = (0.0, 0);
        }
        self.bar.start(stage, tracks);
    }

    fn done(&self, step: &Step) {
        let (audio_s, refused) = self.audio_s.lock().map_or((0.0, 0), |mut sum| {
            sum.0 += step.audio_s;
            sum.1 += u64::from(!step.ok);
            *sum
        });
        self.bar.done(|elapsed| {
            let rate = audio_s / elapsed.as_secs_f64().max(1e-3);
            let bad = if refused > 0 { format!(", {refused} refused") } else { String::new() };
            format!("{rate:.0} x real time{bad}")
        });
    }

    fn finish(&self) {
        self.bar.finish();
    }
}
