//! Metrics: plain functions on slices, no tensors.
//!
//! Every value here equals scikit-learn's or mir_eval's to 1e-12 on the golden files of `fixtures/metrics`, or says
//! where and why it differs.

pub mod beat;
pub mod chord;
pub mod key;
pub mod ranking;
pub mod regression;
pub mod report;
pub mod tempo;

pub use ranking::{TaggingScores, average_precision, roc_auc, tagging};

/// Result of the metrics.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Input that no metric can be taken of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Slices that belong together have different lengths, or are no whole number of rows.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A score that is not a number. Usually the training has diverged.
    #[error("score of item {item}, class {class}: expected a number, got NaN")]
    NotANumber {
        /// Row, counted from 0.
        item: usize,
        /// Column, counted from 0.
        class: usize,
    },
    /// A value outside what the metric is defined for.
    #[error("{what}: expected {expected}, got {got}")]
    Value {
        /// Which value, with its index where there is one.
        what: String,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
}

/// Rows of `width` in a slice; fails when that is no whole number.
pub(crate) fn rows(what: &'static str, len: usize, width: usize) -> Result<usize> {
    let rows = len.checked_div(width).unwrap_or(0);
    same(what, rows * width, len)?;
    Ok(rows)
}

pub(crate) fn same(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

/// The mean; `None` of nothing.
fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.into_iter().fold((0.0, 0u64), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}
