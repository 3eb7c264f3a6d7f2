//! The zoo: backbones, heads, tuning methods, weights.
//!
//! A [`Model`] is a backbone, a head and a tuning method, decided together while it is built: a backbone names the
//! places where a method may add something ([`peft::Site`]) and never names a method. Parameter names equal those of
//! the published checkpoints; the head's are below `head.`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod ast;
mod backbone;
pub mod conformer;
mod error;
mod heads;
pub mod identity;
pub mod masked;
pub mod mert;
mod model;
pub mod musicfm;
pub mod musicnn;
pub mod nn;
pub mod peft;
mod precision;
mod pretrained;
pub mod quantizer;
pub mod samplecnn;
pub mod tmae;
pub mod vggish;
pub mod weights;

pub use backbone::{Backbone, BackboneConfig, Input, Layer, Spec};
pub use error::{Error, Result};
pub use heads::{
    Depth, Head, HeadConfig, Linear as LinearHead, Mlp as MlpHead, NoHead, ProbeHead,
    Projection as ProjectionHead, Published as PublishedHead,
};
pub use model::{FrozenStats, Model, ModelConfig, Start};
pub use peft::{Method, Tuning};
pub use precision::Precision;
pub use pretrained::{Pretrained, import};
pub use weights::{LoadReport, NameMap};
