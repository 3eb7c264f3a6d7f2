//! What the frozen beginning of a network makes of every window of the audio, computed once and kept on disk.
//!
//! Under a tuning method that leaves the first hidden states alone, and with frozen parts in evaluation mode, hidden
//! state number `state` ([`etude_models::Model::fixed_state`]) is a fixed function of the window. A cache is a shard set
//! of embeddings, one track per window of one split, beside a `cache.json` that says what it was made from; its folder
//! carries the digest of that, so other weights, settings or shards are another cache.
//!
//! That of the training windows is filled during the first epoch: each batch goes through the frozen beginning as it
//! comes, is stored, and the step goes on from what was stored. With it go the other windows of its tracks, and after the
//! last batch what the epoch did not reach. So the windows of a cache lie in the order of a run's first epoch, in files
//! that survive whatever happens to the run: one that is resumed in the middle computes the file it was writing again, in
//! the same batches, to the same bytes. A full cache serves every run, whatever its order; a partial one of another order
//! is not recognised, and its files are written anew. The windows of a split that is scored are filled in before it is
//! first scored, in the batches in which it is read.
//!
//! What a network makes of a window depends, by rounding, on how many go through it together, not on which. So a short
//! training batch is filled up to a whole one on its way through the frozen beginning: what is kept is the same in every
//! order. With float32 a run differs from one without a cache in the short last batch of an epoch only, by that rounding;
//! what is scored is read in the same batches with and without one.
//!
//! Letters: B windows, T' hidden states, D width.

mod disk;
mod fill;
mod plan;

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::Log;
use crate::setup::Setup;
use crate::trainer::event;
use etude_manifests::Split;
use etude_models::Start;
use etude_shards::{Index, LoaderConfig, LoaderState, windows};
pub(crate) use fill::Filler;
use plan::Plan;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Keeps the output of the frozen beginning of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// How one number is stored: `bf16` (default), half the size and rounded to 8 bits, or `f32`, with which whole
    /// batches give the same numbers as without a cache.
    #[serde(default)]
    pub dtype: CacheNumber,
    /// When it is filled: during the `first_epoch` (default), or `before` the first step. Same files, same numbers.
    #[serde(default)]
    pub fill: CacheFill,
    /// Folder of the caches; `<data.dir>/cache` when left out.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    /// Bytes after which a file ends, 64 MiB by default; no key, so that tests can have several files.
    #[doc(hidden)]
    #[serde(skip)]
    pub file_bytes: Option<u64>,
}

/// How one number of a cache is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheNumber {
    /// bfloat16.
    #[default]
    Bf16,
    /// 32-bit float.
    F32,
}

/// When a cache is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheFill {
    /// Batch by batch while the first epoch trains on it; that of the validation before the first validation.
    #[default]
    FirstEpoch,
    /// All of it before the first step.
    Before,
}

/// Version of the files; another one is another cache.
const VERSION: u32 = 2;
/// What a cache was made from, in its folder.
const ABOUT: &str = "cache.json";
/// Bytes after which a file of a cache ends.
const FILE_BYTES: u64 = 64 << 20;
/// Windows after which it ends: what a run that is resumed computes again.
const FILE_WINDOWS: u64 = 2048;
/// Bytes that a window takes beside its numbers, at most.
const ROW_BYTES: u64 = 1024;

/// Everything that the numbers of a cache depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    version: u32,
    backbone: serde_json::Value,
    /// Digest of the weight file, or the seed that the weights were drawn from.
    weights: String,
    state: usize,
    precision: String,
    dtype: CacheNumber,
    /// Digest of the shard files.
    shards: String,
    split: Split,
    /// Number and digest of the windows.
    windows: (usize, String),
    /// Windows that go through the network together.
    batch: usize,
}

/// `cache.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    made_from: Key,
    /// Element type in the network: `f32` or `bf16`.
    kind: String,
    dim: u32,
    /// T'.
    frames: u64,
}

/// What a cache gives: its files, and where in the network they go on from.
pub(crate) type Kept = (Index, Start);

/// The cache of the training windows.
pub(crate) enum Training {
    /// All of it is there.
    Full(Kept),
    /// To be given every batch from the one that the run is at.
    Filling(Box<Filler>),
}

/// Finds the cache of the training windows of a run that stands at `at`, or begins to fill it; `None` when asked to stop.
///
/// # Errors
/// [`Error::Cache`] when nothing of the network is fixed, or the disk has no room for it.
pub(crate) fn open(
    exp: &Experiment,
    setup: &Setup,
    at: LoaderState,
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Option<Training>> {
    let plan = Plan::of_run(exp, setup)?;
    let batches = match exp.data.cache.as_ref().map(|cache| cache.fill) {
        Some(CacheFill::FirstEpoch) if at.epoch == 0 => Some(at.sample as usize / exp.data.batch),
        _ => None,
    };
    plan.open(setup, batches, log, stop)
}

/// The windows of a split that is scored, as `cfg` reads it, filled in where they are missing. Of the training split the
/// run's own cache serves too, where it is full and holds them. `None` where windows are not kept: whole tracks of several
/// lengths, or more of them than the disk has room for, or when asked to stop.
pub(crate) fn open_split(
    exp: &Experiment,
    setup: &Setup,
    (split, cfg): (Split, &LoaderConfig),
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Option<Kept>> {
    let list = match windows(&setup.index, &setup.view, split, &cfg.crop) {
        Ok(list) if exp.data.cache.is_some() && !list.is_empty() => list,
        _ => return Ok(None),
    };
    if split == Split::Train
        && let Ok(run) = Plan::of_run(exp, setup)
        && run.holds(&list)
        && let Some(kept) = run.full(setup)?
    {
        return Ok(Some(kept));
    }
    let plan = Plan::of_split(exp, setup, split, cfg);
    match plan.and_then(|plan| plan.open(setup, None, log, stop)) {
        Ok(Some(Training::Full(kept))) => Ok(Some(kept)),
        Ok(_) => Ok(None),
        Err(Error::Cache { text }) => {
            log.row(&event(0, "cache", format!("{text}; scoring without one")));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
