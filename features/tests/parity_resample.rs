//! Resampling against torchaudio 2.11 (fixtures/features/README.md).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Tensors, distance};
use etude_features::{FirResampler, Sinc, SincResampler};

#[test]
fn the_default_filter_is_torchaudios_within_the_stated_tolerance() {
    let (signals, expected) = (Tensors::read("signals"), Tensors::read("resample"));
    for (from, to, tolerance) in [
        (44_100, 24_000, 6e-5),
        (44_100, 16_000, 9e-5),
        (48_000, 24_000, 5e-6),
        (22_050, 24_000, 2e-4),
    ] {
        let (_, wave) = signals.get(&format!("signal_{from}"));
        let (_, want) = expected.get(&format!("ta_sinc_hann_{from}_{to}"));
        let got = SincResampler::new(from, to, &Sinc::torchaudio()).unwrap().run(&wave);
        let (worst, at) = distance(&got, &want);
        println!("{from} {to} worst {worst:.1e} of {tolerance:.0e}");
        assert!(worst <= tolerance, "{from} {to}: {worst:e} at {at}, tolerance {tolerance:e}");
    }
}

#[test]
fn the_long_filters_are_closer_to_soxr_than_the_default_one() {
    let (signals, expected) = (Tensors::read("signals"), Tensors::read("resample"));
    // root mean square of (soxr VHQ - torchaudio default), from the fixture's notes
    for (from, to, default) in [
        (44_100, 24_000, 1.29e-3),
        (44_100, 16_000, 5.24e-3),
        (48_000, 24_000, 1.22e-3),
        (22_050, 24_000, 1.76e-3),
    ] {
        let (_, wave) = signals.get(&format!("signal_{from}"));
        let (_, want) = expected.get(&format!("soxr_vhq_{from}_{to}"));
        let kaiser = SincResampler::new(from, to, &Sinc::kaiser_best()).unwrap().run(&wave);
        let fir = FirResampler::new(from, to).unwrap().run(&wave);
        for (name, got) in [("kaiser_best", kaiser), ("fir", fir)] {
            assert_eq!(got.len(), want.len());
            let inner = 400..got.len() - 400;
            let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
            let power: f64 = got[inner.clone()].iter().zip(&want[inner]).map(square).sum();
            let rms = (power / (got.len() - 800) as f64).sqrt();
            println!("{name} {from} {to} rms {rms:.1e}");
            assert!(rms < default, "{name} {from} {to}: {rms:e}");
        }
    }
}
