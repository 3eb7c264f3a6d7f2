//! A view: examples per split, labels, and what its splits share according to the tracks of its corpus.

use super::frame::{Frame, Rows};
use super::page::Page;
use super::{Report, leaks};
use crate::error::Result;
use crate::parquet_io::{Description, read_description};
use crate::row::Split;
use crate::table::{Table, bar, count, duration, percent};
use polars::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Classes shown as text; JSON has all.
const SHOWN: usize = 60;

/// Cells of the longest bar.
const BAR: usize = 24;

pub(super) fn report(path: &Path) -> Result<Report> {
    let about = read_description(&path.with_extension("json"))?;
    let frame = Frame::scan(&[path.to_owned()])?;
    let tracks = tracks_beside(path).map(|p| Frame::scan(&[p])).transpose()?;
    let mut page = Page::default();
    page.title(path, &format!("view of corpus {}", about.corpus));
    let vocab = &about.vocab;
    page.facts([
        ("examples", count(about.counts.total())),
        (
            "classes",
            match vocab.len() {
                0 => String::new(),
                n => format!(
                    "{} in order {} ({}, {}…)",
                    count(n as u64),
                    vocab.order,
                    vocab.id,
                    short(&about.vocab_hash)
                ),
            },
        ),
        ("splits", format!("{}…", short(&about.split_hash))),
        ("made from", about.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")),
    ]);
    page.set("name", about.name.clone());
    page.set("corpus", about.corpus.clone());
    page.set("vocab", json!({"id": vocab.id, "order": vocab.order, "classes": vocab.len(), "hash": about.vocab_hash}));
    page.set("split_hash", about.split_hash.clone());
    page.set("hash", about.hash.clone());
    let rows = joined(&frame, tracks.as_ref(), &about.name)?;
    splits(&mut page, &rows, &about.name)?;
    labels(&mut page, &frame, &about)?;
    numbers(&mut page, &frame)?;
    match &tracks {
        None => page
            .line(&format!("\nno {}.tracks.parquet beside it: leaks not looked for", about.corpus)),
        Some(_) => shared(&mut page, &rows, &about.name)?,
    }
    Ok(page.finish())
}

/// The table of tracks in the folder of a view, if it is there.
pub(super) fn tracks_beside(view: &Path) -> Option<PathBuf> {
    let about = read_description(&view.with_extension("json")).ok()?;
    let path = view.with_file_name(format!("{}.tracks.parquet", about.corpus));
    path.is_file().then_some(path)
}

/// Every example: `track`, `split:<view>`, and what the table of tracks knows of it.
fn joined(frame: &Frame, tracks: Option<&Frame>, name: &str) -> Result<Rows> {
    let split = col("split").alias(format!("split:{name}"));
    let examples = frame.lazy().select([col("track"), split]);
    let Some(tracks) = tracks else { return frame.run(examples) };
    let mut columns = vec![col("key")];
    let wanted = leaks::COLUMNS.iter().chain(&["duration_s"]);
    columns.extend(wanted.filter(|c| tracks.has(c)).map(|c| col(*c)));
    let facts = tracks.lazy().select(columns);
    let how = JoinArgs::new(JoinType::Left);
    frame.run(examples.join(facts, [col("track")], [col("key")], how))
}

fn splits(page: &mut Page, rows: &Rows, name: &str) -> Result<()> {
    let split = format!("split:{name}");
    let audio_s = match rows.has("duration_s") {
        true => col("duration_s").sum(),
        false => lit(0.0),
    };
    let rows = rows.run(rows.lazy().group_by([col(&split)]).agg([
        len().cast(DataType::UInt64).alias("examples"),
        col("track").n_unique().cast(DataType::UInt64).alias("tracks"),
        audio_s.alias("audio_s"),
    ]))?;
    let (names, examples, used) =
        (rows.texts(&split), rows.counts("examples"), rows.counts("tracks"));
    let audio = rows.numbers("audio_s");
    let all: u64 = examples.iter().sum();
    let mut table = Table::new(["split", ">examples", ">share", ">tracks", ">audio"]);
    let mut values = Vec::new();
    for split in Split::ALL {
        let place = names.iter().position(|n| n.as_deref() == Some(split.name()));
        let (n, used, audio_s) =
            place.map_or((0, 0, 0.0), |i| (examples[i], used[i], audio[i].unwrap_or(0.0)));
        values.push(
            json!({"split": split.name(), "examples": n, "tracks": used, "audio_s": audio_s}),
        );
        let audio = if audio_s > 0.0 { duration(audio_s) } else { "–".into() };
        table.row([split.name().to_owned(), count(n), percent(n, all), count(used), audio]);
    }
    page.table("by split", &table);
    page.set("splits", values);
    Ok(())
}

/// Examples per class and split, most frequent first.
fn labels(page: &mut Page, frame: &Frame, about: &Description) -> Result<()> {
    let mut counts = vec![[0_u64; 3]; about.vocab.len()];
    for (column, nested) in [("tags", true), ("class", false)] {
        let each = ExplodeOptions { empty_as_null: false, keep_nulls: false };
        let rows = frame.lazy().select([col("split"), col(column)]);
        let rows = rows.filter(col(column).is_not_null());
        let rows = if nested { rows.explode(by_name([column], true, false), each) } else { rows };
        let rows = rows
            .filter(col(column).is_not_null())
            .group_by([col(column), col("split")])
            .agg([len().cast(DataType::UInt64).alias("n")]);
        add(&frame.run(rows)?, column, &mut counts);
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(counts[i].iter().sum::<u64>()), i));
    let most = order.first().map_or(0, |&i| counts[i].iter().sum());
    let totals: Vec<u64> = (0..3).map(|s| counts.iter().map(|c| c[s]).sum()).collect();
    if totals.iter().sum::<u64>() == 0 {
        return Ok(());
    }
    let mut table = Table::new([">", "class", ">train", ">valid", ">test", ">all", ""]).most(1, 40);
    for &i in order.iter().take(SHOWN) {
        let all: u64 = counts[i].iter().sum();
        let mut cells = vec![i.to_string(), about.vocab.classes[i].clone()];
        cells.extend(counts[i].map(count));
        cells.extend([count(all), bar(all as f64, most as f64, BAR)]);
        table.row(cells);
    }
    let more = match order.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" (the {n} rarest left out)"),
    };
    page.table(&format!("positives per class{more}"), &table);
    let without: Vec<String> = Split::ALL
        .into_iter()
        .filter(|s| totals[*s as usize] > 0)
        .map(|s| (s, counts.iter().filter(|c| c[s as usize] == 0).count() as u64))
        .filter(|(_, n)| *n > 0)
        .map(|(s, n)| format!("{} in {s}", count(n)))
        .collect();
    if !without.is_empty() {
        page.line(&format!("  classes without a positive: {}", without.join(", ")));
    }
    let values = counts
        .iter()
        .zip(&about.vocab.classes)
        .map(|(c, name)| json!({"class": name, "train": c[0], "valid": c[1], "test": c[2]}));
    page.set("labels", values.collect::<Vec<Value>>());
    Ok(())
}

fn add(rows: &Rows, column: &str, counts: &mut [[u64; 3]]) {
    let labels = rows.counts(column).into_iter().zip(rows.texts("split"));
    for ((label, split), n) in labels.zip(rows.counts("n")) {
        let split = split.as_deref().and_then(Split::from_name);
        if let (Some(class), Some(split)) = (counts.get_mut(label as usize), split) {
            class[split as usize] += n;
        }
    }
}

/// Range of regression targets, number of times and spans, length of texts.
fn numbers(page: &mut Page, frame: &Frame) -> Result<()> {
    let all = |c: &str| frame.lazy().select([col(c)]).filter(col(c).is_not_null());
    let each = ExplodeOptions { empty_as_null: false, keep_nulls: false };
    let mut table = Table::new(["target", ">examples", ">numbers", ">least", ">mean", ">most"]);
    let mut values = Vec::new();
    for column in ["values", "times"] {
        let examples = frame.run(all(column).select([len().cast(DataType::UInt64)]))?;
        let examples = examples.counts("len").first().copied().unwrap_or(0);
        if examples == 0 {
            continue;
        }
        let flat = || col(column);
        let rows = all(column).explode(by_name([column], true, false), each).select([
            len().cast(DataType::UInt64).alias("n"),
            flat().min().alias("min"),
            flat().mean().alias("mean"),
            flat().max().alias("max"),
        ]);
        let rows = frame.run(rows)?;
        let n = rows.counts("n").first().copied().unwrap_or(0);
        let [min, mean, max] = ["min", "mean", "max"].map(|c| rows.number(c));
        values.push(json!({"target": column, "examples": examples, "numbers": n, "min": min, "mean": mean, "max": max}));
        let cells = [min, mean, max].map(|x| format!("{x:.3}"));
        table.row([column.to_owned(), count(examples), count(n)].into_iter().chain(cells));
    }
    page.table("numbers", &table);
    page.set("numbers", values);
    Ok(())
}

/// Unknown and unusable tracks, then leaks.
fn shared(page: &mut Page, joined: &Rows, name: &str) -> Result<()> {
    let rows = joined
        .lazy()
        .group_by([col("status")])
        .agg([len().cast(DataType::UInt64).alias("examples")])
        .with_columns([col("status").cast(DataType::String)])
        .sort_by_exprs(
            [col("examples"), col("status")],
            SortMultipleOptions::default().with_order_descending_multi([true, false]),
        );
    let rows = joined.run(rows)?;
    let mut table = Table::new(["status of the track", ">examples"]);
    let mut values = Vec::new();
    for (name, n) in rows.texts("status").into_iter().zip(rows.counts("examples")) {
        let name = name.unwrap_or_else(|| "unknown track".into());
        values.push(json!({"name": name, "examples": n}));
        table.row([name, count(n)]);
    }
    page.table("by status", &table);
    page.set("status", values);
    leaks::add(page, joined, &[name.to_owned()], false)
}

/// The first digits of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
