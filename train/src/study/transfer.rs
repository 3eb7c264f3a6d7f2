//! The cross-cultural transfer study: each model trained on each corpus, then carried to every other one.
//!
//! The study of pxaris/ccml. `<model>` learns a corpus from the seed; `<model>_from_<source>` starts from
//! the network of another corpus and trains all of it, `<model>_from_<source>_f` only the last layer. Every row of a target
//! is the target's own file with three keys changed: `model.weights`, `tuning`, `model.frozen_stats`.

use super::needed::Needed;
use super::{Place, Recipe, Step, Study, Work, path_set, push, set, stats};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::schedule::ScheduleConfig;
use etude_models::FrozenStats;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Section `[study]` of kind `transfer`. Experiments are `<folder>/<corpus>/<model>.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Names of the models: files in the folder of every corpus.
    pub models: Vec<String>,
    /// The corpora, in the order of the figures.
    pub corpora: Vec<Source>,
    /// One row each.
    pub seeds: Vec<u64>,
    /// Folder of the experiments, below that of the study file.
    #[serde(default)]
    pub folder: PathBuf,
    /// Learning rates: those of the files, or what the published code comes to, whose stage counter never moves and whose
    /// warm-up overwrites itself: the first optimizer at a constant rate throughout.
    #[serde(default)]
    pub schedule: Regime,
    /// What is heard of a track: in validation the windows of the files, or as published one random crop, drawn anew each
    /// time; and see [`Source::one_crop`].
    #[serde(default)]
    pub crops: Regime,
    /// What the frozen network does while only the last layer trains; published: `batch`.
    #[serde(default = "batch")]
    pub frozen_stats: FrozenStats,
    /// Published scores, a CSV file beside the study's.
    #[serde(default)]
    pub published: Option<PathBuf>,
    /// What the published files call a model, where it is not its name.
    #[serde(default)]
    pub published_names: BTreeMap<String, String>,
}

fn batch() -> FrozenStats {
    FrozenStats::Batch
}

/// A corpus of the study.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Folder of its experiments, and its name in rows.
    pub name: String,
    /// Whether the published report numbers its tags instead of naming them.
    #[serde(default)]
    pub numbered: bool,
    /// Whether the published code cuts one crop of each piece before training, for training and validation alike; follows
    /// [`Transfer::crops`].
    #[serde(default)]
    pub one_crop: bool,
}

/// Which of two ways, where the published code is not what its publication describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// That of the files: as described.
    #[default]
    Intended,
    /// That of the published code.
    Published,
}

/// A row of the study, for figures and reports.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferRow {
    /// Backbone file.
    pub model: String,
    /// Corpus it is scored on.
    pub target: String,
    /// Corpus it comes from; `None` for one that started from the seed.
    pub source: Option<String>,
    /// Whether only the last layer was trained.
    pub frozen: bool,
    /// Seed.
    pub seed: u64,
    /// The run.
    pub run: PathBuf,
}

impl TransferRow {
    /// `vggish_from_fma_f`.
    pub fn name(&self) -> String {
        self.called(&self.model)
    }

    fn called(&self, model: &str) -> String {
        match (&self.source, self.frozen) {
            (None, _) => model.to_owned(),
            (Some(source), false) => format!("{model}_from_{source}"),
            (Some(source), true) => format!("{model}_from_{source}_f"),
        }
    }
}

impl Transfer {
    /// What the published files call a row: `vgg_ish_from_fma_f`.
    pub fn published_name(&self, row: &TransferRow) -> String {
        row.called(self.published_names.get(&row.model).unwrap_or(&row.model))
    }

    /// Every row, corpus by corpus.
    pub fn rows(&self, study: &Study, place: &Place) -> Vec<TransferRow> {
        let mut rows = Vec::new();
        for &seed in place.seeds.as_ref().unwrap_or(&self.seeds) {
            for target in &self.corpora {
                for model in &self.models {
                    let others = self.corpora.iter().filter(|c| c.name != target.name);
                    let mut kinds = vec![(None, false)];
                    kinds.extend(others.flat_map(|c| [false, true].map(|f| (Some(&c.name), f))));
                    for (source, frozen) in kinds {
                        let mut row = TransferRow {
                            model: model.clone(),
                            target: target.name.clone(),
                            source: source.cloned(),
                            frozen,
                            seed,
                            run: PathBuf::new(),
                        };
                        let folder = place.runs.join(&study.name).join(&target.name);
                        row.run = folder.join(row.name()).join(seed.to_string());
                        rows.push(row);
                    }
                }
            }
        }
        rows
    }
}

/// First every network from the seed, with its model folder, then every row that starts from one.
pub(super) fn plan(study: &Study, cfg: &Transfer, place: &Place) -> Result<Vec<Step>> {
    check(study, cfg)?;
    let (mut plan, mut networks, mut frames) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let (rows, mut needed) = (cfg.rows(study, place), Needed::default());
    let (scratch, moved): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| r.source.is_none());
    for row in scratch {
        let mut recipe = recipe(study, cfg, place, &row, None)?;
        let data = recipe.experiment()?.data;
        if let Some(view) = needed.view(&data.dir, &data.view)? {
            let ending = data.shards.strip_prefix(&format!("{}-", view.corpus));
            needed.shards(&data.dir, &view.corpus, ending.unwrap_or(&data.shards));
        }
        let (run, out) = (row.run.clone(), row.run.join("model"));
        let name = format!("{}/{}/{}", row.target, row.name(), row.seed);
        let sort = format!("{} on {}", row.model, row.target);
        let file = format!("{}_{}_{}.json", row.target, row.model, row.seed);
        let file = place.runs.join(&study.name).join("frames").join(file);
        let measured = stats::measured(&mut plan, &mut recipe, &name, file)?;
        if let (Some(at), Some(file)) = (measured, recipe.stats.clone()) {
            frames.insert((row.model.clone(), row.target.clone(), row.seed), (at, file));
        }
        let work = Work::Train { recipe: recipe.clone(), run: run.clone(), scored: true };
        let needs = measured.into_iter().collect();
        let trained = push(&mut plan, name.clone(), sort, needs, work);
        let work = Work::Network { recipe, run: Some(run), out: out.clone() };
        let at = push(&mut plan, format!("{name} network"), "network".into(), vec![trained], work);
        networks.insert((row.model, row.target, row.seed), (at, out));
    }
    needed.check(study)?;
    for row in moved {
        let Some(source) = row.source.clone() else { continue };
        let Some((at, network)) = networks.get(&(row.model.clone(), source, row.seed)) else {
            continue;
        };
        let mut recipe = recipe(study, cfg, place, &row, Some(network))?;
        let mut needs = vec![*at];
        let own = (row.model.clone(), row.target.clone(), row.seed);
        if let Some((at, file)) = frames.get(&own) {
            recipe.stats = Some(file.clone()); // frames are standardised as the target's are
            needs.push(*at);
        }
        let name = format!("{}/{}/{}", row.target, row.name(), row.seed);
        let part = if row.frozen { " last layer" } else { "" };
        let sort = format!("{} on {}{part}", row.model, row.target);
        let work = Work::Train { recipe, run: row.run, scored: true };
        push(&mut plan, name, sort, needs, work);
    }
    Ok(plan)
}

/// A row's experiment: the target's file, and what differs from it.
fn recipe(
    study: &Study,
    cfg: &Transfer,
    place: &Place,
    row: &TransferRow,
    network: Option<&Path>,
) -> Result<Recipe> {
    let folder = study.beside(&cfg.folder).join(&row.target);
    let file = folder.join(format!("{}.toml", row.model));
    if !file.is_file() {
        let text = format!(
            "no experiment {}: each model of a transfer study has a file in the folder of each corpus",
            file.display()
        );
        return study.refuse(text);
    }
    let mut sets = vec![set("run.seed", row.seed as i64)];
    if cfg.schedule == Regime::Published {
        sets.push(published_schedule(&file)?);
    }
    if cfg.crops == Regime::Published {
        sets.push(set("eval.valid", "crop"));
        let once = cfg.corpora.iter().any(|c| c.name == row.target && c.one_crop);
        let steps = Experiment::read(&file, &[])?.data.crop.steps();
        sets.extend(
            steps.filter(|_| once).map(|n| format!("data.crop={{ kind = \"once\", steps = {n} }}")),
        );
    }
    if row.frozen {
        sets.push("tuning={ method = \"probe\" }".to_owned());
        let stats = match cfg.frozen_stats {
            FrozenStats::Batch => "batch",
            FrozenStats::Running => "running",
        };
        sets.push(set("model.frozen_stats", stats));
    }
    sets.extend(place.sets.iter().cloned());
    let mut recipe = Recipe { file, sets, embedding: None, stats: None };
    recipe.experiment()?;
    recipe.sets.extend(network.map(|dir| path_set("model.weights", dir)));
    Ok(recipe)
}

/// The rates that the published code comes to, in place of those of a file.
fn published_schedule(file: &Path) -> Result<String> {
    Ok(match Experiment::read(file, &[])?.optim.schedule {
        ScheduleConfig::EpochDecay(_) => set("optim.schedule.overwritten", true),
        _ => "optim.schedule={ kind = \"constant\" }".to_owned(),
    })
}

fn check(study: &Study, cfg: &Transfer) -> Result<()> {
    if cfg.models.is_empty() || cfg.corpora.len() < 2 || cfg.seeds.is_empty() {
        let text = format!(
            "study: expected at least one model, two corpora and one seed, got {}, {} and {}",
            cfg.models.len(),
            cfg.corpora.len(),
            cfg.seeds.len()
        );
        return study.refuse(text);
    }
    let mut names: Vec<&str> = cfg.corpora.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = cfg.published_names.keys().find(|name| !cfg.models.contains(name)) {
        let known = cfg.models.join(", ");
        return study
            .refuse(format!("study.published_names: expected some of {known}, got {name}"));
    }
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => study.refuse(format!("study.corpora: {} is there twice", pair[0])),
        None => Ok(()),
    }
}
