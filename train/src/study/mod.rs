//! Studies: a published set of experiments as one file, unfolded into the steps that reproduce it.
//!
//! A study file names models, corpora, sizes, tasks and seeds; the experiments themselves are complete files beside it.
//! [`Study::read`] reads it, [`Study::plan`] unfolds it into [`Step`]s in an order in which each finds what it needs.
//! Rows that differ from a file in a few keys are derived from it by overrides: what counts in the end lies, whole, in
//! each run folder.

mod baselines;
mod deform;
mod limited;
mod needed;
mod network;
mod published;
mod stats;
mod transfer;

pub use limited::{Limited, LimitedModel, Probe, ProbeRow, Size, Sizes, TaskRow};
pub use network::{has_network, write_network};
pub use stats::write_stats;
pub use transfer::{Regime, Source, Transfer, TransferRow};

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use etude_eval::embed::Deform;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A study file: section `[study]`, whose key `kind` is `limited` or `transfer`, and what that kind takes.
#[derive(Debug, Clone)]
pub struct Study {
    /// Its own settings.
    pub config: StudyConfig,
    /// The file.
    pub path: PathBuf,
    /// Folder of its runs below `runs/`: the study's name.
    pub name: String,
}

/// The studies there are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StudyConfig {
    /// Representations learned from little data, probed on several tasks.
    Limited(Limited),
    /// Networks trained on one culture's music, tuned to another's.
    Transfer(Transfer),
}

/// Where a study works and what the user asked for.
#[derive(Debug, Clone)]
pub struct Place {
    /// Folder of all runs, `runs`.
    pub runs: PathBuf,
    /// Overrides of every experiment.
    pub sets: Vec<String>,
    /// Seeds in place of the study's own.
    pub seeds: Option<Vec<u64>>,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique in the study, e.g. `tagging/vggish_5_slp/1`.
    pub name: String,
    /// What steps of one sort have in common, e.g. `pretrain vggish`; they take about equally long.
    pub sort: String,
    /// Places in the plan of what has to be done before.
    pub needs: Vec<usize>,
    /// What is to be done.
    pub work: Work,
}

/// What a step does. Paths are those of folders.
#[derive(Debug, Clone)]
pub enum Work {
    /// Trains, and scores the test split where `scored`.
    Train {
        /// The experiment and what differs from it.
        recipe: Recipe,
        /// The run.
        run: PathBuf,
        /// Whether the test split is scored.
        scored: bool,
    },
    /// Measures the frames that a network standardises, [`crate::frame_stats`].
    FrameStats {
        /// Whose training split.
        recipe: Recipe,
        /// The file with both numbers.
        out: PathBuf,
    },
    /// Puts the network of a finished run, or an untrained one, into a model folder.
    Network {
        /// Whose network.
        recipe: Recipe,
        /// The finished run; `None` for a network as its seed made it.
        run: Option<PathBuf>,
        /// The model folder.
        out: PathBuf,
    },
    /// Embeds a corpus with a network.
    Embed(Embed),
    /// Scores a finished run on deformed audio.
    Deformed {
        /// The run.
        run: PathBuf,
        /// Shard set of the deformed audio's embeddings.
        shards: String,
        /// Name of the deformation.
        name: String,
    },
}

/// A complete experiment and what a row changes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The file.
    pub file: PathBuf,
    /// Overrides, `section.key=value`.
    pub sets: Vec<String>,
    /// Shard set whose width the embedding of a probe has; known once it is made.
    pub embedding: Option<PathBuf>,
    /// Mean and deviation of the frames that the network standardises; known once they are measured.
    pub stats: Option<PathBuf>,
}

/// Embeddings of a corpus to be made.
#[derive(Debug, Clone)]
pub struct Embed {
    /// Model folder.
    pub network: PathBuf,
    /// Wave shards.
    pub source: PathBuf,
    /// The new shard set.
    pub out: PathBuf,
    /// Files of the views whose tracks are embedded.
    pub views: Vec<PathBuf>,
    /// The deformation, by name, and then of the test splits only; clean audio of all splits when left out.
    pub deformation: Option<String>,
    /// Window, samples; the last one of a recording is filled up with zeros.
    pub window: u64,
    /// Hidden state; the last when left out.
    pub layer: Option<usize>,
    /// Windows that go through the network together.
    pub batch: usize,
    /// `auto`, `cpu`, `cuda`.
    pub device: String,
    /// Threads inside one operation.
    pub threads: Option<usize>,
}

impl Recipe {
    /// The experiment as it counts.
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn experiment(&self) -> Result<Experiment> {
        let mut sets = self.sets.clone();
        if let Some(dir) = &self.embedding {
            let dim = match etude_shards::Index::open(dir)?.spec().kind {
                etude_shards::Kind::Embedding { dim, .. } => dim,
                other => {
                    return Err(Error::Mismatch {
                        what: "probe".to_owned(),
                        left: "a probe takes embeddings".to_owned(),
                        right: format!("{} holds {other:?}", dir.display()),
                        hint: "move that folder away; the study makes it anew".to_owned(),
                    });
                }
            };
            sets.push(format!("model.backbone={{ name = \"identity\", dim = {dim} }}"));
        }
        if let Some(stats) = self.stats.as_deref().filter(|path| path.is_file()) {
            let [mean, std] = stats::read(stats)?;
            let number = |key: &str, value: f64| format!("model.backbone.{key}={value:?}");
            sets.extend([number("mean", mean), number("std", std)]);
        }
        Experiment::read(&self.file, &sets)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    study: StudyConfig,
}

impl Study {
    /// Reads a study file; its name is that of the file, or of its folder where the file is called `study.toml`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let place = path.display().to_string();
        let bad = |text: String| Error::Config { place: place.clone(), text };
        let file: File = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = match stem(path) {
            Some(name) if name == "study" => path.parent().and_then(stem),
            other => other,
        };
        let name = name.ok_or_else(|| bad("expected the path of a study file".to_owned()))?;
        Ok(Self { config: file.study, path: path.to_path_buf(), name })
    }

    /// Everything to do, in order. Every experiment is read and checked first, so that nothing begins that cannot end.
    ///
    /// # Errors
    /// [`Error::Config`] for a study that contradicts itself, and whatever an experiment of it is refused for.
    pub fn plan(&self, place: &Place) -> Result<Vec<Step>> {
        match &self.config {
            StudyConfig::Limited(cfg) => limited::plan(self, cfg, place),
            StudyConfig::Transfer(cfg) => transfer::plan(self, cfg, place),
        }
    }

    /// A file named in the study: relative to its folder.
    pub fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }

    /// Folder of manifests and shards: that of its first experiment.
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn data_dir(&self, place: &Place) -> Result<PathBuf> {
        let file = match &self.config {
            StudyConfig::Limited(cfg) => cfg.models.first().map(|m| m.experiment.clone()),
            StudyConfig::Transfer(cfg) => {
                cfg.corpora.first().zip(cfg.models.first()).map(|(corpus, model)| {
                    cfg.folder.join(&corpus.name).join(format!("{model}.toml"))
                })
            }
        };
        match file {
            Some(file) => Ok(Experiment::read(&self.beside(&file), &place.sets)?.data.dir),
            None => self.refuse("study: expected at least one model".to_owned()),
        }
    }

    /// A deformation of the study by name.
    ///
    /// # Errors
    /// [`Error::Config`] for one that the study does not have.
    pub fn deformation(&self, name: &str) -> Result<Deform> {
        let StudyConfig::Limited(cfg) = &self.config else {
            return self.refuse("study: only limited-data studies have deformations".to_owned());
        };
        match cfg.deformations.get(name) {
            Some(deformation) => Ok(deform::deform(deformation)),
            None => self.refuse(format!("study.deformations: there is no {name}")),
        }
    }

    fn refuse<T>(&self, text: String) -> Result<T> {
        Err(Error::Config { place: self.path.display().to_string(), text })
    }
}

/// Whether a TOML file is a study and no experiment.
pub(crate) fn is_study(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("study"))
}

/// An override: `key=value` with the value as TOML.
fn set(key: &str, value: impl Into<toml::Value>) -> String {
    format!("{key}={}", value.into())
}

fn path_set(key: &str, path: &Path) -> String {
    set(key, path.to_string_lossy().into_owned())
}

/// Adds a step and gives its place.
fn push(plan: &mut Vec<Step>, name: String, sort: String, needs: Vec<usize>, work: Work) -> usize {
    plan.push(Step { name, sort, needs, work });
    plan.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_named_after_its_file_or_folder() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("ccml");
        std::fs::create_dir(&dir).unwrap();
        let text = "[study]\nkind = 'transfer'\nmodels = ['vggish']\nseeds = [1]\n\
                    corpora = [{ name = 'fma' }, { name = 'lyra' }]\n";
        for (file, name) in [("study.toml", "ccml"), ("study_small.toml", "study_small")] {
            std::fs::write(dir.join(file), text).unwrap();
            assert_eq!(Study::read(&dir.join(file)).unwrap().name, name);
            assert!(is_study(&dir.join(file)));
        }
        std::fs::write(dir.join("x.toml"), text.replace("transfer", "transfr")).unwrap();
        let text = Study::read(&dir.join("x.toml")).unwrap_err().to_string();
        assert!(text.contains("expected `limited` or `transfer`"), "{text}");
    }
}
