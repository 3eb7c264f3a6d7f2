//! What a run leaves beside its states: `config.toml`, `identity.json`, `versions.txt` at the start, `report.json` at the
//! end.

use crate::checkpoint::State;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::run_dir::RunDir;
use crate::setup::Setup;
use crate::trainer::Outcome;
use etude_manifests::atomic;
use etude_shards::Refused;
use tch::Device;

/// At the start, and again when a run goes on: a new block in `versions.txt`, everything else only once.
pub(crate) fn start(exp: &Experiment, dir: &RunDir, setup: &Setup) -> Result<()> {
    if !dir.identity().exists() {
        setup.identity.write(dir)?;
    }
    if !dir.config().exists() {
        atomic::write(&dir.config(), exp.text().as_bytes()).map_err(Error::io(&dir.config()))?;
    }
    let torch = etude_aten::facts()?;
    let commit = env!("ETUDE_COMMIT"); // empty where the build found no repository
    let commit = if commit.is_empty() { "unknown" } else { commit };
    dir.note_versions(&[
        ("etude", env!("CARGO_PKG_VERSION").to_owned()),
        ("commit", commit.to_owned()),
        ("rustc", env!("ETUDE_RUSTC").trim_start_matches("rustc ").to_owned()),
        ("libtorch", torch.version),
        ("device", format!("{:?}", setup.device)),
        ("threads", torch.threads.to_string()),
    ])
}

/// At the end of every start.
pub(crate) fn finish(
    dir: &RunDir,
    outcome: &Outcome,
    setup: &Setup,
    state: &State,
    skipped: &[Refused],
) -> Result<()> {
    let count =
        |list: Vec<(String, tch::Tensor)>| -> usize { list.iter().map(|(_, t)| t.numel()).sum() };
    let report = serde_json::json!({
        "ending": outcome.ending,
        "step": outcome.step,
        "steps": outcome.steps,
        "samples": state.samples,
        "minutes": outcome.seconds / 60.0,
        "seconds_per_epoch": outcome.seconds_per_epoch(),
        "trained_parameters": count(setup.model.trainable()),
        "peak_memory_bytes": etude_aten::host_peak(),
        "peak_device_memory_bytes": peak_device_memory(setup.device),
        "kept": outcome.kept,
        "skipped": skipped,
    });
    let path = dir.report();
    atomic::write_json(&path, &report).map_err(Error::io(&path))
}

/// Most memory of the GPU in tensors.
fn peak_device_memory(device: Device) -> Option<u64> {
    let Device::Cuda(index) = device else { return None };
    etude_aten::cuda_memory(index).ok().map(|m| m.allocated_peak as u64)
}
