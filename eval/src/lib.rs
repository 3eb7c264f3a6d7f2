//! Eval.

pub mod metrics;
