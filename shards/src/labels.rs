//! What a shard file says of its tracks beside their numbers: tags and default split, read without touching `data`.

use crate::entry::FileEntry;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::spec::{TrackRow, split_name};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, RecordBatch};
use etude_manifests::Split;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;

/// One track as its shard file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Key of the track in the manifest.
    pub key: String,
    /// `orig`, `key-3`, …
    pub variant: String,
    /// Raw tags as published.
    pub tags: Vec<String>,
    /// Default split.
    pub split: Option<Split>,
}

impl Labels {
    /// The same, to write it into another set.
    pub fn row(&self) -> TrackRow<'_> {
        let Self { key, variant, tags, split } = self;
        TrackRow { key, variant, tags, split: *split }
    }
}

impl Index {
    /// Labels of the tracks of one file, in the order of [`FileEntry::tracks`].
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Parquet`]; [`Error::Format`] if the file does not hold the tracks that the index says.
    pub fn labels(&self, file: &FileEntry) -> Result<Vec<Labels>> {
        let path = self.path(file);
        let handle = File::open(&path).map_err(Error::io(&path))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(handle).map_err(Error::parquet(&path))?;
        let columns = ["track", "variant", "index", "tags", "split"];
        let mask = ProjectionMask::columns(reader.parquet_schema(), columns);
        let reader = reader.with_projection(mask).build().map_err(Error::parquet(&path))?;
        let bad = |expected: &str, got: &str| Error::Format {
            path: path.clone(),
            expected: expected.to_owned(),
            got: got.to_owned(),
        };
        let mut found = Vec::with_capacity(file.tracks.len());
        for rows in reader {
            let rows = rows.map_err(|e| Error::parquet(&path)(e.into()))?;
            read(&rows, &mut found)
                .ok_or_else(|| bad("the columns of a shard file", "columns of other types"))?;
        }
        let same = found.len() == file.tracks.len()
            && found
                .iter()
                .zip(&file.tracks)
                .all(|(l, t)| l.key == t.key && l.variant == t.variant);
        if same { Ok(found) } else { Err(bad("the tracks that index.json names", "other tracks")) }
    }
}

/// Rows that begin a track; `None` for columns of other types.
fn read(rows: &RecordBatch, found: &mut Vec<Labels>) -> Option<()> {
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let (keys, variants, splits) = (text("track")?, text("variant")?, text("split")?);
    let index = rows.column_by_name("index")?.as_primitive_opt::<UInt32Type>()?;
    let tags = rows.column_by_name("tags")?.as_list_opt::<i32>()?;
    for row in (0..rows.num_rows()).filter(|&row| index.value(row) == 0) {
        let list = if tags.is_null(row) { None } else { Some(tags.value(row)) };
        let words = match &list {
            None => Vec::new(),
            Some(list) => {
                let words = list.as_string_opt::<i32>()?;
                words.iter().flatten().map(str::to_owned).collect()
            }
        };
        let split = (!splits.is_null(row)).then(|| splits.value(row));
        found.push(Labels {
            key: keys.value(row).to_owned(),
            variant: variants.value(row).to_owned(),
            tags: words,
            split: split.and_then(|name| {
                [Split::Train, Split::Valid, Split::Test]
                    .into_iter()
                    .find(|s| split_name(*s) == name)
            }),
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Number, ShardFile, Spec};

    #[test]
    fn labels_are_those_that_were_written_once_per_track() {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            corpus: "c".into(),
            kind: Kind::Wave { rate: 100 },
            number: Number::S16,
            block_s: 1.0,
            row_group_bytes: 300,
            resampler: "none".into(),
            config_digest: String::new(),
            manifest_hash: String::new(),
        };
        let label = |key: &str, tags: &[&str], split| Labels {
            key: key.into(),
            variant: "orig".into(),
            tags: tags.iter().map(|&t| t.to_owned()).collect(),
            split,
        };
        let all = [
            label("a", &["slow", "été"], Some(Split::Valid)),
            label("b", &[], None),
            label("c", &["x"], Some(Split::Test)),
        ];
        let mut file = ShardFile::create(dir.path(), 0, &spec).unwrap();
        for (labels, steps) in all.iter().zip([350, 20, 100]) {
            file.push(&labels.row(), &vec![0.1; steps]).unwrap();
        }
        let entry = file.finish().unwrap();
        let index = Index::assemble(dir.path(), &spec, vec![entry]).unwrap();
        assert_eq!(index.labels(&index.files()[0]).unwrap(), all);
        let mut other = index.files()[0].clone();
        other.tracks[1].key = "z".into();
        assert!(index.labels(&other).unwrap_err().to_string().contains("other tracks"));
    }
}
