//! The whole road in miniature: corpus, manifests, shards, a run, its scores.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, TINY, assert_done, assert_fails};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

const RUN: &str = "runs/tiny/1";

/// A corpus with its shards, and an experiment that takes seconds.
fn prepared(dir: &Path) -> Place {
    let place = Place::with_shards(dir, 48, 3.0, 16_000);
    let trainer = "epochs = 6\nlog_steps = 1\nsave_steps = 2\n\
         keep = { best = 1, by = \"ROC-AUC\", mode = \"max\" }\n[eval]\n\
         window = { steps = 32768, hop = 32768, tail = \"drop\" }\nbatch = 8";
    let optim = "lr = 3e-3\nclip = 5.0\nschedule = { kind = \"constant\" }";
    let experiment = TINY.replace("lr = 3e-3", optim).replace("steps = 4", trainer);
    std::fs::write(dir.join("tiny.toml"), experiment).unwrap();
    place
}

/// Losses of all logged steps, bit by bit.
fn losses(place: &Place) -> Vec<(u64, u64)> {
    let log = std::fs::read_to_string(place.dir.join(RUN).join("log.jsonl")).unwrap();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["row"] == "step")
        .map(|row| (row["step"].as_u64().unwrap(), row["loss"].as_f64().unwrap().to_bits()))
        .collect()
}

#[test]
fn a_corpus_becomes_a_scored_run_and_every_stage_is_idempotent() {
    let dir = tempfile::tempdir().unwrap();
    let place = prepared(dir.path());
    place.done(&["check", "data/manifests"]);
    place.done(&["check", "data/shards/demo-16k"]);

    place.done(&["train", "tiny.toml"]);
    let steps = losses(&place);
    let mean = |part: &[(u64, u64)]| {
        part.iter().map(|(_, bits)| f64::from_bits(*bits)).sum::<f64>() / part.len() as f64
    };
    let (first, last) = (mean(&steps[..4]), mean(&steps[steps.len() - 4..]));
    assert!(last < first * 0.95, "the loss falls: {first} to {last}");

    let text = place.done(&["eval", RUN]);
    assert!(text.contains("ROC-AUC") && text.contains("drums"), "{text}");
    let scores: Value = serde_json::from_str(&place.done(&["--json", "eval", RUN])).unwrap();
    let predictions = place.dir.join(RUN).join("predictions.test.safetensors");
    let again = place.done(&["score", "--task", "tagging", predictions.to_str().unwrap()]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(scores["summary"]["ROC-AUC"], again["macro"]["roc_auc"]);

    // Nothing changes when everything is run again.
    let before = (place.bytes("data/manifests"), place.bytes("data/shards"));
    place.done(&["ingest", "demo.toml"]);
    place.done(&["shards", "demo.toml"]);
    assert!(before == (place.bytes("data/manifests"), place.bytes("data/shards")));
    place.done(&["train", "tiny.toml", "--resume"]);
    assert_eq!(losses(&place), steps);
    assert_fails(&place.run(&["train", "tiny.toml"]), &[RUN]);
}

#[test]
fn training_killed_at_random_logs_the_losses_of_an_undisturbed_run_to_the_last_digit() {
    let (calm, wild) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (calm, wild) = (prepared(calm.path()), prepared(wild.path()));
    let args = ["train", "tiny.toml", "--resume"];
    let begun = Instant::now();
    assert_done(&calm.run(&args), "train");
    let whole = begun.elapsed();

    let (mut kills, mut tries) = (0, 0);
    while kills < 20 && tries < 80 {
        let mut child = wild.start(&args);
        std::thread::sleep(whole.mul_f64((f64::from(tries) * 0.618_034).fract() * 0.8));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap(); // SIGKILL
            kills += 1;
        } else {
            // It got through: begin again.
            std::fs::remove_dir_all(wild.dir.join("runs")).unwrap();
        }
        child.wait().unwrap();
        tries += 1;
    }
    assert!(kills >= 20, "only {kills} kills hit a running process");
    assert_done(&wild.run(&args), "train");
    assert_eq!(losses(&wild), losses(&calm));
    let weights = |place: &Place| std::fs::read(place.dir.join(RUN).join("best.safetensors"));
    assert!(weights(&wild).unwrap() == weights(&calm).unwrap());
}

#[test]
fn a_vocabulary_in_another_order_is_an_error_not_a_score() {
    let dir = tempfile::tempdir().unwrap();
    let place = prepared(dir.path());
    place.done(&["train", "tiny.toml", "--set", "trainer.epochs=1"]);
    // Another corpus of the same name: other labels, other splits, other audio.
    std::fs::remove_dir_all(place.dir.join("data")).unwrap();
    let raw = place.dir.join("data/raw/demo");
    let args = ["demo", "--clips", "48", "--seconds", "3", "--seed", "9", "--out"];
    assert_done(&place.etude(&args).arg(&raw).output().unwrap(), "demo");
    place.done(&["ingest", "demo.toml"]);
    place.done(&["shards", "demo.toml"]);
    let out = place.run(&["eval", RUN]);
    assert_fails(&out, &["hash"]);
}

#[test]
fn a_run_that_is_going_on_cannot_be_joined() {
    let dir = tempfile::tempdir().unwrap();
    let place = prepared(dir.path());
    let args = ["train", "tiny.toml", "--resume", "--set", "trainer.epochs=200"];
    let mut first = place.start(&args);
    let begun = Instant::now();
    while !place.dir.join(RUN).join("log.jsonl").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_fails(&place.run(&args), &[RUN]);
    // Ctrl-C ends it cleanly, and says how to go on.
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&first),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(2));
    assert!(place.dir.join(RUN).join("last").exists());
}
