//! Hand-crafted features in the limited-data study: what the same probes reach without any network.
//!
//! The study announces such lines for pitch and instrument and does not publish their definition; here it is the vectors
//! of [`etude_features::handcrafted`] at the rate of the first model's waves, as `etude shards` stores them. They are of clean
//! audio, so baselines have no scores on deformed audio.

use super::limited::{Limited, TaskRow, ending, pretraining, probe_name, probe_recipe};
use super::needed::{Needed, rate};
use super::{Place, Step, Study, Work, push};
use crate::error::Result;
use etude_features::handcrafted::Kind;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A task, the features its probes learn it from, and their shard set.
pub(super) struct Baseline<'a> {
    task: &'a TaskRow,
    kind: Kind,
    shards: PathBuf,
}

/// # Errors
/// [`crate::Error::Config`] for features that are named twice, or as a model is.
pub(super) fn check(study: &Study, cfg: &Limited) -> Result<()> {
    for task in &cfg.tasks {
        for (n, kind) in task.baselines.iter().enumerate() {
            let name = kind.name();
            if task.baselines[..n].contains(kind) {
                let text = "baselines: expected each once, got two of";
                return study.refuse(format!("study.tasks: {}: {text} {name}", task.name));
            }
            if cfg.models.iter().any(|m| m.name == name) {
                return study.refuse(format!(
                    "study.models: {name}: expected another name; study.tasks: {}: baselines has this one",
                    task.name
                ));
            }
        }
    }
    Ok(())
}

/// Every baseline of every task whose view is there; `probes` holds the tasks' corpora.
///
/// # Errors
/// [`crate::Error::Config`] if no model takes waves.
pub(super) fn find<'a>(
    study: &Study,
    cfg: &'a Limited,
    place: &Place,
    probes: &BTreeMap<&str, (PathBuf, String)>,
    needed: &mut Needed,
) -> Result<Vec<Baseline<'a>>> {
    let mut found = Vec::new();
    if cfg.tasks.iter().all(|task| task.baselines.is_empty()) {
        return Ok(found);
    }
    let mut waves = None;
    for model in &cfg.models {
        let data = pretraining(study, place, model, Vec::new()).experiment()?.data;
        if rate(ending(&data.shards)).is_some() {
            waves = Some(data);
            break;
        }
    }
    let Some(data) = waves else {
        return study.refuse(
            "study.tasks: baselines: expected a model that takes waves, because hand-crafted features are at its rate"
                .to_owned(),
        );
    };
    for task in &cfg.tasks {
        let Some((_, corpus)) = probes.get(task.name.as_str()) else { continue };
        for &kind in &task.baselines {
            let ending = format!("{}-{}", ending(&data.shards), kind.name());
            needed.shards(&data.dir, corpus, &ending);
            let shards = data.dir.join("shards").join(format!("{corpus}-{ending}"));
            found.push(Baseline { task, kind, shards });
        }
    }
    Ok(found)
}

/// A step per probe.
pub(super) fn plan(
    study: &Study,
    cfg: &Limited,
    place: &Place,
    seed: u64,
    baselines: &[Baseline],
    plan: &mut Vec<Step>,
) -> Result<()> {
    for Baseline { task, kind, shards } in baselines {
        for probe in &cfg.probes {
            let name = probe_name(&task.name, kind.name(), None, &probe.name, seed);
            let run = place.runs.join(&study.name).join(&name);
            let recipe = probe_recipe(study, cfg, place, (task, probe, seed), shards.clone())?;
            let work = Work::Train { recipe, run, scored: true };
            push(plan, name, format!("probe {}", task.name), Vec::new(), work);
        }
    }
    Ok(())
}
