//! `etude tag`: what a trained model hears in audio files, per file and over time.

use crate::commands::audio;
use crate::commands::train::resolve;
use crate::progress::Bar;
use crate::ui::{Ui, exit};
use anyhow::{Result, bail};
use etude_eval::Windowed;
use etude_ingest::{Resample, Resampler};
use etude_train::Trained;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Columns of a probability bar.
const BAR: usize = 20;
/// Most columns of a strip over time; more windows share columns.
const STRIP: usize = 48;
/// Tags named per window by `--windows`.
const PER_WINDOW: usize = 3;

/// Arguments of `etude tag`.
#[derive(clap::Args)]
pub struct Args {
    /// Run folder, or the experiment it came from
    #[arg(long)]
    run: PathBuf,
    /// Most probable tags to show; 0 for all
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Tell every window too
    #[arg(long)]
    windows: bool,
    /// fir, fft, torchaudio-hann or torchaudio-kaiser; the one of the shards it was trained on when left out
    #[arg(long, value_parser = audio::resampler)]
    resampler: Option<Resampler>,
    /// Override one key of the run's experiment, e.g. --set run.device=cpu
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Audio files
    #[arg(required = true)]
    audio: Vec<PathBuf>,
}

/// One file as heard.
struct Heard {
    rate: u32,
    samples: u64,
    said: Windowed,
    /// Classes by probability, highest first.
    top: Vec<usize>,
}

/// Decodes, resamples, predicts; a file that cannot be used is a line of the result.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    super::begin();
    let trained = Trained::open(&resolve(&args.runs, &args.run, &args.sets)?, &args.sets)?;
    let rate = trained.rate()?;
    let classes = trained.task()?.classes();
    if classes.is_empty() {
        bail!("{}: this run has no tags: its task has no classes", args.run.display());
    }
    let recorded = Resampler::of_id(&trained.identity.resampler);
    let resampler = args.resampler.or(recorded).unwrap_or_default();
    let mut resample = Resample::new(resampler);
    let bar = Bar::new(ui);
    bar.start("tag", args.audio.len() as u64);
    let mut files = Vec::new();
    let mut audio_s = 0.0;
    for path in &args.audio {
        let heard = hear(&trained, path, rate, &mut resample, args.top);
        audio_s += heard.as_ref().map_or(0.0, Heard::seconds);
        bar.done(|t| format!("{:.0} x real time", audio_s / t.as_secs_f64().max(1e-3)));
        files.push((path, heard));
    }
    bar.finish();
    let refused = files.iter().filter(|(_, heard)| heard.is_err()).count();
    let mut text = String::new();
    let mut values = Vec::new();
    for (path, heard) in &files {
        match heard {
            Ok(heard) => {
                text += &heard.text(path, classes, args.windows);
                values.push(heard.value(path, classes, args.windows));
            }
            Err(why) => {
                let why = format!("{why:#}");
                let _ = writeln!(text, "refused: {why}\n");
                values.push(json!({"path": path, "error": why}));
            }
        }
    }
    let value = json!({
        "run": args.run, "step": trained.step, "rate": rate, "resampler": resampler.id(),
        "files": values, "refused": refused,
    });
    ui.result(&text, &value)?;
    Ok(exit(refused > 0))
}

fn hear(
    trained: &Trained,
    path: &Path,
    rate: u32,
    resample: &mut Resample,
    top: usize,
) -> Result<Heard> {
    let pcm = resample.run(audio::read(path)?, rate)?;
    let said = trained.hear(&path.display().to_string(), &pcm.samples)?;
    let mut order = ranked(&said.mean);
    order.truncate(if top == 0 { order.len() } else { top });
    Ok(Heard { rate, samples: pcm.samples.len() as u64, said, top: order })
}

/// Numbers of the classes, most probable first, equals in class order.
fn ranked(probabilities: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order
}

impl Heard {
    fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.rate)
    }

    /// Start and end of a window in the file, seconds.
    fn span(&self, start: u64) -> (f64, f64) {
        let end = (start + self.said.steps).min(self.samples);
        (start as f64 / f64::from(self.rate), end as f64 / f64::from(self.rate))
    }

    fn text(&self, path: &Path, classes: &[String], windows: bool) -> String {
        let count = self.said.starts.len();
        let mut text = format!("{}  {}", path.display(), clock(self.seconds()));
        let each = self.said.steps as f64 / f64::from(self.rate);
        // The strips of a file share one scale, or rare tags would look empty.
        let highest = self.top.iter().flat_map(|&c| self.said.over_time(c)).fold(0.0, f32::max);
        if count > 1 {
            let _ = write!(text, ", {count} windows of {each:.1} s, █ over time is {highest:.2}");
        }
        text.push('\n');
        let width = self.top.iter().map(|&c| classes[c].chars().count()).max().unwrap_or(0);
        for &class in &self.top {
            let (tag, p) = (&classes[class], self.said.mean[class]);
            let _ = write!(text, "  {tag:<width$}  {p:.3}  {}", bar_of(p));
            if count > 1 {
                let over_time: Vec<f32> = self.said.over_time(class).collect();
                let _ = write!(text, "  {}", strip(&over_time, highest));
            }
            text.push('\n');
        }
        if windows {
            for (&start, row) in self.said.starts.iter().zip(self.rows()) {
                let (from, to) = self.span(start);
                let best = ranked(row).into_iter().take(PER_WINDOW);
                let best: Vec<_> = best.map(|c| format!("{} {:.3}", classes[c], row[c])).collect();
                let _ = writeln!(text, "  {} to {}  {}", clock(from), clock(to), best.join(", "));
            }
        }
        text.push('\n');
        text
    }

    fn value(&self, path: &Path, classes: &[String], windows: bool) -> Value {
        let tag = |&c: &usize, p: f32| json!({"tag": classes[c], "probability": p, "class": c});
        let tags: Vec<_> = self.top.iter().map(|c| tag(c, self.said.mean[*c])).collect();
        let mut value = json!({"path": path, "seconds": self.seconds(), "tags": tags});
        if windows {
            let rows = self.said.starts.iter().zip(self.rows()).map(|(&start, row)| {
                let (from, to) = self.span(start);
                let tags: Vec<_> = self.top.iter().map(|c| tag(c, row[*c])).collect();
                json!({"start_s": from, "end_s": to, "tags": tags})
            });
            value["windows"] = rows.collect();
        }
        value
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.said.outputs.chunks(self.said.mean.len())
    }
}

/// Minutes and seconds.
fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// A probability as a bar of [`BAR`] columns, drawn in eighths.
fn bar_of(p: f32) -> String {
    let eighths = (p.clamp(0.0, 1.0) * (BAR * 8) as f32).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    format!("{bar:·<BAR$}")
}

/// Values over time as a row of blocks, `highest` the tallest; at most [`STRIP`] columns, each the mean of its windows.
fn strip(values: &[f32], highest: f32) -> String {
    let columns = values.len().min(STRIP);
    let column = |n: usize| {
        let (from, to) = (n * values.len() / columns, (n + 1) * values.len() / columns);
        let mean = values[from..to].iter().sum::<f32>() / (to - from) as f32;
        let height = (mean / highest.max(f32::MIN_POSITIVE) * 7.0).round() as usize;
        ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][height.min(7)]
    };
    (0..columns).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_the_width_of_its_probability_in_eighths() {
        assert_eq!(bar_of(0.0), "·".repeat(20));
        assert_eq!(bar_of(1.0), "█".repeat(20));
        assert_eq!(bar_of(0.5), format!("{}{}", "█".repeat(10), "·".repeat(10)));
        assert_eq!(bar_of(0.025), format!("▌{}", "·".repeat(19)));
    }

    #[test]
    fn a_strip_shows_when_and_never_outgrows_its_columns() {
        assert_eq!(strip(&[0.0, 0.2, 0.4], 0.4), "▁▅█");
        assert_eq!(strip(&[0.0; 3], 0.0), "▁▁▁");
        let long: Vec<f32> = (0..1000).map(|n| if n < 500 { 0.0 } else { 1.0 }).collect();
        let drawn = strip(&long, 1.0);
        assert_eq!(drawn, format!("{}{}", "▁".repeat(STRIP / 2), "█".repeat(STRIP / 2)));
    }

    #[test]
    fn times_are_read_as_minutes_and_seconds() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(3725.5), "62:05.5");
    }
}
