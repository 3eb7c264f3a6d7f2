//! The limited-data study: scores over minutes of music in pre-training, a line per model and probe.

use super::lines::{Figure, Level, Line, Panel, Point, Stroke, draw, minutes};
use super::{Drawn, Published, Shown, drawn, mean, number};
use etude_manifests::table::Table;
use std::fmt::Write;

/// Everything known of a limited-data study.
#[derive(Debug, Clone, Default)]
pub struct Limited {
    /// Its name.
    pub name: String,
    /// Models, in the order of the figures.
    pub models: Vec<String>,
    /// Hand-crafted features that probes learn some tasks from, in the order of the figures.
    pub baselines: Vec<String>,
    /// Subsets by name, with the minutes of music in them; ascending.
    pub sizes: Vec<(String, f64)>,
    /// Tasks, in the order of the figures.
    pub tasks: Vec<LimitedTask>,
    /// Probes by name; the first is drawn solid, the second dotted.
    pub probes: Vec<String>,
    /// `clean`, then the deformations, by name and in words.
    pub conditions: Vec<(String, String)>,
    /// What was measured.
    pub cells: Vec<LimitedCell>,
    /// What was published, by task, model, size, probe and condition.
    pub published: Published,
    /// Steps done and planned.
    pub done: (usize, usize),
}

/// A task of the study.
#[derive(Debug, Clone)]
pub struct LimitedTask {
    /// Its name.
    pub name: String,
    /// Scores that are drawn.
    pub scores: Vec<String>,
}

/// One score.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitedCell {
    /// Name of the task.
    pub task: String,
    /// Name of the model or of the hand-crafted features.
    pub model: String,
    /// Name of the subset; empty for hand-crafted features.
    pub size: String,
    /// Name of the probe.
    pub probe: String,
    /// `clean` or a deformation.
    pub condition: String,
    /// Seed.
    pub seed: u64,
    /// Name of the score.
    pub score: String,
    /// Its value.
    pub value: f64,
}

/// Columns of the published scores before `score` and `value`.
pub const LIMITED_COLUMNS: [&str; 5] = ["task", "model", "size", "probe", "condition"];
/// Probes have strokes of their own.
const OURS: [Stroke; 2] = [Stroke::Solid, Stroke::Dotted];
const THEIRS: [Stroke; 2] = [Stroke::Dashed, Stroke::DashDot];

impl Limited {
    /// Values over seeds.
    fn values(&self, at: [&str; 5], score: &str) -> Vec<f64> {
        let is = |c: &&LimitedCell| {
            [&c.task, &c.model, &c.size, &c.probe, &c.condition].map(String::as_str) == at
                && c.score == score
        };
        self.cells.iter().filter(is).map(|c| c.value).collect()
    }
}

/// Figures, page, CSV and tables.
pub fn limited(study: &Limited) -> Drawn {
    let mut figures = Vec::new();
    for task in &study.tasks {
        for score in &task.scores {
            figures.extend(by_condition(study, &task.name, score));
            figures.extend(by_model(study, &task.name, score));
        }
    }
    let (done, planned) = study.done;
    let seeds: std::collections::BTreeSet<u64> = study.cells.iter().map(|c| c.seed).collect();
    let about = format!(
        "{done} of {planned} probes scored, {} seed{}. Networks learn from nested subsets of a corpus, or stay untrained \
         (0 minutes); probes learn each task from their embeddings of clean audio and are scored on its test split.",
        seeds.len(),
        if seeds.len() == 1 { "" } else { "s" }
    );
    drawn(&study.name, &about, &figures, csv(study), text(study))
}

/// A panel per condition, a colour per model.
fn by_condition(study: &Limited, task: &str, score: &str) -> Option<Shown> {
    let panel = |(condition, words): &(String, String)| {
        let lines = study.models.iter().enumerate().flat_map(|(colour, model)| {
            let line = move |(n, probe): (usize, &String)| {
                let at = |size: &str| study.values([task, model, size, probe, condition], score);
                ours(study, format!("{model} {probe}"), colour, OURS[n % 2], at)
            };
            study.probes.iter().enumerate().filter_map(line).collect::<Vec<_>>()
        });
        let level = |(k, n, value): (usize, usize, f64)| Level {
            name: format!("{} {}", study.baselines[k], study.probes[n]),
            colour: study.models.len() + k,
            stroke: THEIRS[n % 2],
            value,
        };
        let levels = baselines(study, task, condition, score).into_iter().map(level).collect();
        Panel { title: words.clone(), lines: lines.collect(), levels }
    };
    let panels: Vec<Panel> = study.conditions.iter().map(panel).collect();
    let any = |p: &Panel| !p.lines.is_empty() || !p.levels.is_empty();
    let panels: Vec<Panel> = panels.into_iter().filter(any).collect();
    let levels = panels.iter().any(|p| !p.levels.is_empty());
    let title = format!("{task}: {score}");
    let figure = figure(study, &title, score, panels);
    let mut caption = "A colour per model; solid and dotted are the two probes. Each panel is one condition of the test \
                       audio; probes learned from clean audio only. Bars span the seeds."
        .to_owned();
    if levels {
        caption += " Horizontal lines: the same probes on hand-crafted features, clean audio only.";
    }
    Some(Shown { name: format!("{task}_{score}"), title, caption, svg: draw(&figure)? })
}

/// What the probes reach on hand-crafted features: places of the features and the probe in the study, means over seeds.
fn baselines(
    study: &Limited,
    task: &str,
    condition: &str,
    score: &str,
) -> Vec<(usize, usize, f64)> {
    let mut found = Vec::new();
    for (k, kind) in study.baselines.iter().enumerate() {
        for (n, probe) in study.probes.iter().enumerate() {
            let value = mean(&study.values([task, kind, "", probe, condition], score));
            found.extend(value.map(|value| (k, n, value)));
        }
    }
    found
}

/// A panel per model with what was published; nothing without published numbers.
fn by_model(study: &Limited, task: &str, score: &str) -> Option<Shown> {
    let mut any = false;
    let mut panel = |model: &String| {
        let mut lines = Vec::new();
        for (n, probe) in study.probes.iter().enumerate() {
            let at = |size: &str| study.values([task, model, size, probe, "clean"], score);
            lines.extend(ours(study, format!("{probe} ours"), 0, OURS[n % 2], at));
            let names = |size: &str| {
                study
                    .published
                    .get(&[task, model, size, probe, "clean"], score)
                    .into_iter()
                    .collect()
            };
            let published = ours(study, format!("{probe} published"), 1, THEIRS[n % 2], names);
            any |= published.is_some();
            lines.extend(published);
        }
        Panel { title: model.clone(), lines, levels: Vec::new() }
    };
    let panels: Vec<Panel> = study.models.iter().map(&mut panel).collect();
    if !any {
        return None;
    }
    let title = format!("{task}: {score} beside the published one");
    let figure = figure(study, &title, score, panels);
    let caption = "Clean test audio. Ours solid and dotted, published dashed.".to_owned();
    Some(Shown { name: format!("{task}_{score}_published"), title, caption, svg: draw(&figure)? })
}

fn figure(study: &Limited, title: &str, score: &str, panels: Vec<Panel>) -> Figure {
    Figure {
        title: format!("{title} over minutes of pre-training"),
        score: score.to_owned(),
        amounts: study.sizes.iter().map(|s| s.1).collect(),
        panels,
    }
}

/// A line through what there is; nothing without a point.
fn ours(
    study: &Limited,
    name: String,
    colour: usize,
    stroke: Stroke,
    values: impl Fn(&str) -> Vec<f64>,
) -> Option<Line> {
    let point = |(amount, (size, _)): (usize, &(String, f64))| {
        let values = values(size);
        let value = mean(&values)?;
        let low = values.iter().copied().fold(value, f64::min);
        let high = values.iter().copied().fold(value, f64::max);
        Some(Point { amount, value, low, high })
    };
    let points: Vec<Point> = study.sizes.iter().enumerate().filter_map(point).collect();
    (!points.is_empty()).then_some(Line { name, colour, stroke, points })
}

/// One line per score and seed, every number in full; hand-crafted features have no size and no minutes.
fn csv(study: &Limited) -> String {
    let mut out = "task,model,size,minutes,probe,condition,seed,score,value,published\n".to_owned();
    let mut cells: Vec<&LimitedCell> = study.cells.iter().collect();
    let order = |c: &LimitedCell| {
        let place = |list: &[String], name: &str| list.iter().position(|n| n == name);
        let model = place(&study.models, &c.model).unwrap_or(study.models.len());
        let size = study.sizes.iter().position(|s| s.0 == c.size);
        let task = study.tasks.iter().position(|t| t.name == c.task);
        (
            (task, model, place(&study.baselines, &c.model), size, place(&study.probes, &c.probe)),
            (study.conditions.iter().position(|n| n.0 == c.condition), c.seed, c.score.clone()),
        )
    };
    cells.sort_by_key(|c| order(c));
    for c in cells {
        let names = [&c.task, &c.model, &c.size, &c.probe, &c.condition].map(String::as_str);
        let minutes = study.sizes.iter().find(|s| s.0 == c.size).map(|s| format!("{:.3}", s.1));
        let minutes = minutes.unwrap_or_default();
        let published = study.published.get(&names, &c.score).map(|v| v.to_string());
        let _ = writeln!(
            out,
            "{},{},{},{minutes},{},{},{},{},{},{}",
            c.task,
            c.model,
            c.size,
            c.probe,
            c.condition,
            c.seed,
            c.score,
            c.value,
            published.unwrap_or_default()
        );
    }
    out
}

/// A table per task, score and condition: models and probes down, sizes across, published rows below ours; hand-crafted
/// features in a column of their own.
fn text(study: &Limited) -> String {
    let mut out = String::new();
    for task in &study.tasks {
        for score in &task.scores {
            for (condition, words) in &study.conditions {
                let mut heads = vec!["model".to_owned(), "probe".to_owned(), String::new()];
                heads.extend(study.sizes.iter().map(|(size, _)| format!(">{size}")));
                let baselines = baselines(study, &task.name, condition, score);
                if !baselines.is_empty() {
                    heads.push(">no network".to_owned());
                }
                let mut table = Table::new(heads.iter().map(String::as_str)).indent(2);
                let amounts = study.sizes.iter().map(|(_, m)| minutes(*m));
                let lead = ["", "", "minutes"].map(str::to_owned);
                table.row(lead.into_iter().chain(amounts));
                let mut any = !baselines.is_empty();
                for model in &study.models {
                    for probe in &study.probes {
                        let at = |size| [task.name.as_str(), model, size, probe, condition];
                        let own: Vec<Option<f64>> = study
                            .sizes
                            .iter()
                            .map(|(size, _)| mean(&study.values(at(size), score)))
                            .collect();
                        let theirs: Vec<Option<f64>> = study
                            .sizes
                            .iter()
                            .map(|(size, _)| study.published.get(&at(size), score))
                            .collect();
                        for (whose, values) in [("ours", own), ("published", theirs)] {
                            if values.iter().any(Option::is_some) {
                                any |= whose == "ours";
                                let lead = [model.as_str(), probe, whose].map(str::to_owned);
                                table.row(lead.into_iter().chain(values.into_iter().map(number)));
                            }
                        }
                    }
                }
                for (k, n, value) in baselines {
                    let lead = [study.baselines[k].as_str(), &study.probes[n], "ours"];
                    let empty = vec![""; study.sizes.len()];
                    let row = lead.into_iter().chain(empty).map(str::to_owned);
                    table.row(row.chain([number(Some(value))]));
                }
                if any {
                    let _ = writeln!(out, "{}, {score}, {words}\n\n{table}", task.name);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study() -> Limited {
        let mut cells = Vec::new();
        for (n, model) in ["vggish", "musicnn"].into_iter().enumerate() {
            for (s, size) in ["0", "1", "full"].into_iter().enumerate() {
                for probe in ["slp", "mlp"] {
                    for (c, condition) in ["clean", "deform_0"].into_iter().enumerate() {
                        for seed in [1, 2] {
                            cells.push(LimitedCell {
                                task: "tagging".into(),
                                model: model.into(),
                                size: size.into(),
                                probe: probe.into(),
                                condition: condition.into(),
                                seed,
                                score: "ROC-AUC".into(),
                                value: 0.7 + 0.05 * s as f64 - 0.02 * (n + c) as f64
                                    + 0.01 * seed as f64,
                            });
                        }
                    }
                }
            }
        }
        for probe in ["slp", "mlp"] {
            cells.push(LimitedCell {
                task: "tagging".into(),
                model: "chroma".into(),
                size: String::new(),
                probe: probe.into(),
                condition: "clean".into(),
                seed: 1,
                score: "ROC-AUC".into(),
                value: 0.625,
            });
        }
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("p.csv");
        let line = "task,model,size,probe,condition,score,value\n\
                    tagging,vggish,1,slp,clean,ROC-AUC,0.8357\n\
                    tagging,vggish,full,slp,clean,ROC-AUC,0.8976\n";
        std::fs::write(&path, line).unwrap();
        Limited {
            name: "limited".into(),
            models: vec!["vggish".into(), "musicnn".into()],
            baselines: vec!["chroma".into()],
            sizes: vec![("0".into(), 0.0), ("1".into(), 4.854), ("full".into(), 7400.9)],
            tasks: vec![LimitedTask { name: "tagging".into(), scores: vec!["ROC-AUC".into()] }],
            probes: vec!["slp".into(), "mlp".into()],
            conditions: vec![
                ("clean".into(), "clean".into()),
                ("deform_0".into(), "deform_0: noise".into()),
            ],
            cells,
            published: super::super::read_published(&path, &LIMITED_COLUMNS).unwrap(),
            done: (12, 12),
        }
    }

    #[test]
    fn figures_have_a_line_per_model_and_probe_and_published_ones_dashed() {
        let d = limited(&study());
        let names: Vec<&str> = d.figures.iter().map(|f| f.0.as_str()).collect();
        assert_eq!(names, ["tagging_ROC-AUC.svg", "tagging_ROC-AUC_published.svg"]);
        let first = &d.figures[0].1;
        assert_eq!(first.matches("<polyline").count(), 8, "2 conditions, 2 models, 2 probes");
        assert_eq!(d.figures[1].1.matches("<polyline").count(), 5);
        assert_eq!(d.figures[1].1.matches("dashed\"><title>slp published").count(), 1);
        for svg in d.figures.iter().map(|f| &f.1).chain([&d.page]) {
            assert!(!svg.contains("NaN") && !svg.contains("inf\""));
            assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        }
        for outside in ["http", "src=", "url(", "<script"] {
            assert!(!d.page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn tables_show_means_over_seeds_with_the_published_row_below() {
        let d = limited(&study());
        let lines: Vec<&str> = d.text.lines().collect();
        let ours = lines.iter().position(|l| l.contains("vggish") && l.contains("slp")).unwrap();
        let cells: Vec<&str> = lines[ours].split_whitespace().collect();
        assert_eq!(cells, ["vggish", "slp", "ours", "0.7150", "0.7650", "0.8150"]);
        let cells: Vec<&str> = lines[ours + 1].split_whitespace().collect();
        assert_eq!(cells, ["vggish", "slp", "published", "–", "0.8357", "0.8976"]);
        assert!(
            d.csv.contains("tagging,vggish,1,4.854,slp,clean,1,ROC-AUC,0.76,0.8357\n"),
            "{}",
            d.csv
        );
        assert_eq!(d.csv.lines().count(), 1 + 48 + 2);
    }

    #[test]
    fn hand_crafted_features_are_levels_of_clean_audio_and_rows_without_a_size() {
        let d = limited(&study());
        let svg = &d.figures[0].1;
        for name in ["chroma slp 0.625", "chroma mlp 0.625"] {
            assert_eq!(svg.matches(name).count(), 1, "one of two panels");
        }
        assert!(d.csv.ends_with("tagging,chroma,,,mlp,clean,1,ROC-AUC,0.625,\n"), "{}", d.csv);
        let row = d.text.lines().find(|l| l.contains("chroma") && l.contains("slp")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["chroma", "slp", "ours", "0.6250"]);
        assert_eq!(d.text.matches("no network").count(), 1, "{}", d.text);
        let mut without = study();
        without.cells.retain(|c| c.model != "chroma");
        let d = limited(&without);
        assert!(
            ![&d.text, &d.page]
                .iter()
                .any(|t| t.contains("no network") || t.contains("hand-crafted"))
        );
    }
}
