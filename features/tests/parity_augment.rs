//! Changes of waves against the published code (fixtures/clmr/README.md), at the tolerances stated there. Pitch and
//! reverb were SoX's and are our own: how near they come is measured here, not promised by the fixture.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Tensors, distance};
use etude_features::augment::{
    add_noise, delay, deviation, gain, high_pass, invert, low_pass, reverberate, shift_pitch,
};

const RATE: u32 = 22_050;

#[test]
fn noise_gain_delay_and_filters_are_the_published_ones() {
    let file = Tensors::below_fixtures("clmr/augment");
    let get = |name: &str| file.get(name).1;
    let (x, unit_noise) = (get("in.x"), get("in.unit_noise"));
    let changed = |f: &dyn Fn(&mut [f32])| {
        let mut x = x.clone();
        f(&mut x);
        x
    };
    for (name, got, tolerance) in [
        ("gain", changed(&|x| gain(x, -7.5)), 7e-7),
        ("gain_up_clamped", changed(&|x| gain(x, 6.0)), 2e-6),
        ("noise", changed(&|x| add_noise(x, &unit_noise, 0.004)), 2e-6),
        ("delay", delay(&x, RATE, 250.0), 9e-7),
        ("highpass", high_pass(&x, RATE, 600.0), 5e-6),
        ("lowpass", low_pass(&x, RATE, 3100.0), 5e-6),
        ("std", vec![deviation(&x) as f32], 6e-7),
    ] {
        let (gap, at) = distance(&got, &get(&format!("out.{name}")));
        assert!(gap <= tolerance, "{name}: off by {gap:e} at {at}, tolerance {tolerance:e}");
    }
    let twice = changed(&|x| {
        invert(x);
        invert(x);
    });
    assert_eq!(twice, x);
}

/// Power in each of 40 bands of the whole wave, as a share of all.
fn colour(x: &[f32]) -> Vec<f64> {
    let cfg = etude_features::MelConfig {
        rate: RATE,
        f_max: f64::from(RATE) / 2.0,
        bands: 40,
        ..etude_features::MelConfig::preset("ast_seed2_16k_power").unwrap()
    };
    let (mut mel, mut out) = (etude_features::MelSpec::new(&cfg).unwrap(), Vec::new());
    mel.run(x, &mut out).unwrap();
    let frames = mel.frames(x.len());
    let sums: Vec<f64> =
        out.chunks(frames).map(|band| band.iter().map(|&v| f64::from(v)).sum()).collect();
    let all: f64 = sums.iter().sum();
    sums.into_iter().map(|v| v / all).collect()
}

#[test]
fn the_room_is_that_of_sox() {
    let file = Tensors::below_fixtures("clmr/augment");
    let (x, want) = (file.get("in.x").1, file.get("out.sox_reverb").1);
    let got = reverberate(&x, RATE, 50.0, 40.0, 60.0);
    let wet: Vec<f32> = want.iter().zip(&x).map(|(a, b)| a - b).collect();
    let (gap, _) = distance(&got, &want);
    assert!(gap < 1e-3 && deviation(&wet) > 0.01, "off by {gap:e}, the room {}", deviation(&wet));
}

#[test]
fn a_shifted_wave_has_the_colour_that_sox_gives_it() {
    let file = Tensors::below_fixtures("clmr/augment");
    let (x, want) = (file.get("in.x").1, file.get("out.sox_pitch").1);
    let got = shift_pitch(&x, RATE, 350.0);
    let far = |a: &[f32], b: &[f32]| -> f64 {
        colour(a).iter().zip(colour(b)).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
    };
    let (ours, unchanged) = (far(&got, &want), far(&x, &want));
    assert!(
        ours < 0.05 && ours < 0.3 * unchanged,
        "{ours} from SoX's, {unchanged} without a shift"
    );
}
