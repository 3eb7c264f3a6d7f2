//! What becomes of a decoded track on its way into a shard set: a wave at the set's rate, mel frames, or one vector of
//! hand-crafted features.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::npy;
use crate::pcm::Pcm;
use crate::resample::Resample;
use etude_features::handcrafted::Handcrafted;
use etude_features::{Error as FeatureError, MelSpec};
use etude_manifests::{Status, Track};

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Audio.
    Wave(Pcm),
    /// A published mel file, `[T, F]`.
    Frames(Vec<f32>),
}

/// What a set makes of a wave, planned.
#[derive(Debug, Clone)]
pub(super) enum Front {
    /// Nothing: the wave is stored.
    Wave,
    /// Mel frames `[T, F]`.
    Mel(MelSpec),
    /// One vector.
    Features(Handcrafted),
}

impl Front {
    /// The front end of the config's set for these tracks.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be planned, or if the corpus holds published mel files, which are of one kind, and
    /// the set shall be of another.
    pub fn plan(cfg: &Config, tracks: &[Track]) -> Result<Self> {
        let wrong = |text: String| Error::Config { place: "shards.mel".into(), text };
        let published = tracks.iter().find(|t| npy::is_mel_file(&t.path));
        if let Some(track) = published.filter(|_| cfg.shards.mel.as_deref() != Some(npy::FRONT_END))
        {
            let got = cfg.shards.mel.as_deref().unwrap_or("no front end");
            return Err(wrong(format!(
                "expected \"{}\", because {} is a published mel file, got {got}",
                npy::FRONT_END,
                track.path
            )));
        }
        let planned = match (cfg.shards.front_end(), cfg.shards.features) {
            (Some(mel), _) => MelSpec::new(&mel).map(Self::Mel),
            (None, Some(kind)) => Handcrafted::new(kind, cfg.shards.rate).map(Self::Features),
            (None, None) => Ok(Self::Wave),
        };
        planned.map_err(|e| wrong(e.to_string()))
    }
}

/// A worker's plans and scratch.
pub(super) struct Maker {
    resample: Resample,
    rate: u32,
    cap_s: Option<f64>,
    front: Front,
    fps: f64,
}

impl Maker {
    /// A worker for this set.
    pub fn new(cfg: &Config, front: Front) -> Self {
        Self {
            resample: Resample::new(cfg.shards.resampler),
            rate: cfg.shards.audio_rate(),
            cap_s: cfg.shards.cap_s,
            front,
            fps: cfg.shards.kind().steps_per_s(),
        }
    }

    /// Numbers to store, `[T]`, `[T, F]` or `[D]`, or why the track has none.
    ///
    /// # Errors
    /// From the resampler.
    pub fn run(&mut self, content: Content) -> Result<Result<Vec<f32>, (Status, String)>> {
        let pcm = match content {
            Content::Frames(frames) => return Ok(Ok(self.capped(frames))),
            Content::Wave(pcm) => pcm,
        };
        let wave = self.resample.run(pcm, self.rate)?.samples;
        let mut out = Vec::new();
        let made = match &mut self.front {
            Front::Wave => return Ok(Ok(wave)),
            Front::Mel(mel) => mel.run_frames(&wave, &mut out),
            Front::Features(features) => features.summary(&wave, &mut out),
        };
        if let Err(e) = made {
            let status = match e {
                FeatureError::TooShort { .. } => Status::TooShort,
                _ => Status::DecodeError,
            };
            return Ok(Err((status, e.to_string())));
        }
        Ok(match out.iter().filter(|x| !x.is_finite()).count() {
            0 => Ok(out),
            n => Err((Status::Nonfinite, format!("{n} values of the front end are not finite"))),
        })
    }

    /// The first `cap_s` seconds of mel frames.
    fn capped(&self, mut frames: Vec<f32>) -> Vec<f32> {
        if let (Some(cap_s), Front::Mel(mel)) = (self.cap_s, &self.front) {
            frames.truncate(((cap_s * self.fps) as usize).max(1) * mel.bands());
        }
        frames
    }
}
