//! What `etude doctor` reports about libtorch.

use std::ffi::CStr;
use std::path::PathBuf;

use tch::Cuda;

use crate::{Result, cuda, ffi};

/// The libtorch in use and what it can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Version the shim was compiled against, e.g. `2.11.0`.
    pub version: String,
    /// Directory of the shared libraries in use.
    pub directory: PathBuf,
    /// CUDA.
    pub cuda: CudaFacts,
    /// Threads inside one operation.
    pub threads: i32,
    /// Threads across operations.
    pub interop_threads: i32,
    /// Whether oneDNN kernels are compiled in.
    pub onednn: bool,
}

/// Whether CUDA can be used, and if not why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaFacts {
    /// Number of devices; 0 when CUDA cannot be used.
    pub devices: i64,
    /// Whether cuDNN can be used.
    pub cudnn: bool,
    /// What stands in the way; `None` when CUDA works.
    pub why_not: Option<String>,
}

/// Asks libtorch. Opens the CUDA half if nobody has yet.
///
/// # Errors
/// When the loader does not know where libtorch is.
pub fn facts() -> Result<Facts> {
    let why_not = cuda::why_not();
    // SAFETY: the shim returns a string literal.
    let version = unsafe { CStr::from_ptr(ffi::etude_torch_version()) };
    Ok(Facts {
        version: version.to_string_lossy().into_owned(),
        directory: cuda::library_dir()?,
        cuda: CudaFacts {
            devices: if why_not.is_none() { Cuda::device_count() } else { 0 },
            cudnn: why_not.is_none() && Cuda::cudnn_is_available(),
            why_not,
        },
        threads: tch::get_num_threads(),
        interop_threads: tch::get_num_interop_threads(),
        onednn: tch::utils::has_mkldnn(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_tch_is_made_for_and_cuda_is_explained() {
        let facts = facts().unwrap();
        assert!(facts.version.starts_with("2.11."), "{facts:?}");
        assert!(facts.threads >= 1);
        assert_eq!(facts.cuda.why_not.is_none(), facts.cuda.devices > 0);
    }
}
