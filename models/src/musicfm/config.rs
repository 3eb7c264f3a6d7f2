//! Sizes of MusicFM: the published ones by default, any others for tests and experiments.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conformer::{self, Dropouts};
use crate::error::{Error, Result};
use crate::nn::check_size;

/// Settings. Every default is the published model's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Conformer layers; default 12. With fewer, the first ones of a published file are used.
    pub layers: usize,
    /// Width; default 1024.
    pub dim: i64,
    /// Inner width of the feed-forwards; default 4096.
    pub inner: i64,
    /// Heads; default 16.
    pub heads: i64,
    /// Channels of the two convolution blocks; default 512.
    pub conv_channels: i64,
    /// Taps of the conformer's convolutions; default 31.
    pub kernel: i64,
    /// Base of the rotary angles; default 10 000.
    pub rotary_base: f64,
    /// Taps of the unused positional convolution; default 128.
    pub positional_taps: i64,
    /// Its groups; default 16.
    pub positional_groups: i64,
    /// Width of the random projection; default 16.
    pub codebook_dim: i64,
    /// Entries of the codebook; default 4096.
    pub codebook_size: i64,
    /// Dropout on hidden states; default 0.1.
    pub hidden_dropout: f64,
    /// Dropout on attention weights; default 0.1.
    pub attention_dropout: f64,
    /// Dropout inside feed-forwards; default 0.1.
    pub activation_dropout: f64,
    /// Dropout of convolution modules; default 0.1.
    pub conv_dropout: f64,
    /// Mean of the training set's mel values, dB; default that of `stats.json` beside the weights, else 6.768.
    pub mean: Option<f64>,
    /// Their standard deviation, dB; default that of `stats.json` beside the weights, else 18.418.
    pub std: Option<f64>,
    /// Whether the pre-training head trains; default no: tuning never reaches it.
    pub pretraining: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            layers: 12,
            dim: 1024,
            inner: 4096,
            heads: 16,
            conv_channels: 512,
            kernel: 31,
            rotary_base: 10_000.0,
            positional_taps: 128,
            positional_groups: 16,
            codebook_dim: 16,
            codebook_size: 4096,
            hidden_dropout: 0.1,
            attention_dropout: 0.1,
            activation_dropout: 0.1,
            conv_dropout: 0.1,
            mean: None,
            std: None,
            pretraining: false,
        }
    }
}

/// Numbers published with the model trained on the Million Song Dataset, dB.
const MSD: (f64, f64) = (6.768_444_971_712_967, 18.417_922_652_295_623);

impl Config {
    /// Mean of the mel values, dB.
    pub fn mean(&self) -> f64 {
        self.mean.unwrap_or(MSD.0)
    }

    /// Standard deviation of the mel values, dB.
    pub fn std(&self) -> f64 {
        self.std.unwrap_or(MSD.1)
    }

    /// Reads the JSON form: sizes at the top, the conformer's under `conformer` with the names of its own library.
    /// A key that is absent keeps the published value.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value of another type, or a front end that is not this model's.
    pub fn from_json(text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| setting("config", "a JSON object", &e.to_string()))?;
        let mut cfg = Self::default();
        for (key, want) in [
            ("sample_rate", 24_000),
            ("n_fft", 2048),
            ("hop_length", 240),
            ("n_mels", 128),
            ("num_codebooks", 1),
        ] {
            let mut got = want;
            whole(&root, key, &mut got)?;
            if got != want {
                return Err(setting(key, &want.to_string(), &got.to_string()));
            }
        }
        whole(&root, "conv_dim", &mut cfg.conv_channels)?;
        whole(&root, "encoder_dim", &mut cfg.dim)?;
        whole(&root, "codebook_dim", &mut cfg.codebook_dim)?;
        whole(&root, "codebook_size", &mut cfg.codebook_size)?;
        let mut layers = cfg.layers as i64;
        whole(&root, "encoder_depth", &mut layers)?;
        cfg.layers = usize::try_from(layers)
            .map_err(|_| setting("encoder_depth", "0 or more", &layers.to_string()))?;
        let inner = root.get("conformer").unwrap_or(&Value::Null);
        whole(inner, "intermediate_size", &mut cfg.inner)?;
        whole(inner, "num_attention_heads", &mut cfg.heads)?;
        whole(inner, "conv_depthwise_kernel_size", &mut cfg.kernel)?;
        whole(inner, "num_conv_pos_embeddings", &mut cfg.positional_taps)?;
        whole(inner, "num_conv_pos_embedding_groups", &mut cfg.positional_groups)?;
        number(inner, "rotary_embedding_base", &mut cfg.rotary_base)?;
        number(inner, "hidden_dropout", &mut cfg.hidden_dropout)?;
        number(inner, "attention_dropout", &mut cfg.attention_dropout)?;
        number(inner, "activation_dropout", &mut cfg.activation_dropout)?;
        number(inner, "conformer_conv_dropout", &mut cfg.conv_dropout)?;
        Ok(cfg)
    }

    /// Takes mean and deviation from the JSON file published beside the weights, unless they are set.
    ///
    /// # Errors
    /// [`Error::Setting`] when the two numbers are not there.
    pub fn with_stats(mut self, text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| setting("stats", "a JSON object", &e.to_string()))?;
        for (key, slot) in
            [("melspec_2048_mean", &mut self.mean), ("melspec_2048_std", &mut self.std)]
        {
            let value = root.get(key).and_then(Value::as_f64);
            let value = value.ok_or_else(|| setting(key, "a number in stats.json", "none"))?;
            slot.get_or_insert(value);
        }
        Ok(self)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("backbone.dim", self.dim)?;
        check_size("backbone.conv_channels", self.conv_channels)?;
        check_size("backbone.codebook_dim", self.codebook_dim)?;
        check_size("backbone.codebook_size", self.codebook_size)?;
        if self.std() > 0.0 && self.std().is_finite() && self.mean().is_finite() {
            return Ok(());
        }
        Err(setting("backbone.std", "a deviation above 0", &self.std().to_string()))
    }

    pub(crate) fn conformer(&self) -> conformer::Config {
        conformer::Config {
            layers: self.layers,
            dim: self.dim,
            inner: self.inner,
            heads: self.heads,
            kernel: self.kernel,
            rotary_base: self.rotary_base,
            positional: (self.positional_taps, self.positional_groups),
            dropout: Dropouts {
                hidden: self.hidden_dropout,
                attention: self.attention_dropout,
                activation: self.activation_dropout,
                conv: self.conv_dropout,
            },
        }
    }
}

fn whole(from: &Value, key: &str, to: &mut i64) -> Result<()> {
    if let Some(value) = from.get(key) {
        *to = value.as_i64().ok_or_else(|| setting(key, "a whole number", &value.to_string()))?;
    }
    Ok(())
}

fn number(from: &Value, key: &str, to: &mut f64) -> Result<()> {
    if let Some(value) = from.get(key) {
        *to = value.as_f64().ok_or_else(|| setting(key, "a number", &value.to_string()))?;
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
    fn json_overrides_the_published_sizes_and_refuses_another_front_end() {
        let cfg = Config::from_json(
            r#"{"encoder_dim": 32, "encoder_depth": 2, "conformer": {"num_attention_heads": 4}}"#,
        )
        .unwrap();
        assert_eq!((cfg.dim, cfg.layers, cfg.heads, cfg.inner), (32, 2, 4, 4096));
        let text = Config::from_json(r#"{"hop_length": 320}"#).unwrap_err().to_string();
        assert_eq!(text, "hop_length: expected 240, got 320");
        assert!(Config::from_json(r#"{"encoder_dim": "wide"}"#).is_err());
        assert!(Config::from_json("[").is_err());
    }

    #[test]
    fn stats_fill_what_is_not_set_and_the_msd_numbers_are_the_default() {
        let text = r#"{"melspec_2048_mean": 1.5, "melspec_2048_std": 2.5, "other": 1}"#;
        let cfg = Config { mean: Some(9.0), ..Config::default() }.with_stats(text).unwrap();
        assert_eq!((cfg.mean(), cfg.std()), (9.0, 2.5));
        assert_eq!((Config::default().mean(), Config::default().std()), MSD);
        let error = Config::default().with_stats(r#"{"melspec_2048_mean": 1.5}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "melspec_2048_std: expected a number in stats.json, got none"
        );
    }
}
