//! The columns of `<corpus>.tracks.parquet`: one line per column says its type, how to read it from a row and how to put it back.

use super::arrays::{self, Texts};
use crate::row::{Status, Track, Warning};
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field};

/// One column: its name, whether null is refused, its type with both directions.
pub(super) struct Column {
    pub(super) name: &'static str,
    required: bool,
    cell: Cell,
}

type Get<T> = for<'a> fn(&'a Track) -> Option<T>;
type GetRef<T> = for<'a> fn(&'a Track) -> Option<&'a T>;
type Set<T> = fn(&mut Track, T);
type SetRef<T> = for<'a> fn(&mut Track, &'a T);

/// Arrow type of a column, and the functions between it and a [`Track`].
enum Cell {
    /// utf8
    Text(GetRef<str>, SetRef<str>),
    /// dictionary(int8, utf8): few different words
    Word(GetRef<str>, SetRef<str>),
    /// fixed_size_binary(32)
    Digest(GetRef<[u8; 32]>, Set<[u8; 32]>),
    Bool(Get<bool>, Set<bool>),
    I16(Get<i16>, Set<i16>),
    I32(Get<i32>, Set<i32>),
    I64(Get<i64>, Set<i64>),
    F32(Get<f32>, Set<f32>),
    F64(Get<f64>, Set<f64>),
    /// dictionary(int8, utf8), one of the words of [`Status`]
    Status,
    /// list<dictionary(int8, utf8)>, words of [`Warning`]
    Warnings,
    /// list<utf8>
    Tags,
}

/// Every fixed column in file order; `labels:<vocab>` and `split:<scheme>` follow them.
pub(super) fn all() -> Vec<Column> {
    use Cell::{Bool, Digest, F32, F64, I16, I32, I64, Text, Word};
    let must = |name, cell| Column { name, required: true, cell };
    let may = |name, cell| Column { name, required: false, cell };
    vec![
        must("dataset", Word(|t| Some(&t.dataset), |t, v| t.dataset = v.into())),
        must("key", Text(|t| Some(&t.key), |t, v| t.key = v.into())),
        must("clip_id", Text(|t| Some(&t.clip_id), |t, v| t.clip_id = v.into())),
        may("track_id", Text(|t| t.track_id.as_deref(), |t, v| t.track_id = Some(v.into()))),
        may("artist_id", Text(|t| t.artist_id.as_deref(), |t, v| t.artist_id = Some(v.into()))),
        may("album_id", Text(|t| t.album_id.as_deref(), |t, v| t.album_id = Some(v.into()))),
        may("artist", Text(|t| t.artist.as_deref(), |t, v| t.artist = Some(v.into()))),
        may("album", Text(|t| t.album.as_deref(), |t, v| t.album = Some(v.into()))),
        may("title", Text(|t| t.title.as_deref(), |t, v| t.title = Some(v.into()))),
        must("path", Text(|t| Some(&t.path), |t, v| t.path = v.into())),
        may("clip_start_s", F64(|t| t.clip_start_s, |t, v| t.clip_start_s = Some(v))),
        may(
            "published_digest",
            Text(|t| t.published_digest.as_deref(), |t, v| t.published_digest = Some(v.into())),
        ),
        may("file_bytes", I64(|t| t.facts.file_bytes, |t, v| t.facts.file_bytes = Some(v))),
        may("sha256", Digest(|t| t.facts.sha256.as_ref(), |t, v| t.facts.sha256 = Some(v))),
        may("digest_ok", Bool(|t| t.facts.digest_ok, |t, v| t.facts.digest_ok = Some(v))),
        may(
            "pcm_sha256",
            Digest(|t| t.facts.pcm_sha256.as_ref(), |t, v| t.facts.pcm_sha256 = Some(v)),
        ),
        may(
            "container",
            Word(|t| t.facts.container.as_deref(), |t, v| t.facts.container = Some(v.into())),
        ),
        may("codec", Word(|t| t.facts.codec.as_deref(), |t, v| t.facts.codec = Some(v.into()))),
        may("bit_rate", I32(|t| t.facts.bit_rate, |t, v| t.facts.bit_rate = Some(v))),
        may("src_rate", I32(|t| t.facts.src_rate, |t, v| t.facts.src_rate = Some(v))),
        may("src_channels", I16(|t| t.facts.src_channels, |t, v| t.facts.src_channels = Some(v))),
        may("src_bits", I16(|t| t.facts.src_bits, |t, v| t.facts.src_bits = Some(v))),
        may(
            "header_frames",
            I64(|t| t.facts.header_frames, |t, v| t.facts.header_frames = Some(v)),
        ),
        may("frames", I64(|t| t.facts.frames, |t, v| t.facts.frames = Some(v))),
        may(
            "decoded_frames",
            I64(|t| t.facts.decoded_frames, |t, v| t.facts.decoded_frames = Some(v)),
        ),
        may(
            "trim_policy",
            Word(|t| t.facts.trim_policy.as_deref(), |t, v| t.facts.trim_policy = Some(v.into())),
        ),
        may("delay", I32(|t| t.facts.delay, |t, v| t.facts.delay = Some(v))),
        may("padding", I32(|t| t.facts.padding, |t, v| t.facts.padding = Some(v))),
        may("duration_s", F64(|t| t.facts.duration_s, |t, v| t.facts.duration_s = Some(v))),
        may(
            "decode_errors",
            I32(|t| t.facts.decode_errors, |t, v| t.facts.decode_errors = Some(v)),
        ),
        may("nonfinite", I64(|t| t.facts.nonfinite, |t, v| t.facts.nonfinite = Some(v))),
        may("peak", F32(|t| t.facts.peak, |t, v| t.facts.peak = Some(v))),
        may("rms", F32(|t| t.facts.rms, |t, v| t.facts.rms = Some(v))),
        may("dc", F32(|t| t.facts.dc, |t, v| t.facts.dc = Some(v))),
        may(
            "silence_ratio",
            F32(|t| t.facts.silence_ratio, |t, v| t.facts.silence_ratio = Some(v)),
        ),
        may("clip_ratio", F32(|t| t.facts.clip_ratio, |t, v| t.facts.clip_ratio = Some(v))),
        must("status", Cell::Status),
        may(
            "status_text",
            Text(|t| t.status_text.as_deref(), |t, v| t.status_text = Some(v.into())),
        ),
        must("warnings", Cell::Warnings),
        may("licence", Text(|t| t.licence.as_deref(), |t, v| t.licence = Some(v.into()))),
        may(
            "licence_url",
            Text(|t| t.licence_url.as_deref(), |t, v| t.licence_url = Some(v.into())),
        ),
        may("tags", Cell::Tags),
        may("aug", Text(|t| t.aug.as_deref(), |t, v| t.aug = Some(v.into()))),
        may("source_key", Text(|t| t.source_key.as_deref(), |t, v| t.source_key = Some(v.into()))),
    ]
}

impl Column {
    /// The Arrow field of this column.
    pub(super) fn field(&self) -> Field {
        let kind = match self.cell {
            Cell::Text(..) => DataType::Utf8,
            Cell::Word(..) | Cell::Status => arrays::word_type(),
            Cell::Digest(..) => DataType::FixedSizeBinary(32),
            Cell::Bool(..) => DataType::Boolean,
            Cell::I16(..) => DataType::Int16,
            Cell::I32(..) => DataType::Int32,
            Cell::I64(..) => DataType::Int64,
            Cell::F32(..) => DataType::Float32,
            Cell::F64(..) => DataType::Float64,
            Cell::Warnings => arrays::list_type(arrays::word_type()),
            Cell::Tags => arrays::list_type(DataType::Utf8),
        };
        Field::new(self.name, kind, !self.required)
    }

    /// This column of some rows; `Err` says what does not fit the column.
    pub(super) fn write(&self, rows: &[&Track]) -> Result<ArrayRef, String> {
        Ok(match &self.cell {
            Cell::Text(get, _) => arrays::text(rows.iter().map(|t| get(t))),
            Cell::Word(get, _) => arrays::words(rows.iter().map(|t| get(t)), self.name)?,
            Cell::Digest(get, _) => arrays::digests(rows.iter().map(|t| get(t))),
            Cell::Bool(get, _) => arrays::bools(rows.iter().map(|t| get(t))),
            Cell::I16(get, _) => arrays::numbers::<Int16Type>(rows.iter().map(|t| get(t))),
            Cell::I32(get, _) => arrays::numbers::<Int32Type>(rows.iter().map(|t| get(t))),
            Cell::I64(get, _) => arrays::numbers::<Int64Type>(rows.iter().map(|t| get(t))),
            Cell::F32(get, _) => arrays::numbers::<Float32Type>(rows.iter().map(|t| get(t))),
            Cell::F64(get, _) => arrays::numbers::<Float64Type>(rows.iter().map(|t| get(t))),
            Cell::Status => arrays::words(rows.iter().map(|t| Some(t.status.name())), self.name)?,
            Cell::Warnings => arrays::word_lists(
                rows.iter().map(|t| t.warnings.iter().map(|w| w.name())),
                self.name,
            )?,
            Cell::Tags => arrays::text_lists(rows.iter().map(|t| t.tags.as_deref())),
        })
    }

    /// Fills this column of `rows` from a batch; `first_row` counts from the start of the file, for messages.
    pub(super) fn read(
        &self,
        batch: &RecordBatch,
        rows: &mut [Track],
        first_row: usize,
    ) -> Result<(), String> {
        let Some(array) = batch.column_by_name(self.name) else {
            return match self.required {
                true => Err(format!("expected a column `{}`, got none", self.name)),
                false => Ok(()),
            };
        };
        if self.required && array.null_count() > 0 {
            let row = (0..array.len()).find(|&i| array.is_null(i)).unwrap_or(0) + first_row;
            return Err(format!(
                "expected a value in column `{}` of row {row}, got null",
                self.name
            ));
        }
        let name = self.name;
        match &self.cell {
            Cell::Text(_, set) | Cell::Word(_, set) => {
                let values = Texts::of(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::Digest(_, set) => {
                let values: &FixedSizeBinaryArray = array
                    .as_fixed_size_binary_opt()
                    .filter(|a| a.value_length() == 32)
                    .ok_or_else(|| arrays::wrong(name, "fixed_size_binary(32)", array))?;
                each(array, rows, |track, i| {
                    let mut digest = [0; 32];
                    digest.copy_from_slice(values.value(i));
                    set(track, digest);
                });
            }
            Cell::Bool(_, set) => {
                let values =
                    array.as_boolean_opt().ok_or_else(|| arrays::wrong(name, "bool", array))?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::I16(_, set) => {
                let values = arrays::primitive::<Int16Type>(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::I32(_, set) => {
                let values = arrays::primitive::<Int32Type>(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::I64(_, set) => {
                let values = arrays::primitive::<Int64Type>(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::F32(_, set) => {
                let values = arrays::primitive::<Float32Type>(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::F64(_, set) => {
                let values = arrays::primitive::<Float64Type>(array, name)?;
                each(array, rows, |track, i| set(track, values.value(i)));
            }
            Cell::Status => {
                let values = Texts::of(array, name)?;
                for (i, track) in rows.iter_mut().enumerate() {
                    let word = values.value(i);
                    track.status = Status::from_name(word)
                        .ok_or_else(|| unknown(name, first_row + i, "a status", word))?;
                }
            }
            Cell::Warnings => {
                let lists = arrays::list(array, name)?;
                for (i, track) in rows.iter_mut().enumerate() {
                    let items = lists.value(i);
                    let words = Texts::of(&items, name)?;
                    track.warnings = (0..items.len())
                        .map(|j| {
                            Warning::from_name(words.value(j)).ok_or_else(|| {
                                unknown(name, first_row + i, "a warning", words.value(j))
                            })
                        })
                        .collect::<Result<_, String>>()?;
                }
            }
            Cell::Tags => {
                let lists = arrays::list(array, name)?;
                for (i, track) in rows.iter_mut().enumerate().filter(|(i, _)| array.is_valid(*i)) {
                    track.tags = Some(arrays::strings(&lists.value(i), name)?);
                }
            }
        }
        Ok(())
    }
}

/// Calls `put` for every row whose value is not null.
fn each(array: &ArrayRef, rows: &mut [Track], put: impl Fn(&mut Track, usize)) {
    for (i, track) in rows.iter_mut().enumerate().filter(|(i, _)| array.is_valid(*i)) {
        put(track, i);
    }
}

fn unknown(column: &str, row: usize, expected: &str, got: &str) -> String {
    format!("expected {expected} in column `{column}` of row {row}, got `{got}`")
}
