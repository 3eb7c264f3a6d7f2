//! Sizes of MERT: those of a published model by default, any others for tests and experiments.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::extractor::{KERNELS, STRIDES};
use crate::error::{Error, Result};
use crate::nn::{check_probability, check_size};

/// A published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Preset {
    /// MERT-v1-95M: 12 layers of width 768, norms behind attention and feed-forward, dropout.
    #[default]
    #[serde(rename = "95m")]
    M95,
    /// MERT-v1-330M: 24 layers of width 1024, norms before attention and feed-forward, no dropout.
    #[serde(rename = "330m")]
    M330,
}

/// Settings. In a configuration `preset` names the published model, `95m` by default, from which settings that are not
/// given are taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Config {
    /// Transformer layers; 12 or 24. With fewer, the first ones of a published file are used.
    pub layers: usize,
    /// Width; 768 or 1024.
    pub dim: i64,
    /// Inner width of the feed-forwards; 3072 or 4096.
    pub inner: i64,
    /// Heads; 12 or 16.
    pub heads: i64,
    /// Whether norms are before attention and feed-forward, as in 330M, rather than behind their sums.
    pub norm_first: bool,
    /// Channels of the convolutions on the wave; 512.
    pub conv_channels: i64,
    /// Taps of the positional convolution; 128.
    pub positional_taps: i64,
    /// Its groups; 16.
    pub positional_groups: i64,
    /// Dropout behind the projection to the encoder's width; 0.1 or 0.
    pub projection_dropout: f64,
    /// Dropout on hidden states; 0.1 or 0.
    pub hidden_dropout: f64,
    /// Dropout on attention weights; 0.1 or 0.
    pub attention_dropout: f64,
    /// Dropout inside feed-forwards; 0.1 or 0.
    pub activation_dropout: f64,
    /// Share of layers left out of a training step; 0.1 or 0.
    pub layer_drop: f64,
    /// Whether each wave is brought to mean 0 and variance 1 first; no. Users of the published models differ in this,
    /// and it matters for very quiet waves only.
    pub normalise: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::preset(Preset::default())
    }
}

impl Config {
    /// The model as published.
    pub fn preset(preset: Preset) -> Self {
        let base = Self {
            layers: 12,
            dim: 768,
            inner: 3072,
            heads: 12,
            norm_first: false,
            conv_channels: 512,
            positional_taps: 128,
            positional_groups: 16,
            projection_dropout: 0.1,
            hidden_dropout: 0.1,
            attention_dropout: 0.1,
            activation_dropout: 0.1,
            layer_drop: 0.1,
            normalise: false,
        };
        match preset {
            Preset::M95 => base,
            Preset::M330 => Self {
                layers: 24,
                dim: 1024,
                inner: 4096,
                heads: 16,
                norm_first: true,
                projection_dropout: 0.0,
                hidden_dropout: 0.0,
                attention_dropout: 0.0,
                activation_dropout: 0.0,
                layer_drop: 0.0,
                ..base
            },
        }
    }

    /// Reads the JSON form published beside the weights. A key that is absent keeps the value of MERT-v1-95M; keys
    /// that only pre-training and other heads use are passed over.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value of another type, or a kind of network that this is not.
    pub fn from_json(text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| setting("config", "a JSON object", &e.to_string()))?;
        for (key, want) in [
            ("sample_rate", json!(24_000)),
            ("conv_kernel", json!(KERNELS)),
            ("conv_stride", json!(STRIDES)),
            ("conv_bias", json!(false)),
            ("feat_extract_norm", json!("group")),
            ("feat_extract_activation", json!("gelu")),
            ("feat_proj_layer_norm", json!(true)),
            ("feature_extractor_cqt", json!(false)),
            ("hidden_act", json!("gelu")),
            ("layer_norm_eps", json!(1e-5)),
            ("deepnorm", json!(false)),
        ] {
            if let Some(got) = root.get(key).filter(|got| **got != want) {
                return Err(setting(key, &want.to_string(), &got.to_string()));
            }
        }
        let mut cfg = Self::default();
        let mut channels = vec![cfg.conv_channels; KERNELS.len()];
        read(&root, "conv_dim", "a list of whole numbers", &mut channels)?;
        if channels.len() != KERNELS.len() || channels.iter().any(|&n| n != channels[0]) {
            let expected = format!("{} equal numbers", KERNELS.len());
            return Err(setting("conv_dim", &expected, &format!("{channels:?}")));
        }
        cfg.conv_channels = channels[0];
        read(&root, "num_hidden_layers", "a whole number", &mut cfg.layers)?;
        read(&root, "do_stable_layer_norm", "true or false", &mut cfg.norm_first)?;
        for (key, to) in [
            ("hidden_size", &mut cfg.dim),
            ("intermediate_size", &mut cfg.inner),
            ("num_attention_heads", &mut cfg.heads),
            ("num_conv_pos_embeddings", &mut cfg.positional_taps),
            ("num_conv_pos_embedding_groups", &mut cfg.positional_groups),
        ] {
            read(&root, key, "a whole number", to)?;
        }
        for (key, to) in [
            ("feat_proj_dropout", &mut cfg.projection_dropout),
            ("hidden_dropout", &mut cfg.hidden_dropout),
            ("attention_dropout", &mut cfg.attention_dropout),
            ("activation_dropout", &mut cfg.activation_dropout),
            ("layerdrop", &mut cfg.layer_drop),
        ] {
            read(&root, key, "a number", to)?;
        }
        Ok(cfg)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("backbone.dim", self.dim)?;
        check_size("backbone.inner", self.inner)?;
        check_size("backbone.conv_channels", self.conv_channels)?;
        check_size("backbone.positional_taps", self.positional_taps)?;
        check_probability("backbone.projection_dropout", self.projection_dropout)?;
        check_probability("backbone.layer_drop", self.layer_drop)?;
        if self.positional_groups >= 1 && self.dim % self.positional_groups == 0 {
            return Ok(());
        }
        let expected = format!("a divisor of the width {}", self.dim);
        Err(setting("backbone.positional_groups", &expected, &self.positional_groups.to_string()))
    }
}

/// [`Config`] as a user writes it: a preset and what differs from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    preset: Preset,
    layers: Option<usize>,
    dim: Option<i64>,
    inner: Option<i64>,
    heads: Option<i64>,
    norm_first: Option<bool>,
    conv_channels: Option<i64>,
    positional_taps: Option<i64>,
    positional_groups: Option<i64>,
    projection_dropout: Option<f64>,
    hidden_dropout: Option<f64>,
    attention_dropout: Option<f64>,
    activation_dropout: Option<f64>,
    layer_drop: Option<f64>,
    normalise: Option<bool>,
}

impl From<Written> for Config {
    fn from(w: Written) -> Self {
        let base = Config::preset(w.preset);
        Self {
            layers: w.layers.unwrap_or(base.layers),
            dim: w.dim.unwrap_or(base.dim),
            inner: w.inner.unwrap_or(base.inner),
            heads: w.heads.unwrap_or(base.heads),
            norm_first: w.norm_first.unwrap_or(base.norm_first),
            conv_channels: w.conv_channels.unwrap_or(base.conv_channels),
            positional_taps: w.positional_taps.unwrap_or(base.positional_taps),
            positional_groups: w.positional_groups.unwrap_or(base.positional_groups),
            projection_dropout: w.projection_dropout.unwrap_or(base.projection_dropout),
            hidden_dropout: w.hidden_dropout.unwrap_or(base.hidden_dropout),
            attention_dropout: w.attention_dropout.unwrap_or(base.attention_dropout),
            activation_dropout: w.activation_dropout.unwrap_or(base.activation_dropout),
            layer_drop: w.layer_drop.unwrap_or(base.layer_drop),
            normalise: w.normalise.unwrap_or(base.normalise),
        }
    }
}

fn read<T: DeserializeOwned>(from: &Value, key: &str, expected: &str, to: &mut T) -> Result<()> {
    if let Some(value) = from.get(key) {
        *to = T::deserialize(value).map_err(|_| setting(key, expected, &value.to_string()))?;
    }
    Ok(())
}

fn setting(key: &str, expected: &str, got: &str) -> Error {
    Error::Setting { key: key.to_owned(), expected: expected.to_owned(), got: got.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_overrides_the_published_sizes_and_refuses_another_kind_of_network() {
        let text = r#"{"hidden_size": 32, "num_hidden_layers": 2, "do_stable_layer_norm": true,
                       "layerdrop": 0, "conv_dim": [8, 8, 8, 8, 8, 8, 8], "mask_time_prob": 0.05}"#;
        let cfg = Config::from_json(text).unwrap();
        assert_eq!((cfg.dim, cfg.layers, cfg.conv_channels, cfg.inner), (32, 2, 8, 3072));
        assert!(cfg.norm_first && cfg.layer_drop == 0.0 && cfg.hidden_dropout == 0.1);
        for (text, error) in [
            (r#"{"sample_rate": 16000}"#, "sample_rate: expected 24000, got 16000"),
            (
                r#"{"feat_extract_norm": "layer"}"#,
                r#"feat_extract_norm: expected "group", got "layer""#,
            ),
            (r#"{"hidden_size": "wide"}"#, r#"hidden_size: expected a whole number, got "wide""#),
            (r#"{"num_hidden_layers": -1}"#, "num_hidden_layers: expected a whole number, got -1"),
            (r#"{"conv_dim": [8, 4]}"#, "conv_dim: expected 7 equal numbers, got [8, 4]"),
        ] {
            assert_eq!(Config::from_json(text).unwrap_err().to_string(), error);
        }
        assert!(Config::from_json("[").is_err());
    }

    #[test]
    fn a_preset_gives_what_is_not_written_and_a_written_configuration_reads_back() {
        let read = |text: &str| toml::from_str::<Config>(text);
        assert_eq!(read("").unwrap(), Config::preset(Preset::M95));
        let cfg = read("preset = '330m'\nlayers = 6\nhidden_dropout = 0.2").unwrap();
        let large = Config::preset(Preset::M330);
        assert_eq!(cfg, Config { layers: 6, hidden_dropout: 0.2, ..large });
        assert_eq!(read(&toml::to_string(&cfg).unwrap()).unwrap(), cfg);
        let text = read("preset = '95M'").unwrap_err().to_string();
        assert!(text.contains("unknown variant `95M`, expected `95m` or `330m`"), "{text}");
        assert!(read("depth = 6").unwrap_err().to_string().contains("unknown field `depth`"));
    }
}
