//! Results in the files that each study was published in, written anew after every run: `evaluation/` of the transfer
//! study, `raw_results/` of the limited-data study. A folder per seed stands above the published path.

use anyhow::Result;
use etude_eval::paper::study::{evaluation_text, metrics_text};
use etude_eval::{Stored, read_predictions};
use etude_train::ObjectiveConfig;
use etude_train::study::{Limited, Place, Study, Transfer};
use std::collections::BTreeMap;
use std::path::Path;

/// The test audio as it is, among the conditions of the limited-data study.
pub const CLEAN: &str = "clean";

/// What the files of a run call the test split under a condition: `test`, `test.deform_0`.
pub fn scored(condition: &str) -> String {
    match condition {
        CLEAN => "test".to_owned(),
        other => format!("test.{other}"),
    }
}

/// Files by their path below the study's folder.
#[derive(Default)]
pub struct Files {
    pub files: Vec<(String, String)>,
    /// Why others cannot be written, and how many.
    pub missing: BTreeMap<String, usize>,
}

impl Files {
    /// The file of a row that is scored.
    fn add(
        &mut self,
        predictions: &Path,
        below: String,
        text: impl FnOnce(&Stored) -> etude_eval::Result<String>,
    ) -> Result<()> {
        if predictions.is_file() {
            match text(&read_predictions(predictions)?) {
                Ok(text) => self.files.push((below, text)),
                Err(why) => *self.missing.entry(why.to_string()).or_default() += 1,
            }
        }
        Ok(())
    }
}

/// `evaluation/<seed>/<dataset>/<model>.txt` of every row.
pub fn evaluation(study: &Study, cfg: &Transfer, place: &Place) -> Result<Files> {
    let mut found = Files::default();
    for row in cfg.rows(study, place) {
        let numbered = cfg.corpora.iter().any(|c| c.name == row.target && c.numbered);
        let name = cfg.published_name(&row);
        let below = format!("evaluation/{}/{}/{name}.txt", row.seed, row.target);
        let file = format!("predictions.{}.safetensors", scored(CLEAN));
        found.add(&row.run.join(file), below, |predictions| {
            evaluation_text(&name, &row.target, predictions, numbered)
        })?;
    }
    Ok(found)
}

/// `raw_results/<seed>/<run>/<dataset>_<model>_<size>_model-<probe>/<condition>_metrics.json` of every probe.
pub fn raw_results(study: &Study, cfg: &Limited, place: &Place) -> Result<Files> {
    let mut found = Files::default();
    let rows = cfg.rows(study, place);
    for task in &cfg.tasks {
        let probe = cfg.probe(study, place, task)?;
        let ObjectiveConfig::Supervised(learned) = &probe.objective else { continue };
        let split = format!("test split of {}", probe.data.view);
        let deformed = cfg.deformations.keys().filter(|_| task.deformed).map(String::as_str);
        let conditions: Vec<&str> = std::iter::once(CLEAN).chain(deformed).collect();
        for row in rows.iter().filter(|row| row.task == task.name) {
            let folder = cfg.published_name(row, &probe.data.view);
            for condition in &conditions {
                let below = format!("raw_results/{}/{folder}/{condition}_metrics.json", row.seed);
                let file = format!("predictions.{}.safetensors", scored(condition));
                found.add(&row.run.join(file), below, |predictions| {
                    metrics_text(&learned.task, predictions, &split)
                })?;
            }
        }
    }
    Ok(found)
}
