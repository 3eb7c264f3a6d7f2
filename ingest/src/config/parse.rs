//! How configs are read: TOML with the line of a mistake and the nearest right name, and overrides from the command line.

use crate::error::{Error, Result};
use std::path::Path;

/// `a.b=c` into the table.
pub(super) fn apply(table: &mut toml::Table, set: &str) -> Result<()> {
    let wrong = |text: &str| refused(format!("--set {set}"), text);
    let (key, value) = set.split_once('=').ok_or_else(|| wrong("expected section.key=value"))?;
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last =
        parts.pop().filter(|p| !p.is_empty()).ok_or_else(|| wrong("expected a key before ="))?;
    let mut at = table;
    for part in parts {
        let next = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next
            .as_table_mut()
            .ok_or_else(|| wrong(&format!("{part} is a value, not a section")))?;
    }
    at.insert(last.to_owned(), typed(value.trim()));
    Ok(())
}

/// A value as TOML reads it, or text.
fn typed(value: &str) -> toml::Value {
    let parsed = format!("v = {value}").parse::<toml::Table>().ok();
    match parsed.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v")) {
        Some(v) => v,
        None => toml::Value::String(value.to_owned()),
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map(|s| 1 + text[..s.start.min(text.len())].matches('\n').count());
        let line = line.map(|l| format!(":{l}")).unwrap_or_default();
        refused(format!("{}{line}", path.display()), e.message())
    })
}

pub(super) fn refused(place: String, text: &str) -> Error {
    let hint = nearest(text).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    Error::Config { place, text: format!("{text}{hint}") }
}

/// In a message such as "unknown field `rte`, expected one of `rate`, `number`": the name that is at most two letters off.
fn nearest(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    quoted
        .map(|name| (letters_off(wrong, name), name))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, n)| n)
}

/// Edit distance.
fn letters_off(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}
