//! Rows: what audio exists, what is known of it, and who may train on it.
//!
//! A *corpus* has one table of [`Track`]s. A *view* is a small table of [`Example`]s: which track belongs to which
//! split, and what a model should say about it. Audio is written once; labels are views.

pub mod atomic;
mod check;
mod error;
mod findings;
mod hash;
#[cfg(feature = "inspect")]
pub mod inspect;
mod leak;
mod names;
mod parquet_io;
mod row;
pub mod split;
mod subset;
pub mod table;
mod view;
mod vocab;

pub use check::{check_tracks, check_view};
pub use error::{Error, Result};
pub use findings::{Finding, Findings, Level};
pub use hash::tracks_hash;
pub use leak::{Border, Leak, Relation, leaks};
pub use parquet_io::{
    TableMeta, VERSION, read_tracks, read_tracks_meta, read_view, write_tracks, write_view,
};
pub use row::{Example, Facts, Split, Status, Target, Track, Warning};
pub use subset::Short;
pub use view::{Counts, Source, View};
pub use vocab::{Synonyms, Vocab};
