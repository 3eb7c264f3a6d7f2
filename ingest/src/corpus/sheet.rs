//! A table in memory, from CSV, TSV or Parquet.

use super::table::{Form, Table};
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatchReader};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Header and rows.
pub(super) struct Sheet {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
    /// Line (text) or row (Parquet) of each.
    lines: Vec<u64>,
}

/// One field.
enum Cell {
    Null,
    Text(String),
    List(Vec<String>),
}

/// One row and where it is.
pub(super) struct Line<'a> {
    sheet: &'a Sheet,
    row: usize,
}

impl Sheet {
    /// Reads a file by its extension.
    pub fn read(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "csv" => Self::text(path, b','),
            "tsv" | "txt" => Self::text(path, b'\t'),
            "parquet" => Self::parquet(path),
            other => Err(Error::Annotation {
                place: path.display().to_string(),
                expected: "a table that ends in .csv, .tsv or .parquet".into(),
                got: format!(".{other}"),
            }),
        }
    }

    /// Position of a column.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|h| h == name).ok_or_else(|| Error::Annotation {
            place: format!("{}:1", self.path.display()),
            expected: format!("a column {name:?}"),
            got: self.header.join(", "),
        })
    }

    /// The rows.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        (0..self.rows.len()).map(|row| Line { sheet: self, row })
    }

    fn text(path: &Path, delimiter: u8) -> Result<Self> {
        let mut table = Table::open(path, Form { delimiter, quotes: true, open_ended: false })?;
        let (header, mut rows, mut lines) = (table.header().to_vec(), Vec::new(), Vec::new());
        while let Some(row) = table.next()? {
            rows.push(row.rest(0).map(|field| Cell::Text(field.to_owned())).collect());
            lines.push(row.line());
        }
        Ok(Self { path: path.to_path_buf(), header, rows, lines })
    }

    fn parquet(path: &Path) -> Result<Self> {
        let broken = |why: String| Error::Annotation {
            place: path.display().to_string(),
            expected: "a Parquet table of texts, numbers, booleans and lists of texts".into(),
            got: why,
        };
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.build())
            .map_err(|e| broken(e.to_string()))?;
        let schema = reader.schema();
        let header: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut rows = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|e| broken(e.to_string()))?;
            let columns: Vec<Vec<Cell>> = batch
                .columns()
                .iter()
                .zip(&header)
                .map(|(column, name)| cells(column).ok_or_else(|| broken(unread(name, column))))
                .collect::<Result<_>>()?;
            let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
            for _ in 0..batch.num_rows() {
                rows.push(columns.iter_mut().filter_map(Iterator::next).collect());
            }
        }
        let lines = (1..=rows.len() as u64).collect();
        Ok(Self { path: path.to_path_buf(), header, rows, lines })
    }
}

fn unread(name: &str, column: &ArrayRef) -> String {
    format!("column {name:?} of {}", column.data_type())
}

/// Fields of a column; `None` for a type that holds no tags.
fn cells(column: &ArrayRef) -> Option<Vec<Cell>> {
    let n = column.len();
    let text = |get: &dyn Fn(usize) -> String| -> Vec<Cell> {
        (0..n).map(|i| if column.is_null(i) { Cell::Null } else { Cell::Text(get(i)) }).collect()
    };
    Some(match column.data_type() {
        DataType::Utf8 => text(&|i| column.as_string::<i32>().value(i).to_owned()),
        DataType::LargeUtf8 => text(&|i| column.as_string::<i64>().value(i).to_owned()),
        DataType::Utf8View => text(&|i| column.as_string_view().value(i).to_owned()),
        DataType::Boolean => text(&|i| column.as_boolean().value(i).to_string()),
        DataType::Int32 => text(&|i| column.as_primitive::<Int32Type>().value(i).to_string()),
        DataType::Int64 => text(&|i| column.as_primitive::<Int64Type>().value(i).to_string()),
        DataType::Float32 => text(&|i| column.as_primitive::<Float32Type>().value(i).to_string()),
        DataType::Float64 => text(&|i| column.as_primitive::<Float64Type>().value(i).to_string()),
        DataType::Null => (0..n).map(|_| Cell::Null).collect(),
        DataType::List(_) => lists(column, |i| column.as_list::<i32>().value(i))?,
        DataType::LargeList(_) => lists(column, |i| column.as_list::<i64>().value(i))?,
        _ => return None,
    })
}

fn lists(column: &ArrayRef, value: impl Fn(usize) -> ArrayRef) -> Option<Vec<Cell>> {
    let list = |i: usize| {
        if column.is_null(i) {
            return Some(Cell::Null);
        }
        let texts = cells(&value(i))?.into_iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(text),
            Cell::Null | Cell::List(_) => None,
        });
        Some(Cell::List(texts.collect()))
    };
    (0..column.len()).map(list).collect()
}

impl Line<'_> {
    fn cell(&self, column: usize) -> &Cell {
        &self.sheet.rows[self.row][column]
    }

    /// A field as text, without the space around it; a list joined with `|`.
    pub fn text(&self, column: usize) -> String {
        match self.cell(column) {
            Cell::Null => String::new(),
            Cell::Text(text) => text.trim().to_owned(),
            Cell::List(texts) => texts.join("|"),
        }
    }

    /// A field as a list: `a|b`, `a;b`, or a list; each value once. `None` if it is null.
    pub fn list(&self, column: usize) -> Option<Vec<String>> {
        let values: Vec<&str> = match self.cell(column) {
            Cell::Null => return None,
            Cell::Text(text) => text.split(['|', ';']).collect(),
            Cell::List(texts) => texts.iter().map(String::as_str).collect(),
        };
        let mut list: Vec<String> = Vec::new();
        for value in values.into_iter().map(str::trim).filter(|v| !v.is_empty()) {
            if !list.iter().any(|seen| seen == value) {
                list.push(value.to_owned());
            }
        }
        Some(list)
    }

    /// An error at this row.
    pub fn wrong(&self, expected: &str, got: &str) -> Error {
        Error::Annotation {
            place: format!("{}:{}", self.sheet.path.display(), self.sheet.lines[self.row]),
            expected: expected.into(),
            got: got.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{BooleanArray, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    #[test]
    fn a_parquet_table_gives_texts_numbers_lists_and_nulls() {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("rock"), Some("live"), Some("rock")]);
        tags.append_null();
        tags.append_value([None::<&str>; 0]);
        let columns: [(&str, ArrayRef); 4] = [
            ("path", Arc::new(StringArray::from(vec![Some("a.wav"), Some(" b "), None]))),
            ("on", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("n", Arc::new(Int64Array::from(vec![1, 0, -7]))),
            ("tags", Arc::new(tags.finish())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let sheet = Sheet::read(&path).unwrap();
        let text = |c: &str| -> Vec<String> {
            let at = sheet.column(c).unwrap();
            sheet.lines().map(|l| l.text(at)).collect()
        };
        assert_eq!(text("path"), ["a.wav", "b", ""]);
        assert_eq!(
            (text("on"), text("n")),
            (
                vec!["true".into(), "false".into(), "true".into()],
                vec!["1".into(), "0".into(), "-7".into()]
            )
        );
        let tags: Vec<_> = sheet.lines().map(|l| l.list(sheet.column("tags").unwrap())).collect();
        assert_eq!(tags, [Some(vec!["rock".to_owned(), "live".into()]), None, Some(vec![])]);
    }

    #[test]
    fn what_is_no_table_is_told_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        std::fs::write(&path, "path,tags\n").unwrap();
        let text = |path: &Path| Sheet::read(path).map(|_| ()).unwrap_err().to_string();
        assert!(text(&path).contains("t.parquet: expected a Parquet table"));
        assert!(text(&dir.path().join("t.xlsx")).contains("expected a table that ends in .csv"));
    }
}
