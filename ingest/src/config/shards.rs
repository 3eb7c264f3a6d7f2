//! Section `[shards]`: what a shard set holds, how it is named, and which settings contradict each other.

use crate::resample::Resampler;
use etude_features::{MelConfig, handcrafted};
use etude_shards::{Kind, Number};
use serde::{Deserialize, Serialize};

/// Section `[shards]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shards {
    /// Hz; a mel set has the rate of its front end.
    pub rate: u32,
    /// How to get there; part of the identity of the set.
    pub resampler: Resampler,
    /// `s16` or `f32`, of waves.
    pub number: Number,
    /// Length of a row, seconds.
    pub block_s: f64,
    /// Size of a row group, MiB.
    pub row_group_mb: u64,
    /// Size of a file, MiB; the last track may carry a file beyond it.
    pub file_mb: u64,
    /// Front end, e.g. `vgg_16k_db`: the set holds its mel frames `[T, F]`. Absent = waves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel: Option<String>,
    /// `f32` or `bf16`, of mel frames; absent = `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel_number: Option<Number>,
    /// Hand-crafted features, `chroma` or `mfcc`: the set holds one vector a track, of the wave at `rate`. Absent = waves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<handcrafted::Kind>,
    /// Only this much from the start of a track is stored, seconds; absent = all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_s: Option<f64>,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            rate: 24_000,
            resampler: Resampler::default(),
            number: Number::S16,
            block_s: 10.0,
            row_group_mb: 16,
            file_mb: 512,
            mel: None,
            mel_number: None,
            features: None,
            cap_s: None,
        }
    }
}

impl Shards {
    /// The front end of a mel set, `None` for waves.
    pub fn front_end(&self) -> Option<MelConfig> {
        self.mel.as_deref().and_then(MelConfig::preset)
    }

    /// Rate that audio is resampled to, Hz.
    pub fn audio_rate(&self) -> u32 {
        self.front_end().map_or(self.rate, |mel| mel.rate)
    }

    /// What the set holds.
    pub fn kind(&self) -> Kind {
        match (self.front_end(), self.features) {
            (Some(mel), _) => Kind::Frames { fps: mel.frame_rate(), bands: mel.bands as u32 },
            (None, Some(features)) => Kind::Embedding { fps: 0.0, dim: features.dim() as u32 },
            (None, None) => Kind::Wave { rate: self.rate },
        }
    }

    /// How the set stores a number.
    pub fn stored_number(&self) -> Number {
        match (&self.mel, self.features) {
            (Some(_), _) => self.mel_number.unwrap_or(Number::F32),
            (None, Some(_)) => Number::F32,
            (None, None) => self.number,
        }
    }

    /// Second part of the name of a set: `24k`, `vgg-16k-db` or `16k-mfcc`.
    pub fn name(&self) -> String {
        match (&self.mel, self.features) {
            (Some(mel), _) => mel.replace('_', "-"),
            (None, Some(features)) => format!("{}-{}", rate_name(self.rate), features.name()),
            (None, None) => rate_name(self.rate),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let mel = self.mel.as_deref();
        let rules: [(bool, &str, String); 7] = [
            (
                (4000..=384_000).contains(&self.rate),
                "shards.rate: expected 4000 to 384000 Hz",
                self.rate.to_string(),
            ),
            (
                matches!(self.number, Number::S16 | Number::F32),
                "shards.number: expected \"s16\" or \"f32\" for waves",
                "bf16".into(),
            ),
            (
                self.block_s >= 0.1 && self.block_s <= 600.0,
                "shards.block_s: expected 0.1 to 600 seconds",
                self.block_s.to_string(),
            ),
            (
                (1..=1024).contains(&self.row_group_mb) && (1..=65_536).contains(&self.file_mb),
                "shards.row_group_mb: expected 1 to 1024, and shards.file_mb 1 to 65536",
                format!("{} and {}", self.row_group_mb, self.file_mb),
            ),
            (
                mel.is_none_or(|name| MelConfig::NAMES.contains(&name)),
                &format!("shards.mel: expected one of {}", MelConfig::NAMES.join(", ")),
                mel.unwrap_or_default().to_owned(),
            ),
            (
                self.mel_number.is_none_or(|n| n != Number::S16 && mel.is_some()),
                "shards.mel_number: expected \"f32\" or \"bf16\", and a front end in shards.mel",
                format!("{:?} with mel {mel:?}", self.mel_number),
            ),
            (
                self.features.is_none() || mel.is_none(),
                "shards: expected mel or features",
                "both".into(),
            ),
        ];
        match rules.iter().find(|(holds, ..)| !holds) {
            Some((_, rule, got)) => Err(format!("{rule}, got {got}")),
            None => Ok(()),
        }
    }
}

/// How a rate is written in the name of a shard set: 24 000 is `24k`, 22 050 is `22k05`.
pub fn rate_name(rate: u32) -> String {
    let rest = format!("{:03}", rate % 1000);
    format!("{}k{}", rate / 1000, rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_front_end_names_the_set_and_sets_its_rate_and_numbers() {
        let mel = Shards { mel: Some("vgg_16k_db".into()), ..Shards::default() };
        mel.check().unwrap();
        assert_eq!((mel.name().as_str(), mel.audio_rate()), ("vgg-16k-db", 16_000));
        assert_eq!(mel.kind(), Kind::Frames { fps: 62.5, bands: 128 });
        assert_eq!(mel.stored_number(), Number::F32);
        let half = Shards { mel_number: Some(Number::Bf16), ..mel };
        half.check().unwrap();
        assert_eq!(half.stored_number(), Number::Bf16);
    }

    #[test]
    fn features_are_one_vector_a_track() {
        let mfcc = Shards { features: Some(handcrafted::Kind::Mfcc), ..Shards::default() };
        mfcc.check().unwrap();
        assert_eq!((mfcc.name().as_str(), mfcc.audio_rate()), ("24k-mfcc", 24_000));
        assert_eq!(mfcc.kind(), Kind::Embedding { fps: 0.0, dim: 80 });
        assert_eq!(mfcc.stored_number(), Number::F32);
    }

    #[test]
    fn settings_that_contradict_each_other_are_told_by_name() {
        let mel = Some("vgg_16k_db".to_owned());
        for (shards, text) in [
            (
                Shards { mel: Some("vgg".into()), ..Shards::default() },
                "shards.mel: expected one of",
            ),
            (
                Shards { mel_number: Some(Number::S16), mel, ..Shards::default() },
                "shards.mel_number: expected",
            ),
            (
                Shards { mel_number: Some(Number::F32), ..Shards::default() },
                "shards.mel_number: expected",
            ),
            (
                Shards {
                    mel: Some("vgg_16k_db".into()),
                    features: Some(handcrafted::Kind::Mfcc),
                    ..Shards::default()
                },
                "shards: expected mel or features, got both",
            ),
        ] {
            let why = shards.check().unwrap_err();
            assert!(why.starts_with(text), "{why}");
        }
    }

    #[test]
    fn keys_of_mel_sets_do_not_show_in_the_text_of_wave_sets() {
        let text = serde_json::to_string(&Shards::default()).unwrap();
        assert!(["mel", "features", "cap_s"].iter().all(|key| !text.contains(key)), "{text}");
    }
}
