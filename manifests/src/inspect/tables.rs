//! Folders of manifests, and Parquet files that étude did not write.

use super::Report;
use super::frame::Frame;
use super::page::Page;
use crate::error::{Error, Result};
use crate::parquet_io::{footer, kind_of};
use crate::table::{Table, bytes, count};
use serde_json::json;
use std::path::{Path, PathBuf};

/// One line per Parquet file of a folder.
pub(super) fn folder(dir: &Path, files: &[PathBuf]) -> Result<Report> {
    let mut page = Page::default();
    page.title(dir, "folder of tables");
    let mut table = Table::new(["file", "kind", ">rows", ">size"]);
    let mut values = Vec::new();
    for path in files {
        let io = |source| Error::Io { path: path.clone(), source };
        let size = std::fs::metadata(path).map_err(io)?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // One damaged file is a line, not the end of the list.
        let (kind, rows) = match footer(path).and_then(|f| Ok((kind_of(path)?, f.rows))) {
            Ok((kind, rows)) => (kind.unwrap_or_else(|| "other".into()), Some(rows)),
            Err(_) => ("damaged".into(), None),
        };
        values.push(json!({"file": name, "kind": kind, "rows": rows, "bytes": size}));
        table.row([name, kind, rows.map(count).unwrap_or_default(), bytes(size)]);
    }
    page.table("files", &table);
    page.set("files", values);
    Ok(page.finish())
}

/// Schema and first rows of any Parquet file.
pub(super) fn other(path: &Path, head: usize) -> Result<Report> {
    let footer = footer(path)?;
    let mut page = Page::default();
    page.title(path, "Parquet file");
    page.facts([
        ("rows", count(footer.rows)),
        ("row groups", count(footer.row_groups)),
        ("written by", footer.created_by.clone()),
    ]);
    let mut table = Table::new(["column", "type"]);
    for (name, kind) in &footer.columns {
        table.row([name.clone(), kind.clone()]);
    }
    page.table("columns", &table);
    page.set("rows", footer.rows);
    page.set("row_groups", footer.row_groups);
    let columns = footer.columns.iter().map(|(n, t)| json!({"name": n, "type": t}));
    page.set("columns", columns.collect::<Vec<_>>());
    let frame = Frame::scan(&[path.to_owned()])?;
    page.line("\nfirst rows");
    // Audio and other blobs would fill the screen.
    let blobs: Vec<&str> =
        footer.columns.iter().filter(|(_, t)| t == "binary").map(|(n, _)| n.as_str()).collect();
    page.rows("head", &frame.without(&blobs).head(head)?)?;
    Ok(page.finish())
}
