//! An experiment: one TOML file, complete on its own, one row of a results table.
//!
//! Sections `run`, `data`, `model`, `tuning`, `objective`, `optim`, `trainer`, `eval`, `published`. Unknown keys are
//! errors; every default is stated once, here or at the struct it belongs to.

use crate::cache::CacheConfig;
use crate::error::{Error, Result};
use crate::objective::ObjectiveConfig;
use crate::optim::OptimConfig;
use crate::stopping::{Mode, StoppingConfig};
use etude_models::{ModelConfig, Precision, Tuning};
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
    /// Samples per batch.
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
    /// Keeps what the frozen beginning of the network makes of each window, so that it runs in the first epoch only;
    /// nothing is kept when left out.
    #[serde(default)]
    pub cache: Option<CacheConfig>,
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
    /// Batches per step: their gradients are averaged as if they were one batch.
    #[serde(default = "one")]
    pub accumulate: u64,
    /// Batches after which an epoch ends at the latest; the next one begins with a new order.
    #[serde(default)]
    pub epoch_batches: Option<u64>,
    /// `f32`, or `bf16` for products, convolutions and attention: in training, validation and scoring.
    #[serde(default)]
    pub precision: Precision,
    /// Gradient checkpointing: encoder layers, and a front end that trains, keep only their inputs and run again for
    /// their gradients. Less memory for about a third more time, and the same numbers.
    #[serde(default)]
    pub checkpoint: bool,
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

impl TrainerConfig {
    /// The scores that decide on the states kept and on an early end, each behind its key.
    pub(crate) fn watched(&self) -> [(&'static str, &String); 2] {
        let keep = ("trainer.keep.by", &self.keep.by);
        let stop = self.stop.as_ref().and_then(|stop| stop.by.as_ref());
        [keep, stop.map_or(keep, |by| ("trainer.stop.by", by))]
    }
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
    /// What a validation hears of each track.
    #[serde(default)]
    pub valid: ValidConfig,
    /// Whether a scored split loses the tracks behind its last full batch, as the published probes lose them; a split
    /// smaller than a batch is scored whole.
    #[serde(default)]
    pub drop_last: bool,
}

/// What a validation hears of each track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidConfig {
    /// The same windows as a test.
    #[default]
    Windows,
    /// What a training epoch hears: a random crop is drawn anew for every validation, as the transfer study's code does.
    Crop,
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

fn one() -> u64 {
    1
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
        let epoch_batches = self.trainer.epoch_batches;
        LoaderConfig {
            batch,
            crop,
            threads,
            prefetch_bytes,
            drop_last,
            shuffle: true,
            epoch_batches,
        }
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

    /// How tracks are read for a validation.
    pub fn valid_loader(&self) -> LoaderConfig {
        let test = self.eval_loader();
        match self.eval.valid {
            ValidConfig::Windows => test,
            ValidConfig::Crop => LoaderConfig { crop: self.data.crop, ..test },
        }
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
    let last = keys.pop().filter(|k| !k.is_empty());
    let last = last.ok_or_else(|| bad("expected section.key=value".to_owned()))?;
    let mut at = table;
    for key in keys {
        let next = at.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next.as_table_mut().ok_or_else(|| bad(format!("`{key}` is not a section")))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
[run]
seed = 321
[data]
view = 'mtat'
shards = 'mtat-16k'
crop = { kind = 'random', steps = 59049 }
batch = 16
[model]
backbone = { name = 'vggish', preset = 'limited' }
head = { kind = 'published' }
[tuning]
method = 'full'
[objective]
kind = 'supervised'
task = { kind = 'tagging' }
[optim]
kind = 'adam'
lr = 1e-4
[trainer]
steps = 100
";

    fn parse(sets: &[&str]) -> Result<Experiment> {
        let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
        Experiment::parse("x.toml", TEXT, &sets)
    }

    fn fails(sets: &[&str]) -> String {
        parse(sets).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let exp = parse(&[]).unwrap();
        assert_eq!((exp.run.device.as_str(), exp.trainer.save_steps), ("auto", 500));
        assert_eq!(exp.view_path(), Path::new("data/manifests/mtat.parquet"));
        assert_eq!(exp.shards_dir(), Path::new("data/shards/mtat-16k"));
        let windows = Crop::Sliding { steps: 59049, hop: 59049, tail: Tail::Drop };
        assert_eq!(exp.eval_loader().crop, windows);
        assert_eq!(exp.valid_loader().crop, windows);
        assert_eq!(exp.text(), TEXT);
        let exp = parse(&["eval.valid=crop"]).unwrap();
        assert_eq!(exp.valid_loader().crop, Crop::Random { steps: 59049 });
        assert_eq!(exp.eval_loader().crop, windows);
    }

    #[test]
    fn an_override_is_part_of_the_experiment_and_of_its_text() {
        let exp = parse(&["optim.lr=3e-4", "run.device=cpu", "eval.window={ steps = 9 }"]).unwrap();
        assert_eq!((exp.optim.lr, exp.run.device.as_str()), (3e-4, "cpu"));
        let again = Experiment::parse("y.toml", exp.text(), &[]).unwrap();
        assert_eq!((again.optim, again.eval), (exp.optim, exp.eval));
    }

    #[test]
    fn a_wrong_key_or_override_says_what_there_is() {
        assert!(fails(&["trainer.stepps=3"]).contains("unknown field `stepps`"));
        assert!(fails(&["tuning.method=lorra"]).contains("unknown variant `lorra`"));
        assert!(fails(&["optim.kind=adma"]).contains("expected one of `adam`, `adamw`, `sgd`"));
        assert!(fails(&["nonsense"]).contains("expected section.key=value"));
        assert!(fails(&["=1"]).contains("expected section.key=value"));
        assert!(fails(&["seed=1"]).contains("unknown field `seed`, expected one of `run`"));
        assert!(fails(&["data.view.x=1"]).contains("`view` is not a section"));
        let text = Experiment::parse("x.toml", "[run]\nsede = 1", &[]).unwrap_err().to_string();
        assert!(text.starts_with("x.toml: ") && text.contains("line 2"), "{text}");
    }
}
