//! The zoo: backbones, heads, tuning methods, weights.
//!
//! A [`Model`] is a backbone, a head and a tuning method, decided together while it is built: a backbone names the
//! places where a method may add something ([`peft::Site`]) and never names a method. Parameter names equal those of
//! the published checkpoints; the head's are below `head.`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod backbone;
pub mod conformer;
mod error;
mod heads;
pub mod masked;
mod model;
pub mod nn;
pub mod peft;
mod precision;
mod pretrained;
pub mod quantizer;
pub mod weights;

// A new backbone is its file and its line here.
backbone::backbones! {
    vggish: Vggish => "The short-chunk CNN called VGGish.";
    musicnn: Musicnn => "MusiCNN in its published forms.";
    ast: Ast => "AST, a transformer on patches of a mel image.";
    tmae: Tmae => "TMAE, a masked autoencoder on mel frames.";
    samplecnn: SampleCnn => "SampleCNN, the encoder of CLMR.";
    musicfm: MusicFm => "MusicFM at 25 Hz.";
    mert: Mert => "MERT with 95 or 330 million parameters.";
    identity: Identity => "Stored embeddings as they are.";
}

pub use backbone::{Backbone, Input, Layer, Spec};
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
