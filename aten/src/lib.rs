//! The thin edge to libtorch: what tch does not bind.
//!
//! CUDA at run time ([`cuda_init`], [`device`]), generator state ([`rng_state`]), mixed precision ([`Autocast`]),
//! switches for determinism and TF32, memory of device and host, gradients taken away ([`clear_grad`]), operations on
//! lists of tensors ([`foreach`]), host memory that a GPU copies from on its own ([`Staging`]), small tensors
//! sent to a GPU without waiting for it ([`to_device`]), and the facts that `etude doctor` prints ([`facts()`]). A small C++ shim is compiled
//! against the libtorch in use; it needs no CUDA header.

mod autocast;
mod cuda;
mod facts;
mod ffi;
pub mod foreach;
mod grad;
mod host;
mod memory;
mod rng;
mod staging;
mod switch;
mod transfer;

pub use autocast::Autocast;
pub use cuda::{CudaLibrary, cuda_init, device};
pub use facts::{CudaFacts, Facts, facts};
pub use grad::clear_grad;
pub use host::{host_keep_freed, host_peak, host_reset_peak};
pub use memory::{Memory, cuda_memory, cuda_reset_peak};
pub use rng::{rng_state, set_rng_state};
pub use staging::Staging;
pub use switch::{is_deterministic, is_tf32, set_deterministic, set_tf32, set_threads};
pub use tch::{NoGradGuard, no_grad_guard};
pub use transfer::to_device;

/// What can go wrong at the edge to libtorch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A device name that is none of `auto`, `cpu`, `cuda` and `cuda:<number>`.
    #[error("device: expected auto, cpu, cuda or cuda:<number>, got {got:?}")]
    Device {
        /// What was asked for.
        got: String,
    },
    /// CUDA was asked for by name and cannot be used.
    #[error("device: expected {asked}, but {why}")]
    NoCuda {
        /// The device asked for.
        asked: String,
        /// What stands in the way, and what to do about it.
        why: String,
    },
    /// libtorch refused.
    #[error("{what}: {why}")]
    Torch {
        /// The action, as a noun.
        what: &'static str,
        /// libtorch's own words.
        why: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
