//! Front ends against torchaudio 2.11, librosa 0.11 and Kaldi's formula (fixtures/features/README.md).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Tensors, distance};
use etude_features::{MelConfig, MelSpec, Stft, filterbank, hann};

/// (front end, tolerance stated with the fixture, absolute)
const TOLERANCE: [(&str, f64); 10] = [
    ("musicfm_24k_power", 2e-1),
    ("musicfm_24k_db", 4e-3),
    ("vgg_16k_db", 2e-2),
    ("musicnn_sota_16k_db", 2e-2),
    ("musicnn_seed2_16k_ln", 4e-3),
    ("ast_seed2_16k_power", 4e-3),
    ("librosa_musicnn_16k_power", 4e-4),
    ("librosa_musicnn_16k_log10", 2e-5),
    ("librosa_24k_db80", 3e-4),
    ("kaldi_fbank_ast", 2e-2),
];

#[test]
fn every_front_end_is_within_its_stated_tolerance() {
    let (signals, expected) = (Tensors::read("signals"), Tensors::read("mel"));
    assert_eq!(TOLERANCE.map(|(name, _)| name), MelConfig::NAMES);
    for (name, tolerance) in TOLERANCE {
        let cfg = MelConfig::preset(name).unwrap();
        let (_, wave) = signals.get(&format!("signal_{}", cfg.rate));
        let (shape, mut want) = expected.get(name);
        if name == "kaldi_fbank_ast" {
            want = transpose(&want, shape[1]); // stored as frames by bands
        }
        let mut got = Vec::new();
        MelSpec::new(&cfg).unwrap().run(&wave, &mut got).unwrap();
        let (worst, at) = distance(&got, &want);
        println!("{name:28} worst {worst:.1e} of {tolerance:.0e}");
        assert!(worst <= tolerance, "{name}: {worst:e} at {at}, tolerance {tolerance:e}");
    }
}

#[test]
fn the_power_front_ends_are_within_1e4_of_their_frames_maximum() {
    let (signals, expected) = (Tensors::read("signals"), Tensors::read("mel"));
    for name in ["musicfm_24k_power", "ast_seed2_16k_power", "librosa_musicnn_16k_power"] {
        let cfg = MelConfig::preset(name).unwrap();
        let (_, wave) = signals.get(&format!("signal_{}", cfg.rate));
        let (shape, want) = expected.get(name);
        let mut got = Vec::new();
        MelSpec::new(&cfg).unwrap().run(&wave, &mut got).unwrap();
        for t in 0..shape[1] {
            let column =
                |x: &[f32]| x.iter().skip(t).step_by(shape[1]).copied().collect::<Vec<_>>();
            let (got, want) = (column(&got), column(&want));
            let loudest = want.iter().copied().fold(0.0, f32::max);
            assert!(distance(&got, &want).0 <= 1e-4 * f64::from(loudest), "{name} frame {t}");
        }
    }
}

#[test]
fn the_filters_of_musicfm_and_vgg_equal_torchaudios_to_the_bit_and_all_are_within_4e_6() {
    let fixture = Tensors::read("filterbanks");
    for (key, name) in [
        ("fb_24000_2048_128_none_htk", "musicfm_24k_db"),
        ("fb_16000_512_128_none_htk", "vgg_16k_db"),
        ("fb_16000_512_96_none_htk", "musicnn_sota_16k_db"),
        ("fb_16000_512_96_slaney_htk", "musicnn_seed2_16k_ln"),
        ("fb_librosa_16000_512_96", "librosa_musicnn_16k_power"),
    ] {
        let (shape, want) = fixture.get(key); // [K, F]
        let got = filterbank(&MelConfig::preset(name).unwrap());
        let (worst, at) = distance(&got, &transpose(&want, shape[1]));
        println!("{key:28} worst {worst:.1e}");
        let exact = ["musicfm_24k_db", "vgg_16k_db"].contains(&name);
        assert!(worst <= if exact { 0.0 } else { 4e-6 }, "{key}: {worst:e} at {at}");
        let empty = got.chunks(shape[0]).filter(|row| row.iter().all(|&w| w == 0.0)).count();
        assert_eq!(empty, usize::from(name == "vgg_16k_db"), "{key}");
    }
}

#[test]
fn hann_windows_are_within_1e_7() {
    let fixture = Tensors::read("filterbanks");
    for n in [512, 2048] {
        let (_, want) = fixture.get(&format!("hann_{n}"));
        assert!(distance(&hann(n, true), &want).0 <= 1e-7, "{n}");
    }
}

#[test]
fn spectra_before_the_filters_are_within_1e_5_of_the_largest_bin() {
    let (signals, fixture) = (Tensors::read("signals"), Tensors::read("spec_slice"));
    for (key, name) in [
        ("power_24k_2048_240_first4", "musicfm_24k_power"),
        ("power_16k_512_256_first4", "vgg_16k_db"),
    ] {
        let cfg = MelConfig::preset(name).unwrap();
        let (_, wave) = signals.get(&format!("signal_{}", cfg.rate));
        let mut stft = Stft::new(&cfg.stft()).unwrap();
        let mut out = Vec::new();
        stft.run(&wave, &mut out).unwrap();
        let got: Vec<f32> =
            out.chunks(stft.frames(wave.len())).flat_map(|row| row[..4].to_vec()).collect();
        let (_, want) = fixture.get(key);
        let largest = want.iter().copied().fold(0.0, f32::max);
        assert!(distance(&got, &want).0 <= 1e-5 * f64::from(largest), "{key}");
    }
}

fn transpose(x: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| x.iter().skip(c).step_by(columns).copied()).collect()
}
