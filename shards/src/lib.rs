//! Parquet shards: writer, index, streaming loader.
//!
//! A shard set is a folder of Parquet files and an `index.json`. A row is a block (10 s) of one track; a track never
//! crosses files. [`ShardFile`] writes a file, [`Index::assemble`] makes a set of the files, [`Index::open`] reads it.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod atomic;
mod batch;
mod entry;
mod error;
mod index;
mod kind;
#[cfg_attr(not(test), allow(dead_code, reason = "the reader decodes"))]
mod number;
mod spec;
mod writer;

pub use batch::{Batch, LoaderState};
pub use entry::{FileEntry, Refused, TrackEntry};
pub use error::{Error, Result};
pub use index::{Index, VERSION};
pub use kind::{Kind, Number};
pub use spec::{Spec, TrackRow};
pub use writer::{PushFacts, ShardFile};
