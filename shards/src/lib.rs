//! Parquet shards: writer, index, streaming loader.

mod batch;
mod kind;

pub use batch::{Batch, LoaderState};
pub use kind::{Kind, Number};
