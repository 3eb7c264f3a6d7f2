//! What numpy left in published data: arrays of text (`.npy` of `<U…`), and the shuffle of `numpy.random.seed(n)`.
//!
//! Format: numpy's `lib/format.py`, versions 1 to 3. Generator: MT19937 (Matsumoto and Nishimura 1998), numpy's legacy
//! seeding and its draw of integers by masked rejection, which `numpy.random.shuffle` rests on.

use crate::error::{Error, Result};
use etude_manifests::Split;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The texts of a one-dimensional array of unicode strings, without the zeros that pad them.
pub(super) fn texts(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    parse(&bytes).map_err(|got| Error::Annotation {
        place: path.display().to_string(),
        expected: "a .npy of one dimension with texts (`<U…`)".into(),
        got,
    })
}

/// The split of every id in three lists: train, valid, test. An id in two of them is an error.
pub(super) fn splits(lists: &[PathBuf; 3]) -> Result<BTreeMap<String, Split>> {
    let mut splits = BTreeMap::new();
    for (path, split) in lists.iter().zip(Split::ALL) {
        for id in texts(path)? {
            let before = splits.insert(id.clone(), split);
            if let Some(before) = before {
                return Err(Error::Annotation {
                    place: path.display().to_string(),
                    expected: "every id once in the three lists".into(),
                    got: format!("{id} again, which is in {before}"),
                });
            }
        }
    }
    Ok(splits)
}

/// `0..n` as `numpy.random.seed(seed); numpy.random.shuffle(rows)` leaves them.
pub(super) fn shuffled(n: usize, seed: u32) -> Vec<usize> {
    let mut random = Mt19937::new(seed);
    let mut rows: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        rows.swap(i, random.up_to(i as u32) as usize);
    }
    rows
}

fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let cut = || "a file that is cut off".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("no .npy file")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
    let (length, rest) = match version[0] {
        1 => rest.split_at_checked(2).ok_or_else(cut)?,
        2 | 3 => rest.split_at_checked(4).ok_or_else(cut)?,
        other => return Err(format!(".npy version {other}")),
    };
    let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|e| e.to_string())?;
    let (width, n) = shape(header).ok_or_else(|| header.trim_end().to_owned())?;
    let expected = width.checked_mul(4).and_then(|w| w.checked_mul(n));
    if expected != Some(data.len()) {
        return Err(format!("{} bytes of data for {}", data.len(), header.trim_end()));
    }
    if width == 0 {
        return Ok(vec![String::new(); n]);
    }
    data.chunks_exact(width * 4).map(text).collect()
}

/// Letters per text and number of texts; `None` if the header is of another kind of array.
fn shape(header: &str) -> Option<(usize, usize)> {
    let after =
        |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let width = after("'descr'")?.strip_prefix("'<U")?.split_once('\'')?.0.parse().ok()?;
    let shape = after("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
    let n = shape.strip_suffix(',')?.trim().parse().ok()?;
    Some((width, n))
}

/// UTF-32, little endian, padded with zeros.
fn text(bytes: &[u8]) -> Result<String, String> {
    let letters = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let letters = letters.map(|code| char::from_u32(code).ok_or(format!("letter {code:#x}")));
    let text: String = letters.collect::<Result<_, _>>()?;
    Ok(text.trim_end_matches('\0').to_owned())
}

/// The generator behind `numpy.random`, before `default_rng`.
struct Mt19937 {
    state: [u32; 624],
    at: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let before = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = before.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, at: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.at == 624 {
            for i in 0..624 {
                let joined = self.state[i] & 0x8000_0000 | self.state[(i + 1) % 624] & 0x7fff_ffff;
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ joined >> 1 ^ twist;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// A whole number from 0 to `most`.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let draw = self.next() & mask;
            if draw <= most {
                return draw;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    /// A file of texts.
    pub fn write(path: &Path, texts: &[&str]) {
        let width = texts.iter().map(|t| t.chars().count()).max().unwrap_or(1);
        let data: Vec<u8> = texts.iter().flat_map(|t| utf32(t, width)).collect();
        let bytes = npy(&format!("<U{width}"), &format!("({},)", texts.len()), &data);
        std::fs::write(path, bytes).unwrap();
    }

    fn utf32(text: &str, width: usize) -> Vec<u8> {
        let letters = text.chars().map(u32::from).chain(std::iter::repeat(0));
        letters.take(width).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn texts_come_back_without_their_padding() {
        let data = [utf32("Uşşak", 6), utf32("rāga", 6), utf32("", 6)].concat();
        assert_eq!(parse(&npy("<U6", "(3,)", &data)).unwrap(), ["Uşşak", "rāga", ""]);
        assert_eq!(parse(&npy("<U0", "(2,)", b"")).unwrap(), ["", ""]);
    }

    #[test]
    fn other_arrays_and_cut_files_are_refused_with_what_they_are() {
        let data = utf32("ab", 2);
        let why = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert!(why(&npy("<U2", "(2,)", &data)).starts_with("8 bytes of data for {'descr': '<U2'"));
        assert!(why(&npy("<f4", "(2,)", &data)).contains("'<f4'"));
        assert!(why(&npy("|O", "()", &data)).contains("'|O'"));
        assert!(why(&npy("<U1", "(1, 2)", &data)).contains("(1, 2)"));
        assert_eq!(why(b"PK"), "no .npy file");
        assert_eq!(why(&npy("<U2", "(1,)", &data)[..20]), "a file that is cut off");
        assert_eq!(why(&npy("<U1", "(1,)", &[0, 0, 0x11, 0])), "letter 0x110000");
    }

    #[test]
    fn the_generator_is_the_one_of_its_authors() {
        let mut random = Mt19937::new(5489); // their default seed, and the 10 000th draw that the C++ standard states
        assert_eq!((1..10_000).map(|_| random.next()).count(), 9999);
        assert_eq!(random.next(), 4_123_659_995);
    }

    #[test]
    fn the_shuffle_is_the_one_behind_published_splits() {
        let first = [123, 416, 326, 229, 307, 501, 74, 871, 898, 190];
        assert_eq!(shuffled(1240, 10)[..10], first);
        assert_eq!(shuffled(1, 10), [0]);
        assert_eq!(shuffled(0, 10), [0; 0]);
    }
}
