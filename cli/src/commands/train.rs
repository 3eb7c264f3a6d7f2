//! `etude train`: a run folder under `runs/`, resumable at any moment.

use crate::train_log::TrainLog;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::{Context, Result, bail};
use etude_train::{Ending, Experiment, Outcome, RunDir};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Arguments of `etude train`.
#[derive(clap::Args)]
pub struct Args {
    /// Experiment, e.g. configs/demo/vggish.toml
    config: PathBuf,
    /// Override one key, e.g. --set optim.lr=3e-4; recorded with the run
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Go on with the run if there is one
    #[arg(long)]
    resume: bool,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// Trains, or goes on, or says that there is nothing to do.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    super::begin();
    let stop = stop_on_signal()?;
    let exp = Experiment::read(&args.config, &args.sets)?;
    let path = run_path(&args.runs, &args.config, exp.run.seed);
    let outcome = train(&exp, &path, args.resume, ui, &stop)?;
    if outcome.ending == Ending::Stopped {
        let (step, steps) = (outcome.step, outcome.steps);
        bail!("stopped after step {step} of {steps}; the same command with --resume goes on");
    }
    let value = json!({
        "run": path, "step": outcome.step, "steps": outcome.steps, "seconds": outcome.seconds,
        "best": outcome.kept.first().map(|k| json!({"step": k.step, "score": k.score})),
    });
    ui.result(&summary(&path, &outcome, &exp), &value)?;
    Ok(exit(false))
}

/// Trains in a run folder; with `resume` goes on where there is a run already.
pub fn train(
    exp: &Experiment,
    path: &Path,
    resume: bool,
    ui: &Ui,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let mut log = TrainLog::new(ui);
    let outcome = if resume && path.join("config.toml").exists() {
        etude_train::resume(exp, &RunDir::open(path)?, &mut log, stop)
    } else {
        etude_train::run(exp, &RunDir::create(path)?, &mut log, stop)
    };
    log.finish();
    Ok(outcome?)
}

fn summary(path: &Path, outcome: &Outcome, exp: &Experiment) -> String {
    let mut text =
        format!("{}: {} steps in {:.0} s", path.display(), outcome.step, outcome.seconds);
    if let Some(best) = outcome.kept.first() {
        text += &format!(
            ", best {} {:.4} on the validation split at step {}",
            exp.trainer.keep.by, best.score, best.step
        );
    }
    text
}

/// `runs/<experiment without configs/ and .toml>/<seed>`.
pub fn run_path(runs: &Path, config: &Path, seed: u64) -> PathBuf {
    let mut name: PathBuf = config
        .with_extension("")
        .components()
        .filter(|c| matches!(c, std::path::Component::Normal(_)))
        .collect();
    if config.is_absolute() || !config.starts_with("configs") {
        // The part behind the last folder named `configs`; without one, the file's own name.
        let parts: Vec<_> = name.iter().collect();
        let from = parts.iter().rposition(|p| *p == "configs").unwrap_or(parts.len() - 1);
        let from = if parts[from] == "configs" { from + 1 } else { from };
        name = parts[from..].iter().collect();
    } else if let Ok(below) = name.strip_prefix("configs") {
        name = below.to_path_buf();
    }
    runs.join(name).join(seed.to_string())
}

/// Which run, for the commands that take one.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Run folder, or the experiment it came from
    run: PathBuf,
    /// Override one key of the run's experiment, e.g. --set data.dir='"/fast/disk"'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

impl RunArgs {
    /// The run folder that is meant.
    pub fn dir(&self) -> Result<RunDir> {
        resolve(&self.runs, &self.run, &self.sets)
    }
}

/// The run folder that is meant: the folder itself, or an experiment whose run it is.
pub fn resolve(runs: &Path, given: &Path, sets: &[String]) -> Result<RunDir> {
    let path = if given.extension().is_some_and(|e| e == "toml") {
        run_path(runs, given, Experiment::read(given, sets)?.run.seed)
    } else {
        given.to_path_buf()
    };
    RunDir::read(&path)
        .with_context(|| format!("{} is no run; `etude train` makes one", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_after_its_experiment_and_seed() {
        let name = |config: &str| run_path(Path::new("runs"), Path::new(config), 7);
        assert_eq!(name("configs/demo/vggish.toml"), Path::new("runs/demo/vggish/7"));
        assert_eq!(name("./configs/peft/mtat/a.b.toml"), Path::new("runs/peft/mtat/a.b/7"));
        assert_eq!(name("/home/me/x/configs/mine.toml"), Path::new("runs/mine/7"));
        assert_eq!(name("/home/me/mine.toml"), Path::new("runs/mine/7"));
        assert_eq!(name("mine.toml"), Path::new("runs/mine/7"));
    }
}
