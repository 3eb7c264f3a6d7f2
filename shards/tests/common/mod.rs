//! Small shard sets of made-up waves, and the view that goes with them.
#![allow(dead_code, reason = "every test binary uses a part of this")]

use etude_manifests::{Example, Split, Target, View, Vocab};
use etude_shards::{FileEntry, Index, Kind, Number, ShardFile, Spec, TrackRow};
use std::path::Path;

/// 1000 Hz, 1 s blocks: everything is small.
pub fn spec() -> Spec {
    Spec {
        corpus: "toy".into(),
        kind: Kind::Wave { rate: 1000 },
        number: Number::S16,
        block_s: 1.0,
        row_group_bytes: 9_000,
        resampler: "none".into(),
        config_digest: "c0".into(),
        manifest_hash: "m0".into(),
    }
}

/// Value `i` of track `t`: exact in 16 bits, different for every track and place.
pub fn value(t: usize, i: usize) -> f32 {
    let s = (t * 7919 + i * 31) % 65_536;
    (s as f32 - 32_768.0) / 32_768.0
}

pub fn wave(t: usize, steps: usize) -> Vec<f32> {
    (0..steps).map(|i| value(t, i)).collect()
}

pub fn key(t: usize) -> String {
    format!("toy:{t:04}")
}

/// Writes tracks `from..from + steps.len()` as file `n`.
pub fn write_file(dir: &Path, n: usize, spec: &Spec, from: usize, steps: &[usize]) -> FileEntry {
    let mut file = ShardFile::create(dir, n, spec).unwrap().planned(format!("plan {n}"));
    let width = spec.kind.width();
    for (i, steps) in steps.iter().enumerate() {
        let (key, tags) = (key(from + i), [format!("tag{i}"), "all".to_string()]);
        let row = TrackRow { key: &key, variant: "orig", tags: &tags, split: Some(Split::Train) };
        file.push(&row, &wave(from + i, steps * width)).unwrap();
    }
    file.finish().unwrap()
}

/// A set with `per_file` tracks a file; `steps` holds the length of every track.
pub fn write_set(dir: &Path, spec: &Spec, steps: &[usize], per_file: usize) -> Index {
    let files = steps.chunks(per_file).enumerate();
    let files = files.map(|(n, s)| write_file(dir, n, spec, n * per_file, s)).collect();
    Index::assemble(dir, spec, files).unwrap()
}

/// All tracks, in the split that `split` says.
pub fn view(tracks: usize, split: impl Fn(usize) -> Split) -> View {
    let example = |t| Example {
        key: key(t),
        track: key(t),
        variant: "orig".into(),
        split: split(t),
        target: Target::Tags(vec![t as u16]),
    };
    View {
        name: "toy_all".into(),
        corpus: "toy".into(),
        vocab: Vocab { id: "toy".into(), classes: vec![], order: "none".into() },
        examples: (0..tracks).map(example).collect(),
        sources: vec![],
    }
}
