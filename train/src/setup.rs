//! From an experiment to the things a run needs: device, data, objective, model.

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::frame_stats::lacks_stats;
use crate::identity::Identity;
use crate::objective::Objective;
use etude_eval::BatchMemory;
use etude_manifests::{Split, View, read_view};
use etude_models::{BackboneConfig, Input, Model, ModelConfig};
use etude_shards::{Index, Kind};
use tch::Device;

/// What a run works with.
pub(crate) struct Setup {
    pub(crate) device: Device,
    /// For batches that go to the device.
    pub(crate) memory: BatchMemory,
    pub(crate) view: View,
    pub(crate) index: Index,
    pub(crate) identity: Identity,
    pub(crate) objective: Box<dyn Objective>,
    pub(crate) model: Model,
}

impl Setup {
    /// Opens the data and builds the model. `weights` is whether the model starts from `model.weights`.
    pub(crate) fn new(exp: &Experiment, weights: bool) -> Result<Self> {
        check_stats(exp)?;
        etude_aten::host_reset_peak();
        let device = etude_aten::device(&exp.run.device)?;
        if let Some(threads) = exp.run.threads {
            etude_aten::set_threads(threads);
        }
        let view = read_view(&exp.view_path())?;
        let index = Index::open(&exp.shards_dir())?;
        let objective = exp.objective.build(&view.vocab, exp.run.seed)?;
        objective.task().map_or(Ok(()), |task| task.check(&view))?;
        let model = build_model(exp, objective.outputs(), device, weights)?;
        check_input(&model, &index, exp)?;
        check_groups(&model, exp)?;
        let base = base_digest(&model)?;
        let identity = Identity { base, ..Identity::of(&view, &exp.data.shards, &index) };
        let memory = BatchMemory::of(device);
        Ok(Self { device, memory, view, index, identity, objective, model })
    }

    /// Whether the validation split defines the scores that the run goes by: of a corpus with one class it may not.
    pub(crate) fn check_scores(&self, exp: &Experiment) -> Result<()> {
        let Some(task) = self.objective.task() else { return Ok(()) };
        if self.view.only(Split::Valid).next().is_none() {
            return Ok(());
        }
        let mut known = task.defines(&self.view, Split::Valid)?;
        known.push(crate::LOSS.to_owned());
        match exp.trainer.watched().into_iter().find(|(_, by)| !known.contains(by)) {
            None => Ok(()),
            Some((key, name)) => {
                Err(Error::NoScore { key, name: name.clone(), known: known.join(", ") })
            }
        }
    }
}

/// AST was made for standardised frames: whoever wants decibels as they are has to say so.
fn check_stats(exp: &Experiment) -> Result<()> {
    let backbone = &exp.model.backbone;
    if !(matches!(backbone, BackboneConfig::Ast(_)) && lacks_stats(backbone)) {
        return Ok(());
    }
    let text = "model.backbone: mean and std: expected those of the training frames, which ast standardises, got neither; \
                `etude study` measures them, and mean = 0.0, std = 0.5 leave frames as they are";
    Err(Error::Check { place: exp.place().to_owned(), problems: vec![text.to_owned()] })
}

/// The model of an experiment, before any training.
pub(crate) fn build_model(
    exp: &Experiment,
    outputs: i64,
    device: Device,
    weights: bool,
) -> Result<Model> {
    let cfg: ModelConfig = match weights {
        true => exp.model.clone(),
        false => exp.model.without_weights()?,
    };
    let mut model = Model::build(&cfg, &exp.tuning, outputs, device, exp.run.seed)?;
    model.precision = exp.trainer.precision;
    model.backbone.checkpoint(exp.trainer.checkpoint)?;
    Ok(model)
}

/// blake3 of the weight file that a model started from, hex; `None` when it started from the seed.
pub(crate) fn base_digest(model: &Model) -> Result<Option<String>> {
    let Some(loaded) = &model.loaded else { return Ok(None) };
    crate::checkpoint::digest(&loaded.source).map(Some)
}

/// Whether the shards hold what the model takes.
fn check_input(model: &Model, index: &Index, exp: &Experiment) -> Result<()> {
    let spec = model.backbone.spec();
    let (fits, wants) = match (spec.input, index.spec().kind) {
        (Input::Wave { rate }, kind) => {
            (kind == Kind::Wave { rate }, format!("waves at {rate} Hz"))
        }
        (Input::Frames { bands, frame_rate }, kind) => (
            matches!(kind, Kind::Frames { bands: b, .. } if i64::from(b) == bands),
            format!("{bands} bands at {frame_rate} frames per second"),
        ),
        (Input::Embedding { dim }, kind) => (
            matches!(kind, Kind::Embedding { dim: d, .. } if i64::from(d) == dim),
            format!("embeddings of {dim} numbers"),
        ),
    };
    let holds = match index.spec().kind {
        Kind::Wave { rate } => format!("waves at {rate} Hz"),
        Kind::Frames { fps, bands } => format!("{bands} bands at {fps} frames per second"),
        Kind::Embedding { fps, dim } => format!("embeddings of {dim} numbers at {fps} per second"),
    };
    match fits {
        true => Ok(()),
        false => Err(Error::Mismatch {
            what: "input".to_owned(),
            left: format!("model {} takes {wants}", spec.name),
            right: format!("shard set {} holds {holds}", exp.data.shards),
            hint: "make fitting shards with `etude shards`, or set data.shards".to_owned(),
        }),
    }
}

/// Every group must have something to scale.
fn check_groups(model: &Model, exp: &Experiment) -> Result<()> {
    let trained = model.trainable();
    let idle = |prefix: &&str| !trained.iter().any(|(name, _)| name.starts_with(*prefix));
    let prefixes = exp.optim.groups.iter().map(|g| g.prefix.as_str());
    let problems: Vec<String> = prefixes
        .filter(idle)
        .map(|prefix| {
            let (method, some) = (exp.tuning.name(), trained.first().map_or("none", |(n, _)| n));
            format!(
                "optim.groups: no tensor that {method} trains begins with {prefix:?}; they are called such as {some}"
            )
        })
        .collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::Check { place: exp.place().to_owned(), problems }),
    }
}
