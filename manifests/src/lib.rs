//! Rows: what audio exists, what is known of it, and who may train on it.
//!
//! A *corpus* has one table of [`Track`]s. A *view* is a small table of [`Example`]s: which track belongs to which
//! split, and what a model should say about it. Audio is written once; labels are views.

mod error;
mod row;
mod view;
mod vocab;

pub use error::{Error, Result};
pub use row::{Example, Facts, Split, Status, Target, Track, Warning};
pub use view::{Source, View};
pub use vocab::Vocab;
