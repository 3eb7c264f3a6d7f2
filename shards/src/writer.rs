//! One shard file: tracks in, blocks out, as Parquet rows that any Parquet reader understands.
//!
//! Columns: `track` utf8, `variant` utf8, `index` u32 (block within the track), `start_s` f64, `valid` u32 (time steps in
//! this row), `tags` `list<utf8>` and `split` utf8 (block 0 only), `data` binary, last. `data` is plain: no dictionary, no
//! statistics, no compression, one row per page, so that the offset index alone leads to any block. Nothing in a file
//! depends on the time or the machine.

use crate::entry::{FileEntry, Refused, TrackEntry};
use crate::error::{Error, Result};
use crate::index::VERSION;
use crate::spec::{Spec, TrackRow, split_name, track_name};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Float64Array, ListArray, RecordBatch, StringArray, UInt32Array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use etude_manifests::atomic;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How files name their writer.
pub(crate) const CREATOR: &str = "etude-shards version ";

/// Name of the column that holds the numbers.
pub(crate) const DATA: &str = "data";

/// A shard file being written. Dropped before [`ShardFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct ShardFile {
    dir: PathBuf,
    n: usize,
    spec: Spec,
    schema: SchemaRef,
    writer: Option<ArrowWriter<Hashed>>,
    entry: FileEntry,
    /// Names of the tracks written.
    seen: HashSet<String>,
    /// Bytes of `data` in the open row group.
    group_bytes: u64,
}

/// What happened to one track on its way into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushFacts {
    /// Rows written.
    pub rows: u64,
    /// Values that had to be saturated (16 bit only).
    pub overs: u64,
}

impl ShardFile {
    /// Starts file `n` of a set in `dir`, which is made if need be. The file has a `.part` name until it is finished.
    ///
    /// # Errors
    /// [`Error::Config`] for a spec that cannot be written, [`Error::Io`] from the file system.
    pub fn create(dir: &Path, n: usize, spec: &Spec) -> Result<Self> {
        spec.check()?;
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        // An entry of an earlier run must never describe the file that is about to change.
        let entry = crate::entry::entry_path(dir, n);
        atomic::remove(&entry).map_err(Error::io(&entry))?;
        let name = FileEntry::file_name(n);
        let part = atomic::part_path(&dir.join(&name));
        let file = File::create(&part).map_err(Error::io(&part))?;
        let out = Hashed { file, hash: blake3::Hasher::new(), bytes: 0 };
        let schema = schema();
        let options = ArrowWriterOptions::new()
            .with_properties(properties(spec))
            .with_skip_arrow_metadata(true); // the Parquet types say it all
        let writer = ArrowWriter::try_new_with_options(out, schema.clone(), options)
            .map_err(Error::parquet(&part))?;
        let entry = FileEntry {
            name,
            identity: String::new(),
            rows: 0,
            row_groups: 0,
            bytes: 0,
            blake3: String::new(),
            tracks: Vec::new(),
            refused: Vec::new(),
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            n,
            spec: spec.clone(),
            schema,
            writer: Some(writer),
            entry,
            seen: HashSet::new(),
            group_bytes: 0,
        })
    }

    /// Notes which plan this file follows ([`Spec::identity`]), so that [`FileEntry::read_finished`] can find it again.
    pub fn planned(mut self, identity: impl Into<String>) -> Self {
        self.entry.identity = identity.into();
        self
    }

    /// Writes a whole track, `data` row-major `[T]` or `[T, W]`.
    ///
    /// # Errors
    /// [`Error::Track`] if the track is empty, not a multiple of W long, not finite, or already in this file.
    pub fn push(&mut self, row: &TrackRow, data: &[f32]) -> Result<PushFacts> {
        let width = self.spec.kind.width();
        self.check_track(row, data, width)?;
        let (block_steps, rate) = (self.spec.block_steps(), self.spec.kind.steps_per_s());
        let steps = (data.len() / width) as u64;
        let mut facts = PushFacts::default();
        for (index, block) in data.chunks(block_steps as usize * width).enumerate() {
            let mut bytes = Vec::new();
            facts.overs += self.spec.number.encode(block, &mut bytes);
            facts.rows += 1;
            if self.group_bytes > 0
                && self.group_bytes + bytes.len() as u64 > self.spec.row_group_bytes
            {
                self.end_group()?;
            }
            self.group_bytes += bytes.len() as u64;
            let start = index as u64 * block_steps;
            let start_s = if rate > 0.0 { start as f64 / rate } else { 0.0 };
            let valid = (block.len() / width) as u32; // a block has at most u32::MAX steps
            let rows = batch(&self.schema, row, index as u32, start_s, valid, bytes)
                .map_err(|e| Error::parquet(self.part())(e.into()))?;
            let part = self.part();
            self.writer()?.write(&rows).map_err(Error::parquet(part))?;
        }
        self.seen.insert(track_name(row.key, row.variant));
        self.entry.tracks.push(TrackEntry {
            key: row.key.to_string(),
            variant: row.variant.to_string(),
            first_row: self.entry.rows,
            steps,
            overs: facts.overs,
        });
        self.entry.rows += facts.rows;
        Ok(facts)
    }

    /// Notes a track of the plan that is left out, so that loaders can tell a refused track from an unknown one.
    pub fn refuse(&mut self, refused: Refused) {
        self.entry.refused.push(refused);
    }

    /// Closes the file, flushes it to disk, gives it its name, and leaves its entry beside it.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Io`].
    pub fn finish(mut self) -> Result<FileEntry> {
        if self.group_bytes > 0 {
            self.end_group()?;
        }
        let part = self.part();
        let writer = self.writer.take().ok_or_else(|| closed(&part))?;
        let out = writer.into_inner().map_err(Error::parquet(&part))?;
        self.entry.bytes = out.bytes;
        self.entry.blake3 = out.hash.finalize().to_hex().to_string();
        let path = self.dir.join(&self.entry.name);
        atomic::publish(&out.file, &path).map_err(Error::io(&path))?;
        self.entry.write(&self.dir, self.n)?;
        Ok(self.entry.clone())
    }

    fn check_track(&self, row: &TrackRow, data: &[f32], width: usize) -> Result<()> {
        let bad = |expected: &str, got: String| {
            let track = track_name(row.key, row.variant);
            Err(Error::Track { track, expected: expected.to_string(), got })
        };
        if data.is_empty() {
            return bad("at least one time step", "none".to_string());
        }
        if !data.len().is_multiple_of(width) {
            return bad(&format!("a multiple of {width} numbers"), data.len().to_string());
        }
        // A largest value first: unlike a search it needs no branch per number.
        let largest = data.iter().fold(0, |most: u32, x| most.max(x.abs().to_bits()));
        if largest >= f32::INFINITY.to_bits()
            && let Some(at) = data.iter().position(|x| !x.is_finite())
        {
            return bad("finite numbers", format!("{} at time step {}", data[at], at / width));
        }
        if self.seen.contains(&track_name(row.key, row.variant)) {
            return bad("every track once", "this one again".to_string());
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        let part = self.part();
        self.writer()?.flush().map_err(Error::parquet(part))?;
        self.entry.row_groups += 1;
        self.group_bytes = 0;
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut ArrowWriter<Hashed>> {
        let part = self.part();
        self.writer.as_mut().ok_or_else(|| closed(&part))
    }

    fn part(&self) -> PathBuf {
        atomic::part_path(&self.dir.join(&self.entry.name))
    }
}

impl Drop for ShardFile {
    fn drop(&mut self) {
        if self.writer.is_some() {
            // Best effort: readers ignore `.part` files, and the next run overwrites them.
            let _ = fs::remove_file(self.part());
        }
    }
}

fn closed(part: &Path) -> Error {
    Error::Format {
        path: part.to_path_buf(),
        expected: "an open file".into(),
        got: "a finished one".into(),
    }
}

/// A file that hashes what passes through, so that no second read is needed.
#[derive(Debug)]
struct Hashed {
    file: File,
    hash: blake3::Hasher,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn schema() -> SchemaRef {
    let tag = Arc::new(Field::new("element", DataType::Utf8, false));
    Arc::new(Schema::new(vec![
        Field::new("track", DataType::Utf8, false),
        Field::new("variant", DataType::Utf8, false),
        Field::new("index", DataType::UInt32, false),
        Field::new("start_s", DataType::Float64, false),
        Field::new("valid", DataType::UInt32, false),
        Field::new("tags", DataType::List(tag), true),
        Field::new("split", DataType::Utf8, true),
        Field::new(DATA, DataType::Binary, false),
    ]))
}

fn properties(spec: &Spec) -> WriterProperties {
    let data = || ColumnPath::from(DATA);
    let fact = |key: &str, value: String| KeyValue::new(format!("etude.{key}"), value);
    let facts = vec![
        fact("version", VERSION.to_string()),
        fact("corpus", spec.corpus.clone()),
        fact("kind", serde_json::to_string(&spec.kind).unwrap_or_default()),
        fact("number", serde_json::to_string(&spec.number).unwrap_or_default()),
        fact("block_s", spec.block_s.to_string()),
        fact("resampler", spec.resampler.clone()),
        fact("config", spec.config_digest.clone()),
        fact("manifest", spec.manifest_hash.clone()),
    ];
    WriterProperties::builder()
        .set_created_by(format!("{CREATOR}{VERSION}.0.0"))
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk) // smallest and largest key of a row group
        .set_column_statistics_enabled(data(), EnabledStatistics::None)
        .set_write_batch_size(1)
        .set_column_data_page_size_limit(data(), 1) // a page ends after every row
        .set_max_row_group_row_count(None)
        .set_key_value_metadata(Some(facts))
        .build()
}

fn batch(
    schema: &SchemaRef,
    row: &TrackRow,
    index: u32,
    start_s: f64,
    valid: u32,
    bytes: Vec<u8>,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let first = index == 0;
    let tags = StringArray::from_iter_values(if first { row.tags } else { &[] });
    let DataType::List(tag) = schema.field(5).data_type() else {
        return Err(arrow_schema::ArrowError::SchemaError("column 5 is not the tags".into()));
    };
    let tags = ListArray::try_new(
        tag.clone(),
        OffsetBuffer::from_lengths([tags.len()]),
        Arc::new(tags),
        Some(NullBuffer::from(vec![first])),
    )?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, bytes.len() as i32]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![row.key])),
        Arc::new(StringArray::from(vec![row.variant])),
        Arc::new(UInt32Array::from(vec![index])),
        Arc::new(Float64Array::from(vec![start_s])),
        Arc::new(UInt32Array::from(vec![valid])),
        Arc::new(tags),
        Arc::new(StringArray::from(vec![row.split.filter(|_| first).map(split_name)])),
        Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None)?),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}
