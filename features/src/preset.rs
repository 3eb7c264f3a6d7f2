//! The published front ends, by name.
//!
//! "ta" below is torchaudio: centred, mirrored ends, periodic Hann of n_fft points, power, HTK filters without norm.

use crate::amplitude::Amplitude;
use crate::mel::{MelConfig, Scale};
use crate::stft::{Framing, Spectrum};
use crate::window::Window;

pub(crate) const NAMES: [&str; 10] = [
    "musicfm_24k_power",
    "musicfm_24k_db",
    "vgg_16k_db",
    "musicnn_sota_16k_db",
    "musicnn_seed2_16k_ln",
    "ast_seed2_16k_power",
    "librosa_musicnn_16k_power",
    "librosa_musicnn_16k_log10",
    "librosa_24k_db80",
    "kaldi_fbank_ast",
];

pub(crate) fn config(name: &str) -> Option<MelConfig> {
    let db = Amplitude::Db { floor: 1e-10 };
    Some(match name {
        // MusicFM (arXiv:2311.03318): ta, then dB, then one mean and deviation for all bands
        "musicfm_24k_power" => torchaudio(24_000, 2048, 240, 128),
        "musicfm_24k_db" => MelConfig { amplitude: db, ..torchaudio(24_000, 2048, 240, 128) },
        // VGG-ish and short-chunk CNNs (arXiv:2006.00751)
        "vgg_16k_db" => MelConfig { amplitude: db, ..torchaudio(16_000, 512, 256, 128) },
        // Musicnn as in the same comparison
        "musicnn_sota_16k_db" => MelConfig { amplitude: db, ..torchaudio(16_000, 512, 256, 96) },
        // Musicnn as in the limited-data study: filters of equal area, natural logarithm
        "musicnn_seed2_16k_ln" => MelConfig {
            area_norm: true,
            amplitude: Amplitude::Ln { eps: 1e-8 },
            ..torchaudio(16_000, 512, 256, 96)
        },
        // AST as in the limited-data study: raw power
        "ast_seed2_16k_power" => torchaudio(16_000, 512, 256, 128),
        // Musicnn as first published (arXiv:1909.06654), without its cast to 16 bits
        "librosa_musicnn_16k_power" => librosa(16_000, 512, 256, 96),
        "librosa_musicnn_16k_log10" => MelConfig {
            amplitude: Amplitude::Log10Gain { gain: 10_000.0 },
            ..librosa(16_000, 512, 256, 96)
        },
        "librosa_24k_db80" => MelConfig {
            amplitude: Amplitude::DbBelowMax { floor: 1e-10, top_db: 80.0 },
            ..librosa(24_000, 2048, 240, 128)
        },
        // AST as first published (arXiv:2104.01778): Kaldi filters. The published code also takes the wave's mean
        // away, which the removal of each frame's mean makes void.
        "kaldi_fbank_ast" => MelConfig {
            win: 400,
            window: Window::HannSymmetric,
            framing: Framing::Inside,
            remove_dc: true,
            pre_emphasis: 0.97,
            f_min: 20.0,
            scale: Scale::Kaldi,
            amplitude: Amplitude::LnFloor { floor: f32::EPSILON },
            ..torchaudio(16_000, 512, 160, 128)
        },
        _ => return None,
    })
}

fn torchaudio(rate: u32, n_fft: usize, hop: usize, bands: usize) -> MelConfig {
    MelConfig {
        rate,
        n_fft,
        win: n_fft,
        hop,
        window: Window::Hann,
        framing: Framing::CentreReflect,
        spectrum: Spectrum::Power,
        remove_dc: false,
        pre_emphasis: 0.0,
        bands,
        f_min: 0.0,
        f_max: f64::from(rate) / 2.0,
        scale: Scale::Htk,
        area_norm: false,
        amplitude: Amplitude::Raw {},
    }
}

fn librosa(rate: u32, n_fft: usize, hop: usize, bands: usize) -> MelConfig {
    MelConfig {
        framing: Framing::CentreZeros,
        scale: Scale::Slaney,
        area_norm: true,
        ..torchaudio(rate, n_fft, hop, bands)
    }
}
