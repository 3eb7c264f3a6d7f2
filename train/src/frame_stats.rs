//! Mean and deviation of the mel frames that an experiment trains on, for networks that take standardised frames.

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use etude_eval::inputs;
use etude_features::MelConfig;
use etude_manifests::read_view;
use etude_models::BackboneConfig;
use etude_models::ast::{self, FrameStats};
use etude_models::nn::{MelSpec, Scope, Store};
use etude_models::peft::Probe;
use etude_shards::{Index, Kind, Loader};
use tch::Device;

/// One pass over the training crops, each batch with equal weight, as the transfer study measures: what
/// `model.backbone.mean` and `std` of `ast` and `tmae` are set to. Waves become frames of the backbone's own front end.
///
/// # Errors
/// Whatever cannot be read, and [`etude_models::Error`] for frames that are all alike.
pub fn frame_stats(exp: &Experiment) -> Result<(f64, f64)> {
    let view = read_view(&exp.view_path())?;
    let index = Index::open(&exp.shards_dir())?;
    let mut loader = Loader::train(&index, &view, &exp.train_loader(), exp.run.seed)?;
    let front = match index.spec().kind {
        Kind::Wave { .. } => Some(front_end(exp)?),
        _ => None,
    };
    let _guard = tch::no_grad_guard();
    let mut stats = FrameStats::new();
    for step in 0..loader.batches_per_epoch() {
        let batch = loader.next().ok_or(Error::NoBatch { step })??;
        let x = inputs(&batch, Device::Cpu)?.x;
        match &front {
            Some(front) => stats.add(&front.forward(&x)?)?,
            None => stats.add(&x)?,
        }
        loader.recycle(batch);
    }
    Ok(stats.finish()?)
}

fn front_end(exp: &Experiment) -> Result<MelSpec> {
    let name = match exp.model.backbone {
        BackboneConfig::Tmae(_) => "musicnn_sota_16k_db",
        _ => "vgg_16k_db",
    };
    let mel = MelConfig::preset(name).ok_or_else(|| Error::Mismatch {
        what: "front end".to_owned(),
        left: name.to_owned(),
        right: "no preset of that name".to_owned(),
        hint: "use one of the published front ends".to_owned(),
    })?;
    let (store, probe) = (Store::new(Device::Cpu), Probe {});
    Ok(MelSpec::unnamed(&Scope::root(&store, &probe, 0, false), &mel)?)
}

/// Whether a network standardises its frames and its configuration does not say by what.
pub(crate) fn lacks_stats(backbone: &BackboneConfig) -> bool {
    match backbone {
        BackboneConfig::Ast(cfg) => cfg.preset != ast::Preset::Limited && cfg.mean.is_none(),
        BackboneConfig::Tmae(cfg) => cfg.mean == 0.0 && cfg.std == 1.0,
        _ => false,
    }
}
