//! Chroma, MFCC and their summaries against librosa 0.11 (fixtures/features/README.md).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Tensors, distance};
use etude_features::handcrafted::{Handcrafted, Kind};

/// Largest absolute difference of frames and of summaries: chroma is at most 1, coefficients are in decibels, up to 700.
const TOLERANCE: [(Kind, f64, f64); 2] = [(Kind::Chroma, 2e-4, 5e-5), (Kind::Mfcc, 2e-2, 2e-3)];

#[test]
fn frames_and_summaries_are_within_their_stated_tolerance() {
    let (signals, expected) = (Tensors::read("signals"), Tensors::read("handcrafted"));
    for (kind, of_frames, of_summary) in TOLERANCE {
        for rate in [16_000, 24_000] {
            let (_, wave) = signals.get(&format!("signal_{rate}"));
            let name = format!("{}_{rate}", kind.name());
            let (shape, want) = expected.get(&name);
            let mut features = Handcrafted::new(kind, rate).unwrap();
            let mut got = Vec::new();
            features.frames(&wave, &mut got).unwrap();
            let by_row: Vec<f32> = (0..kind.width())
                .flat_map(|i| got.iter().skip(i).step_by(kind.width()).copied().collect::<Vec<_>>())
                .collect();
            assert_eq!(shape, [kind.width(), got.len() / kind.width()]);
            let (worst, at) = distance(&by_row, &want);
            println!("{name:14} worst {worst:.1e} of {of_frames:.0e}");
            assert!(worst <= of_frames, "{name}: {worst:e} at {at}");
            let (_, want) = expected.get(&format!("{name}_summary"));
            features.summary(&wave, &mut got).unwrap();
            let (worst, at) = distance(&got, &want);
            println!("{name:14} summary worst {worst:.1e} of {of_summary:.0e}");
            assert!(worst <= of_summary, "{name} summary: {worst:e} at {at}");
        }
    }
}
