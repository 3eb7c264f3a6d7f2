//! One shard file, opened for reading: where the numbers of each row lie in the mapped file.
//!
//! In a file written by [`crate::ShardFile`] a page of `data` holds one plain value: page header, 4 bytes of length, the
//! numbers. The offset index says where each page begins, so a block is a slice of the map. A file that somebody rewrote
//! with compression, a dictionary or larger pages is read row by row through the ordinary Parquet reader.

use crate::error::{Error, Result};
use crate::writer::{CREATOR, DATA};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use memmap2::{Mmap, UncheckedAdvice};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::basic::{Compression, Encoding, Type};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Files of at most so many bytes stay in memory while they are open.
const SMALL: usize = 4 << 20;

/// An open shard file; shared by all threads.
#[derive(Debug)]
pub(crate) enum Shard {
    /// Blocks are slices of the map.
    Mapped(Mapped),
    /// Blocks go through the Parquet reader.
    Foreign(Foreign),
}

/// A file as our writer leaves it.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    map: Mmap,
    /// Where the page of each row begins.
    starts: Vec<u64>,
    /// Where it ends, from its beginning.
    sizes: Vec<u32>,
}

/// Where one row lies in the file.
#[derive(Debug)]
pub(crate) struct Page {
    /// The page header and the length of the value.
    pub(crate) header: Range<usize>,
    /// The value.
    pub(crate) numbers: Range<usize>,
}

/// A file with the right rows in another form.
#[derive(Debug)]
pub(crate) struct Foreign {
    path: PathBuf,
    meta: ArrowReaderMetadata,
}

impl Shard {
    /// Opens a file that should hold `rows` rows.
    pub(crate) fn open(path: &Path, rows: u64) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let meta = ArrowReaderMetadata::load(&file, options).map_err(Error::parquet(path))?;
        let bad = |expected: &str, got: String| {
            Err(Error::Format { path: path.to_path_buf(), expected: expected.into(), got })
        };
        let got = meta.metadata().file_metadata().num_rows();
        if u64::try_from(got) != Ok(rows) {
            return bad(&format!("{rows} rows"), got.to_string());
        }
        let Some(column) = data_column(meta.metadata()) else {
            return bad("a binary column `data`", "none".to_string());
        };
        let path = path.to_path_buf();
        let Some((starts, sizes)) = plain_pages(meta.metadata(), column) else {
            if meta
                .metadata()
                .file_metadata()
                .created_by()
                .is_some_and(|by| by.starts_with(CREATOR))
            {
                let expected =
                    "one plain, uncompressed value a page, as this file was written".into();
                let got = "another form; `etude check` finds damaged files".into();
                return Err(Error::Format { path, expected, got });
            }
            return Ok(Self::Foreign(Foreign { path, meta }));
        };
        // SAFETY: a map is sound as long as nobody shortens or rewrites the file in place. Shard files are published
        // whole by a rename and never written again.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(&path))?;
        let mapped = Mapped { path, map, starts, sizes };
        if mapped.is_small() {
            mapped.populate(&(0..mapped.map.len()))?;
        }
        Ok(Self::Mapped(mapped))
    }
}

impl Mapped {
    /// Where the page of row `row` lies if its value has `bytes` bytes; looks at the offset index only.
    ///
    /// # Errors
    /// [`Error::Format`] if no page of that size fits.
    pub(crate) fn page(&self, row: usize, bytes: usize) -> Result<Page> {
        let (start, size) = (self.starts[row] as usize, self.sizes[row] as usize);
        let end = start.saturating_add(size);
        if size > bytes + 4 && end <= self.map.len() {
            Ok(Page { header: start..end - bytes, numbers: end - bytes..end })
        } else {
            Err(self.not_plain(row, bytes))
        }
    }

    /// The `bytes` bytes of row `row`.
    ///
    /// # Errors
    /// [`Error::Format`] if the page is not one plain value of that size.
    pub(crate) fn block(&self, row: usize, bytes: usize) -> Result<&[u8]> {
        let Page { header, numbers } = self.page(row, bytes)?;
        let (body, header) = (bytes as u64 + 4, &self.map[header]);
        let plain = page_sizes(header) == Some((body, body))
            && header.ends_with(&(bytes as u32).to_le_bytes());
        if plain { Ok(&self.map[numbers]) } else { Err(self.not_plain(row, bytes)) }
    }

    fn not_plain(&self, row: usize, bytes: usize) -> Error {
        let (start, size) = (self.starts[row], self.sizes[row]);
        Error::Format {
            path: self.path.clone(),
            expected: format!(
                "one plain value of {bytes} bytes in the page of row {row}, at byte {start}"
            ),
            got: format!(
                "a page of {size} bytes with other contents; `etude check` finds damaged files"
            ),
        }
    }

    /// Whether the file was fetched whole when it was opened and is kept: for its short vectors, asking the system for each
    /// would take longer than reading it.
    fn is_small(&self) -> bool {
        self.map.len() <= SMALL
    }

    /// Fetches a part of the file, in one go rather than page by page.
    ///
    /// # Errors
    /// [`Error::Io`] if the device fails; without this call a failing device would end the process.
    pub(crate) fn fetch(&self, range: &Range<usize>) -> Result<()> {
        if self.is_small() { Ok(()) } else { self.populate(range) }
    }

    fn populate(&self, range: &Range<usize>) -> Result<()> {
        #[cfg(target_os = "linux")]
        {
            use memmap2::Advice;
            let (at, len) = (range.start, range.len());
            // Hints only: what they ask for happens anyway, later and more slowly.
            let _ = self.map.advise_range(Advice::WillNeed, at, len);
            match self.map.advise_range(Advice::PopulateRead, at, len) {
                // Kernels before 5.14 do not know it.
                Err(e) if e.kind() != std::io::ErrorKind::InvalidInput => {
                    return Err(Error::io(&self.path)(e));
                }
                _ => {}
            }
        }
        let _ = range;
        Ok(())
    }

    /// Gives a part of the address space back, so that a process does not seem to own all it ever read. The bytes stay
    /// in the page cache.
    pub(crate) fn release(&self, range: &Range<usize>) {
        if self.is_small() {
            return;
        }
        // SAFETY: pages of a shared, read-only map that are dropped come back from the file when touched again; another
        // thread that reads the same part sees the same bytes.
        let _ = unsafe {
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
    }
}

impl Foreign {
    /// The `bytes` bytes of row `row`.
    ///
    /// # Errors
    /// [`Error::Parquet`], or [`Error::Format`] if the row has another size.
    pub(crate) fn block(&self, row: usize, bytes: usize) -> Result<Vec<u8>> {
        // Some damage makes the Parquet reader panic instead of answering.
        catch_unwind(AssertUnwindSafe(|| self.value(row, bytes))).unwrap_or_else(|_| {
            Err(Error::Format {
                path: self.path.clone(),
                expected: format!("{bytes} bytes in row {row}"),
                got: "a damaged page; `etude check` finds damaged files".into(),
            })
        })
    }

    fn value(&self, row: usize, bytes: usize) -> Result<Vec<u8>> {
        let bad = |expected: String, got: String| Error::Format {
            path: self.path.clone(),
            expected,
            got,
        };
        // A handle of its own: clones of a handle share one position, and threads would move it under each other.
        let file = File::open(&self.path).map_err(Error::io(&self.path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.meta.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), [DATA]);
        let rows = builder
            .with_projection(mask)
            .with_row_selection(RowSelection::from(vec![
                RowSelector::skip(row),
                RowSelector::select(1),
            ]))
            .with_batch_size(1)
            .build()
            .map_err(Error::parquet(&self.path))?
            .next()
            .ok_or_else(|| bad(format!("row {row}"), "the end of the file".into()))?
            .map_err(|e| Error::parquet(&self.path)(e.into()))?;
        let column = rows.column(0);
        let value = match column.data_type() {
            _ if column.is_null(0) => return Err(bad(format!("data in row {row}"), "null".into())),
            DataType::Binary => column.as_binary::<i32>().value(0),
            DataType::LargeBinary => column.as_binary::<i64>().value(0),
            DataType::BinaryView => column.as_binary_view().value(0),
            other => return Err(bad("a binary column `data`".into(), other.to_string())),
        };
        if value.len() == bytes {
            Ok(value.to_vec())
        } else {
            Err(bad(format!("{bytes} bytes in row {row}"), value.len().to_string()))
        }
    }
}

/// Place of the leaf column `data`.
fn data_column(meta: &ParquetMetaData) -> Option<usize> {
    let schema = meta.file_metadata().schema_descr();
    let found = schema.columns().iter().position(|c| c.path().string() == DATA)?;
    (schema.column(found).physical_type() == Type::BYTE_ARRAY).then_some(found)
}

/// Begin and size of every page of `column`, if each holds one plain value and they follow each other.
fn plain_pages(meta: &ParquetMetaData, column: usize) -> Option<(Vec<u64>, Vec<u32>)> {
    let descr = meta.file_metadata().schema_descr().column(column);
    if descr.max_def_level() != 0 || descr.max_rep_level() != 0 {
        return None;
    }
    let index = meta.offset_index()?;
    let (mut starts, mut sizes) = (Vec::new(), Vec::new());
    for (group, offsets) in meta.row_groups().iter().zip(index) {
        let chunk = group.column(column);
        let plain = chunk.compression() == Compression::UNCOMPRESSED
            && chunk.dictionary_page_offset().is_none()
            && chunk.encodings().all(|e| matches!(e, Encoding::PLAIN | Encoding::RLE));
        let pages = offsets.get(column)?.page_locations();
        if !plain || i64::try_from(pages.len()) != Ok(group.num_rows()) {
            return None;
        }
        for (row, page) in pages.iter().enumerate() {
            let (start, size) =
                (u64::try_from(page.offset).ok()?, u32::try_from(page.compressed_page_size).ok()?);
            let end = starts.last().zip(sizes.last()).map_or(0, |(at, n)| at + u64::from(*n));
            if start < end || page.first_row_index != row as i64 {
                return None;
            }
            starts.push(start);
            sizes.push(size);
        }
    }
    Some((starts, sizes))
}

/// Uncompressed and compressed size of the body, from the beginning of a page header in Thrift's compact protocol: three
/// 32-bit fields in order (kind of page, the two sizes), each a byte 0x15 and a zigzag varint. `None` unless it is a page
/// of data (0, or 3 for version 2).
fn page_sizes(page: &[u8]) -> Option<(u64, u64)> {
    let mut rest = page;
    let mut field = || {
        let (0x15, mut tail) = rest.split_first().map(|(b, t)| (*b, t))? else { return None };
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let (byte, after) = tail.split_first()?;
            tail = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                rest = tail;
                return (value & 1 == 0).then_some(value >> 1); // sizes are not negative
            }
        }
        None
    };
    let kind = field()?;
    let sizes = (field()?, field()?);
    matches!(kind, 0 | 3).then_some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_a_page_header() {
        // kind 0; 480 004 = 0x753_04 zigzag 960 008; both sizes the same; then other fields
        let header = [0x15, 0x00, 0x15, 0x88, 0xcc, 0x3a, 0x15, 0x88, 0xcc, 0x3a, 0x2c, 0x15];
        assert_eq!(page_sizes(&header), Some((480_004, 480_004)));
        let mut v2 = header;
        v2[1] = 6;
        assert_eq!(page_sizes(&v2), Some((480_004, 480_004)));
        let mut dictionary = header;
        dictionary[1] = 4;
        assert_eq!(page_sizes(&dictionary), None);
        for cut in 0..10 {
            assert_eq!(page_sizes(&header[..cut]), None);
        }
        assert_eq!(page_sizes(&[0x15, 0, 0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(page_sizes(&[0x15, 0, 0x15, 0x01, 0x15, 0x02]), None); // minus one
    }
}
