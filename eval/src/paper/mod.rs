//! The tables of a paper with our rows: scores with confidence intervals, what was published, and tests between rows.
//!
//! [`compare`] takes what is known of each run and computes; [`text`], [`markdown`], [`csv`] and [`html`] show it.

mod chart;
mod html;
pub mod study;
mod text;

use crate::bootstrap::{Bootstrap, Groups, Interval, Sorted, interval, paired_p};
use crate::error::Result;
use crate::metrics::ranking::{Ranking, tagging};
use crate::predictions::Stored;
use crate::task::ClassScores;
use crate::tasks::tagging::{MAP, ROC_AUC};
use etude_models::Tuning;
use serde::Serialize;
use std::collections::BTreeMap;

pub use html::html;
pub use text::{csv, markdown, text};

/// What is known of a row before anything is computed.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Its experiment, without the paper's folder: `mtat/musicfm_lora`.
    pub name: String,
    /// Seed of the run.
    pub seed: u64,
    /// Table it belongs to.
    pub view: String,
    /// Backbone.
    pub model: String,
    /// Tuning method.
    pub method: String,
    /// Numbers that were trained; `None` until a run has ended.
    pub trained: Option<u64>,
    /// Time the training took.
    pub minutes: Option<f64>,
    /// Mean time of an epoch, its validation included.
    pub epoch_s: Option<f64>,
    /// Most memory the training held, on the device where it ran on one, bytes.
    pub memory: Option<u64>,
    /// Scores of the paper's row, by name.
    pub published: BTreeMap<String, f64>,
    /// What the run said about the test split; `None` until it is scored.
    pub predictions: Option<Stored>,
    /// Artist of each prediction where known; empty when nobody knows.
    pub artists: Vec<Option<String>>,
    /// How it learned.
    pub curves: Curves,
}

/// Values over training, as (steps, value).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Curves {
    /// Training loss.
    pub loss: Vec<(u64, f64)>,
    /// mAP on the validation split.
    pub valid: Vec<(u64, f64)>,
}

/// How a paper is compared.
#[derive(Debug, Clone, Default)]
pub struct CompareConfig {
    /// Resamples behind intervals and tests.
    pub bootstrap: Bootstrap,
    /// Rows are tested against the row of this name; against the best of their table without one.
    pub baseline: Option<String>,
}

/// A paper's tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paper {
    /// Its name, a folder below `runs/`.
    pub name: String,
    /// Resamples behind intervals and tests.
    pub bootstrap: Bootstrap,
    /// One table per view.
    pub tables: Vec<Table>,
}

/// Rows that are scored on the same tracks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Name of the view.
    pub view: String,
    /// In order of their names.
    pub rows: Vec<Row>,
    /// The row that others are tested against.
    pub reference: Option<usize>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its experiment, without the paper's folder.
    pub name: String,
    /// Seed of the run.
    pub seed: u64,
    /// Backbone.
    pub model: String,
    /// Tuning method.
    pub method: String,
    /// Numbers that were trained.
    pub trained: Option<u64>,
    /// Time the training took.
    pub minutes: Option<f64>,
    /// Mean time of an epoch, its validation included.
    pub epoch_s: Option<f64>,
    /// Most memory the training held, on the device where it ran on one, bytes.
    pub memory: Option<u64>,
    /// Scores of the paper's row, by name.
    pub published: BTreeMap<String, f64>,
    /// Our scores; `None` for a row not run yet.
    pub scores: Option<RowScores>,
    /// How it learned.
    pub curves: Curves,
}

/// Scores of a row on the test split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowScores {
    /// Tracks scored.
    pub tracks: usize,
    /// Artists of these tracks, where known.
    pub artists: Option<usize>,
    /// By the names of the published tables, `mAP` and `ROC-AUC`; only those that are defined.
    pub by_name: BTreeMap<String, Estimate>,
    /// Class by class.
    pub per_class: Vec<ClassScores>,
}

/// A score and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// On all tracks.
    pub value: f64,
    /// 95 % of the resamples by track.
    pub by_track: Option<Interval>,
    /// 95 % of the resamples by artist, where artists are known.
    pub by_artist: Option<Interval>,
    /// Two-sided p of the difference to the table's reference, paired by track; `None` for the reference itself and
    /// for rows on other tracks.
    pub p: Option<f64>,
}

/// Both scores, in the order in which tables show them.
pub(crate) const SCORES: [&str; 2] = [MAP, ROC_AUC];

impl Row {
    /// A score by name.
    pub fn score(&self, name: &str) -> Option<Estimate> {
        self.scores.as_ref()?.by_name.get(name).copied()
    }

    /// Ours minus the published one.
    pub fn difference(&self, name: &str) -> Option<f64> {
        Some(self.score(name)?.value - self.published.get(name)?)
    }
}

/// Computes a paper's tables: within one the networks by name, of each its tuning methods in the order of
/// [`Tuning::NAMES`]. Resamples are the same for all rows on the same tracks, so that rows are pairs.
///
/// # Errors
/// When scores and labels of a row do not go together.
pub fn compare(name: &str, mut entries: Vec<Entry>, cfg: &CompareConfig) -> Result<Paper> {
    let rank = |method: &str| Tuning::NAMES.iter().position(|name| *name == method);
    let place = |e: &Entry| {
        let method = rank(&e.method).unwrap_or(Tuning::NAMES.len());
        (e.view.clone(), e.model.clone(), method, e.name.clone(), e.seed)
    };
    entries.sort_by_cached_key(place);
    let mut tables = Vec::new();
    for rows in entries.chunk_by(|a, b| a.view == b.view) {
        tables.push(table(rows, cfg)?);
    }
    Ok(Paper { name: name.to_owned(), bootstrap: cfg.bootstrap, tables })
}

fn table(entries: &[Entry], cfg: &CompareConfig) -> Result<Table> {
    let (mut rows, mut resamples) = (Vec::new(), Vec::new());
    for entry in entries {
        let (row, by_track) = row(entry, cfg.bootstrap)?;
        rows.push(row);
        resamples.push(by_track);
    }
    let named = |name: &String| rows.iter().position(|r| &r.name == name && r.scores.is_some());
    let best = || {
        let scored = rows.iter().enumerate().filter_map(|(at, r)| Some((at, r.score(MAP)?.value)));
        scored.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(at, _)| at)
    };
    let reference = cfg.baseline.as_ref().map_or_else(best, named);
    if let Some(base) = reference {
        for at in (0..rows.len()).filter(|&at| at != base) {
            test(&mut rows[at], &resamples[at], &resamples[base], entries, (at, base));
        }
    }
    let view = entries.first().map(|e| e.view.clone()).unwrap_or_default();
    Ok(Table { view, rows, reference })
}

/// Sets p of a row against the reference, if both were scored on the same tracks.
fn test(
    row: &mut Row,
    own: &[Ranking],
    base: &[Ranking],
    entries: &[Entry],
    (at, reference): (usize, usize),
) {
    let keys = |at: usize| entries[at].predictions.as_ref().map(|p| &p.keys);
    let Some(scores) = row.scores.as_mut().filter(|_| keys(at) == keys(reference)) else { return };
    for (name, estimate) in &mut scores.by_name {
        let pairs = own.iter().zip(base);
        let differences = pairs.filter_map(|(a, b)| Some(value(a, name)? - value(b, name)?));
        estimate.p = paired_p(differences);
    }
}

fn value(ranking: &Ranking, name: &str) -> Option<f64> {
    if name == MAP { ranking.average_precision } else { ranking.roc_auc }
}

/// A row and its resamples by track; none for a row without predictions.
fn row(entry: &Entry, how: Bootstrap) -> Result<(Row, Vec<Ranking>)> {
    let mut row = Row {
        name: entry.name.clone(),
        seed: entry.seed,
        model: entry.model.clone(),
        method: entry.method.clone(),
        trained: entry.trained,
        minutes: entry.minutes,
        epoch_s: entry.epoch_s,
        memory: entry.memory,
        published: entry.published.clone(),
        scores: None,
        curves: entry.curves.clone(),
    };
    let Some(p) = &entry.predictions else { return Ok((row, Vec::new())) };
    let exact = tagging(&p.scores, &p.labels, p.classes.len())?;
    let sorted = Sorted::new(&p.scores, &p.labels, p.classes.len())?;
    let tracks = sorted.items();
    let by_track = sorted.resampled(&Groups::single(tracks), how);
    let artists = (entry.artists.len() == tracks && entry.artists.iter().any(Option::is_some))
        .then(|| Groups::named(entry.artists.iter().map(Option::as_deref)));
    let by_artist = artists.as_ref().map(|groups| sorted.resampled(groups, how));
    let range =
        |values: &[Ranking], name: &str| interval(values.iter().filter_map(|r| value(r, name)));
    let estimate = |name: &str| {
        let estimate = Estimate {
            value: value(&exact.macro_avg, name)?,
            by_track: range(&by_track, name),
            by_artist: by_artist.as_ref().and_then(|values| range(values, name)),
            p: None,
        };
        Some((name.to_owned(), estimate))
    };
    let classes = p.classes.iter().zip(&exact.per_class);
    let per_class = classes.map(|(class, r)| ClassScores {
        class: class.clone(),
        roc_auc: r.roc_auc,
        average_precision: r.average_precision,
        chance: r.positives as f64 / tracks as f64,
        positives: r.positives,
        ..ClassScores::default()
    });
    row.scores = Some(RowScores {
        tracks,
        artists: artists.map(|groups| groups.count()),
        by_name: SCORES.into_iter().filter_map(estimate).collect(),
        per_class: per_class.collect(),
    });
    Ok((row, by_track))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row whose scores follow the labels of 120 tracks with some noise.
    pub(crate) fn entry(name: &str, noise: u32) -> Entry {
        let labels: Vec<bool> = (0..240u32).map(|i| i * i % 7 < 2).collect();
        let random = |i: u32| (i.wrapping_mul(2_654_435_761) >> 16) % 100;
        let score = |i: usize| (u32::from(labels[i]) * 50 + random(i as u32) * noise / 50) as f32;
        let predictions = Stored {
            keys: (0..120).map(|i| format!("demo:{i}")).collect(),
            classes: vec!["guitar".into(), "slow <&>".into()],
            scores: (0..240).map(score).collect(),
            labels: labels.clone(),
        };
        Entry {
            name: name.to_owned(),
            seed: 321,
            view: "mtat".into(),
            model: "musicfm".into(),
            method: name.rsplit('_').next().unwrap().to_owned(),
            trained: Some(1_234_567),
            minutes: Some(90.0),
            epoch_s: Some(12.34),
            memory: Some(719_000_000),
            published: [(MAP.to_owned(), 0.408)].into(),
            predictions: Some(predictions),
            artists: (0..120).map(|i| Some((i / 6).to_string())).collect(),
            curves: Curves {
                loss: (1..9).map(|i| (i * 10, 1.0 / i as f64)).collect(),
                valid: (1..4).map(|i| (i * 25, i as f64 / 10.0)).collect(),
            },
        }
    }

    pub(crate) fn paper() -> Paper {
        let waiting = Entry {
            predictions: None,
            trained: None,
            minutes: None,
            epoch_s: None,
            memory: None,
            ..entry("mtat/m_lora", 0)
        };
        let entries = vec![
            entry("mtat/m_probe", 150),
            waiting,
            entry("mtat/m_full", 55),
            Entry { view: "mtg".into(), ..entry("mtg/m_full", 60) },
        ];
        let bootstrap = Bootstrap { resamples: 200, seed: 1 };
        compare("peft", entries, &CompareConfig { bootstrap, baseline: None }).unwrap()
    }

    #[test]
    fn rows_are_tested_against_the_best_of_their_table() {
        let paper = paper();
        let views: Vec<_> = paper.tables.iter().map(|t| (t.view.as_str(), t.rows.len())).collect();
        assert_eq!(views, [("mtat", 3), ("mtg", 1)]);
        let table = &paper.tables[0];
        assert_eq!(table.reference, Some(0));
        let [best, worse, waiting] = &table.rows[..] else { panic!() };
        assert_eq!((best.name.as_str(), waiting.scores.as_ref()), ("mtat/m_full", None));
        assert_eq!(best.score(MAP).unwrap().p, None);
        let map = worse.score(MAP).unwrap();
        assert!(map.p.unwrap() < 0.05, "{map:?}");
        let track = map.by_track.unwrap();
        assert!(track.low < map.value && map.value < track.high);
        assert!(map.by_artist.is_some());
        assert_eq!(worse.scores.as_ref().unwrap().artists, Some(20));
        assert!((worse.difference(MAP).unwrap() - (map.value - 0.408)).abs() < 1e-12);
        assert_eq!(worse.difference(ROC_AUC), None);
    }

    #[test]
    fn a_named_baseline_takes_the_place_of_the_best() {
        let entries = vec![entry("mtat/m_probe", 150), entry("mtat/m_full", 55)];
        let bootstrap = Bootstrap { resamples: 100, seed: 1 };
        let baseline = Some("mtat/m_probe".to_owned());
        let paper = compare("peft", entries, &CompareConfig { bootstrap, baseline }).unwrap();
        let table = &paper.tables[0];
        assert_eq!(table.reference, Some(1));
        assert!(table.rows[0].score(MAP).unwrap().p.is_some());
        assert!(table.rows[1].score(MAP).unwrap().p.is_none());
    }

    #[test]
    fn rows_on_other_tracks_are_not_paired() {
        let mut other = entry("mtat/m_lora", 90);
        other.predictions.as_mut().unwrap().keys[7] = "demo:x".into();
        let bootstrap = Bootstrap { resamples: 100, seed: 1 };
        let cfg = CompareConfig { bootstrap, baseline: None };
        let paper = compare("peft", vec![other, entry("mtat/m_full", 55)], &cfg).unwrap();
        assert!(paper.tables[0].rows.iter().all(|r| r.score(MAP).unwrap().p.is_none()));
    }
}
