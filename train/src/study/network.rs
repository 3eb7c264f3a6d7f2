//! The network of a run, or one as its seed made it, as a model folder: what embeddings are made with and what other
//! runs start from.

use crate::error::Result;
use crate::evaluate::Trained;
use crate::experiment::Experiment;
use crate::run_dir::RunDir;
use etude_models::{HeadConfig, Model, ModelConfig, NoHead, weights};
use std::path::Path;

/// Whether `out` holds a whole network: weights are written last.
pub fn has_network(out: &Path) -> bool {
    out.join("model.safetensors").is_file()
}

/// Writes the best state of the finished run in `run` to the folder `out`; without a run, the network of `exp` as its
/// seed made it, on the CPU: the same bytes on every machine.
///
/// # Errors
/// As [`Trained::open`], or when the folder cannot be written.
pub fn write_network(exp: &Experiment, run: Option<&Path>, out: &Path) -> Result<()> {
    match run {
        Some(run) => {
            let trained = Trained::open(&RunDir::read(run)?, &["run.device=cpu".to_owned()])?;
            let exp = &trained.experiment;
            weights::merge(&trained.model, &exp.model, &exp.tuning, out)?;
        }
        None => {
            let none = HeadConfig::None(NoHead {});
            let cfg = ModelConfig { head: none, ..exp.model.without_weights()? };
            let model = Model::build(&cfg, &exp.tuning, 1, tch::Device::Cpu, exp.run.seed)?;
            weights::merge(&model, &cfg, &exp.tuning, out)?;
        }
    }
    Ok(())
}
