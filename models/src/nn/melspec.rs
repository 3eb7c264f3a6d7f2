//! The published mel front ends on tensors, on whatever device the wave is on.
//!
//! Window and filters are variables under torchaudio's names, so that a checkpoint which carries them is followed to
//! the last bit. Letters: B batch, T samples, N frames, K = n_fft / 2 + 1 bins, F bands.

use etude_aten::Autocast;
use etude_features::{Amplitude, Framing, MelConfig, Spectrum, filterbank, hann};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::Scope;

/// Wave to mel.
#[derive(Debug)]
pub struct MelSpec {
    cfg: MelConfig,
    window: Tensor,
    bank: Tensor,
}

impl MelSpec {
    /// Variables `spectrogram.window` `[n_fft]` and `mel_scale.fb` `[K, F]`.
    ///
    /// # Errors
    /// For front ends that are not plain power spectrograms over a periodic Hann window, and for amplitudes that look
    /// at a whole track.
    pub fn new(vs: &Scope, cfg: &MelConfig) -> Result<Self> {
        let plan = Self::unnamed(vs, cfg)?;
        Ok(Self {
            window: (vs / "spectrogram").constant("window", plan.window)?,
            bank: (vs / "mel_scale").constant("fb", plan.bank)?,
            cfg: plan.cfg,
        })
    }

    /// The same without variables, for networks whose checkpoints do not carry the front end.
    ///
    /// # Errors
    /// As [`MelSpec::new`].
    pub fn unnamed(vs: &Scope, cfg: &MelConfig) -> Result<Self> {
        let plain = cfg.spectrum == Spectrum::Power
            && cfg.win == cfg.n_fft
            && cfg.framing != Framing::Inside
            && !cfg.remove_dc
            && cfg.pre_emphasis == 0.0
            && !matches!(cfg.amplitude, Amplitude::DbBelowMax { .. });
        if !plain {
            return Err(Error::Setting {
                key: "front end".to_owned(),
                expected: "a centred power spectrogram with a Hann window of n_fft points"
                    .to_owned(),
                got: format!("{cfg:?}"),
            });
        }
        let window = Tensor::f_from_slice(&hann(cfg.n_fft, true))?;
        let shape = [cfg.bands as i64, cfg.bins() as i64];
        let bank = Tensor::f_from_slice(&filterbank(cfg))?.f_reshape(shape)?; // [F, K]
        let bank = bank.f_transpose(0, 1)?.f_contiguous()?; // [K, F]
        Ok(Self {
            window: window.f_to_device(vs.device())?,
            bank: bank.f_to_device(vs.device())?,
            cfg: cfg.clone(),
        })
    }

    /// The front end this is.
    pub fn config(&self) -> &MelConfig {
        &self.cfg
    }

    /// wave `[B, T]` -> mel `[B, F, N]` with N = 1 + T / hop, float32 under mixed precision too
    ///
    /// # Errors
    /// When the wave is no matrix, or shorter than half a window.
    pub fn forward(&self, wave: &Tensor) -> Result<Tensor> {
        let half = (self.cfg.n_fft / 2) as i64;
        let size = wave.size();
        let long_enough = size.len() == 2 && size[1] > half;
        if !long_enough {
            return Err(Error::Shape {
                place: "mel front end".to_owned(),
                expected: format!("wave [B, T] with T above {half}"),
                got: format!("{size:?}"),
            });
        }
        let _float32 = Autocast::off(wave.device()).map_err(|e| Error::Torch {
            place: Some("mel front end".to_owned()),
            why: e.to_string(),
        })?;
        let wave = wave.f_to_kind(Kind::Float)?;
        let wave = match self.cfg.framing {
            Framing::CentreReflect => wave.f_reflection_pad1d([half, half])?,
            Framing::CentreZeros | Framing::Inside => wave.f_constant_pad_nd([half, half])?,
        };
        let (n_fft, hop) = (self.cfg.n_fft as i64, self.cfg.hop as i64);
        let bins = wave.f_stft(n_fft, hop, n_fft, Some(&self.window), false, true, true, false)?;
        let parts = bins.f_view_as_real()?; // [B, K, N, 2]
        let power = parts.f_square()?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)?; // [B, K, N]
        let mel = power.f_transpose(1, 2)?.f_matmul(&self.bank)?; // [B, N, F]
        self.amplitude(&mel.f_transpose(1, 2)?) // [B, F, N]
    }

    fn amplitude(&self, mel: &Tensor) -> Result<Tensor> {
        Ok(match self.cfg.amplitude {
            Amplitude::Raw {} | Amplitude::DbBelowMax { .. } => mel.shallow_clone(),
            Amplitude::Ln { eps } => mel.f_add_scalar(f64::from(eps))?.f_log()?,
            Amplitude::LnFloor { floor } => mel.f_clamp_min(f64::from(floor))?.f_log()?,
            Amplitude::Db { floor } => {
                mel.f_clamp_min(f64::from(floor))?.f_log10()?.f_mul_scalar(10.0)?
            }
            Amplitude::Log10Gain { gain } => {
                mel.f_mul_scalar(f64::from(gain))?.f_add_scalar(1.0)?.f_log10()?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::nn::Store;
    use crate::peft::Full;
    use crate::weights::TensorFile;

    fn build(name: &str) -> Result<MelSpec> {
        let (store, full) = (Store::new(Device::Cpu), Full {});
        MelSpec::new(&Scope::root(&store, &full, 0, false), &MelConfig::preset(name).unwrap())
    }

    /// Published values, at the tolerances of fixtures/features/README.md.
    #[test]
    fn every_front_end_on_tensors_gives_the_published_values() {
        let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/features");
        let signals = TensorFile::open(&home.join("signals.safetensors")).unwrap();
        let mels = TensorFile::open(&home.join("mel.safetensors")).unwrap();
        for (name, atol) in [
            ("musicfm_24k_power", 2e-1),
            ("musicfm_24k_db", 4e-3),
            ("vgg_16k_db", 2e-2),
            ("musicnn_sota_16k_db", 2e-2),
            ("musicnn_seed2_16k_ln", 4e-3),
            ("ast_seed2_16k_power", 4e-3),
            ("librosa_musicnn_16k_power", 4e-4),
            ("librosa_musicnn_16k_log10", 2e-5),
        ] {
            let mel = build(name).unwrap();
            let wave = signals.tensor(&format!("signal_{}", mel.cfg.rate)).unwrap();
            let got = mel.forward(&wave.unsqueeze(0)).unwrap().squeeze_dim(0);
            let want = mels.tensor(name).unwrap();
            assert_eq!(got.size(), want.size(), "{name}");
            let gap = (got - want).abs().max().double_value(&[]);
            assert!(gap <= atol, "{name}: off by {gap:e}, tolerance {atol:e}");
        }
    }

    #[test]
    fn a_front_end_that_tensors_cannot_give_is_refused_when_built() {
        for name in ["kaldi_fbank_ast", "librosa_24k_db80"] {
            assert!(matches!(build(name), Err(Error::Setting { .. })), "{name}");
        }
        let text = build("vgg_16k_db")
            .unwrap()
            .forward(&Tensor::zeros([1, 256], (Kind::Float, Device::Cpu)));
        assert_eq!(
            text.unwrap_err().to_string(),
            "mel front end: expected wave [B, T] with T above 256, got [1, 256]"
        );
    }
}
