//! `<view>.parquet` with `<view>.json` beside it: one schema for every task, unused columns null.
//!
//! Columns: `key`, `track`, `variant`, `split` utf8; `tags` `list<u16>`; `class` u16; `values`, `times` `list<f32>`;
//! `spans` `list<struct<start f32, end f32, label u16>>`; `text` utf8. At most one of the last six is set in a row.

use super::{ROWS, Table, VERSION, arrays, invalid, json, write_batches};
use crate::atomic::Staged;
use crate::error::{Error, Result};
use crate::row::{Example, Split, Target};
use crate::view::{Counts, Source, View};
use crate::vocab::Vocab;
use arrow_array::types::{Float32Type, UInt16Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StructArray, cast::AsArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// `<view>.json`, in the order of its keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    version: u32,
    pub(crate) name: String,
    pub(crate) corpus: String,
    pub(crate) vocab: Vocab,
    /// [`Vocab::hash`]
    pub(crate) vocab_hash: String,
    /// [`View::split_hash`]
    pub(crate) split_hash: String,
    /// [`View::hash`]
    pub(crate) hash: String,
    pub(crate) counts: Counts,
    pub(crate) sources: Vec<Source>,
}

/// Reads a view from the path of its `.parquet`; the `.json` beside it must belong to it.
///
/// # Errors
/// [`Error::Io`] when one of the two files is missing, [`Error::Damaged`] for what is no Parquet, [`Error::Version`]
/// for another version, [`Error::Mismatch`] when vocabulary, splits or rows are not those that the `.json` describes,
/// [`Error::Invalid`] for rows that break a rule of [`View::validate`].
pub fn read_view(path: &Path) -> Result<View> {
    let beside = path.with_extension("json");
    let about = read_description(&beside)?;
    let table = Table::open(path, "view")?;
    let same = |what: &str, left: &str, right_name: String, right: &str| match left == right {
        true => Ok(()),
        false => Err(Error::Mismatch {
            what: what.into(),
            left_name: beside.display().to_string(),
            left: left.into(),
            right_name,
            right: right.into(),
        }),
    };
    same("vocabulary hash", &about.vocab_hash, "its class list".into(), &about.vocab.hash())?;
    let in_table = table.meta("etude.vocab_hash").unwrap_or("none").to_owned();
    same("vocabulary hash", &about.vocab_hash, path.display().to_string(), &in_table)?;
    let mut examples = Vec::new();
    table.read(path, |batch, first_row| read_batch(&batch, first_row, &mut examples))?;
    let view = View {
        name: about.name,
        corpus: about.corpus,
        vocab: about.vocab,
        examples,
        sources: about.sources,
    };
    let rows = format!("the rows of {}", path.display());
    same("split hash", &about.split_hash, rows.clone(), &view.split_hash())?;
    same("hash of the view", &about.hash, rows, &view.hash())?;
    view.validate().map_err(|e| invalid(path, e.to_string()))?;
    Ok(view)
}

/// Writes `<view>.parquet` and `<view>.json` into `dir`, rows sorted by key: the same view gives the same bytes.
///
/// # Errors
/// [`Error::Invalid`] as [`View::validate`]; [`Error::Io`].
pub fn write_view(dir: &Path, view: &View) -> Result<()> {
    view.validate()?;
    let mut rows: Vec<&Example> = view.examples.iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let path = dir.join(format!("{}.parquet", view.name));
    let beside = dir.join(format!("{}.json", view.name));
    let about = Description {
        version: VERSION,
        name: view.name.clone(),
        corpus: view.corpus.clone(),
        vocab: view.vocab.clone(),
        vocab_hash: view.vocab.hash(),
        split_hash: view.split_hash(),
        hash: view.hash(),
        counts: view.counts(),
        sources: view.sources.clone(),
    };
    let metadata = vec![
        ("etude.version", VERSION.to_string()),
        ("etude.kind", "view".to_owned()),
        ("etude.view", view.name.clone()),
        ("etude.corpus", view.corpus.clone()),
        ("etude.vocab", view.vocab.id.clone()),
        ("etude.vocab_hash", about.vocab_hash.clone()),
        ("etude.split_hash", about.split_hash.clone()),
        ("etude.sources", json(&path, &view.sources)?),
    ];
    let statistics = ["key".to_owned(), "split".to_owned()];
    let table = Staged::new(&path, |file| {
        let batches = rows.chunks(ROWS).map(|rows| batch(rows).map_err(|e| invalid(&path, e)));
        write_batches(file, &path, schema(), metadata, &statistics, batches)
    })?;
    let description = Staged::new(&beside, |mut file| {
        let io = |source| Error::Io { path: beside.clone(), source };
        let mut text = serde_json::to_string_pretty(&about).map_err(|e| io(e.into()))?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(io)
    })?;
    // A kill between these two is found by the hashes when the view is read.
    table.publish()?;
    description.publish()
}

/// Reads and checks the version of `<view>.json` alone.
pub(crate) fn read_description(path: &Path) -> Result<Description> {
    let text =
        fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let broken = |e: serde_json::Error| Error::Format {
        path: format!("{}:{}", path.display(), e.line()),
        expected: "the description of a view written by `etude ingest`".into(),
        got: e.to_string(),
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(broken)?;
    match value.get("version").map(ToString::to_string).unwrap_or_else(|| "none".into()) {
        got if got == VERSION.to_string() => serde_json::from_str(&text).map_err(broken),
        got => Err(Error::Version { path: path.to_owned(), expected: VERSION, got }),
    }
}

fn span_fields() -> Fields {
    Fields::from(vec![
        Field::new("start", DataType::Float32, false),
        Field::new("end", DataType::Float32, false),
        Field::new("label", DataType::UInt16, false),
    ])
}

fn schema() -> Arc<Schema> {
    let text = |name, null| Field::new(name, DataType::Utf8, null);
    let list = |name, item| Field::new(name, arrays::list_type(item), true);
    Arc::new(Schema::new(vec![
        text("key", false),
        text("track", false),
        text("variant", false),
        text("split", false),
        list("tags", DataType::UInt16),
        Field::new("class", DataType::UInt16, true),
        list("values", DataType::Float32),
        list("times", DataType::Float32),
        list("spans", DataType::Struct(span_fields())),
        text("text", true),
    ]))
}

/// One row group.
fn batch(rows: &[&Example]) -> Result<RecordBatch, String> {
    let rows = || rows.iter();
    let columns: Vec<ArrayRef> = vec![
        arrays::text(rows().map(|e| Some(e.key.as_str()))),
        arrays::text(rows().map(|e| Some(e.track.as_str()))),
        arrays::text(rows().map(|e| Some(e.variant.as_str()))),
        arrays::text(rows().map(|e| Some(e.split.name()))),
        arrays::number_lists::<UInt16Type>(rows().map(|e| match &e.target {
            Target::Tags(tags) => Some(tags.as_slice()),
            _ => None,
        })),
        arrays::numbers::<UInt16Type>(rows().map(|e| match e.target {
            Target::Class(class) => Some(class),
            _ => None,
        })),
        arrays::number_lists::<Float32Type>(rows().map(|e| match &e.target {
            Target::Values(values) => Some(values.as_slice()),
            _ => None,
        })),
        arrays::number_lists::<Float32Type>(rows().map(|e| match &e.target {
            Target::Times(times) => Some(times.as_slice()),
            _ => None,
        })),
        spans(rows().map(|e| match &e.target {
            Target::Spans(spans) => Some(spans.as_slice()),
            _ => None,
        })),
        arrays::text(rows().map(|e| match &e.target {
            Target::Text(text) => Some(text.as_str()),
            _ => None,
        })),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|e| e.to_string())
}

/// list<struct<start, end, label>>
fn spans<'a>(rows: impl Iterator<Item = Option<&'a [(f32, f32, u16)]>> + Clone) -> ArrayRef {
    let flat = || rows.clone().flat_map(|r| r.unwrap_or_default());
    let items = StructArray::new(
        span_fields(),
        vec![
            arrays::numbers::<Float32Type>(flat().map(|s| Some(s.0))),
            arrays::numbers::<Float32Type>(flat().map(|s| Some(s.1))),
            arrays::numbers::<UInt16Type>(flat().map(|s| Some(s.2))),
        ],
        None,
    );
    let lengths = rows.clone().map(|r| r.map_or(0, <[_]>::len));
    Arc::new(ListArray::new(
        Arc::new(Field::new("item", DataType::Struct(span_fields()), false)),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(items),
        Some(rows.map(|r| r.is_some()).collect::<NullBuffer>()),
    ))
}

fn read_batch(
    batch: &RecordBatch,
    first_row: usize,
    examples: &mut Vec<Example>,
) -> Result<(), String> {
    let must = |name: &str| {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| format!("expected a column `{name}`, got none"))?;
        match column.null_count() {
            0 => Ok(column),
            nulls => Err(format!("expected no null in column `{name}`, got {nulls}")),
        }
    };
    let keys = arrays::Texts::of(must("key")?, "key")?;
    let tracks = arrays::Texts::of(must("track")?, "track")?;
    let variants = arrays::Texts::of(must("variant")?, "variant")?;
    let splits = arrays::Texts::of(must("split")?, "split")?;
    let mut targets = vec![Target::None; batch.num_rows()];
    read_targets(batch, first_row, &mut targets)?;
    for (i, target) in targets.into_iter().enumerate() {
        let split = Split::from_name(splits.value(i)).ok_or_else(|| {
            let (row, got) = (first_row + i, splits.value(i));
            format!("expected train, valid or test in column `split` of row {row}, got `{got}`")
        })?;
        examples.push(Example {
            key: keys.value(i).to_owned(),
            track: tracks.value(i).to_owned(),
            variant: variants.value(i).to_owned(),
            split,
            target,
        });
    }
    Ok(())
}

/// Fills the targets from the six target columns; two in one row are refused.
fn read_targets(
    batch: &RecordBatch,
    first_row: usize,
    targets: &mut [Target],
) -> Result<(), String> {
    let mut fill = |name: &str, read: &dyn Fn(&ArrayRef, usize) -> Result<Target, String>| {
        let Some(array) = batch.column_by_name(name) else { return Ok(()) };
        for (i, target) in targets.iter_mut().enumerate().filter(|(i, _)| array.is_valid(*i)) {
            if *target != Target::None {
                let row = first_row + i;
                return Err(format!("expected one target in row {row}, got another in `{name}`"));
            }
            *target = read(array, i)?;
        }
        Ok(())
    };
    fill("tags", &|a, i| {
        let items = arrays::list(a, "tags")?.value(i);
        Ok(Target::Tags(arrays::primitive::<UInt16Type>(&items, "tags")?.values().to_vec()))
    })?;
    fill("class", &|a, i| {
        Ok(Target::Class(arrays::primitive::<UInt16Type>(a, "class")?.value(i)))
    })?;
    fill("values", &|a, i| floats(a, "values", i).map(Target::Values))?;
    fill("times", &|a, i| floats(a, "times", i).map(Target::Times))?;
    fill("spans", &|a, i| read_spans(a, i).map(Target::Spans))?;
    fill("text", &|a, i| Ok(Target::Text(arrays::Texts::of(a, "text")?.value(i).to_owned())))
}

fn floats(array: &ArrayRef, name: &str, row: usize) -> Result<Vec<f32>, String> {
    let items = arrays::list(array, name)?.value(row);
    Ok(arrays::primitive::<Float32Type>(&items, name)?.values().to_vec())
}

fn read_spans(array: &ArrayRef, row: usize) -> Result<Vec<(f32, f32, u16)>, String> {
    let items = arrays::list(array, "spans")?.value(row);
    let parts = items.as_struct_opt().ok_or_else(|| arrays::wrong("spans", "structs", &items))?;
    let part = |name: &str| {
        parts.column_by_name(name).ok_or_else(|| format!("expected `{name}` in column `spans`"))
    };
    let starts = arrays::primitive::<Float32Type>(part("start")?, "spans.start")?;
    let ends = arrays::primitive::<Float32Type>(part("end")?, "spans.end")?;
    let labels = arrays::primitive::<UInt16Type>(part("label")?, "spans.label")?;
    Ok((0..items.len()).map(|i| (starts.value(i), ends.value(i), labels.value(i))).collect())
}
