//! A table of tracks: how much audio, in what state, in what formats, in which splits, and what is there twice.

use super::frame::{Frame, Rows};
use super::page::Page;
use super::{Report, leaks};
use crate::error::Result;
use crate::parquet_io::read_tracks_meta;
use crate::row::Split;
use crate::table::{Table, bar, bytes, count, duration, percent};
use polars::prelude::*;
use serde_json::json;
use std::path::Path;

/// Formats and warnings shown as text; JSON has all.
const SHOWN: usize = 12;

/// Cells of the longest bar.
const BAR: usize = 24;

pub(super) fn report(path: &Path) -> Result<Report> {
    let meta = read_tracks_meta(path)?;
    let frame = Frame::scan(&[path.to_owned()])?;
    let schemes = frame.suffixes("split:");
    // Everything below needs these columns; they are read once.
    let facts =
        ["duration_s", "file_bytes", "codec", "src_rate", "src_channels", "src_bits", "warnings"];
    let wanted = facts.iter().chain(&leaks::COLUMNS).filter(|c| frame.has(c));
    let mut columns: Vec<Expr> = wanted.map(|c| col(*c)).collect();
    columns.extend(schemes.iter().map(|s| col(format!("split:{s}"))));
    let rows = frame.run(frame.lazy().select(columns))?;
    let plan = rows.lazy();
    let mut page = Page::default();
    page.title(path, &format!("tracks of corpus {}", meta.corpus));
    let status = by(&frame, &plan, &["status"])?;
    let tracks: u64 = status.counts("tracks").iter().sum();
    let total_s: f64 = status.numbers("audio_s").iter().flatten().sum();
    let size: u64 = status.counts("bytes").iter().sum();
    let inputs = meta
        .inputs
        .iter()
        .map(|s| format!("{} ({}…)", s.name, s.sha256.chars().take(12).collect::<String>()));
    page.facts([
        ("tracks", count(tracks)),
        ("audio", duration(total_s)),
        ("files", if size > 0 { bytes(size) } else { String::new() }),
        ("decoder", meta.decoder.clone()),
        ("made from", inputs.collect::<Vec<_>>().join(", ")),
        ("vocabularies", meta.vocabs.iter().map(|v| v.0.as_str()).collect::<Vec<_>>().join(", ")),
    ]);
    page.set("corpus", meta.corpus);
    page.set("decoder", meta.decoder);
    page.set("tracks", tracks);
    page.set("audio_s", total_s);
    page.set("bytes", size);
    shares(&mut page, "status", "status", &status, tracks);
    warnings(&mut page, &frame, &plan, tracks)?;
    formats(&mut page, &frame, &plan)?;
    durations(&mut page, &frame, &plan)?;
    splits(&mut page, &frame, &plan, &schemes)?;
    leaks::add(&mut page, &rows, &schemes, true)?;
    Ok(page.finish())
}

/// Tracks, seconds of audio and bytes per group, most tracks first.
fn by(frame: &Frame, plan: &LazyFrame, columns: &[&str]) -> Result<Rows> {
    let sum = |c: &str, to: DataType| match frame.has(c) {
        true => col(c).sum().cast(to),
        false => lit(0).cast(to),
    };
    let keys: Vec<Expr> = columns.iter().map(|c| col(*c)).collect();
    let words: Vec<Expr> = columns.iter().map(|c| col(*c).cast(DataType::String)).collect();
    let groups = plan.clone().group_by(keys).agg([
        len().cast(DataType::UInt64).alias("tracks"),
        sum("duration_s", DataType::Float64).alias("audio_s"),
        sum("file_bytes", DataType::UInt64).alias("bytes"),
    ]);
    let groups = groups.with_columns(words);
    let mut order = vec![col("tracks")];
    order.extend(columns.iter().map(|c| col(*c)));
    let mut descending = vec![false; order.len()];
    descending[0] = true;
    let options = SortMultipleOptions::default().with_order_descending_multi(descending);
    frame.run(groups.sort_by_exprs(order, options))
}

/// A table of groups with their share of all tracks.
fn shares(page: &mut Page, heading: &str, column: &str, rows: &Rows, all: u64) {
    let mut table = Table::new([heading, ">tracks", ">share", ">audio", ""]);
    let mut values = Vec::new();
    let (counts, audio) = (rows.counts("tracks"), rows.numbers("audio_s"));
    let most = counts.iter().max().copied().unwrap_or(0) as f64;
    for (i, name) in rows.texts(column).into_iter().enumerate() {
        let name = name.unwrap_or_else(|| "–".into());
        let audio_s = audio[i].unwrap_or(0.0);
        values.push(json!({"name": name, "tracks": counts[i], "audio_s": audio_s}));
        if i < SHOWN {
            let bar = bar(counts[i] as f64, most, BAR);
            table.row([name, count(counts[i]), percent(counts[i], all), duration(audio_s), bar]);
        }
    }
    page.table(&format!("by {heading}"), &table);
    page.set(column, values);
}

fn warnings(page: &mut Page, frame: &Frame, plan: &LazyFrame, all: u64) -> Result<()> {
    let each = ExplodeOptions { empty_as_null: false, keep_nulls: false };
    let rows = plan.clone().select([col("warnings").explode(each)]);
    let rows = rows.filter(col("warnings").is_not_null()).group_by([col("warnings")]);
    let rows = rows
        .agg([len().cast(DataType::UInt64).alias("tracks")])
        .with_columns([col("warnings").cast(DataType::String)])
        .sort_by_exprs(
            [col("tracks"), col("warnings")],
            SortMultipleOptions::default().with_order_descending_multi([true, false]),
        );
    let rows = frame.run(rows)?;
    let mut table = Table::new(["warning", ">tracks", ">share"]);
    let mut values = Vec::new();
    for (name, n) in rows.texts("warnings").into_iter().flatten().zip(rows.counts("tracks")) {
        values.push(json!({"name": name, "tracks": n}));
        table.row([name, count(n), percent(n, all)]);
    }
    page.table("by warning", &table);
    page.set("warnings", values);
    Ok(())
}

fn formats(page: &mut Page, frame: &Frame, plan: &LazyFrame) -> Result<()> {
    let columns = ["codec", "src_rate", "src_channels", "src_bits"];
    if !columns.iter().all(|c| frame.has(c)) {
        return Ok(());
    }
    let known = plan.clone().filter(col("codec").is_not_null());
    let rows = by(frame, &known, &columns)?;
    let text = |column| rows.texts(column).into_iter().map(Option::unwrap_or_default);
    let (codecs, channels, bits) = (text("codec"), text("src_channels"), text("src_bits"));
    let (tracks, audio) = (rows.counts("tracks"), rows.numbers("audio_s"));
    let mut table = Table::new(["codec", ">rate", ">channels", ">bits", ">tracks", ">audio"]);
    let mut values = Vec::new();
    let groups = codecs.zip(rows.counts("src_rate")).zip(channels).zip(bits).enumerate();
    for (i, (((codec, rate), channels), bits)) in groups {
        let audio_s = audio[i].unwrap_or(0.0);
        values.push(json!({"codec": codec, "rate": rate, "channels": channels.parse::<u16>().ok(),
                           "bits": bits.parse::<u16>().ok(), "tracks": tracks[i], "audio_s": audio_s}));
        if i < SHOWN {
            let rate = format!("{} Hz", count(rate));
            table.row([codec, rate, channels, bits, count(tracks[i]), duration(audio_s)]);
        }
    }
    let more = values.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" ({more} more)") } else { String::new() };
    page.table(&format!("by source format{more}"), &table);
    page.set("formats", values);
    Ok(())
}

fn durations(page: &mut Page, frame: &Frame, plan: &LazyFrame) -> Result<()> {
    if !frame.has("duration_s") {
        return Ok(());
    }
    let length = || col("duration_s");
    let rows = frame.run(plan.clone().filter(length().gt(lit(0.0))).select([
        length().min().alias("min"),
        length().median().alias("median"),
        length().mean().alias("mean"),
        length().max().alias("max"),
    ]))?;
    let mut table = Table::new([">shortest", ">median", ">mean", ">longest"]);
    let values = ["min", "median", "mean", "max"].map(|c| rows.number(c));
    if values[3] > 0.0 {
        table.row(values.map(duration));
        page.table("length of a track", &table);
    }
    let [min, median, mean, max] = values;
    page.set("duration_s", json!({"min": min, "median": median, "mean": mean, "max": max}));
    Ok(())
}

fn splits(page: &mut Page, frame: &Frame, plan: &LazyFrame, schemes: &[String]) -> Result<()> {
    let mut table = Table::new(["split", ">train", ">valid", ">test", ">none", ">train audio"]);
    let mut values = Vec::new();
    for scheme in schemes {
        let column = format!("split:{scheme}");
        let rows = by(frame, plan, &[&column])?;
        let (names, tracks) = (rows.texts(&column), rows.counts("tracks"));
        let audio = rows.numbers("audio_s");
        let of = |name: Option<&str>| names.iter().position(|n| n.as_deref() == name);
        let tracks_of = |name| of(name).map_or(0, |i| tracks[i]);
        let audio_of = |name| of(name).and_then(|i| audio[i]).unwrap_or(0.0);
        let [train, valid, test] = Split::ALL.map(|s| tracks_of(Some(s.name())));
        let none = tracks_of(None);
        let [train_s, valid_s, test_s] = Split::ALL.map(|s| audio_of(Some(s.name())));
        values.push(json!({"scheme": scheme, "train": train, "valid": valid, "test": test,
                           "none": none, "train_s": train_s, "valid_s": valid_s, "test_s": test_s}));
        let cells = [train, valid, test, none].map(count);
        table.row([scheme.clone()].into_iter().chain(cells).chain([duration(train_s)]));
    }
    page.table("tracks per split", &table);
    page.set("splits", values);
    Ok(())
}
