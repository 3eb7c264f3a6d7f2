//! Weights in files: safetensors read through a memory map and written the same way every time, and strict loading
//! with a report.

mod file;
mod load;
mod names;

pub use file::{TensorFile, write};
pub use load::{LoadReport, Misshapen, load, load_part, restore};
pub use names::NameMap;
