//! Files that weights come in: safetensors, and what `torch.save` writes (`.pt`, `.pth`, `.bin`), told apart by their
//! first bytes. The pickle in a PyTorch file is read, never run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pytorch_reader::{DType, PytorchReader};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::weights::TensorFile;

/// An open file of weights. Tensors are read when asked for.
#[derive(Debug)]
pub enum WeightFile {
    /// A safetensors file.
    Safetensors(TensorFile),
    /// A PyTorch file.
    Pytorch(PytorchFile),
}

/// An open PyTorch file.
#[derive(Debug)]
pub struct PytorchFile {
    path: PathBuf,
    tensors: BTreeMap<String, pytorch_reader::Tensor>,
}

/// The key under which training code keeps its weights beside other things.
const NEST: &str = "state_dict.";

impl WeightFile {
    /// Opens a file of either kind. Names below a single top key `state_dict` lose it.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read or is neither.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |why: String| Error::File { path: path.to_owned(), why };
        let mut start = Vec::new();
        let file = File::open(path).map_err(|e| fail(e.to_string()))?;
        file.take(9).read_to_end(&mut start).map_err(|e| fail(e.to_string()))?;
        if start.get(8) == Some(&b'{') {
            return Ok(WeightFile::Safetensors(TensorFile::open(path)?));
        }
        let reader = PytorchReader::new(path)
            .map_err(|e| fail(format!("expected a safetensors or a PyTorch file: {e}")))?;
        if reader.is_empty() {
            return Err(fail("expected weights, got a PyTorch file without tensors".to_owned()));
        }
        let tensors: BTreeMap<_, _> = reader.into_tensors().into_iter().collect();
        let nested = tensors.keys().all(|name| name.starts_with(NEST));
        let strip = |name: String| if nested { name[NEST.len()..].to_owned() } else { name };
        let tensors = tensors.into_iter().map(|(name, t)| (strip(name), t)).collect();
        Ok(WeightFile::Pytorch(PytorchFile { path: path.to_owned(), tensors }))
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        match self {
            WeightFile::Safetensors(file) => file.names(),
            WeightFile::Pytorch(file) => file.tensors.keys().cloned().collect(),
        }
    }

    /// Shape of a tensor, `None` when there is none of that name.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match self {
            WeightFile::Safetensors(file) => file.shape(name),
            WeightFile::Pytorch(file) => file.tensors.get(name).map(shape),
        }
    }

    /// Copies a tensor into `into`, which has its shape, and converts its type.
    ///
    /// # Errors
    /// As [`WeightFile::tensor`].
    pub fn copy(&self, name: &str, into: &mut Tensor) -> Result<()> {
        match self {
            WeightFile::Safetensors(file) => file.copy(name, into),
            WeightFile::Pytorch(file) => Ok(into.f_copy_(&file.tensor(name)?)?),
        }
    }

    /// A tensor in the type it is stored in, on the CPU.
    ///
    /// # Errors
    /// When there is none of that name, its type is none that libtorch computes with, or its bytes are damaged.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        match self {
            WeightFile::Safetensors(file) => file.tensor(name),
            WeightFile::Pytorch(file) => file.tensor(name),
        }
    }
}

impl PytorchFile {
    fn tensor(&self, name: &str) -> Result<Tensor> {
        let fail = |why: String| Error::File { path: self.path.clone(), why };
        let tensor =
            self.tensors.get(name).ok_or_else(|| fail(format!("holds no tensor called {name}")))?;
        let kind = kind(tensor.dtype())
            .ok_or_else(|| fail(format!("{name}: {:?} is no type to load", tensor.dtype())))?;
        let bytes = tensor.read().map_err(|e| fail(e.to_string()))?;
        Ok(Tensor::f_from_data_size(&bytes, &shape(tensor), kind)?)
    }
}

fn shape(tensor: &pytorch_reader::Tensor) -> Vec<i64> {
    tensor.shape().iter().map(|&n| n as i64).collect()
}

fn kind(dtype: DType) -> Option<Kind> {
    Some(match dtype {
        DType::F64 => Kind::Double,
        DType::F32 => Kind::Float,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::I64 => Kind::Int64,
        DType::I32 => Kind::Int,
        DType::I16 => Kind::Int16,
        DType::I8 => Kind::Int8,
        DType::U8 => Kind::Uint8,
        DType::Bool => Kind::Bool,
        DType::U64 | DType::U32 | DType::U16 => return None,
    })
}
