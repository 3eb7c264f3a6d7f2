//! The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.
//!
//! Reading goes through a memory map, and only the tensors asked for are touched. Writing puts tensors in the order of
//! their names with a sorted header, so the same tensors make the same bytes, and appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// An open safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    start: usize,
    header: Metadata,
}

impl TensorFile {
    /// Opens and checks a file: offsets, lengths and types must fit.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read or is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |why: String| Error::File { path: path.to_owned(), why };
        let file = File::open(path).map_err(|e| fail(e.to_string()))?;
        // SAFETY: the map is read only; a file that others cut while we read it is outside what any reader can bear.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| fail(e.to_string()))?;
        let (length, header) = SafeTensors::read_metadata(&map)
            .map_err(|e| fail(format!("expected a safetensors file: {e}")))?;
        let start = length + 8;
        if map.len() != start + header.data_len() {
            let want = start + header.data_len();
            return Err(fail(format!("expected {want} bytes, got {}", map.len())));
        }
        Ok(Self { path: path.to_owned(), map, start, header })
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }

    /// The free text pairs of the header.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().clone().unwrap_or_default().into_iter().collect()
    }

    /// Shape of a tensor, `None` when there is none of that name.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let info = self.header.info(name)?;
        Some(info.shape.iter().map(|&n| n as i64).collect())
    }

    /// A tensor in the type it is stored in, on the CPU.
    ///
    /// # Errors
    /// When there is none of that name, or its type is none that libtorch computes with.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let fail = |why: String| Error::File { path: self.path.clone(), why };
        let info =
            self.header.info(name).ok_or_else(|| fail(format!("holds no tensor called {name}")))?;
        let kind = kind(info.dtype)
            .ok_or_else(|| fail(format!("{name}: {:?} is no type to load", info.dtype)))?;
        let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        let (from, to) = info.data_offsets;
        let bytes = &self.map[self.start + from..self.start + to];
        Ok(Tensor::f_from_data_size(bytes, &shape, kind)?)
    }

    /// Copies a tensor into `into`, which has its shape, and converts its type; the file's pages are given back.
    ///
    /// # Errors
    /// As [`TensorFile::tensor`].
    pub fn copy(&self, name: &str, into: &mut Tensor) -> Result<()> {
        let fail = |why: String| Error::File { path: self.path.clone(), why };
        let info =
            self.header.info(name).ok_or_else(|| fail(format!("holds no tensor called {name}")))?;
        let kind = kind(info.dtype)
            .ok_or_else(|| fail(format!("{name}: {:?} is no type to load", info.dtype)))?;
        let (from, to) = info.data_offsets;
        let bytes = &self.map[self.start + from..self.start + to];
        let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        let mut stride = vec![1i64; shape.len()];
        for i in (1..shape.len()).rev() {
            stride[i - 1] = stride[i] * shape[i];
        }
        if shape != into.size() {
            return Err(fail(format!("{name}: expected shape {:?}, got {shape:?}", into.size())));
        }
        if bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) != 0 {
            into.f_copy_(&self.tensor(name)?)?;
            return Ok(());
        }
        // SAFETY: the map outlives the view, which is only read, and covers all of its numbers.
        let view =
            unsafe { Tensor::f_from_blob(bytes.as_ptr(), &shape, &stride, kind, Device::Cpu) }?;
        into.f_copy_(&view)?;
        self.release(self.start + from, to - from);
        Ok(())
    }

    /// Gives pages back, so that the process does not hold a weight and its file at once.
    fn release(&self, from: usize, len: usize) {
        // SAFETY: pages of a read-only map of a file come back from the file when they are touched again.
        let _ = unsafe {
            self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, len)
        };
    }

    /// All tensors, sorted by name.
    ///
    /// # Errors
    /// As [`TensorFile::tensor`].
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.names().into_iter().map(|n| self.tensor(&n).map(|t| (n, t))).collect()
    }
}

/// Writes tensors and text pairs as safetensors. The file appears whole or not at all, and the same contents make the
/// same bytes.
///
/// # Errors
/// [`Error::File`] when it cannot be written; [`Error::Twice`] when two tensors have one name.
pub fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    about: &BTreeMap<String, String>,
) -> Result<()> {
    let mut sorted: Vec<&(String, Tensor)> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::Twice { name: pair[0].0.clone() });
    }
    let header = header(&sorted, about)?;
    whole(path, |out, fail| {
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(fail)?;
        out.write_all(&header).map_err(fail)?;
        sorted.iter().try_for_each(|(_, tensor)| out.write_all(&bytes(tensor)?).map_err(fail))
    })
}

/// Fills a file under a `.part` name, flushes it to disk and renames it; `fail` makes an error of the file.
pub(crate) fn whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>, &dyn Fn(io::Error) -> Error) -> Result<()>,
) -> Result<()> {
    let fail = |e: io::Error| Error::File { path: path.to_owned(), why: e.to_string() };
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut out = BufWriter::new(File::create(&part).map_err(fail)?);
    fill(&mut out, &fail)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(fail)?;
    let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    // Some network file systems cannot flush a folder; the file has its name by then.
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
    Ok(())
}

fn header(sorted: &[&(String, Tensor)], about: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut header = Map::new();
    if !about.is_empty() {
        header.insert("__metadata__".to_owned(), json!(about));
    }
    let mut offset = 0usize;
    for (name, tensor) in sorted {
        let dtype = dtype(tensor.f_kind()?).ok_or_else(|| Error::Setting {
            key: name.clone(),
            expected: "a type that safetensors holds".to_owned(),
            got: format!("{:?}", tensor.kind()),
        })?;
        let end = offset + tensor.numel() * tensor.kind().elt_size_in_bytes();
        let entry = json!({"dtype": dtype, "shape": tensor.size(), "data_offsets": [offset, end]});
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut out = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut out, tensor.numel())?;
    Ok(out)
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}

fn dtype(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Bool => "BOOL",
        Kind::Uint8 => "U8",
        Kind::Int8 => "I8",
        Kind::Int16 => "I16",
        Kind::Int => "I32",
        Kind::Int64 => "I64",
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Float => "F32",
        Kind::Double => "F64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(String, Tensor)> {
        let x = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]);
        vec![
            ("b.turned".to_owned(), x.transpose(0, 1)),
            ("a".to_owned(), x.to_kind(Kind::BFloat16)),
            ("c.count".to_owned(), Tensor::from(7i64)),
            ("d.none".to_owned(), Tensor::zeros([0, 4], (Kind::Double, Device::Cpu))),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_with_kind_shape_and_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let about =
            BTreeMap::from([("step".to_owned(), "3".to_owned()), ("z".into(), "é\"".into())]);
        write(&path, &sample(), &about).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names(), ["a", "b.turned", "c.count", "d.none"]);
        assert_eq!(file.metadata(), about);
        for (name, tensor) in sample() {
            let got = file.tensor(&name).unwrap();
            assert_eq!((got.kind(), got.size()), (tensor.kind(), tensor.size()), "{name}");
            assert!(got.equal(&tensor), "{name}");
        }
        assert!(!dir.path().join("x.safetensors.part").exists());
    }

    #[test]
    fn the_same_tensors_make_the_same_bytes_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        let about: BTreeMap<_, _> = (0..20).map(|i| (format!("k{i}"), i.to_string())).collect();
        let mut tensors = sample();
        write(&one, &tensors, &about).unwrap();
        tensors.reverse();
        write(&two, &tensors, &about).unwrap();
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    }

    #[test]
    fn a_cut_or_foreign_file_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        write(&path, &sample(), &BTreeMap::new()).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in [0, 4, 8, 20, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            let text = TensorFile::open(&path).unwrap_err().to_string();
            assert!(text.contains("x.safetensors"), "{cut}: {text}");
        }
        fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        assert!(TensorFile::open(&path).is_err());
        fs::write(&path, b"not a tensor file at all, just some text").unwrap();
        assert!(TensorFile::open(&path).is_err());
    }
}
