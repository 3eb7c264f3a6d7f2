//! From files as downloaded to manifests and shards: corpora, decoding, resampling, and the stages that run them.

mod config;
pub mod corpus;
mod decode;
mod digest;
mod error;
mod limited;
mod mono;
mod npy;
mod pcm;
mod policy;
mod progress;
mod quality;
mod report;
mod resample;
mod simd;
pub mod stage;

pub use config::{Bad, Check, Config, CorpusName, Ingest, Shards, rate_name};
pub use corpus::{Corpus, CorpusConfig};
pub use decode::{DecodeLimits, Decoded, decode};
pub use error::{Error, Result};
pub use limited::Limited;
pub use pcm::Pcm;
pub use progress::{Progress, Step};
pub use report::{Overs, Refused, Report};
pub use resample::{Resample, Resampler};
