//! What a study has so far, as figures, one page, CSV and text in its folder below the runs.

use super::published::{CLEAN, Files, evaluation, raw_results, scored};
use super::work::read_json;
use crate::commands::audio::write_whole;
use anyhow::{Context, Result};
use etude_eval::paper::study::{
    Drawn, LIMITED_COLUMNS, Limited as LimitedFigures, LimitedCell, LimitedTask, Published,
    TRANSFER_COLUMNS, Transfer as TransferFigures, TransferCell, limited, read_published, transfer,
};
use etude_features::Deformation;
use etude_features::handcrafted::Kind;
use etude_manifests::{Split, read_tracks, read_view};
use etude_train::study::{Limited, Place, Study, StudyConfig, Transfer};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What was written.
pub struct Report {
    /// Tables for the terminal, and where the figures are.
    pub text: String,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Draws what there is.
pub fn write(study: &Study, place: &Place) -> Result<Report> {
    let folder = place.runs.join(&study.name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let (drawn, Files { files: mut named, missing }) = match &study.config {
        StudyConfig::Limited(cfg) => {
            (limited(&limited_figures(study, cfg, place)?), raw_results(study, cfg, place)?)
        }
        StudyConfig::Transfer(cfg) => {
            (transfer(&transfer_figures(study, cfg, place)?), evaluation(study, cfg, place)?)
        }
    };
    let Drawn { figures, page, csv, text } = drawn;
    let mut told = text.clone();
    let own = [("report.html", page), ("scores.csv", csv), ("tables.txt", text)];
    named.extend(own.map(|(name, text)| (name.to_owned(), text)));
    named.extend(figures.into_iter().map(|(name, svg)| (format!("figures/{name}"), svg)));
    let mut files = Vec::new();
    for (name, text) in named {
        let path = folder.join(name);
        put(&path, &text)?;
        files.push(path);
    }
    for (why, count) in missing {
        told += &format!("{count} files of the published form not written: {why}\n");
    }
    told += &format!("figures  {}\n", folder.join("report.html").display());
    Ok(Report { text: told, files })
}

fn put(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_whole(path, |part| Ok(std::fs::write(part, text)?))
}

fn published(study: &Study, file: Option<&PathBuf>, columns: &[&str]) -> Result<Published> {
    match file {
        Some(file) => Ok(read_published(&study.beside(file), columns)?),
        None => Ok(Published::default()),
    }
}

/// Scores of a file that `etude eval` writes; none when it is not there.
fn scores(path: &Path) -> Result<BTreeMap<String, f64>> {
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let place = || format!("cannot read {}", path.display());
    serde_json::from_value(read_json(path)?["summary"].take()).with_context(place)
}

fn limited_figures(study: &Study, cfg: &Limited, place: &Place) -> Result<LimitedFigures> {
    let rows = cfg.rows(study, place);
    let mut conditions = vec![(CLEAN.to_owned(), CLEAN.to_owned())];
    if cfg.tasks.iter().any(|t| t.deformed) {
        let told = |(name, d): (&String, _)| (name.clone(), format!("{name}: {}", in_words(d)));
        conditions.extend(cfg.deformations.iter().map(told));
    }
    let (mut cells, mut done) = (Vec::new(), 0);
    for row in &rows {
        for (condition, _) in &conditions {
            let found = scores(&row.run.join(format!("scores.{}.json", scored(condition))))?;
            done += usize::from(condition == CLEAN && !found.is_empty());
            cells.extend(found.into_iter().map(|(score, value)| LimitedCell {
                task: row.task.clone(),
                model: row.model.clone(),
                size: row.size.map(|size| size.to_string()).unwrap_or_default(),
                probe: row.probe.clone(),
                condition: condition.clone(),
                seed: row.seed,
                score,
                value,
            }));
        }
    }
    let used = |kind: &Kind| cfg.tasks.iter().any(|t| t.baselines.contains(kind));
    let baselines = Kind::ALL.into_iter().filter(used);
    let tasks =
        cfg.tasks.iter().map(|t| LimitedTask { name: t.name.clone(), scores: t.scores.clone() });
    Ok(LimitedFigures {
        name: study.name.clone(),
        models: cfg.models.iter().map(|m| m.name.clone()).collect(),
        baselines: baselines.map(|kind| kind.name().to_owned()).collect(),
        sizes: minutes(study, cfg, place)?,
        tasks: tasks.collect(),
        probes: cfg.probes.iter().map(|p| p.name.clone()).collect(),
        conditions,
        cells,
        published: published(study, cfg.published.as_ref(), &LIMITED_COLUMNS)?,
        done: (done, rows.len()),
    })
}

/// `noise at 15 dB`, `12 dB quieter`.
fn in_words(deformation: &Deformation) -> String {
    match deformation {
        Deformation::Noise { snr_db } => format!("noise at {snr_db} dB"),
        Deformation::Gain { db } if *db < 0.0 => format!("{} dB quieter", -db),
        Deformation::Gain { db } => format!("{db} dB louder"),
        Deformation::Chain { steps } => {
            steps.iter().map(in_words).collect::<Vec<_>>().join(", then ")
        }
    }
}

/// Minutes of music in the training split of every subset.
fn minutes(study: &Study, cfg: &Limited, place: &Place) -> Result<Vec<(String, f64)>> {
    let data = study.data_dir(place)?;
    let mut seconds: BTreeMap<String, HashMap<String, f64>> = BTreeMap::new();
    let mut sizes = Vec::new();
    for &size in &cfg.subsets.sizes {
        let Some(name) = cfg.view(size) else {
            sizes.push((size.to_string(), 0.0));
            continue;
        };
        let view = read_view(&data.join("manifests").join(format!("{name}.parquet")))?;
        if !seconds.contains_key(&view.corpus) {
            let path = data.join("manifests").join(format!("{}.tracks.parquet", view.corpus));
            let known = read_tracks(&path)?;
            let known = known.into_iter().filter_map(|t| Some((t.key, t.facts.duration_s?)));
            seconds.insert(view.corpus.clone(), known.collect());
        }
        let known = &seconds[&view.corpus];
        let total: f64 = view.only(Split::Train).filter_map(|e| known.get(&e.track)).sum();
        sizes.push((size.to_string(), total / 60.0));
    }
    Ok(sizes)
}

fn transfer_figures(study: &Study, cfg: &Transfer, place: &Place) -> Result<TransferFigures> {
    let rows = cfg.rows(study, place);
    let (mut cells, mut done) = (Vec::new(), 0);
    for row in &rows {
        let found = scores(&row.run.join(format!("scores.{}.json", scored(CLEAN))))?;
        done += usize::from(!found.is_empty());
        let kind = match (&row.source, row.frozen) {
            (None, _) => "scratch",
            (Some(_), false) => "full",
            (Some(_), true) => "last",
        };
        cells.extend(found.into_iter().map(|(score, value)| TransferCell {
            target: row.target.clone(),
            model: row.model.clone(),
            source: row.source.clone().unwrap_or_else(|| row.target.clone()),
            kind,
            seed: row.seed,
            score,
            value,
        }));
    }
    Ok(TransferFigures {
        name: study.name.clone(),
        models: cfg.models.clone(),
        corpora: cfg.corpora.iter().map(|c| c.name.clone()).collect(),
        cells,
        published: published(study, cfg.published.as_ref(), &TRANSFER_COLUMNS)?,
        done: (done, rows.len()),
    })
}
