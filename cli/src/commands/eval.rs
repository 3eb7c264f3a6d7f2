//! `etude eval`: scores of a run.

use crate::commands::train::RunArgs;
use crate::train_log::TrainLog;
use crate::ui::{Ui, exit};
use anyhow::{Context, Result};
use etude_manifests::Split;
use etude_train::{Evaluation, RunDir};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::fmt::Write;
use std::process::ExitCode;

/// Arguments of `etude eval`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// train, valid or test
    #[arg(long, default_value = "test", value_parser = split)]
    split: Split,
}

/// Scores the best state; the scores and predictions are also written into the run folder.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    super::begin();
    let found = evaluate(&args.run.dir()?, args.split, &args.run.sets, ui)?;
    ui.result(&text(&found)?, &serde_json::to_value(&found)?)?;
    Ok(exit(false))
}

/// Scores a run under a progress bar.
pub fn evaluate(dir: &RunDir, split: Split, sets: &[String], ui: &Ui) -> Result<Evaluation> {
    let mut log = TrainLog::new(ui);
    let found = etude_train::evaluate(dir, split, sets, &mut log);
    log.finish();
    Ok(found?)
}

fn text(found: &Evaluation) -> Result<String> {
    let split = serde_json::to_value(found.split)?;
    let split = split.as_str().context("a split is a word")?;
    let mut text = format!("{} of {}, best state at step {}\n\n", split, found.view, found.step);
    text += &etude_eval::score_table(&found.scores);
    if !found.published.is_empty() {
        let published: Vec<String> =
            found.published.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        let _ = writeln!(text, "published: {}", published.join(", "));
    }
    if found.skipped > 0 {
        let _ = writeln!(text, "not scored, their audio was refused: {} tracks", found.skipped);
    }
    let run = found.run.display();
    let _ = write!(
        text,
        "\nrun folder  {run}\n\
         next        etude inspect {run}                 how it got there\n\
         \u{20}           tensorboard --logdir {run}          its curves\n\
         \u{20}           etude train … --set optim.lr=3e-4    another rate"
    );
    Ok(text)
}

fn split(name: &str) -> Result<Split, String> {
    let name: StrDeserializer<ValueError> = name.into_deserializer();
    Split::deserialize(name).map_err(|e| e.to_string())
}
