//! What a run tells: rows that are kept (`log.jsonl`, one JSON object per line) and the pace for a progress bar.
//!
//! A row is one of `step`, `valid`, `event`. Everything that differs between two runs of the same experiment sits in
//! its `timing` object; the rest is the same to the last digit, also when a run was interrupted and resumed: rows
//! behind the checkpoint are cut off before the run goes on.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Where a run's rows and pace go; `()` drops them.
pub trait Log {
    /// A row, right after it was written to `log.jsonl`.
    fn row(&mut self, row: &Row);
    /// After every step and every validated batch.
    fn pace(&mut self, pace: &Pace);
}

impl Log for () {
    fn row(&mut self, _row: &Row) {}
    fn pace(&mut self, _pace: &Pace) {}
}

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub enum Row {
    /// Training, every `trainer.log_steps` steps.
    Step {
        /// Optimizer steps done.
        step: u64,
        /// Epoch of this step, from 0.
        epoch: u64,
        /// Mean over the steps since the row before.
        loss: f64,
        /// Rate of the last step.
        lr: f64,
        /// Gradient norm of the last step, before clipping.
        grad_norm: f64,
        /// Whatever else the objective reports, of the last step.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        extras: BTreeMap<String, f64>,
        /// How long it took.
        timing: Timing,
    },
    /// A validation.
    Valid {
        /// Optimizer steps done.
        step: u64,
        /// Epochs finished.
        epoch: u64,
        /// Scores of the task and `loss`.
        scores: BTreeMap<String, f64>,
        /// Whether this is the best state so far.
        best: bool,
        /// How long it took.
        timing: Timing,
    },
    /// Something that happens once: `early_stop`, `stage`, `done`.
    Event {
        /// Optimizer steps done.
        step: u64,
        /// Short name.
        event: String,
        /// For people.
        text: String,
        /// When.
        timing: Timing,
    },
}

/// The part of a row that differs from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds since 1970.
    pub wall: f64,
    /// Seconds since the row before of this kind, or taken by this validation.
    pub seconds: f64,
    /// Samples per second over `seconds`.
    pub samples_s: f64,
    /// Share of `seconds` spent waiting for the loader.
    pub stall: f64,
}

/// How fast a run goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// What is being done.
    pub phase: Phase,
    /// Steps, or validation batches, done.
    pub done: u64,
    /// Steps, or validation batches, in all; 0 = unknown.
    pub total: u64,
    /// Samples per second lately.
    pub samples_s: f64,
    /// Share of the time spent waiting for the loader.
    pub stall: f64,
    /// Seconds to the end of the phase.
    pub eta_s: f64,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Taking steps.
    Training,
    /// Scoring a split.
    Scoring,
    /// Filling the cache of the network's frozen beginning, window by window.
    Caching,
}

impl Row {
    /// Optimizer steps done when the row was written.
    pub fn step(&self) -> u64 {
        match self {
            Row::Step { step, .. } | Row::Valid { step, .. } | Row::Event { step, .. } => *step,
        }
    }

    /// When and how long.
    pub fn timing(&self) -> &Timing {
        match self {
            Row::Step { timing, .. } | Row::Valid { timing, .. } | Row::Event { timing, .. } => {
                timing
            }
        }
    }

    /// The same row with all timings zero: equal for equal runs.
    pub fn untimed(mut self) -> Row {
        match &mut self {
            Row::Step { timing, .. } | Row::Valid { timing, .. } | Row::Event { timing, .. } => {
                *timing = Timing::default();
            }
        }
        self
    }
}

/// The open `log.jsonl` of a run.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
}

impl LogFile {
    /// Opens the log with every row behind `step` cut off; returns the rows that are left.
    pub(crate) fn open(path: &Path, step: u64) -> Result<(Self, Vec<Row>)> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(path)(e)),
        };
        let (rows, bytes) = rows_up_to(&text, step);
        let open = OpenOptions::new().create(true).append(true).open(path);
        let file = open.map_err(Error::io(path))?;
        file.set_len(bytes as u64).map_err(Error::io(path))?;
        Ok((Self { file }, rows))
    }

    /// Appends a line.
    pub(crate) fn push(&mut self, path: &Path, row: &Row) -> Result<()> {
        let mut line =
            serde_json::to_string(row).map_err(|e| Error::io(path)(std::io::Error::other(e)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(Error::io(path))
    }

    /// Waits until the rows are on the disk.
    pub(crate) fn sync(&self, path: &Path) -> Result<()> {
        self.file.sync_data().map_err(Error::io(path))
    }
}

/// All rows of a log; a torn last line is left out.
pub fn read_log(path: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    Ok(rows_up_to(&text, u64::MAX).0)
}

/// The leading rows of at most `step` steps, and where they end in bytes.
fn rows_up_to(text: &str, step: u64) -> (Vec<Row>, usize) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        match serde_json::from_str::<Row>(line) {
            Ok(row) if line.ends_with('\n') && row.step() <= step => rows.push(row),
            _ => break,
        }
        bytes += line.len();
    }
    (rows, bytes)
}

/// Seconds since 1970.
pub(crate) fn wall() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Row {
        Row::Step {
            step,
            epoch: 0,
            loss: 0.1 + step as f64,
            lr: 1e-3,
            grad_norm: 0.3,
            extras: BTreeMap::new(),
            timing: Timing { wall: wall(), ..Timing::default() },
        }
    }

    #[test]
    fn rows_behind_the_checkpoint_and_torn_lines_are_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let (mut log, rows) = LogFile::open(&path, 0).unwrap();
        assert!(rows.is_empty());
        for step in 1..=5 {
            log.push(&path, &row(step)).unwrap();
        }
        log.file.write_all(b"{\"row\":\"step\",\"st").unwrap();
        drop(log);
        assert_eq!(read_log(&path).unwrap().len(), 5);
        let (mut log, rows) = LogFile::open(&path, 3).unwrap();
        assert_eq!(rows.iter().map(Row::step).collect::<Vec<_>>(), [1, 2, 3]);
        log.push(&path, &row(4)).unwrap();
        drop(log);
        let steps: Vec<u64> = read_log(&path).unwrap().iter().map(Row::step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
    }

    #[test]
    fn a_row_survives_the_file_to_the_last_digit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let (mut log, _) = LogFile::open(&path, 0).unwrap();
        let mut scores = BTreeMap::new();
        scores.insert("mAP".to_owned(), 1.0 / 3.0);
        let timing = Timing { wall: 1e9 + 0.1, seconds: 0.1, samples_s: 3.3, stall: 0.7 };
        let row = Row::Valid { step: 7, epoch: 1, scores, best: true, timing };
        log.push(&path, &row).unwrap();
        assert_eq!(read_log(&path).unwrap(), [row]);
    }
}
