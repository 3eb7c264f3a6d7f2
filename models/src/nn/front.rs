//! What comes into a network on mel spectrograms: waves, from which it computes them, or frames that are stored.
//! Letters: B batch, T samples, N frames, F bands.

use etude_features::MelConfig;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbone::Input;
use crate::error::{Error, Result};
use crate::nn::MelSpec;

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Waves `[B, T]` at the rate of the front end; the model computes its mel frames.
    Wave,
    /// Mel frames `[B, N, F]` with the amplitudes of the front end.
    Frames,
}

/// From either to a mel image.
#[derive(Debug)]
pub struct Front {
    place: &'static str,
    mel: MelSpec,
    source: Source,
}

impl Front {
    /// `place` is what errors call the model.
    pub fn new(place: &'static str, mel: MelSpec, source: Source) -> Self {
        Self { place, mel, source }
    }

    /// What the model takes.
    pub fn input(&self) -> Input {
        let mel = self.mel.config();
        match self.source {
            Source::Wave => Input::Wave { rate: mel.rate },
            Source::Frames => {
                Input::Frames { bands: mel.bands as i64, frame_rate: mel.frame_rate() }
            }
        }
    }

    /// wave `[B, T]` -> mel `[B, F, N]`
    ///
    /// # Errors
    /// As [`MelSpec::forward`].
    pub fn mel(&self, wave: &Tensor) -> Result<Tensor> {
        self.mel.forward(wave)
    }

    /// wave `[B, T]` or frames `[B, N, F]` -> image `[B, F, N]`
    ///
    /// # Errors
    /// When the input has another shape, or is shorter than half a window.
    pub fn image(&self, x: &Tensor) -> Result<Tensor> {
        if self.source == Source::Wave {
            return self.mel(x);
        }
        let (size, bands) = (x.size(), self.mel.config().bands as i64);
        if size.len() != 3 || size[2] != bands {
            return Err(Error::Shape {
                place: self.place.to_owned(),
                expected: format!("mel frames [B, N, {bands}]"),
                got: format!("{size:?}"),
            });
        }
        Ok(x.f_transpose(1, 2)?)
    }
}

/// The published front end of that name.
pub(crate) fn front_end(name: &str) -> Result<MelConfig> {
    MelConfig::preset(name).ok_or_else(|| Error::Setting {
        key: "front end".to_owned(),
        expected: MelConfig::NAMES.join(", "),
        got: name.to_owned(),
    })
}
