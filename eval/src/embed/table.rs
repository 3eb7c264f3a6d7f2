//! Embeddings of many files in one Parquet table: `path` utf8, `frames` u32, `dim` u32, `embedding` `list<f32>`, row-major
//! `[frames, dim]`. What made them is in the table's key-value metadata.

use crate::embed::Embedding;
use crate::error::{Error, Result};
use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use etude_manifests::atomic;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A table being written; it has a `.part` name until it is finished.
pub struct TableFile {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    dim: u32,
}

impl TableFile {
    /// Starts a table of embeddings of width `dim`; `about` says what made them.
    ///
    /// # Errors
    /// [`Error::Table`] when it cannot be written.
    pub fn create(path: &Path, dim: usize, about: &[(&str, String)]) -> Result<Self> {
        let number = Arc::new(Field::new("element", DataType::Float32, false));
        let schema = Arc::new(Schema::new(vec![
            Field::new("path", DataType::Utf8, false),
            Field::new("frames", DataType::UInt32, false),
            Field::new("dim", DataType::UInt32, false),
            Field::new("embedding", DataType::List(number), false),
        ]));
        let about =
            about.iter().map(|(k, v)| KeyValue::new(format!("etude.{k}"), v.clone())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(about))
            .build();
        let file = File::create(atomic::part_path(path)).map_err(fail(path))?;
        let writer =
            ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(fail(path))?;
        Ok(Self { path: path.to_owned(), schema, writer, dim: dim as u32 })
    }

    /// Adds one file's embedding; it is in the table when this returns.
    ///
    /// # Errors
    /// [`Error::Table`] when it cannot be written.
    pub fn push(&mut self, path: &str, embedding: &Embedding) -> Result<()> {
        let element = Arc::new(Field::new("element", DataType::Float32, false));
        let mut list = ListBuilder::new(Float32Builder::new()).with_field(element);
        list.values().append_slice(&embedding.data);
        list.append(true);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![path])),
            Arc::new(UInt32Array::from(vec![embedding.frames as u32])),
            Arc::new(UInt32Array::from(vec![self.dim])),
            Arc::new(list.finish()),
        ];
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(fail(&self.path))?;
        self.writer.write(&rows).map_err(fail(&self.path))
    }

    /// Closes the table and gives it its name.
    ///
    /// # Errors
    /// [`Error::Table`] when it cannot be written.
    pub fn finish(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(fail(&self.path))?;
        atomic::publish(&file, &self.path).map_err(fail(&self.path))
    }
}

fn fail<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |e| Error::Table { path, why: e.to_string() }
}
