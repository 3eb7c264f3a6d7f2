//! `etude sweep`: many experiments, each trained and scored on its test split. Rows that are done are left alone, so
//! the same command goes on after a stop, a failure or a longer list. A row that starts from another row's weights
//! comes after it, wherever it stands in the list.

use crate::commands::eval::evaluate;
use crate::commands::train::{run_path, train};
use crate::ui::{FAILED, Ui, exit, print_error, stop_on_signal};
use anyhow::{Context, Result, bail};
use etude_manifests::Split;
use etude_manifests::table::Table;
use etude_train::{Ending, Experiment, RunDir, same_experiment};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Arguments of `etude sweep`.
#[derive(clap::Args)]
pub struct Args {
    /// Experiments, e.g. configs/peft/mtat/*.toml; in this order, but never before the one whose weights they start from
    #[arg(required = true)]
    configs: Vec<PathBuf>,
    /// Override one key of every experiment, e.g. --set data.dir='"/fast/disk"'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Rows at a time, each in a process of its own; they share the device and its memory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// One experiment and where its run is.
struct Row {
    config: PathBuf,
    experiment: Experiment,
    path: PathBuf,
    /// Rows that must be done one after the other before this one.
    turn: usize,
}

impl Row {
    /// Whether it starts from the run of `other`.
    fn needs(&self, other: &Row) -> bool {
        self.experiment.model.weights.as_ref().is_some_and(|w| w.starts_with(&other.path))
    }

    /// An error when the row whose weights it starts from came to nothing.
    fn ready(&self, lost: &[&Row]) -> Result<()> {
        match lost.iter().find(|other| self.needs(other)) {
            Some(base) => bail!("it starts from {}, which is not done", base.config.display()),
            None => Ok(()),
        }
    }
}

/// Rows of earlier turns, and of all turns.
#[derive(Clone, Copy)]
struct Count {
    before: usize,
    all: usize,
}

/// What became of a row.
enum End {
    /// Its scores on the test split; `before` when nothing was left to do.
    Done {
        scores: Value,
        before: bool,
    },
    Failed(anyhow::Error),
    Stopped,
}

/// A failed row does not stop the others; all experiments are read before the first one begins.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    super::begin();
    let stop = stop_on_signal()?;
    let mut rows = Vec::new();
    for config in &args.configs {
        let experiment = Experiment::read(config, &args.sets)?;
        let path = run_path(&args.runs, config, experiment.run.seed);
        rows.push(Row { config: config.clone(), experiment, path, turn: 0 });
    }
    let rows = in_turns(rows)?;
    let mut ends = Vec::new();
    for turn in rows.chunk_by(|a, b| a.turn == b.turn) {
        let lost: Vec<&Row> = rows
            .iter()
            .zip(&ends)
            .filter(|(_, e)| !matches!(e, End::Done { .. }))
            .map(|(r, _)| r)
            .collect();
        let count = Count { before: ends.len(), all: rows.len() };
        ends.extend(match usize::from(args.jobs).min(turn.len()) {
            1 => one_by_one(turn, &lost, count, ui, &stop),
            jobs => side_by_side(turn, &lost, count, jobs, &args, ui, &stop)?,
        });
    }
    report(&rows, &ends, ui)?;
    if ends.iter().any(|e| matches!(e, End::Stopped)) {
        bail!("stopped; the same command goes on");
    }
    let failed = ends.iter().any(|e| matches!(e, End::Failed(_)));
    Ok(if failed { ExitCode::from(FAILED) } else { exit(false) })
}

/// The rows in turns: whatever a row starts from is in an earlier turn; within a turn the order stays.
fn in_turns(mut rows: Vec<Row>) -> Result<Vec<Row>> {
    for _ in 0..rows.len() {
        let turn = |row: &Row| rows.iter().filter(|o| row.needs(o)).map(|o| o.turn + 1).max();
        let turns: Vec<usize> = rows.iter().map(|row| turn(row).unwrap_or(0)).collect();
        if rows.iter().map(|r| r.turn).eq(turns.iter().copied()) {
            rows.sort_by_key(|row| row.turn);
            return Ok(rows);
        }
        rows.iter_mut().zip(turns).for_each(|(row, turn)| row.turn = turn);
    }
    let last = rows.iter().max_by_key(|row| row.turn).map(|row| row.config.display().to_string());
    bail!("{}: its model.weights lead back to its own run", last.unwrap_or_default())
}

fn one_by_one(rows: &[Row], lost: &[&Row], count: Count, ui: &Ui, stop: &AtomicBool) -> Vec<End> {
    let one = |(at, row): (usize, &Row)| {
        let end = match row_done(row) {
            Ok(true) => done(row, true),
            Ok(false) if stop.load(Ordering::Relaxed) => Ok(End::Stopped),
            Ok(false) => {
                let at = count.before + at + 1;
                say(ui, &format!("[{at}/{}] {}", count.all, row.config.display()));
                row.ready(lost).and_then(|()| go(row, ui, stop))
            }
            Err(error) => Err(error),
        };
        settle(row, end)
    };
    rows.iter().enumerate().map(one).collect()
}

/// Prints a failure when it happens; it is told again at the end.
fn settle(row: &Row, end: Result<End>) -> End {
    end.unwrap_or_else(|error| {
        let error = error.context(row.config.display().to_string());
        print_error(&error);
        End::Failed(error)
    })
}

/// Trains and scores one row.
fn go(row: &Row, ui: &Ui, stop: &AtomicBool) -> Result<End> {
    let outcome = train(&row.experiment, &row.path, true, ui, stop)?;
    if outcome.ending == Ending::Stopped || stop.load(Ordering::Relaxed) {
        return Ok(End::Stopped);
    }
    if !row.experiment.objective.is_scored() {
        return Ok(End::Done { scores: Value::Null, before: false });
    }
    let found = evaluate(&RunDir::read(&row.path)?, Split::Test, &[], ui)?;
    Ok(End::Done { scores: serde_json::to_value(&found.scores.summary)?, before: false })
}

/// Whether a row is trained to its end and scored, where there is anything to score.
fn row_done(row: &Row) -> Result<bool> {
    let scored =
        !row.experiment.objective.is_scored() || row.path.join("scores.test.json").exists();
    if !scored || !row.path.join("report.json").exists() {
        return Ok(false);
    }
    let dir = RunDir::read(&row.path)?;
    same_experiment(&row.experiment, &dir)?;
    Ok(read_json(&dir.report())?["ending"] != json!(Ending::Stopped))
}

/// The end of a row that is done.
fn done(row: &Row, before: bool) -> Result<End> {
    let scores = match row.experiment.objective.is_scored() {
        true => read_json(&row.path.join("scores.test.json"))?["summary"].take(),
        false => Value::Null,
    };
    Ok(End::Done { scores, before })
}

fn read_json(path: &Path) -> Result<Value> {
    let place = || format!("cannot read {}", path.display());
    serde_json::from_slice(&std::fs::read(path).with_context(place)?).with_context(place)
}

/// Each row as a sweep of its own in a child process: libtorch's generator and threads belong to a process.
fn side_by_side(
    rows: &[Row],
    lost: &[&Row],
    count: Count,
    jobs: usize,
    args: &Args,
    ui: &Ui,
    stop: &AtomicBool,
) -> Result<Vec<End>> {
    let exe = std::env::current_exe().context("cannot find this program")?;
    let (next, ends) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let one = |row: &Row| -> Result<End> {
        if row_done(row)? {
            return done(row, true);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(End::Stopped);
        }
        row.ready(lost)?;
        let mut command = Command::new(&exe);
        command.args(["--quiet", "sweep", "--runs"]).arg(&args.runs).arg(&row.config);
        command.args(args.sets.iter().map(|set| format!("--set={set}")));
        // Ctrl-C reaches this process alone, which passes it on once
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let ended = wait(child.context("cannot start a row")?, stop)?;
        match row_done(row)? {
            true => done(row, false),
            false if stop.load(Ordering::Relaxed) => Ok(End::Stopped),
            false => bail!("its process ended with {ended}; see above"),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { break };
                    let number = count.before + at + 1;
                    say(ui, &format!("[{number}/{}] {}", count.all, row.config.display()));
                    let end = settle(row, one(row));
                    let mut ends = ends.lock().unwrap_or_else(|e| e.into_inner());
                    ends.push((at, end));
                }
            });
        }
    });
    let mut ends = ends.into_inner().unwrap_or_else(|e| e.into_inner());
    ends.sort_by_key(|(at, _)| *at);
    Ok(ends.into_iter().map(|(_, end)| end).collect())
}

/// Waits for a child; a raised `stop` is passed on once.
fn wait(mut child: Child, stop: &AtomicBool) -> Result<ExitStatus> {
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a row")? {
            return Ok(status);
        }
        if !told && stop.load(Ordering::Relaxed) {
            let pid = rustix::process::Pid::from_child(&child);
            // a child that has just ended needs no signal
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            told = true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn say(ui: &Ui, line: &str) {
    if !ui.quiet {
        eprintln!("{line}");
    }
}

fn report(rows: &[Row], ends: &[End], ui: &Ui) -> Result<()> {
    let mut table = Table::new(["experiment", "state", ">mAP", ">ROC-AUC", "run"]);
    let mut values = Vec::new();
    let mut failures = String::new();
    for (row, end) in rows.iter().zip(ends) {
        let (state, scores) = match end {
            End::Done { scores, before: true } => ("done before", scores.clone()),
            End::Done { scores, .. } => ("done", scores.clone()),
            End::Failed(error) => {
                failures += &format!("\nfailed: {error:#}");
                ("failed", Value::Null)
            }
            End::Stopped => ("to do", Value::Null),
        };
        let number = |name: &str| {
            scores[name].as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
        };
        let (config, run) = (row.config.display().to_string(), row.path.display().to_string());
        table.row([&config, state, &number("mAP"), &number("ROC-AUC"), &run]);
        let error = if let End::Failed(e) = end { Some(format!("{e:#}")) } else { None };
        values.push(json!({
            "experiment": config, "run": run, "state": state, "scores": scores, "error": error,
        }));
    }
    ui.result(&format!("{table}{failures}"), &Value::Array(values))
}
