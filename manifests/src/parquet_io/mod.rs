//! Manifests as Parquet files: tracks in `<corpus>.tracks.parquet`, views in `<view>.parquet` with `<view>.json` beside it.
//!
//! Same rows, same bytes: rows are sorted by key, no times, hosts or absolute paths are stored, and every file is
//! written to a `.part` name and renamed. The key-value metadata holds the length and blake3 of everything before the
//! footer (`etude.data`), compared before a page is decoded. Readers accept missing optional columns.

mod arrays;
mod columns;
#[cfg(feature = "inspect")]
mod footer;
mod tracks;
mod views;

#[cfg(feature = "inspect")]
pub(crate) use footer::{footer, kind_of};
pub use tracks::{TableMeta, read_tracks, read_tracks_meta, write_tracks};
#[cfg(feature = "inspect")]
pub(crate) use views::{Description, read_description};
pub use views::{read_view, write_view};

use crate::error::{Error, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Version of the tables: in the key-value metadata of every Parquet file and in every `<view>.json`.
pub const VERSION: u32 = 1;

/// Rows per row group and per batch.
const ROWS: usize = 65_536;

/// An open table: its reader and its metadata.
struct Table {
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl Table {
    /// Opens a table of `kind` (`tracks` or `view`) and checks its version.
    fn open(path: &Path, kind: &str) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // Text comes as plain utf8, whatever it was when it was written.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = guarded(path, || {
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
                .map_err(|e| damaged(path, e))
        })?;
        let table = Self { builder };
        let got = table.meta("etude.kind").unwrap_or("a file without étude's metadata");
        if got != kind {
            return Err(Error::Format {
                path: path.display().to_string(),
                expected: format!("a Parquet file of kind `{kind}` written by étude"),
                got: got.to_owned(),
            });
        }
        match table.meta("etude.version").unwrap_or("none") {
            got if got == VERSION.to_string() => Ok(table),
            got => Err(Error::Version {
                path: path.to_owned(),
                expected: VERSION,
                got: got.to_owned(),
            }),
        }
    }

    /// Compares the bytes before the footer with the digest that was written with them, if there is one.
    fn verify(&self, path: &Path) -> Result<()> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let Some(written) = self.meta("etude.data") else { return Ok(()) };
        let length: u64 = written.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut digest = Digesting::new(std::io::sink());
        let mut bytes = BufReader::new(File::open(path).map_err(io)?).take(length);
        std::io::copy(&mut bytes, &mut digest).map_err(io)?;
        match digest.text() {
            got if got == written => Ok(()),
            got => Err(damaged(path, format!("bytes and blake3 {got}, written were {written}"))),
        }
    }

    /// A value of the file's key-value metadata.
    fn meta(&self, key: &str) -> Option<&str> {
        let pairs = self.builder.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|p| p.key == key)?.value.as_deref()
    }

    /// Names of the columns, in file order.
    fn columns(&self) -> Vec<String> {
        self.builder.schema().fields().iter().map(|f| f.name().clone()).collect()
    }

    /// Hands every batch with the number of its first row to `take`.
    fn read(
        self,
        path: &Path,
        mut take: impl FnMut(RecordBatch, usize) -> Result<(), String>,
    ) -> Result<()> {
        self.verify(path)?;
        guarded(path, || {
            let reader =
                self.builder.with_batch_size(ROWS).build().map_err(|e| damaged(path, e))?;
            let mut row = 0;
            for batch in reader {
                let batch = batch.map_err(|e| damaged(path, e))?;
                let rows = batch.num_rows();
                take(batch, row).map_err(|what| invalid(path, what))?;
                row += rows;
            }
            Ok(())
        })
    }
}

/// Runs a Parquet reader, which may panic on a footer that lies; the panic becomes an error.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    // What `read` was filling is dropped by the caller together with the error.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(damaged(path, "its footer contradicts its pages")))
}

/// Passes bytes on and remembers how many they were and their blake3.
struct Digesting<W> {
    inner: W,
    bytes: u64,
    hash: blake3::Hasher,
}

impl<W> Digesting<W> {
    fn new(inner: W) -> Self {
        Self { inner, bytes: 0, hash: blake3::Hasher::new() }
    }

    /// `<bytes> <hex blake3>`
    fn text(&self) -> String {
        format!("{} {}", self.bytes, self.hash.finalize().to_hex())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Writes batches as one Parquet file; `statistics` names the columns that get minima and maxima.
fn write_batches(
    file: &File,
    path: &Path,
    schema: SchemaRef,
    metadata: Vec<(&str, String)>,
    statistics: &[String],
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let pairs = metadata.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v)).collect();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(|e| damaged(path, e))?))
        .set_max_row_group_row_count(Some(ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(pairs));
    for column in statistics {
        let column = ColumnPath::from(column.as_str());
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
    }
    for unique in ["key", "sha256", "pcm_sha256"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(unique), false);
    }
    let mut writer = ArrowWriter::try_new(Digesting::new(file), schema, Some(properties.build()))
        .map_err(|e| unwritten(path, e))?;
    for batch in batches {
        writer.write(&batch?).map_err(|e| unwritten(path, e))?;
    }
    writer.flush().map_err(|e| unwritten(path, e))?;
    writer.sync().map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let data = KeyValue::new("etude.data".to_owned(), writer.inner().text());
    writer.append_key_value_metadata(data);
    writer.close().map_err(|e| unwritten(path, e))?;
    Ok(())
}

/// A value as one line of JSON.
fn json(path: &Path, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| unwritten(path, e))
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Damaged { path: path.to_owned(), why: why.to_string() }
}

fn unwritten(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Io { path: path.to_owned(), source: std::io::Error::other(why.to_string()) }
}

fn invalid(path: &Path, what: String) -> Error {
    Error::Invalid { path: path.display().to_string(), what }
}
