//! Weights in files: safetensors read through a memory map and written the same way every time, published PyTorch
//! files, strict loading with a report, and import of one into the other.

mod file;
mod import;
mod load;
mod names;
mod source;

pub use file::{TensorFile, write};
pub use import::import;
pub use load::{LoadReport, Misshapen, load, load_part, restore};
pub use names::NameMap;
pub use source::WeightFile;
