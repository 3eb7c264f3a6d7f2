//! Scoring a run: its best state over the tracks of a split.

use crate::cache;
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::identity::Identity;
use crate::kept;
use crate::log::Log;
use crate::objective::Objective;
use crate::run_dir::RunDir;
use crate::setup::{Setup, base_digest, build_model};
use crate::trainer::scoring_pace;
use etude_eval::{Scores, Task, Windowed, predict, score, windows, write_predictions};
use etude_manifests::{Split, atomic};
use etude_models::{Input, Model, Tuning};
use etude_shards::{Loader, LoaderConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Scores of a split, as written to `scores.<split>.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The run folder.
    pub run: PathBuf,
    /// What was scored.
    pub view: String,
    /// Hash of who is in which split.
    pub split_hash: String,
    /// Hash of the class names in order.
    pub vocab_hash: String,
    /// Part of the view.
    pub split: Split,
    /// Steps the scored state was trained for.
    pub step: u64,
    /// Mean loss over all windows.
    pub loss: f64,
    /// Tracks that have no audio.
    pub skipped: usize,
    /// Scores of the paper's row, where the experiment names them.
    pub published: BTreeMap<String, f64>,
    /// The scores.
    #[serde(flatten)]
    pub scores: Scores,
}

/// The best state of a run, ready to predict.
pub struct Trained {
    /// What it was trained with.
    pub experiment: Experiment,
    /// What it was trained on, with the class names.
    pub identity: Identity,
    /// What it learned.
    pub objective: Box<dyn Objective>,
    /// In its best state.
    pub model: Model,
    /// Steps it was trained for.
    pub step: u64,
}

impl Trained {
    /// Opens the best state of a run; the data it was trained on is not needed. `sets` override keys of its experiment,
    /// e.g. `run.device=cpu`.
    ///
    /// # Errors
    /// [`Error::NoRun`] for a run that never was validated, and whatever cannot be read or built.
    pub fn open(dir: &RunDir, sets: &[String]) -> Result<Self> {
        let experiment = Experiment::read(&dir.config(), sets)?;
        let identity = Identity::read(dir)?;
        let objective = experiment.objective.build(&identity.vocab, experiment.run.seed)?;
        let device = etude_aten::device(&experiment.run.device)?;
        if let Some(threads) = experiment.run.threads {
            etude_aten::set_threads(threads);
        }
        let weights = needs_base(&experiment);
        let model = build_model(&experiment, objective.outputs(), device, weights)?;
        identity.check_base(base_digest(&model)?.as_deref())?;
        let step = restore_best(dir, &model)?;
        Ok(Self { experiment, identity, objective, model, step })
    }

    /// Samples per second of the waves the model takes, Hz.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a model that takes spectrogram frames or embeddings.
    pub fn rate(&self) -> Result<u32> {
        let spec = self.model.backbone.spec();
        let takes = match spec.input {
            Input::Wave { rate } => return Ok(rate),
            Input::Frames { bands, frame_rate } => {
                format!("{bands} bands at {frame_rate} frames per second")
            }
            Input::Embedding { dim } => format!("embeddings of {dim} numbers"),
        };
        Err(Error::Mismatch {
            what: "input".to_owned(),
            left: "audio files hold waves".to_owned(),
            right: format!("{} takes {takes}", spec.name),
            hint: "score it on shards with `etude eval`".to_owned(),
        })
    }

    /// What the model's outputs mean.
    ///
    /// # Errors
    /// [`Error::NoTask`] for a run that pre-trained a network.
    pub fn task(&self) -> Result<&dyn Task> {
        self.objective.task().ok_or(Error::NoTask)
    }

    /// What the model says about one recording, a wave at [`Trained::rate`], in the windows of the experiment's
    /// `[eval]`. `name` is what errors call it.
    ///
    /// # Errors
    /// For an empty wave, and an output that is no number.
    pub fn hear(&self, name: &str, wave: &[f32]) -> Result<Windowed> {
        let LoaderConfig { crop, batch, .. } = self.experiment.eval_loader();
        Ok(windows(&self.model, self.task()?, (name, wave), &crop, batch)?)
    }
}

/// Scores the best state of a run over a split, and writes `scores.<split>.json` and `predictions.<split>.safetensors`
/// into its folder. `sets` override keys of its experiment, e.g. `data.dir=…` or `eval.batch=64`.
///
/// # Errors
/// As [`Trained::open`], and [`Error::Mismatch`] when the data is no longer that of the run.
pub fn evaluate(
    dir: &RunDir,
    split: Split,
    sets: &[String],
    log: &mut dyn Log,
) -> Result<Evaluation> {
    let exp = Experiment::read(&dir.config(), sets)?;
    score_run(dir, &exp, (split, split_name(split)), |then, now| then.check(now), log)
}

/// Scores the best state of a run over the test split of other shards of the same tracks, such as deformed audio, and
/// writes `scores.test.<name>.json` and `predictions.test.<name>.safetensors`.
///
/// # Errors
/// As [`evaluate`], but for the shards.
pub fn evaluate_on(
    dir: &RunDir,
    shards: &str,
    name: &str,
    log: &mut dyn Log,
) -> Result<Evaluation> {
    let mut exp = Experiment::read(&dir.config(), &[format!("data.shards=\"{shards}\"")])?;
    exp.data.cache = None; // scored once
    let name = format!("{}.{name}", split_name(Split::Test));
    let same = |then: &Identity, now: &Identity| {
        then.check(&Identity { shards_hash: then.shards_hash.clone(), ..now.clone() })
    };
    score_run(dir, &exp, (Split::Test, &name), same, log)
}

/// Scores a split; files are called by `name`. `same` says whether the data is that of the run.
fn score_run(
    dir: &RunDir,
    exp: &Experiment,
    (split, name): (Split, &str),
    same: impl Fn(&Identity, &Identity) -> Result<()>,
    log: &mut dyn Log,
) -> Result<Evaluation> {
    let mut setup = Setup::new(exp, needs_base(exp))?;
    same(&Identity::read(dir)?, &setup.identity)?;
    let step = restore_best(dir, &setup.model)?;
    let cfg = exp.eval_loader();
    let loader = Loader::tracks(&setup.index, &setup.view, split, &cfg)?;
    let mut loader = setup.memory.lend(loader);
    let never = AtomicBool::new(false);
    if let Some((kept, start)) = cache::open_split(exp, &setup, (split, &cfg), log, &never)? {
        loader = loader.instead(&setup.index, &kept)?;
        setup.model.start = Some(start);
    }
    let (total, skipped) = (loader.samples_per_epoch(), loader.skipped().len());
    let task = setup.objective.task().ok_or(Error::NoTask)?;
    let begun = Instant::now();
    let mut progress = |done: u64| {
        log.pace(&scoring_pace(begun, done, total));
        true
    };
    let mut predicted = predict(&setup.model, loader, task, &mut progress)?
        .ok_or(etude_eval::Error::Empty { place: setup.view.name.clone() })?;
    if exp.eval.drop_last && predicted.keys.len() >= cfg.batch {
        predicted.truncate(predicted.keys.len() / cfg.batch * cfg.batch);
    }
    let found = Evaluation {
        run: dir.path().to_path_buf(),
        view: setup.view.name.clone(),
        split_hash: setup.identity.split_hash.clone(),
        vocab_hash: setup.identity.vocab_hash.clone(),
        split,
        step,
        loss: predicted.loss,
        skipped,
        published: exp.published.clone(),
        scores: score(&predicted, task)?,
    };
    write_predictions(
        &dir.path().join(format!("predictions.{name}.safetensors")),
        &predicted,
        task,
    )?;
    let path = dir.path().join(format!("scores.{name}.json"));
    atomic::write_json(&path, &found).map_err(Error::io(&path))?;
    Ok(found)
}

/// Whether the state of a run is not the whole model.
fn needs_base(exp: &Experiment) -> bool {
    !matches!(exp.tuning, Tuning::Full(_))
}

/// Puts the best state into the model; the steps it was trained for.
fn restore_best(dir: &RunDir, model: &Model) -> Result<u64> {
    let path = dir.best();
    if !path.exists() {
        return Err(Error::NoRun { dir: dir.path().to_path_buf(), missing: "best.safetensors" });
    }
    let (state, step) = kept::read_with_step(&path)?;
    kept::restore(model, &state, &path)?;
    Ok(step)
}

fn split_name(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Valid => "valid",
        Split::Test => "test",
    }
}
