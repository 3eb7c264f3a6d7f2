//! Experiments that cannot be: exit code 2 and one error with the key, before any data is opened.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{LORA, assert_fails, etude};
use std::path::Path;

fn train(dir: &Path, set: &str) -> std::process::Output {
    let mut command = etude();
    command.current_dir(dir).args(["train", "x.toml", "--set", set]).output().unwrap()
}

#[test]
fn every_impossible_experiment_is_one_error_that_names_its_key() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.toml"), LORA).unwrap();
    for (set, words) in [
        ("trainer.stepps=3", ["stepps", "`accumulate`"]),
        ("model.backbone.depth=3", ["unknown field `depth`", "`layers`"]),
        ("tuning.rank={ attention = 0, ffn = 0, conv = 0 }", ["tuning.rank", "at least 1"]),
        ("tuning.rank={ attention = -1 }", ["tuning.rank: expected 0 or more", "-1"]),
        ("tuning={ method = 'adapter', bottleneck = 0 }", ["tuning.bottleneck", "got 0"]),
        ("tuning={ method = 'prefix', tokens = 0 }", ["tuning.tokens", "got 0"]),
        ("tuning={ method = 'probe', rank = { ffn = 2 } }", ["unknown field `rank`", "x.toml"]),
        ("model.layer=5", ["model.layer: expected 0 to 2", "got 5"]),
        ("model.head={ kind = 'none' }", ["model.head.kind", "supervised"]),
        ("trainer.accumulate=0", ["trainer.accumulate: expected at least 1", "got 0"]),
        ("trainer.steps=9", ["trainer: expected either `steps` or `epochs`", "x.toml"]),
        ("optim.clip=-1.0", ["optim.clip: expected above 0", "-1"]),
    ] {
        let out = train(dir.path(), set);
        assert_fails(&out, &words);
        assert!(!dir.path().join("runs").exists(), "{set}: a refused experiment leaves no run");
    }
    // what is right but has no data says which data
    assert_fails(&train(dir.path(), "run.seed=2"), &["data/manifests/demo"]);
}
