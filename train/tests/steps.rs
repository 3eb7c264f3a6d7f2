//! What a step is made of: batches joined to one, shortened epochs, mixed precision.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_manifests::Split;
use etude_train::{Experiment, LOSS, Row, RunDir, evaluate, read_log, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Fourteen clips; nothing depends on which of them share a batch: the backbone is frozen, no dropout.
fn rows(data: &Path, name: &str, sets: &[&str]) -> (Experiment, Vec<Row>) {
    let mut all = vec!["tuning={ method = 'probe' }", "model.head={ kind = 'linear' }"];
    all.extend(sets);
    let exp = common::experiment(data, &all);
    let path = data.join(name);
    run(&exp, &RunDir::create(&path).unwrap(), &mut (), &AtomicBool::new(false)).unwrap();
    (exp, read_log(&path.join("log.jsonl")).unwrap())
}

fn losses(rows: &[Row]) -> Vec<f64> {
    let loss = |r: &Row| match r {
        Row::Step { loss, .. } => Some(*loss),
        Row::Valid { scores, .. } => Some(scores[LOSS]),
        Row::Event { .. } => None,
    };
    rows.iter().filter_map(loss).collect()
}

#[test]
fn small_batches_joined_to_a_step_are_one_large_batch() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let (_, large) = rows(tmp.path(), "large", &["data.batch=6"]);
    // five batches of 3 and fewer: the last step of an epoch has one of two clips
    let (_, small) = rows(tmp.path(), "small", &["data.batch=3", "trainer.accumulate=2"]);
    let (large, small) = (losses(&large), losses(&small));
    assert_eq!(large.len(), 3 + 1 + 3 + 1);
    assert_eq!(large.len(), small.len());
    for (a, b) in large.iter().zip(&small) {
        assert!((a - b).abs() < 1e-5, "{large:?}\n{small:?}");
    }
    let (_, other) = rows(tmp.path(), "other", &["data.batch=3"]);
    assert_eq!(losses(&other).len(), 5 + 1 + 5 + 1);
}

#[test]
fn a_limited_epoch_ends_early_and_the_next_has_another_order() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let sets = ["data.batch=3", "trainer.epoch_batches=2", "optim.lr=1e-9"];
    let (exp, rows) = rows(tmp.path(), "run", &sets);
    assert_eq!(exp.train_loader().epoch_batches, Some(2));
    let epochs = rows.iter().filter_map(|r| match r {
        Row::Step { epoch, .. } => Some(*epoch),
        _ => None,
    });
    assert_eq!(epochs.collect::<Vec<_>>(), [0, 0, 1, 1]);
    let losses = losses(&rows);
    assert_ne!(losses[0], losses[3], "another epoch, other clips first");
}

#[test]
fn bfloat16_is_near_float32_and_scoring_repeats_the_validation() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let sets = ["data.batch=4", "optim.lr=1e-3"];
    let (_, exact) = rows(tmp.path(), "f32", &sets);
    let (_, rough) = rows(tmp.path(), "bf16", &[sets[0], sets[1], "trainer.precision=bf16"]);
    let (a, b) = (losses(&exact), losses(&rough));
    assert_ne!(a, b);
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 0.02 * a, "{a} in float32, {b} in bfloat16");
    }
    let best = rough.iter().rev().find_map(|r| match r {
        Row::Valid { scores, best: true, .. } => Some(scores[LOSS]),
        _ => None,
    });
    let dir = RunDir::read(&tmp.path().join("bf16")).unwrap();
    let again = evaluate(&dir, Split::Valid, &[], &mut ()).unwrap();
    assert_eq!(Some(again.loss), best);
}
