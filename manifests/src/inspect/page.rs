//! A report under construction: headings, facts and tables go to the text and to the JSON at once.

use super::Report;
use super::frame::Rows;
use crate::error::Result;
use crate::table::Table;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::Path;

/// Text and JSON side by side.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    json: Map<String, Value>,
}

impl Page {
    /// The first line: what this is.
    pub(super) fn title(&mut self, path: &Path, what: &str) {
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let _ = writeln!(self.text, "{name}: {what}");
        self.set("path", path.display().to_string());
        self.set("what", what);
    }

    /// Names and values, aligned; empty values are left out.
    pub(super) fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) {
        let mut table = Table::new(["", ""]).indent(2).most(1, 100);
        for (name, value) in facts.into_iter().filter(|(_, v)| !v.is_empty()) {
            table.row([name.to_owned(), value]);
        }
        let _ = write!(self.text, "{table}");
    }

    /// A heading and a table; nothing if the table is empty.
    pub(super) fn table(&mut self, heading: &str, table: &Table) {
        if !table.is_empty() {
            let _ = write!(self.text, "\n{heading}\n{}", table.clone().indent(2));
        }
    }

    /// One line of text.
    pub(super) fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    /// Rows of a query.
    pub(super) fn rows(&mut self, key: &str, rows: &Rows) -> Result<()> {
        self.text.push_str(&rows.text()?);
        self.set(key, rows.json()?);
        Ok(())
    }

    /// A fact for programs.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.to_owned(), value.into());
    }

    pub(super) fn finish(self) -> Report {
        Report { text: self.text, json: Value::Object(self.json) }
    }
}
