//! An experiment: one TOML file, complete on its own, one row of a results table.
//!
//! Sections `run`, `data`, `model`, `tuning`, `objective`, `optim`, `trainer`, `eval`, `published`. Unknown keys are
//! errors; every default is stated once, here or at the struct it belongs to.

use crate::error::{Error, Result};
use crate::objective::ObjectiveConfig;
use crate::optim::{OptimConfig, Rule};
use crate::schedule::{ScheduleConfig, Watch};
use crate::stopping::{Mode, StoppingConfig};
use etude_models::{ModelConfig, Tuning};
use etude_shards::{Crop, LoaderConfig, Tail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything a run depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Seed and machine.
    pub run: RunConfig,
    /// What is learned from.
    pub data: DataConfig,
    /// Backbone, head, starting weights.
    pub model: ModelConfig,
    /// Which weights move.
    pub tuning: Tuning,
    /// What is learned.
    pub objective: ObjectiveConfig,
    /// How the weights move.
    pub optim: OptimConfig,
    /// How long, and what is kept.
    pub trainer: TrainerConfig,
    /// How tracks are scored.
    #[serde(default)]
    pub eval: EvalConfig,
    /// Scores of the paper's row, by name; for the table only.
    #[serde(default)]
    pub published: BTreeMap<String, f64>,
    /// The file, overrides applied.
    #[serde(skip)]
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Source {
    place: String,
    text: String,
}

/// Section `[run]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Starting values, order of the epochs, crops, dropout.
    pub seed: u64,
    /// `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`.
    #[serde(default = "auto")]
    pub device: String,
    /// Threads inside one operation; libtorch's choice when left out. Another number may change the last digits.
    #[serde(default)]
    pub threads: Option<usize>,
}

/// Section `[data]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Examples, splits and targets: `<dir>/manifests/<view>.parquet`.
    pub view: String,
    /// Audio: `<dir>/shards/<shards>/`.
    pub shards: String,
    /// What one training sample is.
    pub crop: Crop,
    /// Samples per step.
    pub batch: usize,
    /// Where manifests and shards are.
    #[serde(default = "data_dir")]
    pub dir: PathBuf,
    /// Threads that read ahead.
    #[serde(default = "two")]
    pub threads: usize,
    /// Memory for batches read ahead, 10^6 bytes.
    #[serde(default = "sixty_four")]
    pub prefetch_mb: u64,
    /// Whether the last, smaller batch of an epoch is left out.
    #[serde(default)]
    pub drop_last: bool,
}

/// Section `[trainer]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerConfig {
    /// Length of the training in steps; this or `epochs`.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Length of the training in epochs; this or `steps`.
    #[serde(default)]
    pub epochs: Option<u64>,
    /// Steps between validations; after every epoch when left out.
    #[serde(default)]
    pub validate_steps: Option<u64>,
    /// Steps between saves of `last`; each validation saves too.
    #[serde(default = "five_hundred")]
    pub save_steps: u64,
    /// Steps between rows of the log.
    #[serde(default = "ten")]
    pub log_steps: u64,
    /// Which states are kept.
    #[serde(default)]
    pub keep: KeepConfig,
    /// When to end early; never when left out.
    #[serde(default)]
    pub stop: Option<StoppingConfig>,
}

/// Which states are kept, and what best means: for early stopping and for `best.safetensors` too.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// How many.
    pub best: usize,
    /// A validation score: one of the task's, or `loss`.
    pub by: String,
    /// Whether higher or lower is better.
    pub mode: Mode,
}

/// Section `[eval]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Windows over each track; pieces of the training crop's length side by side, the tail dropped, when left out.
    #[serde(default)]
    pub window: Option<WindowConfig>,
    /// Windows per batch; the training batch when left out.
    #[serde(default)]
    pub batch: Option<usize>,
}

/// Windows over a track, in time steps. A track shorter than a window is padded to one window.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// Length.
    pub steps: u64,
    /// From start to start; the length when left out.
    #[serde(default)]
    pub hop: Option<u64>,
    /// What happens to the rest of the track.
    #[serde(default = "drop_tail")]
    pub tail: Tail,
}

fn auto() -> String {
    "auto".to_owned()
}

fn data_dir() -> PathBuf {
    PathBuf::from("data")
}

fn two() -> usize {
    2
}

fn ten() -> u64 {
    10
}

fn sixty_four() -> u64 {
    64
}

fn five_hundred() -> u64 {
    500
}

fn drop_tail() -> Tail {
    Tail::Drop
}

impl Default for KeepConfig {
    fn default() -> Self {
        Self { best: 1, by: "mAP".to_owned(), mode: Mode::Max }
    }
}

impl Experiment {
    /// Reads a file; each override is `section.key=value`, the value as in TOML, or text without quotes.
    ///
    /// # Errors
    /// [`Error::Config`] for what is no experiment, [`Error::Check`] for what contradicts itself.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&path.display().to_string(), &text, sets)
    }

    /// As [`Experiment::read`], from text; `place` is what errors call it.
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn parse(place: &str, text: &str, sets: &[String]) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::Config {
            place: place.to_owned(),
            text: e.to_string().trim_end().to_owned(),
        };
        let mut text = text.to_owned();
        if !sets.is_empty() {
            let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| bad(&e))?;
            for set in sets {
                apply(&mut table, set)?;
            }
            text = toml::to_string(&table).map_err(|e| bad(&e))?;
        }
        let mut exp: Self = toml::from_str(&text).map_err(|e| bad(&e))?;
        exp.source = Source { place: place.to_owned(), text };
        exp.check()?;
        Ok(exp)
    }

    /// The file as it counts, overrides applied.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// What errors call this experiment.
    pub(crate) fn place(&self) -> &str {
        &self.source.place
    }

    /// What contradicts itself or is out of range, all of it at once.
    ///
    /// # Errors
    /// [`Error::Check`].
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut no = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        check_data(self, &mut no);
        check_optim(&self.optim, &mut no);
        check_schedule(self, &mut no);
        check_trainer(self, &mut no);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::Check { place: self.source.place.clone(), problems }),
        }
    }

    /// The view's table.
    pub fn view_path(&self) -> PathBuf {
        self.data.dir.join("manifests").join(format!("{}.parquet", self.data.view))
    }

    /// The folder of the shard set.
    pub fn shards_dir(&self) -> PathBuf {
        self.data.dir.join("shards").join(&self.data.shards)
    }

    /// How training batches are read.
    pub fn train_loader(&self) -> LoaderConfig {
        let DataConfig { batch, crop, threads, prefetch_mb, drop_last, .. } = self.data;
        let prefetch_bytes = prefetch_mb * 1_000_000;
        LoaderConfig { batch, crop, threads, prefetch_bytes, drop_last, shuffle: true }
    }

    /// How whole tracks are read, window by window.
    pub fn eval_loader(&self) -> LoaderConfig {
        let crop = match &self.eval.window {
            Some(WindowConfig { steps, hop, tail }) => {
                Crop::Sliding { steps: *steps, hop: hop.unwrap_or(*steps), tail: *tail }
            }
            None => match self.data.crop.steps() {
                Some(steps) => Crop::Sliding { steps, hop: steps, tail: Tail::Drop },
                None => Crop::Whole,
            },
        };
        let batch = self.eval.batch.unwrap_or(self.data.batch);
        LoaderConfig { batch, crop, drop_last: false, shuffle: false, ..self.train_loader() }
    }
}

/// Sets one key of a table.
fn apply(table: &mut toml::Table, set: &str) -> Result<()> {
    let bad = |text: String| Error::Config { place: format!("--set {set}"), text };
    let (path, value) = set
        .split_once('=')
        .ok_or_else(|| bad("expected section.key=value, got no `=`".to_owned()))?;
    let value = match format!("v = {value}").parse::<toml::Table>() {
        Ok(mut t) => t.remove("v"),
        Err(_) => None,
    };
    let value = value.unwrap_or_else(|| toml::Value::String(set[path.len() + 1..].to_owned()));
    let mut keys: Vec<&str> = path.split('.').map(str::trim).collect();
    let last = keys.pop().filter(|k| !k.is_empty() && !keys.is_empty());
    let last = last.ok_or_else(|| bad("expected section.key=value".to_owned()))?;
    let mut at = table;
    for key in keys {
        let next = at.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next.as_table_mut().ok_or_else(|| bad(format!("`{key}` is not a section")))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

fn check_data(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let DataConfig { view, shards, crop, batch, threads, prefetch_mb, .. } = &exp.data;
    let plain = |s: &str| !s.is_empty() && !s.contains(['/', '\\']) && !s.contains("..");
    no(plain(view), format!("data.view: expected the name of a view, got {view:?}"));
    no(plain(shards), format!("data.shards: expected the name of a shard set, got {shards:?}"));
    no(*batch > 0, "data.batch: expected at least 1, got 0".to_owned());
    no(*threads > 0, "data.threads: expected at least 1, got 0".to_owned());
    no(*prefetch_mb > 0, "data.prefetch_mb: expected at least 1, got 0".to_owned());
    if let Err(e) = crop.check() {
        no(false, format!("data.{e}"));
    }
    if let Err(e) = exp.eval_loader().crop.check() {
        no(false, format!("eval.window: {e}"));
    }
    no(exp.eval.batch != Some(0), "eval.batch: expected at least 1, got 0".to_owned());
    no(exp.run.threads != Some(0), "run.threads: expected at least 1, got 0".to_owned());
}

fn check_optim(optim: &OptimConfig, no: &mut impl FnMut(bool, String)) {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let decay = |x: f64| x.is_finite() && x >= 0.0;
    no(positive(optim.lr), format!("optim.lr: expected above 0, got {}", optim.lr));
    if let Some(clip) = optim.clip {
        no(positive(clip), format!("optim.clip: expected above 0, or no such key, got {clip}"));
    }
    for g in &optim.groups {
        let text = format!("optim.groups: {}: expected a lr_scale of 0 or more", g.prefix);
        no(decay(g.lr_scale), text);
    }
    let mut rules = vec![("optim", &optim.rule)];
    if let ScheduleConfig::Staged(s) = &optim.schedule {
        rules.extend(s.stages.iter().map(|s| ("optim.schedule.stages.rule", &s.rule)));
    }
    for (place, rule) in rules {
        let (weight_decay, moments) = match rule {
            Rule::Adam(c) => (c.weight_decay, Some((c.betas, c.eps))),
            Rule::AdamW(c) => (c.weight_decay, Some((c.betas, c.eps))),
            Rule::Sgd(c) => {
                let ahead = !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0);
                no(ahead, format!("{place}.nesterov: needs momentum above 0 and no dampening"));
                no(decay(c.momentum), format!("{place}.momentum: expected 0 or more"));
                (c.weight_decay, None)
            }
        };
        no(decay(weight_decay), format!("{place}.weight_decay: expected 0 or more"));
        if let Some((betas, eps)) = moments {
            let inside = betas.iter().all(|b| (0.0..1.0).contains(b));
            no(inside, format!("{place}.betas: expected two numbers from 0 to below 1"));
            no(positive(eps), format!("{place}.eps: expected above 0"));
        }
    }
}

fn check_schedule(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let place = "optim.schedule";
    match &exp.optim.schedule {
        ScheduleConfig::Constant(_) => {}
        ScheduleConfig::Linear(d) | ScheduleConfig::Cosine(d) => {
            no(d.steps != Some(0), format!("{place}.steps: expected at least 1, got 0"));
            let below = (0.0..=exp.optim.lr).contains(&d.lr_min);
            no(below, format!("{place}.lr_min: expected from 0 to optim.lr, got {}", d.lr_min));
        }
        ScheduleConfig::Plateau(p) => {
            let inside = p.factor > 0.0 && p.factor < 1.0;
            no(inside, format!("{place}.factor: expected between 0 and 1, got {}", p.factor));
            let seen = p.watch != Watch::ValidLoss || exp.trainer.validate_steps.is_none();
            no(
                seen,
                format!(
                    "{place}.watch: valid_loss is looked at after every epoch; leave out trainer.validate_steps"
                ),
            );
        }
        ScheduleConfig::Staged(s) => {
            no(!s.stages.is_empty(), format!("{place}.stages: expected at least one"));
            let rising = s.stages.windows(2).all(|w| w[0].from_epoch < w[1].from_epoch);
            no(rising, format!("{place}.stages: expected rising from_epoch"));
            let rates = s.stages.iter().all(|s| s.lr > 0.0 && s.lr.is_finite());
            no(rates, format!("{place}.stages: expected an lr above 0 in every stage"));
        }
    }
}

fn check_trainer(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let t = &exp.trainer;
    no(
        t.steps.is_some() != t.epochs.is_some(),
        "trainer: expected either `steps` or `epochs`".to_owned(),
    );
    let lengths = [
        ("steps", t.steps),
        ("epochs", t.epochs),
        ("validate_steps", t.validate_steps),
        ("save_steps", Some(t.save_steps)),
        ("log_steps", Some(t.log_steps)),
        ("keep.best", Some(t.keep.best as u64)),
    ];
    for (key, value) in lengths {
        no(value != Some(0), format!("trainer.{key}: expected at least 1, got 0"));
    }
    let names = exp.objective.score_names();
    let KeepConfig { by, mode, .. } = &t.keep;
    no(
        names.iter().any(|n| n == by),
        format!("trainer.keep.by: expected one of {}, got {by:?}", names.join(", ")),
    );
    let lower = by == crate::LOSS;
    no(
        lower == (*mode == Mode::Min),
        format!(
            "trainer.keep.mode: {by} is better when {}; expected \"{}\"",
            if lower { "lower" } else { "higher" },
            if lower { "min" } else { "max" }
        ),
    );
}
