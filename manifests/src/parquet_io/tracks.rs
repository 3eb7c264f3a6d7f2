//! `<corpus>.tracks.parquet`: one row per clip, sorted by key.
//!
//! Fixed columns as listed in [`super::columns`]; then one `labels:<vocab>` (`list<int32>`) per vocabulary and one
//! `split:<scheme>` (dictionary) per scheme that any row knows. Key-value metadata: `etude.version`, `etude.kind`,
//! `etude.corpus`, `etude.decoder`, `etude.inputs` and `etude.vocabs` as JSON, `etude.tracks_hash`.

use super::columns::{self, Column};
use super::{ROWS, Table, VERSION, arrays, invalid, json, write_batches};
use crate::atomic;
use crate::error::{Error, Result};
use crate::hash::tracks_hash;
use crate::row::{Split, Track};
use crate::view::Source;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Where a table of tracks comes from: the key-value metadata of its Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableMeta {
    /// Corpus id, e.g. `mtat`.
    pub corpus: String,
    /// Decoder and version that found the facts, e.g. `symphonia 0.6.1`; `pcm_sha256` compares within one decoder only.
    pub decoder: String,
    /// Metadata files the rows were made from.
    pub inputs: Vec<Source>,
    /// Vocabulary id and [`crate::Vocab::hash`] of every `labels:<vocab>` column.
    pub vocabs: Vec<(String, String)>,
}

/// Reads `<corpus>.tracks.parquet`, in key order.
///
/// Every `labels:<vocab>` column of the file appears in every row's [`Track::labels`]; a null is `None`.
///
/// # Errors
/// [`Error::Damaged`] for what is no Parquet, [`Error::Version`] for another version, [`Error::Invalid`] for rows that
/// contradict the format, [`Error::Mismatch`] when the rows are not those that were written.
pub fn read_tracks(path: &Path) -> Result<Vec<Track>> {
    let table = Table::open(path, "tracks")?;
    let written = table.meta("etude.tracks_hash").map(str::to_owned);
    let columns = columns::all();
    let names = table.columns();
    let labels = suffixes(&names, "labels:");
    let splits = suffixes(&names, "split:");
    let mut tracks: Vec<Track> = Vec::new();
    table.read(path, |batch, first_row| {
        let start = tracks.len();
        tracks.resize_with(start + batch.num_rows(), Track::default);
        let rows = &mut tracks[start..];
        for column in &columns {
            column.read(&batch, rows, first_row)?;
        }
        for vocab in &labels {
            read_labels(&batch, vocab, rows)?;
        }
        for scheme in &splits {
            read_split(&batch, scheme, rows, first_row)?;
        }
        Ok(())
    })?;
    check_order(path, &tracks)?;
    let found = tracks_hash(&tracks);
    match written {
        Some(written) if written != found => Err(Error::Mismatch {
            what: "hash of the tracks".into(),
            left_name: format!("{} as written", path.display()),
            left: written,
            right_name: "its rows".into(),
            right: found,
        }),
        _ => Ok(tracks),
    }
}

/// Reads only the metadata of `<corpus>.tracks.parquet`.
///
/// # Errors
/// As [`read_tracks`], as far as the footer shows it.
pub fn read_tracks_meta(path: &Path) -> Result<TableMeta> {
    let table = Table::open(path, "tracks")?;
    let text = |key: &str| table.meta(key).unwrap_or_default();
    let broken = |key: &str, why: serde_json::Error| {
        invalid(path, format!("expected JSON in the metadata `{key}`, got {why}"))
    };
    Ok(TableMeta {
        corpus: text("etude.corpus").to_owned(),
        decoder: text("etude.decoder").to_owned(),
        inputs: serde_json::from_str(text("etude.inputs"))
            .map_err(|e| broken("etude.inputs", e))?,
        vocabs: serde_json::from_str(text("etude.vocabs"))
            .map_err(|e| broken("etude.vocabs", e))?,
    })
}

/// Writes `<corpus>.tracks.parquet`, sorted by key: the same tracks in any order give the same bytes.
///
/// # Errors
/// [`Error::Invalid`] for a key that appears twice or a column that cannot hold its values; [`Error::Io`].
pub fn write_tracks(path: &Path, tracks: &[Track], meta: &TableMeta) -> Result<()> {
    let mut rows: Vec<&Track> = tracks.iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(pair) = rows.windows(2).find(|w| w[0].key == w[1].key) {
        let what = format!("expected unique keys, got `{}` twice", pair[0].key);
        return Err(invalid(path, what));
    }
    let layout = Layout::of(&rows);
    let metadata = vec![
        ("etude.version", VERSION.to_string()),
        ("etude.kind", "tracks".to_owned()),
        ("etude.corpus", meta.corpus.clone()),
        ("etude.decoder", meta.decoder.clone()),
        ("etude.inputs", json(path, &meta.inputs)?),
        ("etude.vocabs", json(path, &meta.vocabs)?),
        ("etude.tracks_hash", tracks_hash(tracks)),
    ];
    let mut statistics = vec!["key".to_owned(), "status".to_owned()];
    statistics.extend(layout.splits.iter().map(|s| format!("split:{s}")));
    atomic::write_through(path, |file| {
        let batches =
            rows.chunks(ROWS).map(|rows| layout.batch(rows).map_err(|what| invalid(path, what)));
        write_batches(file, path, layout.schema.clone(), metadata, &statistics, batches)
    })
}

/// Which columns a table of these rows has.
struct Layout {
    columns: Vec<Column>,
    labels: BTreeSet<String>,
    splits: BTreeSet<String>,
    schema: SchemaRef,
}

impl Layout {
    fn of(rows: &[&Track]) -> Self {
        let columns = columns::all();
        let labels: BTreeSet<String> = rows.iter().flat_map(|t| t.labels.keys().cloned()).collect();
        let splits: BTreeSet<String> = rows.iter().flat_map(|t| t.splits.keys().cloned()).collect();
        let mut fields: Vec<Field> = columns.iter().map(Column::field).collect();
        let list = arrays::list_type(DataType::Int32);
        fields.extend(labels.iter().map(|v| Field::new(format!("labels:{v}"), list.clone(), true)));
        let word = arrays::word_type();
        fields.extend(splits.iter().map(|s| Field::new(format!("split:{s}"), word.clone(), true)));
        Self { columns, labels, splits, schema: Arc::new(Schema::new(fields)) }
    }

    /// One row group.
    fn batch(&self, rows: &[&Track]) -> Result<RecordBatch, String> {
        let mut arrays: Vec<ArrayRef> =
            self.columns.iter().map(|c| c.write(rows)).collect::<Result<_, _>>()?;
        for vocab in &self.labels {
            let lists = rows.iter().map(|t| t.labels.get(vocab).and_then(Option::as_deref));
            arrays.push(arrays::number_lists::<Int32Type>(lists));
        }
        for scheme in &self.splits {
            let words = rows.iter().map(|t| t.splits.get(scheme).map(|s| s.name()));
            arrays.push(arrays::words(words, scheme)?);
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(|e| e.to_string())
    }
}

fn read_labels(batch: &RecordBatch, vocab: &str, rows: &mut [Track]) -> Result<(), String> {
    let name = format!("labels:{vocab}");
    let Some(array) = batch.column_by_name(&name) else { return Ok(()) };
    let lists = arrays::list(array, &name)?;
    let values = arrays::primitive::<Int32Type>(lists.values(), &name)?.values();
    for (i, track) in rows.iter_mut().enumerate() {
        let (from, to) = (lists.value_offsets()[i] as usize, lists.value_offsets()[i + 1] as usize);
        let labels = lists.is_valid(i).then(|| values[from..to].to_vec());
        track.labels.insert(vocab.to_owned(), labels);
    }
    Ok(())
}

fn read_split(
    batch: &RecordBatch,
    scheme: &str,
    rows: &mut [Track],
    first_row: usize,
) -> Result<(), String> {
    let name = format!("split:{scheme}");
    let Some(array) = batch.column_by_name(&name) else { return Ok(()) };
    let words = arrays::Texts::of(array, &name)?;
    for (i, track) in rows.iter_mut().enumerate().filter(|(i, _)| array.is_valid(*i)) {
        let split = Split::from_name(words.value(i)).ok_or_else(|| {
            let row = first_row + i;
            format!(
                "expected train, valid or test in `{name}` of row {row}, got `{}`",
                words.value(i)
            )
        })?;
        track.splits.insert(scheme.to_owned(), split);
    }
    Ok(())
}

/// The columns that begin with `prefix`, without it.
fn suffixes(names: &[String], prefix: &str) -> Vec<String> {
    names.iter().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect()
}

fn check_order(path: &Path, tracks: &[Track]) -> Result<()> {
    match tracks.windows(2).position(|w| w[0].key >= w[1].key) {
        None => Ok(()),
        Some(row) => {
            let (before, after) = (&tracks[row].key, &tracks[row + 1].key);
            let what = format!("expected sorted unique keys, got `{before}` before `{after}`");
            Err(invalid(path, what))
        }
    }
}
