//! A run folder: what was trained, how far it is, how well it does.
//!
//! Reads `config.toml`, `log.jsonl` (one object a line; `row` is `step`, `valid` or `event`), `report.json` and
//! `scores.<split>.json`; each may be missing, and unknown keys are shown as they are.

use super::Report;
use super::page::Page;
use crate::error::{Error, Result};
use crate::row::Split;
use crate::table::{Table, bytes, count, duration};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// Settings worth a line, and their names in the report.
const SETTINGS: [(&str, &str); 11] = [
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
        rows.iter().filter(|r| r.get("row").is_some_and(|k| k == kind)).map(flat).collect()
    };
    outcome(&mut page, dir)?;
    progress(&mut page, &of("step"));
    validations(&mut page, &of("valid"));
    events(&mut page, &of("event"));
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
    let mut table = Table::new(["", ">first", ">last"]);
    for name in numbers(last) {
        let from = show(first.get(name).unwrap_or(&Value::Null));
        table.row([name.strip_prefix("timing.").unwrap_or(name).into(), from, show(&last[name])]);
    }
    page.table("training", &table);
    page.set("train", vec![Value::Object(first.clone()), Value::Object(last.clone())]);
}

/// The last validations; the best state is marked.
fn validations(page: &mut Page, rows: &[Map<String, Value>]) {
    let Some(last) = rows.last() else { return };
    // A row is marked when it was the best until then: the last of them is the best of all.
    let best = rows.iter().rposition(|r| r.get("best") == Some(&Value::Bool(true)));
    let names: Vec<&String> = numbers(last).collect();
    let short = |name: &str| format!(">{}", name.rsplit('.').next().unwrap_or(name));
    let heads: Vec<String> = names.iter().map(|n| short(n)).chain([String::new()]).collect();
    let mut table = Table::new(heads.iter().map(String::as_str));
    let from = rows.len().saturating_sub(SHOWN);
    for (i, row) in rows.iter().enumerate().filter(|(i, _)| *i >= from || Some(*i) == best) {
        let cells = names.iter().map(|n| show(row.get(*n).unwrap_or(&Value::Null)));
        let mark = if Some(i) == best { "best" } else { "" };
        table.row(cells.chain([mark.to_owned()]));
    }
    page.table("validation", &table);
    page.set("valid", rows.iter().map(|r| Value::Object(r.clone())).collect::<Vec<_>>());
    page.set("best", best.map(|i| Value::Object(rows[i].clone())));
}

fn events(page: &mut Page, rows: &[Map<String, Value>]) {
    let mut table = Table::new([">step", "event", ""]);
    for row in rows {
        let cell = |key: &str| row.get(key).map(show).unwrap_or_default();
        table.row(["step", "event", "text"].map(cell));
    }
    page.table("events", &table);
    page.set("events", rows.iter().map(|r| Value::Object(r.clone())).collect::<Vec<_>>());
}

/// What `report.json` says beside lists.
fn outcome(page: &mut Page, dir: &Path) -> Result<()> {
    let Some(report) = object(&dir.join("report.json"))? else { return Ok(()) };
    let facts: Vec<(String, String)> = flat(&report)
        .into_iter()
        .filter(|(_, value)| !value.is_array() && !value.is_null())
        .map(|(name, value)| {
            let text = match (value.as_u64(), value.as_f64()) {
                (Some(n), _) if name.ends_with("bytes") => bytes(n),
                (_, Some(x)) if name == "minutes" => duration(x * 60.0),
                _ => show(&value),
            };
            (name.replace('_', " "), text)
        })
        .collect();
    page.facts(facts.iter().map(|(name, text)| (name.as_str(), text.clone())));
    page.set("report", Value::Object(report));
    Ok(())
}

/// The scores of every split that was scored, beside chance and the published ones.
fn scores(page: &mut Page, dir: &Path) -> Result<()> {
    let mut table = Table::new(["split", "score", ">this run", ">published", ">chance"]);
    let mut values = Map::new();
    for split in Split::ALL {
        let path = dir.join(format!("scores.{split}.json"));
        let Some(mut scores) = object(&path)? else { continue };
        scores.remove("per_class");
        let none = Map::new();
        let part = |key: &str| scores.get(key).and_then(Value::as_object).unwrap_or(&none);
        for (name, value) in part("summary") {
            let of = |key: &str| part(key).get(name).map(show).unwrap_or_default();
            let cells =
                [split.to_string(), name.clone(), show(value), of("published"), of("chance")];
            table.row(cells);
        }
        values.insert(split.name().to_owned(), Value::Object(scores));
    }
    page.table("scores", &table);
    page.set("scores", values);
    Ok(())
}

/// Names of the numbers of a row that are worth a column: not the time of day.
fn numbers(row: &Map<String, Value>) -> impl Iterator<Item = &String> {
    row.iter().filter(|(name, v)| v.is_number() && *name != "timing.wall").map(|(name, _)| name)
}

/// A JSON object in a file; `None` if the file is not there.
fn object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let broken = |e: serde_json::Error| Error::Format {
        path: format!("{}:{}", path.display(), e.line()),
        expected: "a JSON object".into(),
        got: e.to_string(),
    };
    serde_json::from_str(&text).map(Some).map_err(broken)
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
