//! TensorBoard event files: the scalars of a log as curves.
//!
//! A record is the length (u64, little endian), its masked CRC-32C, the payload, the payload's masked CRC-32C. The
//! payload is a protobuf `Event`: field 1 `wall_time` (double), 2 `step` (int64), 3 `file_version` (string, first
//! record only), 5 `summary` { repeated 1 value { 1 tag (string), 2 simple_value (float) } }.

use crate::error::{Error, Result};
use crate::log::Row;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// An open event file.
#[derive(Debug)]
pub(crate) struct Curves {
    path: PathBuf,
    file: File,
}

impl Curves {
    /// Replaces the event files of a folder by one that holds the given rows: after a resume the curves show what the
    /// log shows.
    pub(crate) fn open(dir: &Path, wall: f64, rows: &[Row]) -> Result<Self> {
        for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
            let path = entry.map_err(Error::io(dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("events.out.tfevents.") {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        let name =
            format!("events.out.tfevents.{:010}.etude.{}.0", wall as u64, std::process::id());
        let path = dir.join(name);
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut curves = Self { path, file };
        let mut bytes = record(&version_event(wall));
        for row in rows {
            bytes.extend(row_records(row));
        }
        curves.write(&bytes)?;
        Ok(curves)
    }

    /// Adds the scalars of a row.
    pub(crate) fn push(&mut self, row: &Row) -> Result<()> {
        self.write(&row_records(row))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path))
    }
}

/// One record per row that has numbers.
fn row_records(row: &Row) -> Vec<u8> {
    let scalars: Vec<(String, f64)> = match row {
        Row::Step { loss, lr, grad_norm, extras, timing, .. } => {
            let fixed = [("loss", loss), ("lr", lr), ("grad_norm", grad_norm)];
            let speed = [("samples_s", &timing.samples_s), ("stall", &timing.stall)];
            let train = fixed.into_iter().map(|(k, v)| (format!("train/{k}"), *v));
            let speed = speed.into_iter().map(|(k, v)| (format!("speed/{k}"), *v));
            train
                .chain(extras.iter().map(|(k, v)| (format!("train/{k}"), *v)))
                .chain(speed)
                .collect()
        }
        Row::Valid { scores, .. } => {
            scores.iter().map(|(k, v)| (format!("valid/{k}"), *v)).collect()
        }
        Row::Event { .. } => return Vec::new(),
    };
    record(&scalar_event(row.timing().wall, row.step(), &scalars))
}

fn version_event(wall: f64) -> Vec<u8> {
    let mut event = vec![0x09];
    event.extend(wall.to_le_bytes());
    field(&mut event, 3, b"brain.Event:2");
    event
}

fn scalar_event(wall: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut v = Vec::new();
        field(&mut v, 1, tag.as_bytes());
        v.push(0x15); // field 2, 32 bit
        v.extend((*value as f32).to_le_bytes());
        field(&mut summary, 1, &v);
    }
    let mut event = vec![0x09]; // field 1, 64 bit
    event.extend(wall.to_le_bytes());
    event.push(0x10); // field 2, varint
    varint(&mut event, step);
    field(&mut event, 5, &summary);
    event
}

/// A length-delimited protobuf field.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Length, its checksum, payload, its checksum.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(payload.len() + 16);
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(payload);
    out.extend(masked(payload).to_le_bytes());
    out
}

/// CRC-32C, rotated and shifted so that a checksum of checksums stays useful.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Timing;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn a_record_is_framed_as_the_golden_bytes_say() {
        // wall_time 1.5, step 300, loss 0.5: laid out by hand from the format.
        let event = scalar_event(1.5, 300, &[("loss".to_owned(), 0.5)]);
        let golden: Vec<u8> = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f][..], // 1.5
            &[0x10, 0xac, 0x02],                       // 300
            &[0x2a, 13, 0x0a, 11, 0x0a, 4],            // summary, value, tag
            b"loss",
            &[0x15, 0, 0, 0, 0x3f], // 0.5
        ]
        .concat();
        assert_eq!(event, golden);
        let framed = record(&event);
        assert_eq!(framed[..8], [27, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(framed[8..12], masked(&framed[..8]).to_le_bytes());
        assert_eq!(framed[12..39], golden);
        assert_eq!(framed[39..], masked(&golden).to_le_bytes());
        assert_eq!(version_event(0.0)[9..], *b"\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn reopening_leaves_one_file_with_the_rows_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let row = |step| Row::Valid {
            step,
            epoch: 0,
            scores: [("mAP".to_owned(), 0.5)].into(),
            best: true,
            timing: Timing::default(),
        };
        let mut first = Curves::open(dir.path(), 1.0, &[]).unwrap();
        for step in 1..=3 {
            first.push(&row(step)).unwrap();
        }
        drop(first);
        let mut second = Curves::open(dir.path(), 2.0, &[row(1)]).unwrap();
        second.push(&row(2)).unwrap();
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
        let bytes = fs::read(&second.path).unwrap();
        let (mut at, mut records) = (0, 0);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let payload = &bytes[at + 12..at + 12 + length];
            let crc = &bytes[at + 12 + length..at + 16 + length];
            assert_eq!(crc, masked(payload).to_le_bytes());
            (at, records) = (at + 16 + length, records + 1);
        }
        assert_eq!(records, 3);
    }
}
