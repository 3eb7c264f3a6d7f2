//! Weights in files: safetensors read through a memory map and written the same way every time, published PyTorch
//! files, strict loading with a report, import of one into the other, tuned models folded into one file, adapters in the
//! layout of huggingface/peft.

mod file;
mod import;
mod load;
mod merge;
mod names;
pub mod peft;
mod source;

pub(crate) use file::whole;
pub use file::{TensorFile, write};
pub use import::import;
pub use load::{LoadReport, Misshapen, load, load_part, restore};
pub use merge::merge;
pub use names::NameMap;
pub use source::WeightFile;
