//! What a file or folder holds, as text for the terminal and as JSON: tables of tracks, views, shard sets, runs, any Parquet.
//!
//! Files are scanned lazily with polars: only the columns a report needs are read, so that a manifest of a million rows
//! takes seconds and the audio of a shard set is never touched.

mod frame;
mod leaks;
mod page;
mod run;
mod shards;
mod tables;
mod tracks;
mod view;

use crate::error::{Error, Result};
use crate::parquet_io::kind_of;
use frame::Frame;
use page::Page;
use std::path::{Path, PathBuf};

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// A query over table `t` instead of the report. The table also has the name of what it is, `tracks`, `view` (and
    /// `examples`) or `shards`; beside a view, `tracks` is the table of its corpus.
    pub sql: Option<String>,
    /// The first rows instead of the report.
    pub head: Option<usize>,
}

/// A report, twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Aligned plain text.
    pub text: String,
    /// The same facts for programs.
    pub json: serde_json::Value,
}

/// Rows that an unknown Parquet file shows.
const HEAD: usize = 10;

/// Reports on a tracks manifest, a view (its `.parquet` or `.json`), a shard set (its folder or `index.json`), a run
/// folder, a folder of manifests, or any other Parquet file.
///
/// # Errors
/// [`Error::Io`] for what is not there, [`Error::Format`] for what cannot be shown, [`Error::Damaged`] for a broken file,
/// [`Error::Query`] for a query that does not run.
pub fn inspect(path: &Path, options: &Options) -> Result<Report> {
    let found = Found::at(path)?;
    if let Some(sql) = &options.sql {
        return rows(&frame::query(path, found.named()?, sql)?);
    }
    if let Some(n) = options.head {
        let (_, table) = found.named()?.swap_remove(0);
        return rows(&table.head(n)?);
    }
    match found {
        Found::Tracks(path) => tracks::report(&path),
        Found::View(path) => view::report(&path),
        Found::Shards(dir) => shards::report(&dir),
        Found::Run(dir) => run::report(&dir),
        Found::Folder(dir, files) => tables::folder(&dir, &files),
        Found::Parquet(path) => tables::other(&path, HEAD),
    }
}

/// What is at a path.
enum Found {
    Tracks(PathBuf),
    View(PathBuf),
    Shards(PathBuf),
    Run(PathBuf),
    Folder(PathBuf, Vec<PathBuf>),
    Parquet(PathBuf),
}

impl Found {
    fn at(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(io)?.is_dir() {
            return Self::in_folder(path);
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if path.file_name().is_some_and(|n| n == "index.json") {
            return Ok(Self::Shards(folder));
        }
        let beside = path.with_extension("parquet");
        if path.extension().is_some_and(|e| e == "json") && beside.is_file() {
            return Self::at(&beside);
        }
        if path.extension().is_none_or(|e| e != "parquet") {
            return Err(Error::Format {
                path: path.display().to_string(),
                expected: "a .parquet file, a shard set, a run folder or a folder of manifests"
                    .into(),
                got: "another file".into(),
            });
        }
        Ok(match kind_of(path)?.as_deref() {
            Some("tracks") => Self::Tracks(path.to_owned()),
            Some("view") => Self::View(path.to_owned()),
            _ => Self::Parquet(path.to_owned()),
        })
    }

    fn in_folder(dir: &Path) -> Result<Self> {
        if dir.join("index.json").is_file() {
            return Ok(Self::Shards(dir.to_owned()));
        }
        if dir.join("log.jsonl").is_file() || dir.join("config.toml").is_file() {
            return Ok(Self::Run(dir.to_owned()));
        }
        let io = |source| Error::Io { path: dir.to_owned(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_file() && path.extension().is_some_and(|e| e == "parquet") {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(Error::Format {
                path: dir.display().to_string(),
                expected: "index.json (a shard set), config.toml (a run) or .parquet files".into(),
                got: "none of them".into(),
            });
        }
        files.sort();
        Ok(Self::Folder(dir.to_owned(), files))
    }

    /// Tables for a query, the main one first.
    fn named(&self) -> Result<Vec<(&'static str, Frame)>> {
        let scan = |path: &Path| Frame::scan(&[path.to_owned()]);
        match self {
            Self::Tracks(path) => Ok(vec![("tracks", scan(path)?)]),
            Self::View(path) => {
                let mut named = vec![("view", scan(path)?), ("examples", scan(path)?)];
                if let Some(tracks) = view::tracks_beside(path) {
                    named.push(("tracks", scan(&tracks)?));
                }
                Ok(named)
            }
            Self::Shards(dir) => Ok(vec![("shards", shards::frame(dir)?)]),
            Self::Parquet(path) => Ok(vec![("t", scan(path)?)]),
            Self::Run(dir) | Self::Folder(dir, _) => Err(Error::Format {
                path: dir.display().to_string(),
                expected: "one table for a query or its first rows".into(),
                got: "a folder of several files; name one of them".into(),
            }),
        }
    }
}

/// A report that is nothing but rows.
fn rows(rows: &frame::Rows) -> Result<Report> {
    let mut page = Page::default();
    page.rows("rows", rows)?;
    Ok(page.finish())
}
