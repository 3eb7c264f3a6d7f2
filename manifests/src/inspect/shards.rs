//! A shard set: its index, and the small columns of its files. The column `data` is never read.

use super::Report;
use super::frame::Frame;
use super::page::Page;
use crate::error::{Error, Result};
use crate::row::Split;
use crate::table::{Table, bar, bytes, count, duration, percent};
use polars::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Tags shown as text; JSON has all.
const SHOWN: usize = 30;

/// Cells of the longest bar.
const BAR: usize = 24;

pub(super) fn report(dir: &Path) -> Result<Report> {
    let index = index(dir)?;
    let spec = &index["spec"];
    let files = index["files"].as_array().cloned().unwrap_or_default();
    let sum = |key: &str| files.iter().filter_map(|f| f[key].as_u64()).sum::<u64>();
    let mut page = Page::default();
    page.title(dir, &format!("shard set of corpus {}", text(&spec["corpus"])));
    let frame = frame(dir)?;
    let rate = steps_per_s(spec);
    let rows = frame.run(frame.lazy().select([
        len().cast(DataType::UInt64).alias("rows"),
        col("index").eq(lit(0)).sum().cast(DataType::UInt64).alias("tracks"),
        col("valid").cast(DataType::UInt64).sum().alias("steps"),
    ]))?;
    let [rows, tracks, steps] =
        ["rows", "tracks", "steps"].map(|c| rows.counts(c).first().copied().unwrap_or(0));
    let audio_s = rate.map(|rate| steps as f64 / rate);
    page.facts([
        ("holds", kind(spec)),
        ("stored as", text(&spec["number"])),
        ("block", format!("{} s", text(&spec["block_s"]))),
        ("resampler", text(&spec["resampler"])),
        ("tracks", count(tracks)),
        ("audio", audio_s.map(duration).unwrap_or_default()),
        ("rows", count(rows)),
        ("files", format!("{} ({})", count(files.len() as u64), bytes(sum("bytes")))),
        ("config", text(&spec["config_digest"]).chars().take(12).collect()),
        ("tracks table", text(&spec["manifest_hash"]).chars().take(12).collect()),
    ]);
    page.set("spec", spec.clone());
    page.set("tracks", tracks);
    page.set("rows", rows);
    page.set("audio_s", audio_s);
    page.set("files", files.len() as u64);
    page.set("bytes", sum("bytes"));
    if rows != sum("rows") {
        page.line(&format!("  the index says {} rows: run `etude check`", count(sum("rows"))));
    }
    oddities(&mut page, &files);
    splits(&mut page, &frame, rate)?;
    tags(&mut page, &frame, tracks)?;
    Ok(page.finish())
}

/// Every file of the set, without `data`.
pub(super) fn frame(dir: &Path) -> Result<Frame> {
    let index = index(dir)?;
    let names = index["files"].as_array().into_iter().flatten().filter_map(|f| f["name"].as_str());
    let paths: Vec<PathBuf> = names.map(|name| dir.join(name)).collect();
    if paths.is_empty() {
        return Err(format(dir, "at least one file in the index", "none"));
    }
    Ok(Frame::scan(&paths)?.without(&["data"]))
}

fn index(dir: &Path) -> Result<Value> {
    let path = dir.join("index.json");
    let io = |source| Error::Io { path: path.clone(), source };
    let bytes = std::fs::read(&path).map_err(io)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| format(&path, "the index of a shard set", &e.to_string()))
}

/// Time steps per second; `None` for one vector per track.
fn steps_per_s(spec: &Value) -> Option<f64> {
    let kind = &spec["kind"];
    let rate = kind["rate"].as_f64().or_else(|| kind["fps"].as_f64())?;
    (rate > 0.0).then_some(rate)
}

/// `waves at 24,000 Hz`
fn kind(spec: &Value) -> String {
    let kind = &spec["kind"];
    let fps = kind["fps"].as_f64().unwrap_or(0.0);
    match kind["kind"].as_str() {
        Some("wave") => format!("waves at {} Hz", count(kind["rate"].as_u64().unwrap_or(0))),
        Some("frames") => format!("frames of {} bands, {fps} a second", kind["bands"]),
        Some("embedding") if fps == 0.0 => format!("one vector of {} numbers a track", kind["dim"]),
        Some("embedding") => format!("vectors of {} numbers, {fps} a second", kind["dim"]),
        _ => text(kind),
    }
}

/// Saturated values and tracks that were left out.
fn oddities(page: &mut Page, files: &[Value]) {
    let stored = files.iter().filter_map(|f| f["tracks"].as_array()).flatten();
    let overs: Vec<u64> = stored.filter_map(|t| t[4].as_u64()).filter(|n| *n > 0).collect();
    let refused: Vec<&Value> =
        files.iter().filter_map(|f| f["refused"].as_array()).flatten().collect();
    page.set("overs", json!({"tracks": overs.len(), "values": overs.iter().sum::<u64>()}));
    page.set("refused", refused.iter().map(|r| (*r).clone()).collect::<Vec<_>>());
    if !overs.is_empty() {
        let (values, tracks) = (count(overs.iter().sum()), count(overs.len() as u64));
        page.line(&format!(
            "  {values} values above full scale were saturated, in {tracks} tracks"
        ));
    }
    let mut table = Table::new(["left out", "status", "why"]);
    for r in refused.iter().take(SHOWN) {
        table.row([text(&r["key"]), text(&r["status"]), text(&r["text"])]);
    }
    page.table(&format!("{} tracks left out", count(refused.len() as u64)), &table);
}

fn splits(page: &mut Page, frame: &Frame, rate: Option<f64>) -> Result<()> {
    // The split is in the first row of a track; the rows of the others follow through their track.
    let first = frame.lazy().filter(col("index").eq(lit(0)));
    let first = first.select([col("track"), col("variant"), col("split")]);
    let steps = frame.lazy().group_by([col("track"), col("variant")]);
    let steps = steps.agg([col("valid").cast(DataType::UInt64).sum().alias("steps")]);
    let on = || [col("track"), col("variant")];
    let rows = first.join(steps, on(), on(), JoinArgs::new(JoinType::Inner));
    let rows =
        frame.run(rows.group_by([col("split")]).agg([
            len().cast(DataType::UInt64).alias("tracks"),
            col("steps").sum().alias("steps"),
        ]))?;
    let (names, tracks, steps) = (rows.texts("split"), rows.counts("tracks"), rows.counts("steps"));
    let all: u64 = tracks.iter().sum();
    let mut table = Table::new(["default split", ">tracks", ">share", ">audio"]);
    let mut values = Vec::new();
    for split in Split::ALL.map(|s| Some(s.name())).into_iter().chain([None]) {
        if let Some(i) = names.iter().position(|n| n.as_deref() == split) {
            let audio_s = rate.map(|rate| steps[i] as f64 / rate);
            values.push(json!({"split": split, "tracks": tracks[i], "audio_s": audio_s}));
            let audio = audio_s.map_or_else(|| "–".into(), duration);
            let name = split.unwrap_or("none").to_owned();
            table.row([name, count(tracks[i]), percent(tracks[i], all), audio]);
        }
    }
    page.table("by split", &table);
    page.set("splits", values);
    Ok(())
}

fn tags(page: &mut Page, frame: &Frame, tracks: u64) -> Result<()> {
    let each = ExplodeOptions { empty_as_null: false, keep_nulls: false };
    let rows = frame.lazy().filter(col("index").eq(lit(0))).select([col("tags").explode(each)]);
    let rows = rows
        .filter(col("tags").is_not_null())
        .group_by([col("tags")])
        .agg([len().cast(DataType::UInt64).alias("n")])
        .sort_by_exprs(
            [col("n"), col("tags")],
            SortMultipleOptions::default().with_order_descending_multi([true, false]),
        );
    let rows = frame.run(rows)?;
    let (names, counts) = (rows.texts("tags"), rows.counts("n"));
    let most = counts.first().copied().unwrap_or(0) as f64;
    let mut table = Table::new(["tag", ">tracks", ">share", ""]).most(0, 40);
    let mut values = Vec::new();
    for (i, (name, n)) in names.into_iter().flatten().zip(counts).enumerate() {
        values.push(json!({"tag": name, "tracks": n}));
        if i < SHOWN {
            table.row([name, count(n), percent(n, tracks), bar(n as f64, most, BAR)]);
        }
    }
    let more = match values.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" ({} rarer ones left out)", count(n as u64)),
    };
    page.table(&format!("tags{more}"), &table);
    page.set("tags", values);
    Ok(())
}

/// A JSON value as text without quotes; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn format(path: &Path, expected: &str, got: &str) -> Error {
    Error::Format { path: path.display().to_string(), expected: expected.into(), got: got.into() }
}
