//! What every backbone offers, and the backbones there are.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::Scope;
use crate::peft::Linear;
use crate::weights::{NameMap, WeightFile};
use crate::{ast, identity, mert, musicfm, musicnn, samplecnn, tmae, vggish};

/// What a backbone takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// Mono waves `[B, T]`.
    Wave {
        /// Samples per second, Hz.
        rate: u32,
    },
    /// Spectrogram frames `[B, T, F]`.
    Frames {
        /// F.
        bands: i64,
        /// Frames per second, Hz.
        frame_rate: f64,
    },
    /// Stored vectors `[B, T', D]`.
    Embedding {
        /// D.
        dim: i64,
    },
}

/// Facts about a backbone as built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// Its name in a configuration.
    pub name: &'static str,
    /// What it takes.
    pub input: Input,
    /// Width D of its hidden states.
    pub dim: i64,
    /// Hidden states per second, Hz; `None` when there is one for the whole input.
    pub frame_rate: Option<f64>,
    /// Hidden states are numbered 0 to this number.
    pub layers: usize,
    /// Number of the hidden state that serves as the published embedding.
    pub embedding: usize,
    /// Samples of the windows that the published model was made for, where it does not take any length.
    pub window: Option<u64>,
}

/// Which hidden state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The one the model is meant to be used with.
    Last,
    /// By number, 0 to [`Spec::layers`].
    At(usize),
}

impl Layer {
    /// The number of the hidden state in a model whose last one is number `last`.
    ///
    /// # Errors
    /// When there is no such hidden state.
    pub fn number(self, last: usize) -> Result<usize> {
        match self {
            Layer::Last => Ok(last),
            Layer::At(n) if n <= last => Ok(n),
            Layer::At(n) => Err(Error::Setting {
                key: "model.layer".to_owned(),
                expected: format!("0 to {last}"),
                got: n.to_string(),
            }),
        }
    }
}

/// A network from audio to hidden states.
pub trait Backbone: Send {
    /// Facts about it.
    fn spec(&self) -> Spec;

    /// x as [`Spec::input`] says -> hidden states `[B, T', D]` of `layer`; nothing above that layer is computed.
    ///
    /// # Errors
    /// When the input has another shape or length than the model takes, or there is no such layer.
    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor>;

    /// Hidden state number `from`, as [`Backbone::hidden`] gives it -> hidden state number `layer`, `from` or above. With
    /// this the parts below a tuned one need not run again for audio that they have seen.
    ///
    /// # Errors
    /// For a backbone that only runs as a whole (see [`Backbone::resumes`]), unless both numbers are the same.
    fn resume(&self, hidden: &Tensor, from: usize, layer: usize, _train: bool) -> Result<Tensor> {
        if from == layer {
            return Ok(hidden.shallow_clone());
        }
        Err(Error::Setting {
            key: "hidden state".to_owned(),
            expected: format!("{layer}: {} only runs as a whole", self.spec().name),
            got: from.to_string(),
        })
    }

    /// Whether the network goes on from any of its hidden states.
    fn resumes(&self) -> bool {
        false
    }

    /// The layers that a tuning method may have changed.
    fn linears(&self) -> Vec<&Linear>;

    /// Gradient checkpointing, on or off: in training only the input of each layer is kept and the layer runs again for
    /// its gradients. Less memory, more time, the same numbers. [`Backbone::backward`] belongs to it.
    ///
    /// # Errors
    /// [`Error::Setting`] when it is asked of a network without encoder layers.
    fn checkpoint(&self, on: bool) -> Result<()> {
        if !on {
            return Ok(());
        }
        Err(Error::Setting {
            key: "trainer.checkpoint".to_owned(),
            expected: "a backbone with encoder layers, such as musicfm or mert".to_owned(),
            got: self.spec().name.to_owned(),
        })
    }

    /// Behind the `backward` of a loss, under gradient checkpointing: carries the gradients that reached the last hidden
    /// state on through the network.
    ///
    /// # Errors
    /// When libtorch refuses.
    fn backward(&self) -> Result<()> {
        Ok(())
    }

    /// The network itself where it is MusicFM, whose pre-training needs its token targets.
    fn musicfm(&self) -> Option<&musicfm::MusicFm> {
        None
    }

    /// The network itself where it is TMAE, whose pre-training needs its patches and decoder.
    fn tmae(&self) -> Option<&tmae::Tmae> {
        None
    }
}

/// The backbones by the name a configuration gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum BackboneConfig {
    /// The short-chunk CNN called VGGish.
    Vggish(vggish::Config),
    /// MusiCNN in its two published forms.
    Musicnn(musicnn::Config),
    /// AST, a transformer on patches of a mel image.
    Ast(ast::Config),
    /// TMAE, a masked autoencoder on mel frames.
    Tmae(tmae::Config),
    /// SampleCNN, the encoder of CLMR.
    #[serde(rename = "samplecnn")]
    SampleCnn(samplecnn::Config),
    /// MusicFM at 25 Hz.
    #[serde(rename = "musicfm")]
    MusicFm(musicfm::Config),
    /// MERT with 95 or 330 million parameters.
    Mert(mert::Config),
    /// Stored embeddings as they are.
    Identity(identity::Config),
}

impl BackboneConfig {
    /// Builds the network; variables are created at `vs`, under the published names.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            BackboneConfig::Vggish(cfg) => Box::new(vggish::Vggish::new(vs, cfg)?),
            BackboneConfig::Musicnn(cfg) => Box::new(musicnn::Musicnn::new(vs, cfg)?),
            BackboneConfig::Ast(cfg) => Box::new(ast::Ast::new(vs, cfg)?),
            BackboneConfig::Tmae(cfg) => Box::new(tmae::Tmae::new(vs, cfg)?),
            BackboneConfig::SampleCnn(cfg) => Box::new(samplecnn::SampleCnn::new(vs, cfg)?),
            BackboneConfig::MusicFm(cfg) => Box::new(musicfm::MusicFm::new(vs, cfg)?),
            BackboneConfig::Mert(cfg) => Box::new(mert::Mert::new(vs, cfg)?),
            BackboneConfig::Identity(cfg) => Box::new(identity::Identity::new(cfg)?),
        })
    }

    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            BackboneConfig::Vggish(_) => vggish::NAME,
            BackboneConfig::Musicnn(_) => musicnn::NAME,
            BackboneConfig::Ast(_) => ast::NAME,
            BackboneConfig::Tmae(_) => tmae::NAME,
            BackboneConfig::SampleCnn(_) => samplecnn::NAME,
            BackboneConfig::MusicFm(_) => musicfm::NAME,
            BackboneConfig::Mert(_) => mert::NAME,
            BackboneConfig::Identity(_) => identity::NAME,
        }
    }

    /// Encoder layers; `None` for a network that has none.
    pub fn layers(&self) -> Option<usize> {
        match self {
            BackboneConfig::MusicFm(cfg) => Some(cfg.layers),
            BackboneConfig::Mert(cfg) => Some(cfg.layers),
            _ => None,
        }
    }

    /// From the names of a published file to ours, leaving out what this configuration has no place for. The file's
    /// head, which belongs to the file's own task, is left out unless asked for.
    pub fn names(&self, with_head: bool) -> NameMap {
        let names = match self {
            BackboneConfig::Vggish(_) | BackboneConfig::Identity(_) => NameMap::new(),
            BackboneConfig::Musicnn(cfg) => musicnn::names(cfg),
            BackboneConfig::Ast(cfg) => ast::names(cfg),
            BackboneConfig::Tmae(cfg) => tmae::names(cfg),
            BackboneConfig::SampleCnn(_) => samplecnn::names(),
            BackboneConfig::MusicFm(cfg) => musicfm::names(cfg),
            BackboneConfig::Mert(cfg) => mert::names(cfg),
        };
        let names = match self.published_head() {
            Some((head, _)) => names.rename(&format!("{head}."), &format!("head.{head}.")),
            None => names,
        };
        if with_head { names } else { names.skip("head.") }
    }

    /// Name and dropout of the single layer with which the published model classifies; `None` when it has none.
    pub fn published_head(&self) -> Option<(&'static str, f64)> {
        match self {
            BackboneConfig::Vggish(_) => Some(vggish::HEAD),
            BackboneConfig::Musicnn(cfg) => Some(cfg.head()),
            BackboneConfig::SampleCnn(_) => Some(samplecnn::HEAD),
            BackboneConfig::Ast(_) => Some(ast::HEAD),
            BackboneConfig::Tmae(_)
            | BackboneConfig::MusicFm(_)
            | BackboneConfig::Mert(_)
            | BackboneConfig::Identity(_) => None,
        }
    }

    /// The tensors of a published file that is not laid out like the network, under names that [`Self::names`] takes;
    /// `None` where names alone are enough.
    ///
    /// # Errors
    /// When the file cannot be read, or holds another network.
    pub(crate) fn adopt(&self, file: &WeightFile) -> Result<Option<Vec<(String, Tensor)>>> {
        match self {
            BackboneConfig::SampleCnn(_) => samplecnn::adopt(file).map(Some),
            BackboneConfig::Ast(cfg) => ast::adopt(file, cfg).map(Some),
            _ => Ok(None),
        }
    }

    /// The same with what is stored beside a weight file: MusicFM's `stats.json`.
    ///
    /// # Errors
    /// When such a file is there and cannot be read.
    pub(crate) fn beside(&self, weights: &Path) -> Result<Self> {
        let BackboneConfig::MusicFm(cfg) = self else { return Ok(self.clone()) };
        let path = weights.with_file_name("stats.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(BackboneConfig::MusicFm(cfg.with_stats(&text)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(self.clone()),
            Err(e) => Err(Error::File { path, why: e.to_string() }),
        }
    }
}
