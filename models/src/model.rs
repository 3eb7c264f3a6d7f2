//! A model: backbone, head and tuning method, built from a configuration and a seed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::BackboneConfig;
use crate::backbone::{Backbone, Layer};
use crate::error::{At, Error, Result};
use crate::heads::{Head, HeadConfig};
use crate::nn::{Part, Scope, Store, Variable};
use crate::peft::{Merged, Tuning};
use crate::precision::Precision;
use crate::weights::{self, LoadReport};

/// How the frozen part of a network behaves while the rest trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenStats {
    /// As in evaluation: no dropout, running statistics used and left alone. Its output for a clip is a fixed function.
    #[default]
    Running,
    /// As in training: dropout on, batch norms use and follow the batch. The regime of the published tuning runs.
    Batch,
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The network from audio to hidden states.
    pub backbone: BackboneConfig,
    /// The layers from hidden states to outputs.
    pub head: HeadConfig,
    /// Published weights or another run's: a safetensors file, the same without its ending, or a folder that holds
    /// `model.safetensors`, as a pre-training run does. Default: none, the model starts from the seed.
    #[serde(default)]
    pub weights: Option<PathBuf>,
    /// Whether the head's weights come from the file too; default no, a head belongs to its task.
    #[serde(default)]
    pub head_weights: bool,
    /// Number of the hidden state the head reads; default the last.
    #[serde(default)]
    pub layer: Option<usize>,
    /// What frozen parts do while the rest trains; default as in evaluation.
    #[serde(default)]
    pub frozen_stats: FrozenStats,
}

impl ModelConfig {
    /// The same network with starting values from the seed. MusicFM keeps the statistics that are stored beside its
    /// weights: they belong to the network.
    ///
    /// # Errors
    /// [`Error::File`] when they cannot be read.
    pub fn without_weights(&self) -> Result<Self> {
        let backbone = match (&self.backbone, &self.weights) {
            (BackboneConfig::MusicFm(_), Some(weights)) => {
                self.backbone.beside(&weight_file(weights)?)?
            }
            _ => self.backbone.clone(),
        };
        Ok(Self { backbone, weights: None, ..self.clone() })
    }
}

/// A model ready to train or to predict.
pub struct Model {
    /// From audio to hidden states.
    pub backbone: Box<dyn Backbone>,
    /// From hidden states to outputs; `None` for what learns the backbone itself.
    pub head: Option<Head>,
    /// Every tensor by name.
    pub vs: Store,
    /// How the weight file fitted; `None` when there was none.
    pub loaded: Option<LoadReport>,
    /// What [`Model::logits`] computes in; float32 as built.
    pub precision: Precision,
    /// Where [`Model::logits`] begins: the hidden state it takes in place of audio; audio as built.
    pub start: Option<Start>,
    /// Number of the hidden state that the head reads.
    layer: usize,
    /// Whether dropout and batch statistics of the published network are on while the model trains.
    live: bool,
}

/// A hidden state that a model goes on from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// Its number.
    pub state: usize,
    /// The element type it has in the network.
    pub kind: Kind,
}

impl Model {
    /// Builds a model with `outputs` outputs. Starting values depend on `seed` and the names of the variables only:
    /// not on libtorch's generator, not on the tuning method, not on the device.
    ///
    /// # Errors
    /// For settings that do not fit, a method that finds nothing to tune, and weights that do not fit the model.
    pub fn build(
        cfg: &ModelConfig,
        tuning: &Tuning,
        outputs: i64,
        device: Device,
        seed: u64,
    ) -> Result<Self> {
        let vs = Store::new(device);
        tuning.check()?;
        let method = tuning.method();
        let root = Scope::root(&vs, method, seed, cfg.frozen_stats == FrozenStats::Batch);
        let file = cfg.weights.as_deref().map(weight_file).transpose()?;
        let backbone = match &file {
            Some(file) => cfg.backbone.beside(file)?.build(&root.clone().blank())?,
            None => cfg.backbone.build(&root)?,
        };
        let spec = backbone.spec();
        let tunes = |_: &str, v: &Variable| v.part != Part::Head && v.learnable && v.changes;
        if method.needs_site() && vs.count(tunes) == 0 {
            return Err(Error::NoSite {
                method: tuning.name(),
                backbone: spec.name,
                hint: "use full or probe, or a backbone with encoder layers".to_owned(),
            });
        }
        let layer = cfg.layer.map_or(Layer::Last, Layer::At).number(spec.layers)?;
        let head = root.part(Part::Head) / "head";
        let head = cfg.head.build(&head, spec.dim, outputs, cfg.backbone.published_head())?;
        let loaded = match &file {
            Some(file) => {
                let names = cfg.backbone.names(cfg.head_weights);
                let keep = |_: &str, v: &Variable| match v.part {
                    Part::Base => true,
                    Part::Head => cfg.head_weights,
                    Part::Added => false,
                };
                Some(weights::load_part(&vs, file, &names, keep)?)
            }
            None => None,
        };
        for linear in backbone.linears() {
            linear.settle()?;
        }
        let live = root.live();
        let precision = Precision::F32;
        Ok(Self { backbone, head, loaded, precision, start: None, layer, live, vs })
    }

    /// Number of the last hidden state, up to the one that the head reads, that training leaves as it is: a fixed
    /// function of the input. `None` where there is none: something below the first layer trains, or frozen parts follow
    /// the batch ([`FrozenStats::Batch`]).
    pub fn fixed_state(&self) -> Option<usize> {
        if self.live {
            return None;
        }
        let last = match self.vs.first_changed() {
            None => self.layer,
            Some(first) => first.checked_sub(1)?.min(self.layer),
        };
        (last == self.layer || self.backbone.resumes()).then_some(last)
    }

    /// x as the backbone's [`crate::Spec::input`] says -> hidden state number `state` `[B, T', D]` as [`Model::logits`]
    /// computes it on its way, without gradients.
    ///
    /// # Errors
    /// As [`Backbone::hidden`].
    pub fn hidden(&self, x: &Tensor, state: usize) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let _cast = self.precision.enter(self.vs.device())?;
        self.backbone.hidden(x, Layer::At(state), false)
    }

    /// x as the backbone's [`crate::Spec::input`] says, or the hidden state of [`Model::start`] `[B, T', D]` -> logits
    /// `[B, C]`, float32
    ///
    /// # Errors
    /// When the input has another shape or length than the model takes.
    pub fn logits(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let _cast = self.precision.enter(self.vs.device())?;
        let hidden = match self.start {
            None => self.backbone.hidden(x, Layer::At(self.layer), train)?,
            Some(Start { state, kind }) => {
                self.backbone.resume(&x.f_to_kind(kind)?, state, self.layer, train)?
            }
        };
        let head = self.head.as_ref().ok_or_else(|| Error::Setting {
            key: "head.kind".to_owned(),
            expected: "a head that gives the outputs of the task".to_owned(),
            got: "none".to_owned(),
        })?;
        let logits = head.forward(&hidden, train);
        let logits = logits.at(|| format!("head, hidden {:?}", hidden.size()))?;
        Ok(logits.f_to_kind(Kind::Float)?)
    }

    /// Gradients of a loss computed from this model's outputs, added to those that are there. In place of the loss's own
    /// `backward`, which under gradient checkpointing ends at the last hidden state.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn backward(&self, loss: &Tensor) -> Result<()> {
        loss.f_backward()?;
        self.backbone.backward()
    }

    /// What training changes by gradient, sorted by name; same storage.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        self.vs.select(|_, v| v.learnable && v.changes)
    }

    /// Everything training changes, sorted by name: [`Model::trainable`] and the running statistics that are kept up
    /// to date. With the configuration and the base weights this is the whole model.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.vs.select(|_, v| v.changes)
    }

    /// Puts a state back.
    ///
    /// # Errors
    /// [`Error::Names`] unless names and shapes are exactly those of [`Model::state`].
    pub fn restore(&self, state: &[(String, Tensor)]) -> Result<()> {
        weights::restore(&self.vs, state, |_, v| v.changes).map(|_| ())
    }

    /// The published network with the method's additions folded in, under the published names; heads are not part of
    /// it. Copies.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn merged(&self) -> Result<Vec<(String, Tensor)>> {
        let _guard = tch::no_grad_guard();
        let base = self.vs.select(|_, v| v.part == Part::Base);
        let mut out: Vec<_> = base.into_iter().map(|(n, t)| (n, t.detach().copy())).collect();
        for linear in self.backbone.linears() {
            for Merged { name, tensor, start } in linear.merged()? {
                match (out.binary_search_by(|(n, _)| n.as_str().cmp(&name)), start) {
                    (Ok(at), None) => out[at].1 = tensor,
                    (Ok(at), Some(start)) => {
                        out[at].1.f_narrow(0, start, tensor.size()[0])?.f_copy_(&tensor)?;
                    }
                    (Err(at), None) => out.insert(at, (name, tensor)),
                    (Err(_), Some(_)) => {
                        return Err(Error::Setting {
                            key: "tuning".to_owned(),
                            expected: "a method whose change the layer has a place for".to_owned(),
                            got: format!("one that needs {name}; keep the run as it is"),
                        });
                    }
                }
            }
        }
        Ok(out)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("backbone", &self.backbone.spec()).finish_non_exhaustive()
    }
}

fn weight_file(path: &Path) -> Result<PathBuf> {
    let mut ended = path.as_os_str().to_owned();
    ended.push(".safetensors");
    let tried = [path.to_owned(), path.join("model.safetensors"), PathBuf::from(ended)];
    tried.into_iter().find(|p| p.is_file()).ok_or_else(|| Error::File {
        path: path.to_owned(),
        why: "expected a safetensors file, the same without its ending, or a folder with model.safetensors"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::Linear;
    use crate::musicfm;

    #[test]
    fn what_training_leaves_alone_ends_before_the_first_site_a_method_uses() {
        let net = r#"{"name": "musicfm", "layers": 2, "dim": 32, "inner": 64, "heads": 4,
            "conv_channels": 4, "codebook_size": 24}"#;
        let fixed = |tuning: &str, layer, frozen_stats| {
            let cfg = ModelConfig {
                backbone: serde_json::from_str(net).unwrap(),
                head: HeadConfig::Linear(Linear::default()),
                weights: None,
                head_weights: false,
                layer,
                frozen_stats,
            };
            let tuning = serde_json::from_str(tuning).unwrap();
            Model::build(&cfg, &tuning, 3, Device::Cpu, 0).unwrap().fixed_state()
        };
        let running = FrozenStats::Running;
        for method in ["lora", "dora", "adapter", "bitfit", "ssf", "ia3", "prefix"] {
            let tuning = format!(r#"{{"method": "{method}"}}"#);
            assert_eq!(fixed(&tuning, None, running), Some(0), "{method}");
            assert_eq!(fixed(&tuning, None, FrozenStats::Batch), None, "{method}");
        }
        let probe = r#"{"method": "probe"}"#;
        assert_eq!(fixed(probe, None, running), Some(2), "the whole backbone");
        assert_eq!(fixed(probe, Some(1), running), Some(1), "up to what the head reads");
        assert_eq!(fixed(r#"{"method": "full"}"#, None, running), None);
    }

    #[test]
    fn a_model_without_its_weights_keeps_the_statistics_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let cfg = ModelConfig {
            backbone: BackboneConfig::MusicFm(musicfm::Config::default()),
            head: HeadConfig::Linear(Linear::default()),
            weights: Some(dir.path().to_owned()),
            head_weights: false,
            layer: None,
            frozen_stats: FrozenStats::Running,
        };
        assert!(cfg.without_weights().is_err(), "statistics are not guessed");
        std::fs::write(dir.path().join("model.safetensors"), "").unwrap();
        let stats = r#"{"melspec_2048_mean": 1.5, "melspec_2048_std": 2.5}"#;
        std::fs::write(dir.path().join("stats.json"), stats).unwrap();
        let plain = cfg.without_weights().unwrap();
        assert_eq!(plain.weights, None);
        let BackboneConfig::MusicFm(musicfm) = plain.backbone else { panic!("{plain:?}") };
        assert_eq!((musicfm.mean(), musicfm.std()), (1.5, 2.5));
    }
}
