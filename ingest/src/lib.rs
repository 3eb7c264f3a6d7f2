//! From files as downloaded to manifests and shards: corpora, decoding, resampling, and the stages that run them.

mod config;
pub mod corpus;
mod error;

pub use config::{Bad, Check, Config, CorpusName, Ingest, Shards};
pub use corpus::{Corpus, CorpusConfig};
pub use error::{Error, Result};
