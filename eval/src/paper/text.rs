//! A paper's tables as aligned text, Markdown and CSV.

use super::{Estimate, Paper, Row, SCORES, Table};
use etude_manifests::table::{Table as Aligned, bytes, count};
use std::fmt::Write;

/// Shown where there is nothing yet.
const NONE: &str = "–";

/// For the terminal.
pub fn text(paper: &Paper) -> String {
    let mut out = String::new();
    for table in &paper.tables {
        let _ = writeln!(out, "{}\n", title(table));
        let heads = columns(table);
        let marked: Vec<String> = heads.iter().map(Column::aligned).collect();
        let mut aligned = Aligned::new(marked.iter().map(String::as_str)).indent(2);
        for (at, row) in table.rows.iter().enumerate() {
            aligned.row(heads.iter().map(|column| column.cell(table, at, row)));
        }
        let _ = writeln!(out, "{aligned}");
    }
    out + &notes(paper)
}

/// For a page of a repository.
pub fn markdown(paper: &Paper) -> String {
    let mut out = format!("# {}\n\n", paper.name);
    for table in &paper.tables {
        let heads = columns(table);
        let names: Vec<String> = heads.iter().map(|c| escape(&c.name())).collect();
        let rules: Vec<&str> =
            heads.iter().map(|c| if c.is_number() { "---:" } else { "---" }).collect();
        let _ = writeln!(out, "## {}\n", escape(&title(table)));
        let _ = writeln!(out, "| {} |\n|{}|", names.join(" | "), rules.join("|"));
        for (at, row) in table.rows.iter().enumerate() {
            let cells: Vec<String> =
                heads.iter().map(|c| escape(&c.cell(table, at, row))).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    out + &notes(paper)
}

/// One line per row of all tables, every number in full; empty where there is none.
pub fn csv(paper: &Paper) -> String {
    let mut out =
        "view,row,seed,model,method,trained,minutes,epoch s,memory,tracks,artists".to_owned();
    for name in SCORES {
        for part in ["", " low", " high", " artist low", " artist high", " p", " published"] {
            let _ = write!(out, ",{name}{part}");
        }
    }
    out.push('\n');
    for table in &paper.tables {
        for row in &table.rows {
            let scores = row.scores.as_ref();
            let mut cells = vec![table.view.clone(), row.name.clone(), row.seed.to_string()];
            cells.extend([row.model.clone(), row.method.clone()]);
            cells.extend([full(row.trained), full(row.minutes)]);
            cells.extend([full(row.epoch_s), full(row.memory)]);
            cells.extend([full(scores.map(|s| s.tracks)), full(scores.and_then(|s| s.artists))]);
            for name in SCORES {
                let e = row.score(name);
                let (track, artist) = (e.and_then(|e| e.by_track), e.and_then(|e| e.by_artist));
                cells.extend([full(e.map(|e| e.value)), full(track.map(|i| i.low))]);
                cells.extend([full(track.map(|i| i.high)), full(artist.map(|i| i.low))]);
                cells.extend([full(artist.map(|i| i.high)), full(e.and_then(|e| e.p))]);
                cells.push(full(row.published.get(name)));
            }
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            let _ = writeln!(out, "{}", cells.join(","));
        }
    }
    out
}

fn full(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A CSV cell; quotes around what needs them.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

/// A bar would end a Markdown cell.
fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

/// `mtat, 5,329 tracks of 230 artists`.
pub(super) fn title(table: &Table) -> String {
    let mut title = table.view.clone();
    if let Some(scores) = table.rows.iter().find_map(|r| r.scores.as_ref()) {
        let _ = write!(title, ", {} tracks", count(scores.tracks as u64));
        if let Some(artists) = scores.artists {
            let _ = write!(title, " of {} artists", count(artists as u64));
        }
    }
    title
}

/// What the columns mean.
pub(super) fn notes(paper: &Paper) -> String {
    let n = count(paper.bootstrap.resamples as u64);
    format!(
        "Test split; [ ] holds 95 % of {n} bootstrap resamples by track, {{ }} by artist.\n\
         p: two-sided paired bootstrap against the row marked ref. Δ: ours minus published. – not run yet.\n\
         trained: numbers that moved; s/epoch: seconds of an epoch with its validation; memory: the most held.\n"
    )
}

/// A column of the tables for people.
pub(super) enum Column {
    Name,
    Model,
    Method,
    Seed,
    Trained,
    Epoch,
    Memory,
    Score(&'static str),
    Published(&'static str),
    Difference(&'static str),
    P(&'static str),
}

impl Column {
    pub(super) fn name(&self) -> String {
        match self {
            Column::Name => "row".to_owned(),
            Column::Model => "model".to_owned(),
            Column::Method => "method".to_owned(),
            Column::Seed => "seed".to_owned(),
            Column::Trained => "trained".to_owned(),
            Column::Epoch => "s/epoch".to_owned(),
            Column::Memory => "memory".to_owned(),
            Column::Score(name) => (*name).to_owned(),
            Column::Published(_) => "published".to_owned(),
            Column::Difference(_) => "Δ".to_owned(),
            Column::P(_) => "p".to_owned(),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        !matches!(self, Column::Name | Column::Model | Column::Method | Column::Score(_))
    }

    fn aligned(&self) -> String {
        if self.is_number() { format!(">{}", self.name()) } else { self.name() }
    }

    pub(super) fn cell(&self, table: &Table, at: usize, row: &Row) -> String {
        let cell = match self {
            Column::Name => Some(row.name.clone()),
            Column::Model => Some(row.model.clone()),
            Column::Method => Some(row.method.clone()),
            Column::Seed => Some(row.seed.to_string()),
            Column::Trained => row.trained.map(count),
            Column::Epoch => row.epoch_s.map(|s| format!("{s:.1}")),
            Column::Memory => row.memory.map(bytes),
            Column::Score(name) => row.score(name).map(score),
            Column::Published(name) => row.published.get(*name).map(|v| format!("{v:.3}")),
            Column::Difference(name) => row.difference(name).map(|v| format!("{v:+.3}")),
            Column::P(_) if table.reference == Some(at) => Some("ref".to_owned()),
            Column::P(name) => row.score(name).and_then(|e| e.p).map(|p| format!("{p:.3}")),
        };
        cell.unwrap_or_else(|| NONE.to_owned())
    }
}

/// The columns that have something to say.
pub(super) fn columns(table: &Table) -> Vec<Column> {
    let mut columns = vec![Column::Model, Column::Method];
    let mut names: Vec<_> = table.rows.iter().map(|r| (&r.model, &r.method, &r.name)).collect();
    names.sort();
    names.dedup();
    if names.windows(2).any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
        columns.insert(0, Column::Name);
    }
    if table.rows.windows(2).any(|pair| pair[0].name == pair[1].name) {
        columns.push(Column::Seed);
    }
    columns.push(Column::Trained);
    if table.rows.iter().any(|r| r.epoch_s.is_some()) {
        columns.push(Column::Epoch);
    }
    if table.rows.iter().any(|r| r.memory.is_some()) {
        columns.push(Column::Memory);
    }
    for name in SCORES {
        columns.push(Column::Score(name));
        if table.rows.iter().any(|r| r.published.contains_key(name)) {
            columns.extend([Column::Published(name), Column::Difference(name)]);
        }
        if table.rows.iter().filter(|r| r.scores.is_some()).count() > 1 {
            columns.push(Column::P(name));
        }
    }
    columns
}

/// `0.4931 [0.481, 0.505] {0.470, 0.511}`.
fn score(e: Estimate) -> String {
    let mut text = format!("{:.4}", e.value);
    if let Some(i) = e.by_track {
        let _ = write!(text, " [{:.3}, {:.3}]", i.low, i.high);
    }
    if let Some(i) = e.by_artist {
        let _ = write!(text, " {{{:.3}, {:.3}}}", i.low, i.high);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::tests::paper;

    #[test]
    fn a_row_not_run_yet_shows_what_was_published_and_dashes() {
        let text = text(&paper());
        let line = text.lines().find(|l| l.contains("lora")).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, ["musicfm", "lora", "–", "–", "–", "–", "0.408", "–", "–", "–", "–"]);
        assert!(text.starts_with("mtat, 120 tracks of 20 artists\n"), "{text}");
        let best = text.lines().find(|l| l.contains("full")).unwrap();
        assert!(
            best.contains("1,234,567     12.3  719 MB") && best.trim_end().ends_with("ref"),
            "{text}"
        );
        assert!(text.contains("200 bootstrap resamples"));
    }

    #[test]
    fn markdown_rows_have_as_many_cells_as_the_header() {
        let page = markdown(&paper());
        let cells: Vec<usize> =
            page.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count()).collect();
        assert_eq!(cells, [12, 12, 12, 12, 12, 10, 10, 10]);
        assert!(page.contains("\n|---|---|---:|---:|---:|---|"), "{page}");
    }

    #[test]
    fn csv_has_every_number_in_full_and_nothing_where_there_is_none() {
        let (paper, text) = (paper(), csv(&paper()));
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
        assert!(lines.iter().all(|l| l.len() == 11 + 14), "{text}");
        let map = paper.tables[0].rows[0].score("mAP").unwrap().value;
        assert_eq!((lines[0][11], lines[1][11].parse()), ("mAP", Ok(map)));
        assert_eq!(lines[3][11..18], ["", "", "", "", "", "", "0.408"]);
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}
