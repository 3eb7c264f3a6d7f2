//! A run folder: what was trained, how far it is, how well it does.
//!
//! Reads `config.toml`, `log.jsonl` (one object a line, `kind` says which) and `report.json`; each may be missing.

use super::Report;
use super::page::Page;
use crate::error::{Error, Result};
use crate::table::{Table, count};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// Settings worth a line, and their names in the report.
const SETTINGS: [(&str, &str); 12] = [
    ("data.view", "view"),
    ("data.shards", "shards"),
    ("data.batch", "batch"),
    ("model.backbone.name", "backbone"),
    ("model.weights", "weights"),
    ("model.head.kind", "head"),
    ("tuning.method", "tuning"),
    ("objective.kind", "objective"),
    ("optim.kind", "optimizer"),
    ("optim.lr", "learning rate"),
    ("trainer.steps", "steps"),
    ("run.seed", "seed"),
];

/// Validations shown as text; JSON has all.
const SHOWN: usize = 10;

pub(super) fn report(dir: &Path) -> Result<Report> {
    let mut page = Page::default();
    page.title(dir, "run");
    let config = read(&dir.join("config.toml"))?.unwrap_or_default();
    let config: toml::Table = toml::from_str(&config).map_err(|e| Error::Format {
        path: dir.join("config.toml").display().to_string(),
        expected: "TOML".into(),
        got: e.message().to_owned(),
    })?;
    let config = serde_json::to_value(config).unwrap_or_default();
    page.facts(SETTINGS.map(|(path, name)| (name, show(at(&config, path)))));
    let log = read(&dir.join("log.jsonl"))?.unwrap_or_default();
    // A killed run may leave half a line at the end.
    let rows: Vec<Map<String, Value>> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| -> Vec<Map<String, Value>> {
        rows.iter().filter(|r| r.get("kind").is_some_and(|k| k == kind)).map(flat).collect()
    };
    progress(&mut page, &of("train"));
    let by = at(&config, "trainer.keep.by").as_str().map(str::to_owned);
    let lowest = at(&config, "trainer.keep.mode") == "min";
    validations(&mut page, &of("valid"), by.as_deref(), lowest);
    scores(&mut page, dir)?;
    page.set("config", config);
    Ok(page.finish())
}

/// First and last training row.
fn progress(page: &mut Page, rows: &[Map<String, Value>]) {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        page.line("  no step logged yet");
        return;
    };
    let names: Vec<&String> = last.keys().filter(|k| last[*k].is_number()).collect();
    let mut table = Table::new(["", ">first", ">last"]);
    for name in names {
        table.row([name.clone(), show(first.get(name).unwrap_or(&Value::Null)), show(&last[name])]);
    }
    page.table("training", &table);
    page.set("train", Value::from(vec![Value::Object(first.clone()), Value::Object(last.clone())]));
}

/// The last validations; the best by the score that decides what is kept is marked.
fn validations(page: &mut Page, rows: &[Map<String, Value>], by: Option<&str>, lowest: bool) {
    let score = |row: &Map<String, Value>| {
        let name =
            row.keys().find(|k| by.is_some_and(|by| *k == by || k.ends_with(&format!(".{by}"))));
        let score = name.and_then(|n| row[n].as_f64())?;
        Some(if lowest { -score } else { score })
    };
    let scored = rows.iter().enumerate().filter_map(|(i, r)| Some((i, score(r)?)));
    // Of equal scores the first one is kept.
    let best = scored.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(i, _)| i);
    let Some(last) = rows.last() else { return };
    let names: Vec<&String> = last.keys().filter(|k| last[*k].is_number()).collect();
    let mut heads: Vec<String> =
        names.iter().map(|n| format!(">{}", n.rsplit('.').next().unwrap_or(n))).collect();
    heads.push(String::new());
    let mut table = Table::new(heads.iter().map(String::as_str));
    let from = rows.len().saturating_sub(SHOWN);
    for (i, row) in rows.iter().enumerate().filter(|(i, _)| *i >= from || Some(*i) == best) {
        let mut cells: Vec<String> =
            names.iter().map(|n| show(row.get(*n).unwrap_or(&Value::Null))).collect();
        cells.push(if Some(i) == best { "best".into() } else { String::new() });
        table.row(cells);
    }
    page.table("validation", &table);
    page.set("valid", rows.iter().map(|r| Value::Object(r.clone())).collect::<Vec<_>>());
    page.set("best", best.map(|i| Value::Object(rows[i].clone())));
}

/// Every number and word of `report.json`.
fn scores(page: &mut Page, dir: &Path) -> Result<()> {
    let path = dir.join("report.json");
    let Some(text) = read(&path)? else { return Ok(()) };
    let report: Map<String, Value> = serde_json::from_str(&text).map_err(|e| Error::Format {
        path: format!("{}:{}", path.display(), e.line()),
        expected: "the report of a run".into(),
        got: e.to_string(),
    })?;
    let mut table = Table::new(["", ">"]);
    for (name, value) in flat(&report) {
        if value.is_number() || value.is_string() || value.is_boolean() {
            table.row([name.clone(), show(&value)]);
        }
    }
    page.table("report", &table);
    page.set("report", Value::Object(report));
    Ok(())
}

/// Nested objects as dotted names.
fn flat(row: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in row {
        match value {
            Value::Object(inner) => {
                out.extend(flat(inner).into_iter().map(|(k, v)| (format!("{name}.{k}"), v)));
            }
            other => {
                out.insert(name.clone(), other.clone());
            }
        }
    }
    out
}

/// The value at a dotted path; null if there is none.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// Whole numbers with separators, others with six significant digits, text as it is.
fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(n), _) => count(n),
            (None, Some(x)) if x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e6) => format!("{x:.3e}"),
            (None, Some(x)) => format!("{x:.4}"),
            (None, None) => n.to_string(),
        },
        other => other.to_string(),
    }
}

/// The text of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}
