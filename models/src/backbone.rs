//! What every backbone offers, and the backbones there are.

use std::path::Path;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::Scope;
use crate::peft::Linear;
use crate::weights::{NameMap, WeightFile};
use crate::{BackboneConfig, musicfm, tmae};

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
            expected: "a backbone with encoder layers: musicfm, mert, ast or tmae".to_owned(),
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

/// What the file of a backbone says of it before it is built: implemented by its settings.
pub(crate) trait Settings {
    /// Builds the network; variables are created at `vs`, under the published names.
    ///
    /// # Errors
    /// For settings outside their range.
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>>;

    /// Number of the last hidden state; `None` for a network without encoder layers.
    fn last_layer(&self) -> Option<usize> {
        None
    }

    /// From the names of a published file to ours, leaving out what these settings have no place for.
    fn names(&self) -> NameMap {
        NameMap::new()
    }

    /// Name and dropout of the single layer with which the published model classifies; `None` when it has none.
    fn published_head(&self) -> Option<(&'static str, f64)> {
        None
    }

    /// The tensors of a published file that is not laid out like the network, under names that [`Settings::names`]
    /// takes; `None` where names alone are enough.
    ///
    /// # Errors
    /// When the file cannot be read, or holds another network.
    fn adopt(&self, _file: &WeightFile) -> Result<Option<Vec<(String, Tensor)>>> {
        Ok(None)
    }

    /// Takes what is stored beside a weight file.
    ///
    /// # Errors
    /// When such a file is there and cannot be read.
    fn beside(&mut self, _weights: &Path) -> Result<()> {
        Ok(())
    }
}

/// The list of backbones, in the root of the crate, whose modules they are: module, variant, what it is. A backbone is
/// called as its module, and its settings are the module's `Config`.
macro_rules! backbones {
    ($($file:ident: $Backbone:ident => $about:literal;)+) => {
        $(pub mod $file;)+

        /// The backbones by the name a configuration gives them.
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "name", rename_all = "lowercase")]
        pub enum BackboneConfig {
            $(#[doc = $about]
            $Backbone($file::Config),)+
        }

        impl BackboneConfig {
            /// Names in a configuration.
            pub const NAMES: &[&str] = &[$(stringify!($file)),+];

            /// The name in a configuration.
            pub fn name(&self) -> &'static str {
                match self {
                    $(BackboneConfig::$Backbone(_) => stringify!($file),)+
                }
            }

            fn settings(&self) -> &dyn backbone::Settings {
                match self {
                    $(BackboneConfig::$Backbone(cfg) => cfg,)+
                }
            }

            fn settings_mut(&mut self) -> &mut dyn backbone::Settings {
                match self {
                    $(BackboneConfig::$Backbone(cfg) => cfg,)+
                }
            }
        }
    };
}
pub(crate) use backbones;

impl BackboneConfig {
    /// Builds the network; variables are created at `vs`, under the published names.
    ///
    /// # Errors
    /// For settings outside their range.
    pub fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        self.settings().build(vs)
    }

    /// Number of the last hidden state; `None` for a network without encoder layers.
    pub fn last_layer(&self) -> Option<usize> {
        self.settings().last_layer()
    }

    /// From the names of a published file to ours, leaving out what this configuration has no place for. The file's
    /// head, which belongs to the file's own task, is left out unless asked for.
    pub fn names(&self, with_head: bool) -> NameMap {
        let names = self.settings().names();
        let names = match self.published_head() {
            Some((head, _)) => names.rename(&format!("{head}."), &format!("head.{head}.")),
            None => names,
        };
        if with_head { names } else { names.skip("head.") }
    }

    /// Name and dropout of the single layer with which the published model classifies; `None` when it has none.
    pub fn published_head(&self) -> Option<(&'static str, f64)> {
        self.settings().published_head()
    }

    /// The tensors of a published file that is not laid out like the network, under names that [`Self::names`] takes;
    /// `None` where names alone are enough.
    ///
    /// # Errors
    /// When the file cannot be read, or holds another network.
    pub(crate) fn adopt(&self, file: &WeightFile) -> Result<Option<Vec<(String, Tensor)>>> {
        self.settings().adopt(file)
    }

    /// The same with what is stored beside a weight file, such as MusicFM's `stats.json`.
    ///
    /// # Errors
    /// When such a file is there and cannot be read.
    pub(crate) fn beside(&self, weights: &Path) -> Result<Self> {
        let mut own = self.clone();
        own.settings_mut().beside(weights)?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backbone_is_called_as_its_file_and_a_wrong_name_lists_the_right_ones() {
        let wrong = serde_json::json!({ "name": "muscifm" });
        let text = serde_json::from_value::<BackboneConfig>(wrong).unwrap_err().to_string();
        let names = BackboneConfig::NAMES.join("`, `");
        assert_eq!(text, format!("unknown variant `muscifm`, expected one of `{names}`"));
    }
}
