//! Delimited text with a header: every error names file and line, what was expected and what was there.

use crate::error::{Error, Result};
use csv::StringRecord;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file being read line by line.
pub(super) struct Table {
    reader: csv::Reader<File>,
    path: PathBuf,
    header: Vec<String>,
    open_ended: bool,
}

/// One row and where it is.
pub(super) struct Row<'a> {
    table: &'a Table,
    record: StringRecord,
}

/// How fields are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Between two fields.
    pub delimiter: u8,
    /// Whether `"` encloses fields.
    pub quotes: bool,
    /// Whether the last column repeats: a row may have more fields than the header, or one fewer.
    pub open_ended: bool,
}

impl Table {
    /// Opens a file and reads its header.
    pub fn open(path: &Path, form: Form) -> Result<Self> {
        let mut reader = reader(path, form)?;
        let header = header_row(&mut reader, path)?;
        Self::with_header(reader, path, header, form)
    }

    /// Opens a file with the header of a table of two levels as pandas writes it: a row of groups, a row of names and a
    /// row with the name of the index. Columns are called `group.name`, the first one after the index.
    pub fn open_levels(path: &Path, form: Form) -> Result<Self> {
        let mut reader = reader(path, form)?;
        let groups = header_row(&mut reader, path)?;
        let names = header_row(&mut reader, path)?;
        let index = header_row(&mut reader, path)?;
        let index_first = index.iter().skip(1).all(String::is_empty) && !index.is_empty();
        if groups.len() != names.len() || groups.len() != index.len() || !index_first {
            return Err(Error::Annotation {
                place: format!("{}:3", path.display()),
                expected: "three header rows: groups, names, and the name of the first column"
                    .into(),
                got: format!(
                    "rows of {}, {} and {} columns",
                    groups.len(),
                    names.len(),
                    index.len()
                ),
            });
        }
        let joined =
            groups.iter().zip(&names).skip(1).map(|(group, name)| format!("{group}.{name}"));
        let header = index.first().cloned().into_iter().chain(joined).collect();
        Self::with_header(reader, path, header, form)
    }

    fn with_header(
        reader: csv::Reader<File>,
        path: &Path,
        header: Vec<String>,
        form: Form,
    ) -> Result<Self> {
        let table = Self { reader, path: path.to_path_buf(), header, open_ended: form.open_ended };
        if table.header.iter().all(String::is_empty) {
            return Err(table.wrong(1, "a header line", "an empty file"));
        }
        let mut names: Vec<&String> = table.header.iter().collect();
        names.sort_unstable();
        match names.windows(2).find(|w| w[0] == w[1]) {
            Some(w) => Err(table.wrong(1, "every column name once", &format!("{:?} twice", w[0]))),
            None => Ok(table),
        }
    }

    /// Column names.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Position of a column.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|h| h == name).ok_or_else(|| {
            let got: Vec<&str> = self.header.iter().take(12).map(String::as_str).collect();
            let more = if self.header.len() > 12 { ", …" } else { "" };
            self.wrong(1, &format!("a column {name:?}"), &format!("{}{more}", got.join(", ")))
        })
    }

    /// Positions of columns.
    pub fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N]> {
        let mut at = [0; N];
        for (slot, name) in at.iter_mut().zip(names) {
            *slot = self.column(name)?;
        }
        Ok(at)
    }

    /// The next row; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        let mut record = StringRecord::new();
        loop {
            if !self.reader.read_record(&mut record).map_err(|e| broken(&self.path, &e))? {
                return Ok(None);
            }
            if record.len() > 1 || record.iter().any(|f| !bare(f).is_empty()) {
                break; // not a blank line
            }
        }
        let (columns, got) = (self.header.len(), record.len());
        let row = Row { table: self, record };
        let expected = match row.table.open_ended {
            true if got + 1 < columns => format!("at least {} columns", columns - 1),
            false if got != columns => format!("{columns} columns"),
            _ => return Ok(Some(row)),
        };
        Err(row.wrong(&expected, &got.to_string()))
    }

    /// An error at a line.
    pub fn wrong(&self, line: u64, expected: &str, got: &str) -> Error {
        Error::Annotation {
            place: format!("{}:{line}", self.path.display()),
            expected: expected.into(),
            got: got.into(),
        }
    }
}

impl Row<'_> {
    /// A field; empty where an open-ended row ends before it.
    pub fn get(&self, column: usize) -> &str {
        self.record.get(column).map_or("", bare)
    }

    /// The fields from `column` on.
    pub fn rest(&self, column: usize) -> impl Iterator<Item = &str> {
        self.record.iter().skip(column).map(bare)
    }

    /// An error at this row.
    pub fn wrong(&self, expected: &str, got: &str) -> Error {
        self.table.wrong(self.line(), expected, got)
    }

    /// Number of the line, from 1.
    pub fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// A path below the corpus root: not empty, not absolute, not upwards.
    pub fn path(&self, column: usize) -> Result<&str> {
        let path = self.get(column);
        let inside =
            Path::new(path).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if path.is_empty() || !inside {
            return Err(self.wrong("a path below the corpus folder", &format!("{path:?}")));
        }
        Ok(path)
    }

    /// An id that audio is named after: not empty, one component of a path.
    pub fn name(&self, column: usize) -> Result<&str> {
        let id = self.get(column);
        match is_name(id) {
            true => Ok(id),
            false => Err(self.wrong("an id that can be a file name", &format!("{id:?}"))),
        }
    }

    /// A whole number.
    pub fn whole(&self, column: usize) -> Result<u32> {
        let text = self.get(column);
        text.parse().map_err(|_| {
            let name = self.table.header.get(column).map_or("column", String::as_str);
            self.wrong(&format!("a whole number in {name}"), &format!("{text:?}"))
        })
    }

    /// A finite number.
    pub fn number(&self, column: usize) -> Result<f64> {
        let text = self.get(column);
        text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| {
            let name = self.table.header.get(column).map_or("column", String::as_str);
            self.wrong(&format!("a number in {name}"), &format!("{text:?}"))
        })
    }
}

fn reader(path: &Path, form: Form) -> Result<csv::Reader<File>> {
    let file = File::open(path).map_err(Error::io(path))?;
    Ok(csv::ReaderBuilder::new()
        .delimiter(form.delimiter)
        .quoting(form.quotes)
        .flexible(true)
        // Lines are counted right only if "\n" ends them; the "\r" before it is cut off here.
        .terminator(csv::Terminator::Any(b'\n'))
        .has_headers(false)
        .from_reader(file))
}

fn header_row(reader: &mut csv::Reader<File>, path: &Path) -> Result<Vec<String>> {
    let mut header = StringRecord::new();
    reader.read_record(&mut header).map_err(|e| broken(path, &e))?;
    Ok(header.iter().map(|h| bare(h).to_owned()).collect())
}

/// Whether a file can be called so.
pub(super) fn is_name(id: &str) -> bool {
    let mut parts = Path::new(id).components();
    matches!(parts.next(), Some(std::path::Component::Normal(_))) && parts.next().is_none()
}

/// Without the first half of a "\r\n".
fn bare(field: &str) -> &str {
    field.strip_suffix('\r').unwrap_or(field)
}

fn broken(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map(|p| format!(":{}", p.line())).unwrap_or_default();
    match error.kind() {
        csv::ErrorKind::Io(e) => Error::Io {
            path: path.to_path_buf(),
            source: std::io::Error::new(e.kind(), e.to_string()),
        },
        csv::ErrorKind::Utf8 { err, .. } => Error::Annotation {
            place: format!("{}{line}", path.display()),
            expected: "UTF-8".into(),
            got: err.to_string(),
        },
        other => Error::Annotation {
            place: format!("{}{line}", path.display()),
            expected: "a row".into(),
            got: format!("{other:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const TSV: Form = Form { delimiter: b'\t', quotes: true, open_ended: false };

    fn table(text: &[u8], form: Form) -> Result<Vec<Vec<String>>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut table = Table::open(file.path(), form)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            rows.push(row.rest(0).map(str::to_owned).collect());
        }
        Ok(rows)
    }

    fn error(text: &[u8], form: Form) -> String {
        table(text, form).unwrap_err().to_string()
    }

    #[test]
    fn carriage_returns_quotes_and_a_byte_order_mark_are_no_part_of_a_field() {
        let rows = table(b"\xef\xbb\xbf\"a\"\t\"b\"\r\n\"1\"\t\"x y\"\r\n", TSV).unwrap();
        assert_eq!(rows, [["1", "x y"]]);
    }

    #[test]
    fn an_error_names_the_line_with_either_line_end() {
        for end in ["\n", "\r\n"] {
            let text = ["a\tb", "1\t2", "", "3\t4", "5"].join(end);
            let got = error(text.as_bytes(), TSV);
            assert!(got.ends_with(":5: expected 2 columns, got 1"), "{got}");
        }
    }

    #[test]
    fn an_open_ended_row_may_have_many_fields_or_none_in_the_last_column() {
        let form = Form { open_ended: true, quotes: false, ..TSV };
        let rows = table(b"id\ttags\nx\t\"rock\tpop\ny\n", form).unwrap();
        assert_eq!(rows, [vec!["x", "\"rock", "pop"], vec!["y"]]);
    }

    #[test]
    fn empty_files_double_columns_and_other_encodings_are_told_apart() {
        assert!(error(b"", TSV).contains(":1: expected a header line"));
        assert!(error(b"a\ta\n", TSV).contains("\"a\" twice"));
        assert!(error(b"a\tb\n1\t2\n\xff\t2\n", TSV).contains(":3: expected UTF-8"));
    }
}
