//! What the resamplers for new work do to a tone, over the pairs of rates that corpora and models meet.
//!
//! A tone below the lower half rate has to come out as itself; one above it has to vanish. Levels are dB relative to the
//! tone, the outer fifths of the wave left out.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::{Pcm, Resample, Resampler};
use std::f64::consts::TAU;

const PAIRS: [(u32, u32); 6] = [
    (44_100, 24_000),
    (44_100, 16_000),
    (48_000, 24_000),
    (16_000, 24_000),
    (22_050, 24_000),
    (44_100, 22_050),
];

/// What became of a full-scale tone: its gain, dB; its delay, samples of the output; everything else, dB.
struct Heard {
    gain: f64,
    delay: f64,
    rest: f64,
}

/// Half a second of a tone of `hertz`, resampled and compared with the same tone at the new rate by least squares.
fn hear(resample: &mut Resample, (from, to): (u32, u32), hertz: f64) -> Heard {
    let turn = TAU * hertz / f64::from(from);
    let samples = (0..from / 2).map(|i| (turn * f64::from(i)).sin() as f32).collect();
    let out = resample.run(Pcm { samples, rate: from }, to).unwrap().samples;
    let turn = TAU * hertz / f64::from(to);
    let skip = out.len() / 5;
    let inner = skip..out.len() - skip;
    let (mut ss, mut sc, mut cc, mut sy, mut cy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for i in inner.clone() {
        let ((s, c), y) = ((turn * i as f64).sin_cos(), f64::from(out[i]));
        (ss, sc, cc) = (ss + s * s, sc + s * c, cc + c * c);
        (sy, cy) = (sy + s * y, cy + c * y);
    }
    let det = ss * cc - sc * sc;
    let (a, b) = match hertz < f64::from(to) / 2.0 {
        true => ((sy * cc - cy * sc) / det, (cy * ss - sy * sc) / det),
        false => (0.0, 0.0),
    };
    let rest: f64 = inner
        .clone()
        .map(|i| {
            let (s, c) = (turn * i as f64).sin_cos();
            (f64::from(out[i]) - a * s - b * c).powi(2)
        })
        .sum();
    let db = |x: f64| 20.0 * x.max(1e-12).log10();
    Heard {
        gain: db(a.hypot(b)),
        delay: -b.atan2(a) / turn,
        rest: db((2.0 * rest / inner.len() as f64).sqrt()),
    }
}

/// Shares of a band, evenly spread, with a twist that avoids round numbers.
fn shares(n: u32, from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| from + (to - from) * (f64::from(i) + 0.37) / f64::from(n))
}

#[test]
fn fir_is_flat_to_a_hundredth_db_up_to_95_percent_of_the_lower_half_rate_and_delays_nothing() {
    let mut resample = Resample::new(Resampler::Fir);
    for pair in PAIRS {
        let top = f64::from(pair.0.min(pair.1)) / 2.0;
        let (mut ripple, mut delay, mut rest) = (0f64, 0f64, f64::MIN);
        for share in shares(20, 0.005, 0.95).chain([0.95]) {
            let heard = hear(&mut resample, pair, share * top);
            ripple = ripple.max(heard.gain.abs());
            delay = delay.max(heard.delay.abs());
            rest = rest.max(heard.rest);
        }
        println!("{pair:?}: ripple {ripple:.5} dB, delay {delay:.1e} samples, rest {rest:.1} dB");
        assert!(ripple <= 0.01, "{pair:?}: {ripple} dB");
        assert!(delay <= 1e-3, "{pair:?}: {delay} samples");
        assert!(rest <= -120.0, "{pair:?}: {rest} dB");
    }
}

#[test]
fn fir_leaves_nothing_above_minus_120_db_of_what_lies_beyond_the_new_half_rate() {
    let mut resample = Resample::new(Resampler::Fir);
    for pair in PAIRS.into_iter().filter(|(from, to)| from > to) {
        let (low, high) = (f64::from(pair.1) / 2.0, f64::from(pair.0) / 2.0);
        let tones = shares(24, low, high).chain([low * 1.0005, low * 1.01, high * 0.999]);
        let worst = tones.map(|hz| hear(&mut resample, pair, hz).rest).fold(f64::MIN, f64::max);
        println!("{pair:?}: images {worst:.1} dB");
        assert!(worst <= -120.0, "{pair:?}: {worst} dB");
    }
}

#[test]
fn fir_passes_no_less_and_stops_no_less_than_fft_needs_to_for_16_bits() {
    let pair = (44_100, 16_000);
    for how in [Resampler::Fir, Resampler::Fft] {
        let mut resample = Resample::new(how);
        let edge = hear(&mut resample, pair, 7_790.0).gain;
        let image = [8_100.0, 8_400.0, 9_000.0, 12_000.0, 20_000.0]
            .map(|hz| hear(&mut resample, pair, hz).rest)
            .into_iter()
            .fold(f64::MIN, f64::max);
        println!("{how:?}: {edge:.4} dB at 97.4 %, images {image:.1} dB");
        assert!(edge.abs() < 0.1, "{how:?}: {edge} dB");
        assert!(image < -120.0, "{how:?}: {image} dB");
    }
}

#[test]
fn torchaudios_filters_are_what_they_are() {
    let pair = (44_100, 16_000);
    let image = |how, hz| hear(&mut Resample::new(how), pair, hz).rest;
    let loud = image(Resampler::TorchaudioHann, 8_100.0);
    assert!((-8.0..-6.0).contains(&loud), "{loud} dB");
    assert!(image(Resampler::TorchaudioKaiser, 8_400.0) < -120.0);
}
