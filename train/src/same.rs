//! Whether an experiment is the one a run was started with.

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::run_dir::RunDir;
use std::collections::BTreeMap;
use std::fs;

/// Keys that may change when a run is resumed: where things are, how fast they go, how long it lasts.
const FREE: [&str; 11] = [
    "run.device",
    "run.threads",
    "data.cache.dir",
    "data.cache.fill",
    "data.dir",
    "data.threads",
    "data.prefetch_mb",
    "objective.threads",
    "trainer.save_steps",
    "trainer.checkpoint",
    "published",
];
const LENGTH: [&str; 2] = ["trainer.steps", "trainer.epochs"];

/// Compares an experiment with the `config.toml` of a run. Free to change are `run.device`, `run.threads`, `data.dir`,
/// `data.cache.dir`, `data.cache.fill`, `data.threads`, `data.prefetch_mb`, `objective.threads`, `trainer.save_steps`,
/// `trainer.checkpoint` and `published`, and `trainer.steps` and `trainer.epochs` unless the learning rate depends on them.
///
/// # Errors
/// [`Error::Mismatch`] names the first key that differs, and both values.
pub fn same_experiment(exp: &Experiment, dir: &RunDir) -> Result<()> {
    let path = dir.config();
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let (then, now) = (keys(&path.display().to_string(), &text)?, keys(exp.place(), exp.text())?);
    let names = then.keys().chain(now.keys());
    let mut free = FREE.to_vec();
    if !exp.optim.schedule.depends_on_length() {
        free.extend(LENGTH);
    }
    let free = |key: &str| free.iter().any(|f| key == *f || key.starts_with(&format!("{f}.")));
    let Some(key) = names.filter(|k| !free(k)).find(|k| then.get(*k) != now.get(*k)) else {
        return Ok(());
    };
    let show = |value: Option<&String>| value.map_or("no such key".to_owned(), String::clone);
    Err(Error::Mismatch {
        what: key.clone(),
        left: format!("the run has {}", show(then.get(key))),
        right: format!("{} has {}", exp.place(), show(now.get(key))),
        hint: "resume with the run's own config.toml, or start a new run".to_owned(),
    })
}

/// Every value and every section by its dotted key.
fn keys(place: &str, text: &str) -> Result<BTreeMap<String, String>> {
    fn walk(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(t) => {
                    walk(&key, t, into);
                    into.insert(key, "a section".to_owned()); // an empty one may switch something on
                }
                other => {
                    into.insert(key, other.to_string());
                }
            }
        }
    }
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| Error::Config {
        place: place.to_owned(),
        text: e.to_string(),
    })?;
    let mut all = BTreeMap::new();
    walk("", &table, &mut all);
    Ok(all)
}
