//! CUDA at run time: one binary serves machines with and without it.
//!
//! A binary links libtorch's CPU half only. Opening `libtorch_cuda.so` before anything asks whether CUDA is there
//! registers the CUDA half; once someone has asked in vain, CUDA stays off for the life of the process.

use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device};

use crate::{Error, Result, ffi};

/// How opening the CUDA half of libtorch went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaLibrary {
    /// Opened from this file.
    Opened(PathBuf),
    /// The libtorch in use is a CPU build: this file does not exist.
    Absent(PathBuf),
    /// The file is there and the loader refused it.
    Refused {
        /// The file.
        path: PathBuf,
        /// The loader's reason, usually a missing CUDA library.
        why: String,
    },
}

/// Opens `libtorch_cuda.so` from the directory of the libtorch in use. Call it before anything else asks for CUDA;
/// further calls return the first answer. It never fails: on a machine without CUDA the answer says why.
pub fn cuda_init() -> &'static CudaLibrary {
    static DONE: OnceLock<CudaLibrary> = OnceLock::new();
    DONE.get_or_init(|| match library_dir() {
        Ok(dir) => open(&dir.join("libtorch_cuda.so")),
        Err(e) => CudaLibrary::Refused { path: "libtorch_cuda.so".into(), why: e.to_string() },
    })
}

fn open(path: &Path) -> CudaLibrary {
    if !path.exists() {
        return CudaLibrary::Absent(path.to_owned());
    }
    // SAFETY: the file belongs to the libtorch already in this process; its initialisers only register back-ends.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // Registered back-ends point into the library, so it must stay open until the process ends.
            std::mem::forget(library);
            CudaLibrary::Opened(path.to_owned())
        }
        Err(e) => CudaLibrary::Refused { path: path.to_owned(), why: e.to_string() },
    }
}

/// Directory of the libtorch in use, as the loader knows it.
pub(crate) fn library_dir() -> Result<PathBuf> {
    let mut path = vec![0 as c_char; 4096];
    ffi::call("place of libtorch", |err, n| {
        // SAFETY: both buffers are valid for the lengths given.
        unsafe { ffi::etude_torch_path(path.as_mut_ptr(), path.len(), err, n) }
    })?;
    let path = PathBuf::from(ffi::read(&path));
    let path = path.canonicalize().unwrap_or(path);
    Ok(path.parent().map(Path::to_owned).unwrap_or_default())
}

/// Why CUDA cannot be used, or `None` when it can.
pub(crate) fn why_not() -> Option<String> {
    let library = cuda_init();
    if Cuda::is_available() {
        return None;
    }
    Some(match library {
        CudaLibrary::Opened(_) => {
            "no GPU answers: the NVIDIA driver is missing, too old, or shows no device".to_owned()
        }
        CudaLibrary::Absent(path) => format!(
            "this libtorch is a CPU build ({} is absent): install the CUDA build of the same version",
            path.display()
        ),
        CudaLibrary::Refused { path, why } => {
            format!("{} could not be opened: {why}", path.display())
        }
    })
}

/// A device by name: `auto` is the first GPU if there is one, else the CPU; `cpu`; `cuda` is `cuda:0`; `cuda:<n>`.
///
/// # Errors
/// [`Error::Device`] for another name, [`Error::NoCuda`] when a GPU was named that is not there.
pub fn device(name: &str) -> Result<Device> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            return Ok(if why_not().is_none() { Device::Cuda(0) } else { Device::Cpu });
        }
        "cuda" => 0,
        other => other
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| Error::Device { got: other.to_owned() })?,
    };
    if let Some(why) = why_not() {
        return Err(Error::NoCuda { asked: name.to_owned(), why });
    }
    let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
    if index >= count {
        let why = format!("this machine has {count} CUDA device(s), numbered from 0");
        return Err(Error::NoCuda { asked: name.to_owned(), why });
    }
    Ok(Device::Cuda(index))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_library_directory_holds_the_libtorch_in_use() {
        assert!(library_dir().unwrap().join("libtorch_cpu.so").exists());
    }

    #[test]
    fn cpu_is_always_there_and_auto_always_answers() {
        assert_eq!(device("cpu").unwrap(), Device::Cpu);
        let auto = device("auto").unwrap();
        assert_eq!(auto.is_cuda(), why_not().is_none());
    }

    #[test]
    fn a_device_that_is_none_is_refused_with_the_names_there_are() {
        for bad in ["gpu", "cuda:", "cuda:x", "", "CPU"] {
            let text = device(bad).unwrap_err().to_string();
            assert!(text.contains("auto, cpu, cuda or cuda:<number>"), "{text}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_says_why() {
        let text = device("cuda:4095").unwrap_err().to_string();
        assert!(text.starts_with("device: expected cuda:4095, but "), "{text}");
    }

    #[test]
    fn a_file_that_is_no_library_is_refused_and_not_a_panic() {
        let path = std::env::current_exe().unwrap().with_file_name("no-such-libtorch_cuda.so");
        assert_eq!(open(&path), CudaLibrary::Absent(path.clone()));
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(matches!(open(&text), CudaLibrary::Refused { .. }));
    }
}
