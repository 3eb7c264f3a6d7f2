//! Contrastive pre-training: views that depend on nothing but their clip, a loss that falls, exact resume, and a network
//! that other runs start from.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{train, untimed};
use etude_manifests::Target;
use etude_models::weights::TensorFile;
use etude_shards::{Batch, LoaderState};
use etude_train::objectives::contrastive::{ACCURACY, Contrastive, ContrastiveConfig};
use etude_train::{Ending, Experiment, Row, RunDir, resume};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn pretraining(data: &Path, sets: &[&str]) -> Experiment {
    let all = [
        "model.backbone={ name = 'samplecnn', channels = 4 }",
        "model.head={ kind = 'projection', dim = 16 }",
        "objective={ kind = 'contrastive' }",
        "data.shards=tones-22k",
        "data.crop={ kind = 'whole' }",
        "data.batch=8",
        "data.drop_last=true",
        "trainer.keep={ best = 1, by = 'loss', mode = 'min' }",
    ];
    common::experiment(data, &[&all, sets].concat())
}

/// Clips of the corpus as a batch, at least one.
fn batch(clips: &[usize]) -> Batch {
    let waves: Vec<Vec<f32>> = clips.iter().map(|&n| common::clip(n)).collect();
    Batch {
        keys: clips.iter().map(|n| format!("tones:{n:04}")).collect(),
        starts: vec![0; clips.len()],
        shape: vec![clips.len(), waves[0].len()],
        lengths: vec![waves[0].len(); clips.len()],
        data: waves.concat().into(),
        targets: vec![Target::None; clips.len()],
        after: LoaderState::default(),
    }
}

#[test]
fn a_view_depends_on_seed_epoch_and_clip_and_on_nothing_around_it() {
    let mut cfg = ContrastiveConfig::default();
    let n = cfg.augment.samples;
    let of = |cfg: &ContrastiveConfig, seed| Contrastive::new(cfg, seed);
    let views = of(&cfg, 1).views(&batch(&[0, 1, 2]), 4, 22_050);
    assert_eq!(views.len(), 6 * n);
    cfg.threads = 5;
    assert!(of(&cfg, 1).views(&batch(&[0, 1, 2]), 4, 22_050) == views, "threads");
    let alone = of(&cfg, 1).views(&batch(&[1]), 4, 22_050);
    assert!(alone[..n] == views[n..2 * n] && alone[n..] == views[4 * n..5 * n], "batch");
    assert!(alone[..n] != alone[n..], "two views");
    let differs = |other: Vec<f32>| other.chunks(n).zip(alone.chunks(n)).all(|(a, b)| a != b);
    assert!(differs(of(&cfg, 1).views(&batch(&[1]), 5, 22_050)), "epoch");
    assert!(differs(of(&cfg, 2).views(&batch(&[1]), 4, 22_050)), "seed");
}

#[test]
fn a_network_learns_to_tell_clips_apart_resumes_exactly_and_is_what_other_runs_start_from() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus_at(tmp.path(), [16, 8, 4], "tones-22k", 22_050);
    let exp = pretraining(tmp.path(), &["trainer.epochs=8", "optim.lr=3e-3"]);
    let base = tmp.path().join("base");
    assert_eq!(train(&exp, &base).ending, Ending::Done);
    let rows = untimed(&base);
    let losses = common::losses(&rows);
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    // it begins at guessing among 15 other views, ln 15 = 2.71
    assert!(mean(&losses[losses.len() - 4..]) < mean(&losses[..4]) - 0.15, "{losses:?}");
    assert!(matches!(&rows[0], Row::Step { extras, .. } if extras.contains_key(ACCURACY)));

    // interrupted after five steps and resumed with more threads: the same numbers, the same network
    let again = tmp.path().join("again");
    common::interrupted(&exp, &again, 5);
    let more = pretraining(
        tmp.path(),
        &["trainer.epochs=8", "optim.lr=3e-3", "objective.threads=3", "data.threads=1"],
    );
    resume(&more, &RunDir::open(&again).unwrap(), &mut (), &AtomicBool::new(false)).unwrap();
    assert_eq!(untimed(&again), rows);
    let bytes = |run: &Path| std::fs::read(run.join("model.safetensors")).unwrap();
    assert!(bytes(&base) == bytes(&again));
    let names = TensorFile::open(&base.join("model.safetensors")).unwrap().names();
    assert!(names.iter().any(|n| n == "head.projector.2.weight"));

    // a probe on it keeps the head alone; so does more of the same with its projection
    let weights = format!("model.weights={}", base.display());
    let probe = pretraining(
        tmp.path(),
        &[
            "objective={ kind = 'supervised', task = { kind = 'tagging' } }",
            "model.head={ kind = 'linear' }",
            "tuning={ method = 'probe' }",
            "trainer.keep={ best = 1, by = 'mAP', mode = 'max' }",
            "data.crop={ kind = 'random', steps = 59049 }",
            &weights,
        ],
    );
    train(&probe, &tmp.path().join("probe"));
    let best = TensorFile::open(&tmp.path().join("probe/best.safetensors")).unwrap();
    assert!(best.names().iter().all(|n| n.starts_with("head.")));
    let on = pretraining(tmp.path(), &["trainer.epochs=1", "model.head_weights=true", &weights]);
    train(&on, &tmp.path().join("on"));
}

#[test]
fn what_contrastive_training_cannot_work_with_is_told_at_once() {
    let sets = [
        "model.head={ kind = 'none' }",
        "tuning={ method = 'probe' }",
        "data.drop_last=false",
        "data.crop={ kind = 'random', steps = 59048 }",
        "objective.temperature=0.0",
        "objective.augment.polarity=2.0",
    ];
    let all: Vec<String> = [
        "model.backbone={ name = 'samplecnn' }",
        "objective={ kind = 'contrastive' }",
        "trainer.keep={ best = 1, by = 'loss', mode = 'min' }",
    ]
    .into_iter()
    .chain(sets)
    .map(str::to_owned)
    .collect();
    let plain = common::experiment(Path::new("/nowhere"), &[]);
    let text = Experiment::parse("x.toml", plain.text(), &all).unwrap_err().to_string();
    for want in [
        "model.head.kind: expected projection",
        "tuning.method: expected full",
        "data.drop_last: expected true",
        "data.crop.steps: expected 59049 or more",
        "objective.temperature: expected above 0",
        "objective.augment.polarity: expected a probability, got 2",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
