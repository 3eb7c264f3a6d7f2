//! `index.json`: what a shard set is and which files hold which tracks. Written last: a folder without it is not a set.

use crate::entry::{FileEntry, Refused, TrackEntry};
use crate::error::{Error, Result};
use crate::spec::{Spec, track_name};
use etude_manifests::atomic;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Version of the files and of `index.json`.
pub const VERSION: u32 = 1;

const NAME: &str = "index.json";

/// A finished shard set.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    dir: PathBuf,
    spec: Spec,
    files: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    spec: Spec,
    files: Vec<FileEntry>,
}

/// Read first, so that an index of another version is told apart from a broken one.
#[derive(Deserialize)]
struct OnlyVersion {
    version: serde_json::Value,
}

impl Index {
    /// Reads `dir/index.json` and looks whether every file is there and has its size. Digests are for
    /// [`Index::verify`].
    ///
    /// # Errors
    /// [`Error::Io`] without an index, [`Error::Format`] if it is not one, [`Error::Version`] if it is another
    /// version's, [`Error::Missing`] and [`Error::Size`] for the files.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let garbage = |e: serde_json::Error| Error::Format {
            path: path.clone(),
            expected: "the index of a shard set".into(),
            got: e.to_string(),
        };
        let OnlyVersion { version } = serde_json::from_slice(&text).map_err(garbage)?;
        if version.as_u64() != Some(u64::from(VERSION)) {
            return Err(Error::Version { path, expected: VERSION, got: version.to_string() });
        }
        let OnDisk { spec, files, .. } = serde_json::from_slice(&text).map_err(garbage)?;
        let index = Self { dir: dir.to_path_buf(), spec, files };
        index.check(&path)?;
        for file in &index.files {
            index.check_size(file)?;
        }
        Ok(index)
    }

    /// Writes `dir/index.json` over finished files, and removes what it replaces: the entries beside the files, and
    /// files left over from an earlier, larger set.
    ///
    /// # Errors
    /// [`Error::Format`] if two files hold the same track, [`Error::Missing`] and [`Error::Size`] for the files,
    /// [`Error::Io`].
    pub fn assemble(dir: &Path, spec: &Spec, files: Vec<FileEntry>) -> Result<Self> {
        spec.check()?;
        let path = dir.join(NAME);
        let index = Self { dir: dir.to_path_buf(), spec: spec.clone(), files };
        index.check(&path)?;
        for file in &index.files {
            index.check_size(file)?;
        }
        let on_disk = OnDisk { version: VERSION, spec: index.spec, files: index.files };
        let mut text = serde_json::to_vec(&on_disk).map_err(|e| Error::io(&path)(e.into()))?;
        text.push(b'\n');
        atomic::write(&path, &text).map_err(Error::io(&path))?;
        let index = Self { dir: index.dir, spec: on_disk.spec, files: on_disk.files };
        index.remove_leftovers()?;
        Ok(index)
    }

    /// Removes `dir/index.json`, if there is one: an index must never describe files that are about to change.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        atomic::remove(&path).map_err(Error::io(&path))
    }

    /// Reads every byte of every file and compares its digest.
    ///
    /// # Errors
    /// The first of [`Index::damage`]: [`Error::Missing`], [`Error::Size`] or [`Error::Digest`] names the file.
    pub fn verify(&self) -> Result<()> {
        self.damage().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong with the files, in file order. Empty: every byte is as it was written.
    pub fn damage(&self) -> Vec<Error> {
        let next = AtomicUsize::new(0);
        let threads =
            std::thread::available_parallelism().map_or(1, |n| n.get()).min(self.files.len());
        let mut found: Vec<(usize, Error)> = std::thread::scope(|scope| {
            let work = || {
                let mut found = Vec::new();
                while let Some((i, file)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    self.files.get(i).map(|f| (i, f))
                } {
                    found.extend(self.check_digest(file).err().map(|e| (i, e)));
                }
                found
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|w| w.join().unwrap_or_else(|p| resume_unwind(p)))
                .collect()
        });
        found.sort_by_key(|(i, _)| *i);
        found.into_iter().map(|(_, e)| e).collect()
    }

    /// What the set is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Every stored track, file by file.
    pub fn tracks(&self) -> impl Iterator<Item = &TrackEntry> {
        self.files.iter().flat_map(|f| &f.tracks)
    }

    /// Every track that was planned and left out.
    pub fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.files.iter().flat_map(|f| &f.refused)
    }

    /// The files, in order.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The folder of the set.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a file of the set is.
    pub(crate) fn path(&self, file: &FileEntry) -> PathBuf {
        self.dir.join(&file.name)
    }

    /// Whether the index contradicts itself.
    fn check(&self, place: &Path) -> Result<()> {
        self.spec.check()?;
        let bad = |expected: &str, got: String| {
            Err(Error::Format { path: place.to_path_buf(), expected: expected.into(), got })
        };
        let mut names = HashSet::new();
        let mut seen = HashSet::new();
        for file in &self.files {
            file.check(&self.spec, place)?;
            if !names.insert(&file.name) {
                return bad("every file once", format!("{} twice", file.name));
            }
            for (key, variant) in file
                .tracks
                .iter()
                .map(|t| (&t.key, &t.variant))
                .chain(file.refused.iter().map(|r| (&r.key, &r.variant)))
            {
                if !seen.insert((key, variant)) {
                    return bad("every track once", format!("{} twice", track_name(key, variant)));
                }
            }
        }
        Ok(())
    }

    /// Whether a file is there with the size it was written with.
    pub(crate) fn check_size(&self, file: &FileEntry) -> Result<()> {
        let path = self.path(file);
        let got = match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::Missing { path }),
            other => other.map_err(Error::io(&path))?.len(),
        };
        if got == file.bytes {
            Ok(())
        } else {
            Err(Error::Size { path, expected: file.bytes, got })
        }
    }

    fn check_digest(&self, file: &FileEntry) -> Result<()> {
        self.check_size(file)?;
        let path = self.path(file);
        let mut hash = blake3::Hasher::new();
        let handle = File::open(&path).map_err(Error::io(&path))?;
        hash.update_reader(handle).map_err(Error::io(&path))?;
        let got = hash.finalize().to_hex().to_string();
        if got == file.blake3 {
            Ok(())
        } else {
            Err(Error::Digest { path, expected: file.blake3.clone(), got })
        }
    }

    /// Removes our own files that this index does not list.
    fn remove_leftovers(&self) -> Result<()> {
        for found in fs::read_dir(&self.dir).map_err(Error::io(&self.dir))? {
            let found = found.map_err(Error::io(&self.dir))?;
            let name = found.file_name();
            let Some(name) = name.to_str() else { continue };
            let ours = name.strip_prefix("shard-").is_some_and(|rest| {
                let (digits, end) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                digits.len() >= 5
                    && digits.bytes().all(|b| b.is_ascii_digit())
                    && matches!(end, ".json" | ".json.part" | ".parquet" | ".parquet.part")
            });
            if ours && !self.files.iter().any(|f| f.name == name) {
                atomic::remove(&found.path()).map_err(Error::io(found.path()))?;
            }
        }
        Ok(())
    }
}
