//! A folder that holds a published model in our form: `model.safetensors`, `config.json` with the backbone's settings,
//! and for MusicFM `stats.json`, the mean and deviation of its training set.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::{Device, Tensor};

use crate::BackboneConfig;
use crate::backbone::{Backbone, Layer, Spec};
use crate::error::{Error, Result};
use crate::nn::{Scope, Store};
use crate::peft::Probe;
use crate::weights::{self, LoadReport};
use crate::{ast, mert, musicfm, musicnn, tmae, vggish};

/// The file of weights in the folder of a model.
pub const WEIGHTS: &str = "model.safetensors";
/// The backbone's settings, beside its weights.
pub const CONFIG: &str = "config.json";
/// MusicFM's statistics, beside its weights.
pub const STATS: &str = "stats.json";

/// A backbone with its weights, fixed: what embeddings are made with.
pub struct Pretrained {
    /// Its settings.
    pub config: BackboneConfig,
    /// How the weight file fitted.
    pub loaded: LoadReport,
    weights: PathBuf,
    backbone: Box<dyn Backbone>,
    vs: Store,
}

impl Pretrained {
    /// Opens a folder that `etude import` made.
    ///
    /// # Errors
    /// [`Error::File`] for a folder that is none, [`Error::Names`] when settings and weights are not of one model.
    pub fn open(dir: &Path, device: Device) -> Result<Self> {
        let weights = dir.join(WEIGHTS);
        let config = BackboneConfig::read(dir)?.beside(&weights)?;
        let vs = Store::new(device);
        let backbone = config.build(&Scope::root(&vs, &Probe {}, 0, false).blank())?;
        let loaded = weights::load(&vs, &weights, &config.names(false))?;
        for linear in backbone.linears() {
            linear.settle()?;
        }
        Ok(Self { config, loaded, weights, backbone, vs })
    }

    /// BLAKE3 of settings and weights, hex; reads the whole file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read any more.
    pub fn digest(&self) -> Result<String> {
        let path = &self.weights;
        let fail = |e: std::io::Error| Error::File { path: path.clone(), why: e.to_string() };
        let mut digest = blake3::Hasher::new();
        digest.update(self.config.to_json()?.as_bytes());
        File::open(path).and_then(|file| digest.update_reader(file).map(|_| ())).map_err(fail)?;
        Ok(digest.finalize().to_hex().to_string())
    }

    /// Facts about the backbone.
    pub fn spec(&self) -> Spec {
        self.backbone.spec()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.vs.device()
    }

    /// x as [`Spec::input`] says -> hidden states `[B, T', D]` of `layer`, in evaluation mode and without gradients.
    ///
    /// # Errors
    /// As [`Backbone::hidden`].
    pub fn hidden(&self, x: &Tensor, layer: Layer) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        self.backbone.hidden(x, layer, false)
    }
}

impl std::fmt::Debug for Pretrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pretrained").field("config", &self.config).finish_non_exhaustive()
    }
}

impl BackboneConfig {
    /// A published backbone by name: `musicfm`, `mert` (preset `95m` or `330m`), `vggish` (preset `limited` or `ccml`),
    /// `musicnn` (preset `limited`, `ccml`, `ccml_fixed` or `sota`), `ast` (preset `ccml`, `limited` or
    /// `limited_fixed`), `samplecnn`, `tmae`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name or preset that there is not.
    pub fn published(name: &str, preset: Option<&str>) -> Result<Self> {
        let mut written = json!({ "name": name });
        let preset = preset.or(match name {
            vggish::NAME | musicnn::NAME => Some("limited"),
            ast::NAME => Some("ccml"),
            _ => None,
        });
        if let Some(preset) = preset {
            written["preset"] = json!(preset);
        }
        parse(name, written)
    }

    /// From the JSON published beside the weights of the backbone `name`, or in our own form as in `config.json`.
    ///
    /// # Errors
    /// [`Error::Setting`] for text that is neither, or belongs to another backbone.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| setting("config", "a JSON object", e.to_string()))?;
        match root.get("name") {
            Some(ours) if ours == name => parse(name, root),
            Some(other) => Err(setting("name", name, other.to_string())),
            None => match name {
                musicfm::NAME => musicfm::Config::from_json(text).map(BackboneConfig::MusicFm),
                mert::NAME => mert::Config::from_json(text).map(BackboneConfig::Mert),
                _ => {
                    let mut root = root;
                    match root.as_object_mut() {
                        Some(object) => object.insert("name".to_owned(), json!(name)),
                        None => return Err(setting("config", "a JSON object", root.to_string())),
                    };
                    parse(name, root)
                }
            },
        }
    }

    /// The same with the first `layers` encoder layers only.
    ///
    /// # Errors
    /// [`Error::Setting`] for a backbone without encoder layers.
    pub fn with_layers(self, layers: usize) -> Result<Self> {
        match self {
            BackboneConfig::MusicFm(cfg) => {
                Ok(BackboneConfig::MusicFm(musicfm::Config { layers, ..cfg }))
            }
            BackboneConfig::Mert(cfg) => Ok(BackboneConfig::Mert(mert::Config { layers, ..cfg })),
            BackboneConfig::Ast(cfg) => Ok(BackboneConfig::Ast(ast::Config { layers, ..cfg })),
            BackboneConfig::Tmae(cfg) => Ok(BackboneConfig::Tmae(tmae::Config { layers, ..cfg })),
            other => Err(setting("layers", "a backbone with encoder layers", other.name().into())),
        }
    }

    /// The same for inputs of so many mel frames.
    ///
    /// # Errors
    /// [`Error::Setting`] for a backbone that is not made for a number of frames.
    pub fn with_frames(self, frames: i64) -> Result<Self> {
        match self {
            BackboneConfig::Ast(cfg) => {
                Ok(BackboneConfig::Ast(ast::Config { frames: Some(frames), ..cfg }))
            }
            BackboneConfig::Tmae(cfg) => Ok(BackboneConfig::Tmae(tmae::Config { frames, ..cfg })),
            other => Err(setting("frames", "ast or tmae", other.name().into())),
        }
    }

    /// The settings in the folder of a model.
    ///
    /// # Errors
    /// [`Error::File`] without readable settings there.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let fail = |why: String| Error::File { path: path.clone(), why };
        let text = fs::read_to_string(&path)
            .map_err(|e| fail(format!("{e}; expected a folder that `etude import` made")))?;
        let root: Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        serde_json::from_value(root).map_err(|e| {
            fail(format!(
                "{e}; expected settings that `etude import` wrote, it takes published ones"
            ))
        })
    }

    /// Text of `config.json`.
    pub(crate) fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| setting("config", "numbers that JSON holds", e.to_string()))?;
        Ok(text + "\n")
    }
}

/// Reads the published file of a backbone, safetensors or PyTorch, and makes `dir` a folder that holds it:
/// `model.safetensors` under the published names, `config.json`, and for MusicFM `stats.json` from `stats`, or from a
/// file of that name beside the published one. A classifier the file ends in is kept as it is. The same originals make
/// the same bytes.
///
/// # Errors
/// [`Error::Names`] when the file is not that backbone at that size, with all that does not fit; nothing is written
/// then. [`Error::Setting`] for statistics that are none, [`Error::File`] when a file cannot be read or written.
pub fn import(
    backbone: &BackboneConfig,
    file: &Path,
    stats: Option<&Path>,
    dir: &Path,
) -> Result<LoadReport> {
    let stats = match (backbone, stats) {
        (BackboneConfig::MusicFm(cfg), stats) => read_stats(cfg, stats, file)?,
        (_, None) => None,
        (other, Some(_)) => {
            return Err(setting("stats", "musicfm: other models have none", other.name().into()));
        }
    };
    let report = weights::import(backbone, file, dir)?;
    if let Some(text) = stats {
        write(&dir.join(STATS), &text)?;
    }
    write(&dir.join(CONFIG), &backbone.to_json()?)?;
    Ok(report)
}

fn read_stats(cfg: &musicfm::Config, given: Option<&Path>, file: &Path) -> Result<Option<String>> {
    let path = given.map_or_else(|| file.with_file_name(STATS), Path::to_path_buf);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && given.is_none() => return Ok(None),
        Err(e) => return Err(Error::File { path, why: e.to_string() }),
    };
    let bad = |e: Error| Error::File { path: path.clone(), why: e.to_string() };
    let cfg = cfg.with_stats(&text).map_err(bad)?;
    if !(cfg.mean().is_finite() && cfg.std().is_finite() && cfg.std() > 0.0) {
        let got = format!("mean {}, deviation {}", cfg.mean(), cfg.std());
        return Err(bad(setting("melspec_2048_std", "a number above 0", got)));
    }
    Ok(Some(text))
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    weights::whole(path, |out, fail| out.write_all(text.as_bytes()).map_err(fail))
}

fn parse(name: &str, written: Value) -> Result<BackboneConfig> {
    serde_json::from_value(written)
        .map_err(|e| setting("config", &format!("settings of {name}"), e.to_string()))
}

fn setting(key: &str, expected: &str, got: String) -> Error {
    Error::Setting { key: key.to_owned(), expected: expected.to_owned(), got }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_the_published_form_and_in_ours_are_the_same() {
        let text =
            r#"{"encoder_dim": 32, "encoder_depth": 2, "conformer": {"hidden_dropout": 0.0}}"#;
        let cfg = BackboneConfig::from_json("musicfm", text).unwrap();
        assert_eq!(BackboneConfig::from_json("musicfm", &cfg.to_json().unwrap()).unwrap(), cfg);
        let dir = tempfile::tempdir().unwrap();
        for cfg in [
            cfg,
            BackboneConfig::published("mert", Some("330m")).unwrap(),
            BackboneConfig::published("vggish", None).unwrap(),
            BackboneConfig::from_json("vggish", r#"{"preset": "ccml", "channels": 4}"#).unwrap(),
        ] {
            write(&dir.path().join(CONFIG), &cfg.to_json().unwrap()).unwrap();
            assert_eq!(BackboneConfig::read(dir.path()).unwrap(), cfg);
        }
    }

    #[test]
    fn a_wrong_name_preset_or_depth_is_told() {
        let says = |r: Result<BackboneConfig>| r.unwrap_err().to_string();
        assert!(says(BackboneConfig::published("mert", Some("1b"))).contains("`1b`"));
        assert!(says(BackboneConfig::published("hubert", None)).contains("`hubert`"));
        let ours = BackboneConfig::published("mert", None).unwrap().to_json().unwrap();
        let text = says(BackboneConfig::from_json("musicfm", &ours));
        assert_eq!(text, "name: expected musicfm, got \"mert\"");
        for text in ["", "[]", "3", "{\"preset\": 3}"] {
            assert!(BackboneConfig::from_json("vggish", text).is_err(), "{text}");
        }
        assert!(BackboneConfig::published("vggish", None).unwrap().with_layers(6).is_err());
        let six = BackboneConfig::published("musicfm", None).unwrap().with_layers(6).unwrap();
        assert_eq!(
            six,
            BackboneConfig::MusicFm(musicfm::Config { layers: 6, ..Default::default() })
        );
    }
}
