//! One step of a study: whether it is done, and doing it.

use super::overview::Overview;
use anyhow::{Context, Result};
use etude_eval::embed::{self, CorpusConfig, Deform, EmbedConfig, Pool};
use etude_manifests::{Example, Split, View, atomic, read_view};
use etude_models::{Input, Pretrained};
use etude_shards::Number;
use etude_train::study::{Embed, Step, Study, Work, has_network, write_network, write_stats};
use etude_train::{Ending, RunDir, evaluate, evaluate_on, same_experiment};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of a step.
pub enum End {
    /// It is done; `before` when nothing was left to do.
    Done { before: bool },
    /// The user asked to stop.
    Stopped,
    /// What it needs, by name, is not there.
    Waits(String),
    /// It failed.
    Failed(anyhow::Error),
}

/// Whether nothing is left to do.
pub fn done(study: &Study, step: &Step) -> Result<bool> {
    match &step.work {
        Work::Train { recipe, run, scored } => {
            let wanted = ["config.toml", "report.json"].into_iter();
            let wanted = wanted.chain(scored.then_some("scores.test.json"));
            if !wanted.into_iter().all(|name| run.join(name).is_file()) {
                return Ok(false);
            }
            let dir = RunDir::read(run)?;
            same_experiment(&recipe.experiment()?, &dir)?;
            Ok(read_json(&dir.report())?["ending"] != json!(Ending::Stopped))
        }
        Work::FrameStats { out, .. } => Ok(out.is_file()),
        Work::Network { out, .. } => Ok(has_network(out)),
        Work::Embed(embed) => {
            let stamp = std::fs::read_to_string(embed.out.join(STAMP)).unwrap_or_default();
            Ok(embed.out.join("index.json").is_file() && stamp == stamp_of(study, embed)?)
        }
        Work::Deformed { run, name, .. } => {
            Ok(run.join(format!("scores.test.{name}.json")).is_file())
        }
    }
}

/// Does a step, or goes on with it.
pub fn run(study: &Study, step: &Step, log: &mut Overview, stop: &AtomicBool) -> Result<End> {
    match &step.work {
        Work::Train { recipe, run, scored } => {
            let exp = recipe.experiment()?;
            let outcome = if run.join("config.toml").exists() {
                etude_train::resume(&exp, &RunDir::open(run)?, log, stop)?
            } else {
                etude_train::run(&exp, &RunDir::create(run)?, log, stop)?
            };
            if outcome.ending == Ending::Stopped || stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            if *scored {
                evaluate(&RunDir::read(run)?, Split::Test, &[], log)?;
            }
        }
        Work::FrameStats { recipe, out } => write_stats(&recipe.experiment()?, out)?,
        Work::Network { recipe, run, out } => {
            write_network(&recipe.experiment()?, run.as_deref(), out)?;
        }
        Work::Embed(cfg) => {
            if !embed(study, cfg, log, stop)? {
                return Ok(End::Stopped);
            }
        }
        Work::Deformed { run, shards, name } => {
            evaluate_on(&RunDir::read(run)?, shards, name, log)?;
        }
    }
    Ok(End::Done { before: false })
}

/// Beside the index of an embedding set: what the study asked for when it was made.
const STAMP: &str = "study.json";

fn stamp_of(study: &Study, cfg: &Embed) -> Result<String> {
    let views: BTreeMap<String, String> = cfg
        .views
        .iter()
        .map(|path| read_view(path).map(|view| (view.name.clone(), view.hash())))
        .collect::<Result<_, _>>()?;
    let deformation = deform(study, cfg)?;
    Ok(json!({
        "window": cfg.window, "layer": cfg.layer, "batch": cfg.batch, "views": views,
        "deformation": deformation.map(|d| d.id),
    })
    .to_string())
}

/// What happens to the audio first, if anything.
fn deform(study: &Study, cfg: &Embed) -> Result<Option<Deform>> {
    match &cfg.deformation {
        Some(name) => Ok(Some(study.deformation(name)?)),
        None => Ok(None),
    }
}

/// Embeds what the views name; whether it came to the end.
fn embed(study: &Study, cfg: &Embed, log: &mut Overview, stop: &AtomicBool) -> Result<bool> {
    if let Some(threads) = cfg.threads {
        etude_aten::set_threads(threads);
    }
    let model = Pretrained::open(&cfg.network, etude_aten::device(&cfg.device)?)?;
    let Input::Wave { rate } = model.spec().input else {
        anyhow::bail!("{}: expected a network that takes waves", cfg.network.display());
    };
    let embed = EmbedConfig {
        layer: cfg.layer,
        pool: Pool::Mean,
        window_s: Some(cfg.window as f64 / f64::from(rate)),
        batch: cfg.batch,
        pad: true,
    };
    let deform = deform(study, cfg)?;
    let view = tracks(&cfg.views, cfg.deformation.is_some())?;
    let corpus = CorpusConfig {
        source: cfg.source.clone(),
        out: cfg.out.clone(),
        view: Some(view),
        number: Number::F32,
        embed,
        deform,
    };
    match embed::run(&corpus, &model, &mut |pace| log.embedding(pace), stop) {
        Ok(_) => {}
        Err(etude_eval::Error::Stopped { .. }) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    let stamp = cfg.out.join(STAMP);
    atomic::write(&stamp, stamp_of(study, cfg)?.as_bytes())
        .with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(true)
}

/// The tracks that some views name, or only those of their test splits, as one view.
fn tracks(paths: &[std::path::PathBuf], test_only: bool) -> Result<View> {
    let mut all: Option<View> = None;
    let mut examples: BTreeMap<String, Example> = BTreeMap::new();
    for path in paths {
        let view = read_view(path)?;
        let wanted = view.examples.iter().filter(|e| !test_only || e.split == Split::Test);
        examples.extend(wanted.map(|e| (e.key.clone(), e.clone())));
        all.get_or_insert(view);
    }
    let mut view = all.context("a corpus of a study has at least one view")?;
    view.examples = examples.into_values().collect();
    Ok(view)
}

pub fn read_json(path: &Path) -> Result<Value> {
    let place = || format!("cannot read {}", path.display());
    serde_json::from_slice(&std::fs::read(path).with_context(place)?).with_context(place)
}
