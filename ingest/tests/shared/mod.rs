//! Published annotation files, where they are at hand: `ETUDE_SHARED`, or `shared` beside the workspace.

use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder with published data; `None`, and a line, when there is none.
pub fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("ETUDE_SHARED").map_or(beside, PathBuf::from);
    let data = root.join("data");
    if !data.is_dir() {
        eprintln!("skipped: {} is not there; set ETUDE_SHARED", data.display());
        return None;
    }
    Some(data)
}

/// Text of a file below `data`, unpacked if its name ends in `.gz`.
#[allow(dead_code, reason = "not every test file that shares this module needs it")]
pub fn text(name: &str) -> Option<String> {
    Some(String::from_utf8(bytes(&data()?.join(name))).unwrap())
}

/// Files of one folder of `data`, unpacked where only `<name>.gz` is there, in a folder of their own.
#[allow(dead_code, reason = "not every test file that shares this module needs it")]
pub fn unpacked(folder: &str, names: &[&str]) -> Option<tempfile::TempDir> {
    let from = data()?.join(folder);
    let to = tempfile::tempdir().unwrap();
    for name in names {
        let plain = from.join(name);
        let source = if plain.exists() { plain } else { from.join(format!("{name}.gz")) };
        let target = to.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes(&source)).unwrap();
    }
    Some(to)
}

fn bytes(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if path.extension().is_none_or(|e| e != "gz") {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
    plain
}

/// A `.npy` of unicode strings.
#[allow(dead_code, reason = "not every test file that shares this module needs it")]
pub fn write_texts(path: &Path, texts: &[&str]) {
    let width = texts.iter().map(|t| t.chars().count()).max().unwrap_or(1);
    let shape = texts.len();
    let header =
        format!("{{'descr': '<U{width}', 'fortran_order': False, 'shape': ({shape},), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for text in texts {
        let letters = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(width);
        bytes.extend(letters.flat_map(u32::to_le_bytes));
    }
    std::fs::write(path, bytes).unwrap();
}
