//! Parquet shards: writer, index, streaming loader.
//!
//! A shard set is a folder of Parquet files and an `index.json`. A row is a block (10 s) of one track; a track never
//! crosses files. [`ShardFile`] writes a file, [`Index::assemble`] makes a set of the files, [`Index::open`] reads it.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod batch;
mod buffer;
mod config;
mod crop;
mod entry;
mod error;
mod index;
mod kind;
mod labels;
mod loader;
mod mix;
mod number;
mod order;
mod pages;
mod plan;
mod reader;
mod spec;
mod stats;
mod window;
mod worker;
mod writer;

pub use batch::{Batch, LoaderState};
pub use buffer::{Buffer, Lender, Memory};
pub use config::LoaderConfig;
pub use crop::{Crop, Tail};
pub use entry::{FileEntry, Refused, TrackEntry};
pub use error::{Error, Result};
pub use index::{Index, VERSION};
pub use kind::{Kind, Number};
pub use labels::Labels;
pub use loader::Loader;
pub use number::to_s16;
pub use order::{Order, epoch_order};
pub use reader::{ReadFacts, Reader};
pub use spec::{Spec, TrackRow};
pub use stats::Stats;
pub use window::{Window, windows};
pub use writer::{PushFacts, ShardFile};
