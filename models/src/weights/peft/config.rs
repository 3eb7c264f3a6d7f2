//! `adapter_config.json`: what counts for the numbers, and what is refused because it would change them unseen.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Or what is wrong; the caller names the file.
pub(super) type Said<T> = std::result::Result<T, String>;

/// Name of the file.
pub(super) const FILE: &str = "adapter_config.json";

/// The part of the file that we use; other keys are passed over.
#[derive(Debug, Deserialize)]
#[serde(tag = "peft_type")]
pub(super) enum Config {
    #[serde(rename = "LORA")]
    Lora(LoraConfig),
    #[serde(rename = "IA3")]
    Ia3 {},
    #[serde(rename = "VERA")]
    Vera {},
}

#[derive(Debug, Deserialize)]
pub(super) struct LoraConfig {
    r: i64,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    pub(super) use_dora: bool,
    /// Name of a layer or its end -> rank instead of `r`.
    #[serde(default)]
    rank_pattern: BTreeMap<String, i64>,
    /// Name of a layer or its end -> strength instead of `lora_alpha`.
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

/// Variants of the methods with other formulas: absent, null, false or empty in what we read.
const OFF: [&str; 12] = [
    "fan_in_fan_out",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "velora_config",
];

/// Starting values that come with a changed base, which the folder does not hold.
const MOVES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fail = |why: String| Error::File { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        Self::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> Said<Self> {
        let root: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        for key in OFF {
            let off = match root.get(key) {
                None | Some(Value::Null | Value::Bool(false)) => true,
                Some(Value::Array(list)) => list.is_empty(),
                Some(Value::Object(map)) => map.is_empty(),
                Some(_) => false,
            };
            if !off {
                return Err(format!("{key}: expected it to be off, got {}", root[key]));
            }
        }
        if let Some(Value::String(init)) = root.get("init_lora_weights")
            && MOVES_BASE.iter().any(|name| init.starts_with(name))
        {
            return Err(format!(
                "init_lora_weights: {init} also changes the base; convert the adapter to plain LoRA first"
            ));
        }
        serde_json::from_value(root).map_err(|e| e.to_string())
    }
}

impl LoraConfig {
    /// Factor of the update of a layer whose A has `rank` rows.
    pub(super) fn scale(&self, layer: &str, rank: i64) -> Said<f64> {
        let said = pattern("rank_pattern", &self.rank_pattern, layer)?.unwrap_or(self.r);
        if said != rank {
            return Err(format!("{layer}: expected rank {said}, got {rank}"));
        }
        let alpha = pattern("alpha_pattern", &self.alpha_pattern, layer)?;
        let alpha = alpha.unwrap_or(self.lora_alpha);
        let root = if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
        Ok(alpha / root)
    }
}

/// What the patterns say about a layer: a pattern is its name, or what its name ends in behind a dot.
fn pattern<T: Copy + PartialEq>(
    key: &str,
    patterns: &BTreeMap<String, T>,
    layer: &str,
) -> Said<Option<T>> {
    let mut found = None;
    for (pattern, value) in patterns {
        if pattern.contains(|c: char| !(c.is_alphanumeric() || "._-".contains(c))) {
            return Err(format!("{key}: expected names of layers, got the expression {pattern:?}"));
        }
        let ends = layer.strip_suffix(pattern.as_str());
        if ends.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
            if found.is_some_and(|other| other != *value) {
                return Err(format!("{key}: two entries disagree about {layer}"));
            }
            found = Some(*value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(extra: &str, layer: &str, rank: i64) -> Said<f64> {
        let text = format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8{extra}}}"#);
        match Config::parse(&text)? {
            Config::Lora(lora) => lora.scale(layer, rank),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn strength_over_rank_is_the_factor_and_patterns_go_by_whole_names() {
        assert_eq!(scale("", "a.q", 4), Ok(2.0));
        assert_eq!(scale(r#", "use_rslora": true"#, "a.q", 4), Ok(4.0));
        let both = r#", "rank_pattern": {"1.q": 2}, "alpha_pattern": {"1.q": 3}"#;
        assert_eq!(scale(both, "layers.1.q", 2), Ok(1.5));
        assert_eq!(scale(both, "layers.11.q", 4), Ok(2.0));
        assert!(scale(both, "layers.1.q", 4).unwrap_err().contains("expected rank 2, got 4"));
    }

    #[test]
    fn what_would_change_the_numbers_unseen_is_refused() {
        for (extra, word) in [
            (r#", "lora_bias": true"#, "lora_bias"),
            (r#", "fan_in_fan_out": true"#, "fan_in_fan_out"),
            (r#", "init_lora_weights": "pissa_niter_4""#, "pissa"),
            (r#", "rank_pattern": {".*q": 2}"#, "expression"),
            (r#", "alpha_pattern": {"q": 2, "a.q": 3}"#, "disagree"),
        ] {
            let text = scale(extra, "a.q", 4).unwrap_err();
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(
            scale(r#", "init_lora_weights": "gaussian", "loftq_config": {}"#, "q", 4),
            Ok(2.0)
        );
        let text = Config::parse(r#"{"peft_type": "LOHA"}"#).unwrap_err();
        assert!(text.contains("unknown variant `LOHA`, expected one of `LORA`"), "{text}");
    }
}
