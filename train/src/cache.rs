//! What the frozen beginning of a network makes of every window of the audio, computed once and kept on disk.
//!
//! Under a tuning method that leaves the first hidden states alone, and with frozen parts in evaluation mode, hidden
//! state number `state` ([`etude_models::Model::fixed_state`]) is a fixed function of the window. A cache is a shard set
//! of embeddings, one track per window, beside a `cache.json` that says what it was made from; its folder carries the
//! digest of that, so other weights, settings or shards are another cache. It is filled before the first step, file by
//! file: what is finished survives whatever happens to the run, and a run that goes on ends with the same bytes. The
//! windows of a split that is scored and not in it are a cache of their own, filled when first scored.
//!
//! Letters: B windows, T' hidden states, D width.

mod disk;
mod plan;

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::Log;
use crate::setup::Setup;
use crate::trainer::event;
use etude_manifests::Split;
use etude_models::Start;
use etude_shards::{Index, LoaderConfig, windows};
use plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Keeps the output of the frozen beginning of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// How one number is stored: `bf16` (default), half the size and rounded to 8 bits, or `f32`, with which a run has
    /// the same numbers as without a cache.
    #[serde(default)]
    pub dtype: CacheNumber,
    /// Folder of the caches; `<data.dir>/cache` when left out.
    #[serde(default)]
    pub dir: Option<PathBuf>,
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

/// Version of the files; another one is another cache.
const VERSION: u32 = 1;
/// What a cache was made from, in its folder.
const ABOUT: &str = "cache.json";
/// Bytes after which a file of a cache ends.
const FILE_BYTES: u64 = 64 << 20;
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
    /// T' by the length of a window.
    frames: BTreeMap<u64, u64>,
}

/// What a cache gives: its files, and where in the network they go on from.
pub(crate) type Kept = (Index, Start);

/// Finds the cache of an experiment or fills it with the windows of training and validation; `None` when asked to stop
/// before it is full.
///
/// # Errors
/// [`Error::Cache`] when nothing of the network is fixed, or the disk has no room for it.
pub(crate) fn open(
    exp: &Experiment,
    setup: &Setup,
    log: &mut dyn Log,
    stop: &AtomicBool,
) -> Result<Option<Kept>> {
    Plan::of_run(exp, setup)?.open(log, stop)
}

/// The same for scoring a split: from the run's own cache where it is full and holds these windows, otherwise from one of
/// the split alone, which other runs on the same network share. `None` where the windows are not kept: whole tracks of
/// several lengths, or more of them than the disk has room for.
pub(crate) fn open_split(
    exp: &Experiment,
    setup: &Setup,
    split: Split,
    log: &mut dyn Log,
) -> Result<Option<Kept>> {
    let LoaderConfig { crop, batch, .. } = exp.eval_loader();
    let list = match windows(&setup.index, &setup.view, split, &crop) {
        Ok(list) if exp.data.cache.is_some() && !list.is_empty() => list,
        _ => return Ok(None),
    };
    if let Ok(run) = Plan::of_run(exp, setup)
        && run.holds(&list)
        && let Some(kept) = run.full()?
    {
        return Ok(Some(kept));
    }
    let own = Plan::new(exp, setup, vec![list], batch);
    match own.and_then(|plan| plan.open(log, &AtomicBool::new(false))) {
        Err(Error::Cache { text }) => {
            log.row(&event(0, "cache", format!("{text}; scoring without one")));
            Ok(None)
        }
        kept => kept,
    }
}
