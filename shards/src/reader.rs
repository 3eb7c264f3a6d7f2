//! Any stretch of any track, straight from the mapped files into the caller's buffer.

use crate::error::{Error, Result};
use crate::index::Index;
use crate::kind::Number;
use crate::pages::{Foreign, Mapped, Shard};
use crate::spec::Spec;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// A shard set opened for reading; files are opened when they are first needed. Shared by all threads.
#[derive(Debug)]
pub struct Reader {
    width: usize,
    number: Number,
    block_steps: u64,
    files: Vec<OnFile>,
    tracks: Vec<Place>,
}

#[derive(Debug)]
struct OnFile {
    path: PathBuf,
    rows: u64,
    shard: OnceLock<Shard>,
}

/// Where a track is.
#[derive(Debug)]
struct Place {
    file: u32,
    first_row: u64,
    steps: u64,
}

/// What reading cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadFacts {
    /// Nanoseconds until the bytes were in memory.
    pub read_ns: u64,
    /// Nanoseconds from bytes to f32.
    pub convert_ns: u64,
    /// Bytes of the files that were touched, whole memory pages of 4096.
    pub bytes_read: u64,
    /// Bytes that became numbers.
    pub bytes_used: u64,
}

const MEMORY_PAGE: usize = 4096;

impl Reader {
    /// Prepares to read; nothing is opened yet.
    pub fn new(index: &Index) -> Self {
        let Spec { kind, number, .. } = *index.spec();
        let files = index.files().iter();
        let tracks = files.clone().zip(0u32..).flat_map(|(f, file)| {
            f.tracks.iter().map(move |t| Place { file, first_row: t.first_row, steps: t.steps })
        });
        Self {
            width: kind.width(),
            number,
            block_steps: index.spec().block_steps(),
            tracks: tracks.collect(),
            files: files
                .map(|f| OnFile { path: index.path(f), rows: f.rows, shard: OnceLock::new() })
                .collect(),
        }
    }

    /// Length of a track in time steps; tracks are numbered as in [`Index::tracks`].
    pub fn steps(&self, track: usize) -> u64 {
        self.tracks[track].steps
    }

    /// Reads time steps `start..` of a track into all of `out`, row-major `[T]` or `[T, W]`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Parquet`] and [`Error::Format`] name the file; [`Error::Config`] if the stretch does not
    /// lie in the track.
    pub fn read(&self, track: usize, start: u64, out: &mut [f32]) -> Result<ReadFacts> {
        let place = &self.tracks[track];
        let steps = (out.len() / self.width) as u64;
        if !out.len().is_multiple_of(self.width)
            || start.checked_add(steps).is_none_or(|e| e > place.steps)
        {
            let got =
                format!("{start} and {} numbers of a track of {} steps", out.len(), place.steps);
            return Err(Error::Config {
                key: "start",
                expected: "a stretch inside the track",
                got,
            });
        }
        if steps == 0 {
            return Ok(ReadFacts::default());
        }
        match self.shard(place.file as usize)? {
            Shard::Mapped(map) => self.read_mapped(map, place, start..start + steps, out),
            Shard::Foreign(file) => self.read_foreign(file, place, start..start + steps, out),
        }
    }

    fn read_mapped(
        &self,
        map: &Mapped,
        place: &Place,
        steps: Range<u64>,
        out: &mut [f32],
    ) -> Result<ReadFacts> {
        let begin = Instant::now();
        let (first, last) =
            (self.piece(place, &steps, steps.start), self.piece(place, &steps, steps.end - 1));
        let (first_page, last_page) =
            (map.page(first.row, first.block_bytes)?, map.page(last.row, last.block_bytes)?);
        // Rows follow each other in the file: one stretch from the first number to the last, and the first page's header.
        let numbers = first_page.numbers.start + first.from..last_page.numbers.start + last.to;
        let header = first_page.header;
        let joined = header.end + MEMORY_PAGE > numbers.start;
        let numbers = if joined { header.start..numbers.end } else { numbers };
        let parts = [numbers, if joined { 0..0 } else { header }];
        for part in parts.iter().filter(|p| !p.is_empty()) {
            map.fetch(part)?;
        }
        let have = Instant::now();
        for (piece, out) in self.pieces(place, &steps, out) {
            let block = map.block(piece.row, piece.block_bytes)?;
            self.number.decode(&block[piece.from..piece.to], out);
        }
        let done = Instant::now();
        parts.iter().filter(|p| !p.is_empty()).for_each(|part| map.release(part));
        Ok(ReadFacts {
            read_ns: ns(begin, have) + ns(done, Instant::now()),
            convert_ns: ns(have, done),
            bytes_read: parts.iter().map(memory_pages).sum(),
            bytes_used: (out.len() * self.number.bytes()) as u64,
        })
    }

    fn read_foreign(
        &self,
        file: &Foreign,
        place: &Place,
        steps: Range<u64>,
        out: &mut [f32],
    ) -> Result<ReadFacts> {
        let mut facts = ReadFacts::default();
        for (piece, out) in self.pieces(place, &steps, out) {
            let begin = Instant::now();
            let block = file.block(piece.row, piece.block_bytes)?;
            let have = Instant::now();
            self.number.decode(&block[piece.from..piece.to], out);
            facts.read_ns += ns(begin, have);
            facts.convert_ns += ns(have, Instant::now());
            facts.bytes_read += block.len() as u64;
            facts.bytes_used += (piece.to - piece.from) as u64;
        }
        Ok(facts)
    }

    /// The part of `steps` that lies in the same block as `step`.
    fn piece(&self, place: &Place, steps: &Range<u64>, step: u64) -> Piece {
        let block = step / self.block_steps;
        let begin = block * self.block_steps;
        let end = (begin + self.block_steps).min(place.steps);
        let bytes = |n: u64| n as usize * self.width * self.number.bytes();
        Piece {
            row: (place.first_row + block) as usize,
            block_bytes: bytes(end - begin),
            from: bytes(steps.start.max(begin) - begin),
            to: bytes(steps.end.min(end) - begin),
        }
    }

    /// `steps` block by block, each with its part of `out`.
    fn pieces<'a>(
        &'a self,
        place: &'a Place,
        steps: &'a Range<u64>,
        mut out: &'a mut [f32],
    ) -> impl Iterator<Item = (Piece, &'a mut [f32])> {
        let blocks = steps.start / self.block_steps..steps.end.div_ceil(self.block_steps);
        blocks.map(move |block| {
            let piece = self.piece(place, steps, block * self.block_steps);
            let (now, later) = std::mem::take(&mut out)
                .split_at_mut((piece.to - piece.from) / self.number.bytes());
            out = later;
            (piece, now)
        })
    }

    /// Opens a file the first time. Two threads may do so at once; the second result is dropped, nobody waits.
    fn shard(&self, file: usize) -> Result<&Shard> {
        let file = &self.files[file];
        if let Some(shard) = file.shard.get() {
            return Ok(shard);
        }
        let shard = Shard::open(&file.path, file.rows)?;
        Ok(file.shard.get_or_init(|| shard))
    }
}

/// A stretch of one block, in bytes.
struct Piece {
    row: usize,
    block_bytes: usize,
    from: usize,
    to: usize,
}

fn ns(from: Instant, to: Instant) -> u64 {
    (to - from).as_nanos() as u64
}

/// Bytes of the memory pages that a part of a file touches.
fn memory_pages(part: &Range<usize>) -> u64 {
    if part.is_empty() {
        return 0;
    }
    ((part.end.next_multiple_of(MEMORY_PAGE)) - part.start / MEMORY_PAGE * MEMORY_PAGE) as u64
}
