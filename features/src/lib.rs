//! Signal processing on plain slices: windows, spectra, mel front ends, hand-crafted features, resampling, random
//! changes of waves, deformations.
//!
//! Nothing here opens a file or knows a tensor. Every object is planned once and run many times; each owns its
//! scratch, is `Clone` and `Send`, and gives the same numbers on one machine whatever else runs beside it.
//!
//! ```
//! use etude_features::{MelConfig, MelSpec};
//!
//! let cfg = MelConfig::preset("musicfm_24k_db").expect("a published front end");
//! let mut mel = MelSpec::new(&cfg)?;
//! let mut out = Vec::new();
//! mel.run(&vec![0.0; 24_000], &mut out)?; // one second
//! assert_eq!(out.len(), 128 * mel.frames(24_000)); // [F, T]
//! # Ok::<(), etude_features::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod amplitude;
pub mod augment;
mod chroma;
mod degrade;
mod error;
mod fir;
pub mod handcrafted;
mod mel;
mod mfcc;
mod preset;
mod resample;
mod rfft;
mod simd;
mod stft;
mod window;

pub use amplitude::Amplitude;
pub use chroma::Chroma;
pub use degrade::Deformation;
pub use error::{Error, Result};
pub use fir::FirResampler;
pub use mel::{MelConfig, MelSpec, Scale, filterbank};
pub use mfcc::Mfcc;
pub use resample::{Sinc, SincResampler, SincWindow, resampled_len};
pub use stft::{Framing, Spectrum, Stft, StftConfig};
pub use window::{Window, hann};
