//! The limited-data study: what networks learn from 5 minutes of music to 8000, told by probes on their embeddings.
//!
//! The study of chrispla/limited-music-representations. Each model is trained on each subset, and left untrained once; its
//! embeddings of every task's corpus are kept, clean, and of the test audio deformed; two probes learn each task from the
//! clean ones and are scored on all.

use super::needed::Needed;
use super::{Embed, Place, Recipe, Step, Study, Work, baselines, push, set, stats};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use etude_features::{Deformation, handcrafted};
use etude_models::HeadConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Section `[study]` of kind `limited`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limited {
    /// How much the networks learn from.
    pub subsets: Sizes,
    /// The networks.
    pub models: Vec<LimitedModel>,
    /// What the probes learn.
    pub tasks: Vec<TaskRow>,
    /// The probes; figures draw the first solid, the second dotted.
    pub probes: Vec<Probe>,
    /// One row each.
    pub seeds: Vec<u64>,
    /// Deformations of the test audio by name.
    #[serde(default)]
    pub deformations: BTreeMap<String, Deformation>,
    /// Whether probes lose the samples behind the last full batch, in training and test, as the published ones do.
    #[serde(default)]
    pub drop_last: bool,
    /// Published scores, a CSV file beside the study's.
    #[serde(default)]
    pub published: Option<PathBuf>,
}

/// The subsets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// View of a subset; `{}` stands for its size.
    pub view: String,
    /// View of the size `full`.
    pub full: String,
    /// Sizes, smallest first: tracks per genre, `0` for an untrained network, `"full"`.
    pub sizes: Vec<Size>,
}

/// How much a network learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Size {
    /// Tracks per genre; 0 for an untrained network.
    Tracks(u64),
    /// The whole training split.
    Full,
}

impl TryFrom<toml::Value> for Size {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match &value {
            toml::Value::Integer(n) if *n >= 0 => Ok(Size::Tracks(n.unsigned_abs())),
            toml::Value::String(word) if word == "full" => Ok(Size::Full),
            other => Err(format!("expected a number of tracks per genre or \"full\", got {other}")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Tracks(n) => write!(f, "{n}"),
            Size::Full => f.write_str("full"),
        }
    }
}

/// A network of the study.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitedModel {
    /// Its name in rows.
    pub name: String,
    /// Its pre-training, a file beside the study's.
    pub experiment: PathBuf,
    /// Window of its embeddings, samples.
    pub window: u64,
    /// Hidden state that is its embedding; the last when left out.
    #[serde(default)]
    pub layer: Option<usize>,
    /// Windows that go through it together.
    #[serde(default = "sixteen")]
    pub batch: usize,
    /// What the published result files call it; its name when left out.
    #[serde(default)]
    pub published_name: Option<String>,
}

fn sixteen() -> usize {
    16
}

/// A task of the study.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRow {
    /// Its name in rows.
    pub name: String,
    /// Its probe on stored embeddings, a file beside the study's.
    pub experiment: PathBuf,
    /// Scores of the figures, the first one first.
    pub scores: Vec<String>,
    /// Whether it is scored on deformed audio too.
    #[serde(default)]
    pub deformed: bool,
    /// Hand-crafted features that the same probes learn it from, on clean audio.
    #[serde(default)]
    pub baselines: Vec<handcrafted::Kind>,
    /// What the published result files call it, `run/dataset`; its view for both when left out.
    #[serde(default)]
    pub published_name: Option<String>,
}

/// A probe: what is trained on embeddings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Its name in rows.
    pub name: String,
    /// Its layers.
    pub head: HeadConfig,
}

/// A row of the study: a probe on one task, for figures.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRow {
    /// Name of the model or of the hand-crafted features.
    pub model: String,
    /// What it learned from; `None` for hand-crafted features, which learn nothing.
    pub size: Option<Size>,
    /// Name of the task.
    pub task: String,
    /// Name of the probe.
    pub probe: String,
    /// Seed.
    pub seed: u64,
    /// The run.
    pub run: PathBuf,
}

impl Limited {
    /// Every probe.
    pub fn rows(&self, study: &Study, place: &Place) -> Vec<ProbeRow> {
        let folder = place.runs.join(&study.name);
        let mut rows = Vec::new();
        for &seed in place.seeds.as_ref().unwrap_or(&self.seeds) {
            for task in &self.tasks {
                let trained = |model| self.subsets.sizes.iter().map(move |&s| (model, Some(s)));
                let models = self.models.iter().flat_map(|m| trained(m.name.as_str()));
                let baselines = task.baselines.iter().map(|kind| (kind.name(), None));
                for (model, size) in models.chain(baselines) {
                    for Probe { name: probe, .. } in &self.probes {
                        rows.push(ProbeRow {
                            model: model.to_owned(),
                            size,
                            task: task.name.clone(),
                            probe: probe.clone(),
                            seed,
                            run: folder.join(probe_name(&task.name, model, size, probe, seed)),
                        });
                    }
                }
            }
        }
        rows
    }

    /// Name of the view that a size learns from; `None` for an untrained network.
    pub fn view(&self, size: Size) -> Option<String> {
        match size {
            Size::Tracks(0) => None,
            Size::Tracks(n) => Some(self.subsets.view.replace("{}", &n.to_string())),
            Size::Full => Some(self.subsets.full.clone()),
        }
    }

    /// The experiment of a task, as every probe changes it; its scores are those that the study names.
    ///
    /// # Errors
    /// As [`Experiment::read`], and [`Error::Config`] for scores that the task does not have.
    pub fn probe(&self, study: &Study, place: &Place, task: &TaskRow) -> Result<Experiment> {
        let mut sets = probe_sets(self, 0);
        sets.extend(place.sets.iter().cloned());
        let file = study.beside(&task.experiment);
        let exp = Recipe { file, sets, embedding: None, stats: None }.experiment()?;
        let known = exp.objective.score_names();
        match task.scores.iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(exp),
            Some(name) => study.refuse(format!(
                "study.tasks: {}: scores: expected some of {}, got {name:?}",
                task.name,
                known.join(", ")
            )),
        }
    }
}

/// Name of a probe's step, and its folder below the study's.
pub(super) fn probe_name(
    task: &str,
    model: &str,
    size: Option<Size>,
    probe: &str,
    seed: u64,
) -> String {
    match size {
        Some(size) => format!("{task}/{model}_{size}_{probe}/{seed}"),
        None => format!("{task}/{model}_{probe}/{seed}"),
    }
}

/// A corpus that tasks share: its views, and those that are scored on deformed audio.
#[derive(Default)]
struct Corpus {
    views: Vec<PathBuf>,
    deformed: Vec<PathBuf>,
}

/// A network in the making.
struct Network<'a> {
    model: &'a LimitedModel,
    size: Size,
    seed: u64,
    folder: PathBuf,
    at: usize,
    pretrain: Experiment,
}

/// Network by network, so that the first curve is there early: pre-training, embeddings, probes, deformations.
pub(super) fn plan(study: &Study, cfg: &Limited, place: &Place) -> Result<Vec<Step>> {
    check(study, cfg)?;
    let (mut probes, mut needed) = (BTreeMap::new(), Needed::default());
    for task in &cfg.tasks {
        let exp = cfg.probe(study, place, task)?;
        if let Some(view) = needed.view(&exp.data.dir, &exp.data.view)? {
            probes.insert(task.name.as_str(), (exp.view_path(), view.corpus));
        }
    }
    for model in &cfg.models {
        let data = pretraining(study, place, model, Vec::new()).experiment()?.data;
        for name in cfg.subsets.sizes.iter().filter_map(|&size| cfg.view(size)) {
            if let Some(view) = needed.view(&data.dir, &name)? {
                needed.shards(&data.dir, &view.corpus, ending(&data.shards));
            }
        }
        for (_, corpus) in probes.values() {
            needed.shards(&data.dir, corpus, ending(&data.shards));
        }
    }
    let baselines = baselines::find(study, cfg, place, &probes, &mut needed)?;
    needed.check(study)?;
    let mut plan = Vec::new();
    for &seed in place.seeds.as_ref().unwrap_or(&cfg.seeds) {
        baselines::plan(study, cfg, place, seed, &baselines, &mut plan)?;
        for model in &cfg.models {
            for &size in &cfg.subsets.sizes {
                let network = network(study, cfg, place, (model, size, seed), &mut plan)?;
                tasks(study, cfg, place, &network, &probes, &mut plan)?;
            }
        }
    }
    Ok(plan)
}

/// Pre-training, or nothing, and the model folder.
fn network<'a>(
    study: &Study,
    cfg: &Limited,
    place: &Place,
    (model, size, seed): (&'a LimitedModel, Size, u64),
    plan: &mut Vec<Step>,
) -> Result<Network<'a>> {
    let mut sets = vec![set("run.seed", seed as i64)];
    sets.extend(cfg.view(size).map(|view| set("data.view", view)));
    let mut recipe = pretraining(study, place, model, sets);
    let pretrain = recipe.experiment()?;
    let name = format!("pretrain/{}_{size}/{seed}", model.name);
    let run = place.runs.join(&study.name).join(&name);
    let folder = run.join("model");
    let frames = place.runs.join(&study.name).join("frames");
    let frames = frames.join(format!("{}_{size}_{seed}.json", model.name));
    let measured = stats::measured(plan, &mut recipe, &name, frames)?;
    let trained = cfg.view(size).map(|_| {
        let work = Work::Train { recipe: recipe.clone(), run: run.clone(), scored: false };
        let needs = measured.into_iter().collect();
        push(plan, name.clone(), format!("pretrain {}", model.name), needs, work)
    });
    let work = Work::Network { recipe, run: trained.is_some().then_some(run), out: folder.clone() };
    let needs = trained.or(measured).into_iter().collect();
    let at = push(plan, format!("{name} network"), "network".into(), needs, work);
    Ok(Network { model, size, seed, folder, at, pretrain })
}

/// The pre-training of a model with some keys set.
pub(super) fn pretraining(
    study: &Study,
    place: &Place,
    model: &LimitedModel,
    mut sets: Vec<String>,
) -> Recipe {
    sets.extend(place.sets.iter().cloned());
    Recipe { file: study.beside(&model.experiment), sets, embedding: None, stats: None }
}

/// `16k` of `mtat-16k`: wave shards at one rate are called alike in every corpus.
pub(super) fn ending(shards: &str) -> &str {
    shards.rsplit('-').next().unwrap_or_default()
}

/// Embeddings of every corpus, probes of every task, scores on every deformation.
fn tasks(
    study: &Study,
    cfg: &Limited,
    place: &Place,
    network: &Network,
    probes: &BTreeMap<&str, (PathBuf, String)>,
    plan: &mut Vec<Step>,
) -> Result<()> {
    let Network { model, size, seed, pretrain, .. } = network;
    let mut corpora: BTreeMap<&str, Corpus> = BTreeMap::new();
    for task in &cfg.tasks {
        let (path, corpus) = &probes[task.name.as_str()];
        let entry = corpora.entry(corpus).or_default();
        if task.deformed {
            entry.deformed.push(path.clone());
        }
        entry.views.push(path.clone());
    }
    let data = &pretrain.data.dir;
    let ending = ending(&pretrain.data.shards);
    let set_name = |corpus: &str, how: &str| {
        format!("{corpus}-{}.{}_{size}.{seed}{how}", study.name, model.name)
    };
    let mut embedded = BTreeMap::new();
    for (corpus, views) in &corpora {
        let kinds = cfg.deformations.keys().map(|d| (Some(d.as_str()), &views.deformed));
        for (deformation, views) in std::iter::once((None, &views.views)).chain(kinds) {
            if views.is_empty() {
                continue;
            }
            let shards = set_name(corpus, &deformation.map_or(String::new(), |d| format!(".{d}")));
            let embed = Embed {
                network: network.folder.clone(),
                source: data.join("shards").join(format!("{corpus}-{ending}")),
                out: data.join("shards").join(&shards),
                views: views.clone(),
                deformation: deformation.map(str::to_owned),
                window: model.window,
                layer: model.layer,
                batch: model.batch,
                device: pretrain.run.device.clone(),
                threads: pretrain.run.threads,
            };
            let how = deformation.map_or(String::new(), |d| format!(" {d}"));
            let name = format!("embed/{}_{size}/{seed} {corpus}{how}", model.name);
            let sort = format!("embed {corpus}{how} with {}", model.name);
            let at = push(plan, name, sort, vec![network.at], Work::Embed(embed));
            embedded.insert((*corpus, deformation), (at, shards));
        }
    }
    for task in &cfg.tasks {
        let corpus = probes[task.name.as_str()].1.as_str();
        let (clean, shards) = &embedded[&(corpus, None)];
        for probe in &cfg.probes {
            let name = probe_name(&task.name, &model.name, Some(*size), &probe.name, *seed);
            let run = place.runs.join(&study.name).join(&name);
            let set = data.join("shards").join(shards);
            let recipe = probe_recipe(study, cfg, place, (task, probe, *seed), set)?;
            let work = Work::Train { recipe, run: run.clone(), scored: true };
            let sort = format!("probe {}", task.name);
            let trained = push(plan, name.clone(), sort, vec![*clean], work);
            if !task.deformed {
                continue;
            }
            for deformation in cfg.deformations.keys() {
                let (at, shards) = &embedded[&(corpus, Some(deformation.as_str()))];
                let work = Work::Deformed {
                    run: run.clone(),
                    shards: shards.clone(),
                    name: deformation.clone(),
                };
                let sort = format!("score {}", task.name);
                push(plan, format!("{name} {deformation}"), sort, vec![trained, *at], work);
            }
        }
    }
    Ok(())
}

/// A probe on one set of vectors, the folder `shards`.
pub(super) fn probe_recipe(
    study: &Study,
    cfg: &Limited,
    place: &Place,
    (task, probe, seed): (&TaskRow, &Probe, u64),
    shards: PathBuf,
) -> Result<Recipe> {
    let head = toml::Value::try_from(&probe.head).map_err(|e| Error::Config {
        place: study.path.display().to_string(),
        text: format!("study.probes.{}: {e}", probe.name),
    })?;
    let name = shards.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut sets = probe_sets(cfg, seed);
    sets.extend([set("data.shards", name), set("model.head", head)]);
    sets.extend(place.sets.iter().cloned());
    let file = study.beside(&task.experiment);
    Ok(Recipe { file, sets, embedding: Some(shards), stats: None })
}

/// What every probe changes of its file, whatever it stands on.
fn probe_sets(cfg: &Limited, seed: u64) -> Vec<String> {
    let mut sets = vec![set("run.seed", seed as i64)];
    if cfg.drop_last {
        sets.extend([set("data.drop_last", true), set("eval.drop_last", true)]);
    }
    sets
}

fn check(study: &Study, cfg: &Limited) -> Result<()> {
    let counts = [
        ("models", cfg.models.len()),
        ("tasks", cfg.tasks.len()),
        ("probes", cfg.probes.len()),
        ("subsets.sizes", cfg.subsets.sizes.len()),
        ("seeds", cfg.seeds.len()),
    ];
    if let Some((key, _)) = counts.iter().find(|(_, n)| *n == 0) {
        return study.refuse(format!("study.{key}: expected at least one"));
    }
    if let Some(task) = cfg.tasks.iter().find(|t| t.scores.is_empty()) {
        return study.refuse(format!("study.tasks: {}: scores: expected at least one", task.name));
    }
    let named = |task: &&TaskRow| task.published_name.as_ref().is_some_and(|n| !n.contains('/'));
    if let Some(task) = cfg.tasks.iter().find(named) {
        let (name, got) = (&task.name, task.published_name.as_deref().unwrap_or_default());
        let text =
            format!("study.tasks: {name}: published_name: expected run/dataset, got {got:?}");
        return study.refuse(text);
    }
    baselines::check(study, cfg)?;
    for (name, deformation) in &cfg.deformations {
        if let Err(e) = deformation.check() {
            return study.refuse(format!("study.deformations.{name}: {e}"));
        }
    }
    if !cfg.subsets.sizes.is_sorted_by(|a, b| a < b) {
        return study.refuse("study.subsets.sizes: expected the smallest first, none twice".into());
    }
    if !cfg.subsets.view.contains("{}") {
        return study.refuse(format!(
            "study.subsets.view: expected a name with {{}} where the size goes, got {:?}",
            cfg.subsets.view
        ));
    }
    Ok(())
}
