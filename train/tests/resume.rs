//! A run that is interrupted and resumed gives the numbers of one that is not, to the last digit.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::StopAt;
use common::untimed;
use etude_models::weights::TensorFile;
use etude_train::{Ending, Error, Experiment, Row, RunDir, resume, run};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// 5 steps an epoch, 4 epochs, a validation every 3 steps, a decaying rate, dropout, random crops.
fn experiment(data: &Path) -> Experiment {
    common::experiment(
        data,
        &[
            "data.batch=3",
            "data.crop={ kind = 'random', steps = 32512 }",
            "trainer.epochs=4",
            "trainer.validate_steps=3",
            "trainer.save_steps=4",
            "trainer.keep.best=2",
            "optim.schedule={ kind = 'cosine', warmup = 3, lr_min = 1e-5 }",
            "eval.batch=4",
        ],
    )
}

fn same_tensors(a: &Path, b: &Path) {
    let (a, b) = (TensorFile::open(a).unwrap(), TensorFile::open(b).unwrap());
    assert_eq!(a.names(), b.names());
    for ((name, x), (_, y)) in a.tensors().unwrap().iter().zip(b.tensors().unwrap()) {
        assert!(x.equal(&y), "{name}");
    }
}

/// Trains to the end in any number of starts, stopped at these steps; in the validation after the step where it is
/// negative.
fn interrupted(exp: &Experiment, path: &Path, stops: &[i64]) {
    let mut first = true;
    for &at in stops.iter().chain([&i64::MAX]) {
        let stop = AtomicBool::new(false);
        let step = at.unsigned_abs();
        let mut log = StopAt { step, stop: &stop, rows: Vec::new(), in_validation: at < 0 };
        let outcome = if first {
            run(exp, &RunDir::create(path).unwrap(), &mut log, &stop)
        } else {
            resume(exp, &RunDir::open(path).unwrap(), &mut log, &stop)
        };
        first = false;
        let outcome = outcome.unwrap();
        let ending = if at == i64::MAX { Ending::Done } else { Ending::Stopped };
        assert_eq!(outcome.ending, ending, "stopped at {at}");
    }
}

#[test]
fn a_run_stopped_anywhere_and_resumed_is_the_run_that_was_not() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let exp = experiment(tmp.path());
    let whole = tmp.path().join("whole");
    interrupted(&exp, &whole, &[]);
    let rows = untimed(&whole);
    assert_eq!(rows.iter().filter(|r| matches!(r, Row::Step { .. })).count(), 20);
    assert_eq!(rows.iter().filter(|r| matches!(r, Row::Valid { .. })).count(), 7);

    // Every step, every validation, and several stops in one run.
    let mut plans: Vec<Vec<i64>> = (1..20).map(|s| vec![s]).collect();
    plans.extend([3, 9, 18].map(|s| vec![-s]));
    plans.push(vec![1, 2, 3, 4, 5, -6, 7, 14, -18, 19]);
    for plan in plans {
        let path = tmp.path().join(format!("{plan:?}"));
        interrupted(&exp, &path, &plan);
        assert_eq!(untimed(&path), rows, "stopped at {plan:?}");
        same_tensors(
            &whole.join("last/tensors.safetensors"),
            &path.join("last/tensors.safetensors"),
        );
        same_tensors(&whole.join("best.safetensors"), &path.join("best.safetensors"));
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn a_run_of_joined_batches_and_limited_epochs_is_resumed_exactly() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let sets = [
        "data.batch=2",
        "trainer.accumulate=2",
        "trainer.epoch_batches=5",
        "trainer.precision=bf16",
        "trainer.epochs=3",
    ];
    let exp = common::experiment(tmp.path(), &sets);
    let whole = tmp.path().join("whole");
    interrupted(&exp, &whole, &[]);
    let rows = untimed(&whole);
    assert_eq!(rows.iter().filter(|r| matches!(r, Row::Step { .. })).count(), 9);
    for plan in [vec![2], vec![3, 4], vec![1, 5, 8]] {
        let path = tmp.path().join(format!("{plan:?}"));
        interrupted(&exp, &path, &plan);
        assert_eq!(untimed(&path), rows, "stopped at {plan:?}");
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before_with_the_same_end() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [14, 4, 2]);
    let exp = experiment(tmp.path());
    let (whole, path) = (tmp.path().join("whole"), tmp.path().join("cut"));
    interrupted(&exp, &whole, &[]);
    let stop = AtomicBool::new(false);
    let mut log = StopAt { step: 11, stop: &stop, rows: Vec::new(), in_validation: false };
    run(&exp, &RunDir::create(&path).unwrap(), &mut log, &stop).unwrap();
    let tensors = path.join("last/tensors.safetensors");
    let mut bytes = fs::read(&tensors).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&tensors, bytes).unwrap();
    let stop = AtomicBool::new(false);
    let mut log = StopAt { step: u64::MAX, stop: &stop, rows: Vec::new(), in_validation: false };
    resume(&exp, &RunDir::open(&path).unwrap(), &mut log, &stop).unwrap();
    assert!(
        matches!(&log.rows[0], Row::Event { event, .. } if event == "damaged"),
        "{:?}",
        log.rows[0]
    );
    assert_eq!(untimed(&path), untimed(&whole));
    same_tensors(&whole.join("best.safetensors"), &path.join("best.safetensors"));
}

#[test]
fn a_finished_run_is_left_as_it_is_and_can_be_made_longer() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [8, 4, 2]);
    let path = tmp.path().join("run");
    let never = AtomicBool::new(false);
    let steps = |n: u32| {
        common::experiment(
            tmp.path(),
            &["data.batch=4", "optim.lr=1e-3", &format!("trainer.epochs={n}")],
        )
    };
    run(&steps(1), &RunDir::create(&path).unwrap(), &mut (), &never).unwrap();
    let before = untimed(&path);
    let again = resume(&steps(1), &RunDir::open(&path).unwrap(), &mut (), &never).unwrap();
    assert_eq!((again.ending, again.step, untimed(&path)), (Ending::Done, 2, before));
    let longer = resume(&steps(2), &RunDir::open(&path).unwrap(), &mut (), &never).unwrap();
    assert_eq!((longer.ending, longer.step), (Ending::Done, 4));
    let straight = tmp.path().join("straight");
    run(&steps(2), &RunDir::create(&straight).unwrap(), &mut (), &never).unwrap();
    assert_eq!(untimed(&straight), untimed(&path));
}

#[test]
fn another_experiment_or_other_data_is_refused_with_both_named() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [4, 2, 2]);
    let path = tmp.path().join("run");
    let never = AtomicBool::new(false);
    let sets = ["trainer.epochs=1", "data.batch=4"];
    let exp = common::experiment(tmp.path(), &sets);
    run(&exp, &RunDir::create(&path).unwrap(), &mut (), &never).unwrap();
    let refused = |exp: &Experiment| {
        resume(exp, &RunDir::open(&path).unwrap(), &mut (), &never).unwrap_err().to_string()
    };
    let other = common::experiment(tmp.path(), &[sets[0], sets[1], "optim.lr=0.5"]);
    let text = refused(&other);
    assert!(text.contains("optim.lr: the run has 0.01, test.toml has 0.5"), "{text}");

    // The same tracks with their classes in another order.
    let file = tmp.path().join("manifests/tones.parquet");
    let mut view = etude_manifests::read_view(&file).unwrap();
    view.vocab.classes.reverse();
    etude_manifests::write_view(&tmp.path().join("manifests"), &view).unwrap();
    let text = refused(&exp);
    assert!(text.starts_with("vocabulary hash: the run was trained on "), "{text}");
    assert!(text.contains("view tones has "), "{text}");
    let split = etude_manifests::Split::Test;
    let scored = etude_train::evaluate(&RunDir::read(&path).unwrap(), split, &[], &mut ());
    assert!(scored.unwrap_err().to_string().starts_with("vocabulary hash"));
}

#[test]
fn a_loss_that_is_no_number_names_step_and_batch_and_keeps_the_last_good_state() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [8, 2, 2]);
    let path = tmp.path().join("run");
    // A rate this large sends the weights to infinity within a few steps.
    let sets = [
        "data.batch=4",
        "optim.lr=1e30",
        "optim.clip=1e9",
        "trainer.epochs=9",
        "optim.schedule={ kind = 'linear', warmup = 6, steps = 99 }",
        "trainer.save_steps=1",
        "optim.kind='sgd'",
    ];
    let exp = common::experiment(tmp.path(), &sets);
    let dir = RunDir::create(&path).unwrap();
    let error = run(&exp, &dir, &mut (), &AtomicBool::new(false)).unwrap_err();
    let text = error.to_string();
    match error {
        Error::NotFinite { step, keys, .. } => {
            assert!(step >= 1 && keys.contains("tones:00"), "{text}");
        }
        Error::Weights { .. } => {}
        _ => panic!("{text}"),
    }
    assert!(text.contains("saved yet") || text.contains("is kept in last"), "{text}");
}

#[test]
fn a_second_run_in_the_folder_of_the_first_is_refused() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [4, 2, 2]);
    let path = tmp.path().join("run");
    let exp = common::experiment(tmp.path(), &["trainer.epochs=1"]);
    let dir = RunDir::create(&path).unwrap();
    let second = RunDir::create(&path).unwrap_err();
    assert!(matches!(second, Error::Busy { .. }));
    run(&exp, &dir, &mut (), &AtomicBool::new(false)).unwrap();
    assert!(matches!(RunDir::open(&path).unwrap_err(), Error::Busy { .. }));
    drop(dir);
    assert!(matches!(RunDir::create(&path).unwrap_err(), Error::Exists { .. }));
}

#[test]
fn a_run_resumed_in_any_stage_of_a_staged_schedule_is_the_run_that_was_not() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [6, 3, 2]);
    let stages = "optim.schedule={ kind = 'staged', stages = [
        { from_epoch = 1, lr = 1e-2, rule = { kind = 'sgd', momentum = 0.9, nesterov = true }, reload_best = true },
        { from_epoch = 2, lr = 1e-3, rule = { kind = 'sgd', momentum = 0.9, nesterov = true } },
        { from_epoch = 3, lr = 1e-3, rule = { kind = 'adamw' } } ] }";
    let exp = common::experiment(tmp.path(), &["data.batch=3", "trainer.epochs=4", stages]);
    let whole = tmp.path().join("whole");
    interrupted(&exp, &whole, &[]);
    let rows = untimed(&whole);
    let began = rows.iter().filter_map(|r| match r {
        Row::Event { step, event, text, .. } if event == "stage" => Some((*step, &**text)),
        _ => None,
    });
    let expected = [
        (2, "stage 1 begins: rate 0.01, SGD, Nesterov momentum 0.9"),
        (4, "stage 2 begins: rate 0.001, SGD, Nesterov momentum 0.9"),
        (6, "stage 3 begins: rate 0.001, AdamW"),
    ];
    assert_eq!(began.collect::<Vec<_>>(), expected);
    for plan in [vec![2], vec![3, 5], vec![4, 6], vec![7]] {
        let path = tmp.path().join(format!("{plan:?}"));
        interrupted(&exp, &path, &plan);
        assert_eq!(untimed(&path), rows, "stopped at {plan:?}");
    }
}

#[test]
fn training_ends_early_when_the_score_no_longer_improves_and_stays_ended() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [4, 2, 2]);
    // Nothing moves, so nothing improves.
    let sets = [
        "data.batch=4",
        "trainer.epochs=50",
        "trainer.stop={ patience = 2 }",
        "optim.lr=1e-30",
        "trainer.keep={ best = 1, by = 'mAP', mode = 'max' }",
    ];
    let exp = common::experiment(tmp.path(), &sets);
    let path = tmp.path().join("run");
    let never = AtomicBool::new(false);
    let outcome = run(&exp, &RunDir::create(&path).unwrap(), &mut (), &never).unwrap();
    assert_eq!(outcome.ending, Ending::EarlyStop);
    assert!(outcome.step < 50, "{outcome:?}");
    let rows = untimed(&path);
    assert!(matches!(rows.last().unwrap(), Row::Event { event, .. } if event == "early_stop"));
    let again = resume(&exp, &RunDir::open(&path).unwrap(), &mut (), &never).unwrap();
    assert_eq!((again.ending, again.step), (Ending::EarlyStop, outcome.step));
    assert_eq!(untimed(&path), rows);
}
