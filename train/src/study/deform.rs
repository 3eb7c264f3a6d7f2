//! Deformations of test audio, as the embedding stage takes them.

use etude_eval::embed::Deform;
use etude_features::Deformation;
use std::sync::Arc;

/// Noise is drawn from this seed and the track's key, whatever the seed of the run: all runs hear the same.
const SEED: u64 = 0;

pub(super) fn deform(deformation: &Deformation) -> Deform {
    let (id, deformation) = (format!("{deformation:?}"), deformation.clone());
    let apply = move |key: &str, _: u32, wave: &mut [f32]| deformation.apply(wave, SEED, key);
    Deform { id, apply: Arc::new(apply) }
}
