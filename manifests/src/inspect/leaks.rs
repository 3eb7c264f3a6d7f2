//! What splits have in common and what is there twice: the relations of [`crate::leaks`] that a column identifies, counted
//! without rows in memory.

use super::frame::Rows;
use super::page::Page;
use crate::error::Result;
use crate::row::Split;
use crate::table::{Table, count};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Column of a table of tracks and what it identifies, the closest relation first.
const RELATIONS: [(&str, &str); 5] = [
    ("sha256", "files (same bytes)"),
    ("pcm_sha256", "signals (same samples)"),
    ("track_id", "recordings"),
    ("album_id", "albums"),
    ("artist_id", "artists"),
];

/// Columns that [`add`] reads, beside the splits.
pub(super) const COLUMNS: [&str; 6] =
    ["status", "sha256", "pcm_sha256", "track_id", "album_id", "artist_id"];

const BORDERS: [(Split, Split); 3] =
    [(Split::Train, Split::Valid), (Split::Train, Split::Test), (Split::Valid, Split::Test)];

/// Adds a table of what crosses borders between the splits of each scheme, column `split:<scheme>`; with `copies` (each
/// row is a file of its own) also one of what is there twice.
pub(super) fn add(page: &mut Page, rows: &Rows, schemes: &[String], copies: bool) -> Result<()> {
    let splits: Vec<Vec<Option<Split>>> = schemes.iter().map(|s| splits(rows, s)).collect();
    let mut twice = Table::new(["copies", ">groups", ">tracks"]);
    let mut copied = Vec::new();
    let mut found: Vec<Vec<(Vec<Value>, [String; 6])>> = vec![Vec::new(); schemes.len()];
    for (column, what) in RELATIONS {
        let Some(groups) = groups(rows, column) else { continue };
        if copies && column.ends_with("sha256") {
            let sizes = groups.sizes();
            let (n, tracks) = (sizes.len() as u64, sizes.iter().sum());
            copied.push(json!({"shared": column, "groups": n, "tracks": tracks}));
            if n > 0 {
                twice.row([what.to_owned(), count(n), count(tracks)]);
            }
        }
        for (place, splits) in splits.iter().enumerate() {
            let borders = cross(&groups, splits);
            if borders.iter().any(|b| b[0] > 0) {
                found[place].push(describe(&schemes[place], column, what, &borders));
            }
        }
    }
    if copies {
        page.table("copies", &twice);
        page.set("copies", copied);
    }
    let mut table =
        Table::new(["split", "shared", ">train/valid", ">train/test", ">valid/test", ">of test"]);
    let mut values = Vec::new();
    for (rows, cells) in found.into_iter().flatten() {
        table.row(cells);
        values.extend(rows);
    }
    if values.is_empty() && !schemes.is_empty() {
        page.line("\nnothing shared between splits");
    }
    page.table("shared between splits (of test: test tracks that share with train)", &table);
    page.set("leaks", values);
    Ok(())
}

/// JSON per border that something crosses, and the line of the table.
fn describe(
    scheme: &str,
    column: &str,
    what: &str,
    borders: &[[u64; 2]; 3],
) -> (Vec<Value>, [String; 6]) {
    let crossed = BORDERS.iter().zip(borders).filter(|(_, b)| b[0] > 0);
    let rows = crossed.map(|((left, right), [values, tracks])| {
        json!({"split": scheme, "shared": column, "left": left.name(), "right": right.name(),
               "values": values, "tracks": tracks})
    });
    let [valid, test, between] = borders.map(|b| count(b[0]));
    let cells = [scheme.into(), what.into(), valid, test, between, count(borders[1][1])];
    (rows.collect(), cells)
}

/// Which rows share a value.
struct Groups {
    /// Group of each row; `None` where the value is missing.
    of: Vec<Option<u32>>,
    /// Rows per group.
    rows: Vec<u64>,
}

impl Groups {
    /// Sizes of the groups of two rows or more.
    fn sizes(&self) -> Vec<u64> {
        self.rows.iter().copied().filter(|n| *n > 1).collect()
    }
}

/// Numbers the values of a column. Digests of empty and silent files, which are all alike, count as missing.
fn groups(rows: &Rows, column: &str) -> Option<Groups> {
    let mut number: HashMap<&[u8], u32> = HashMap::new();
    let mut groups = Groups { of: Vec::with_capacity(rows.len()), rows: Vec::new() };
    let alike = match column.ends_with("sha256") {
        true => rows.matches("status", &["missing_file", "empty_file", "no_samples", "silent"]),
        false => Vec::new(),
    };
    let mut row = 0;
    let known = rows.each_key(column, |value| {
        let value = value.filter(|_| !alike.get(row).copied().unwrap_or(false));
        row += 1;
        groups.of.push(value.map(|value| {
            let next = groups.rows.len() as u32;
            let group = *number.entry(value).or_insert(next);
            if group == next {
                groups.rows.push(0);
            }
            groups.rows[group as usize] += 1;
            group
        }));
    });
    known.then_some(groups)
}

/// Per border: values on both sides, and tracks of the right side that share one.
fn cross(groups: &Groups, splits: &[Option<Split>]) -> [[u64; 2]; 3] {
    let mut tally = vec![[0_u64; 3]; groups.rows.len()];
    for (group, split) in groups.of.iter().zip(splits) {
        if let (Some(group), Some(split)) = (group, split) {
            tally[*group as usize][*split as usize] += 1;
        }
    }
    BORDERS.map(|(left, right)| {
        let both = tally.iter().filter(|t| t[left as usize] > 0 && t[right as usize] > 0);
        both.fold([0, 0], |[values, tracks], t| [values + 1, tracks + t[right as usize]])
    })
}

fn splits(rows: &Rows, scheme: &str) -> Vec<Option<Split>> {
    let column = format!("split:{scheme}");
    let in_split = Split::ALL.map(|s| rows.matches(&column, &[s.name()]));
    let of = |row: usize| Split::ALL.into_iter().find(|s| in_split[*s as usize][row]);
    (0..rows.len()).map(of).collect()
}
