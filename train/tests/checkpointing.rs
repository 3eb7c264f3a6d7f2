//! `trainer.checkpoint`, and layers that a step leaves out.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::StopAt;
use etude_models::weights::TensorFile;
use etude_train::{Ending, Experiment, Row, RunDir, read_log, resume, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const MUSICFM: &str = "name = 'musicfm', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 4, codebook_size = 24";
const MERT: &str = "name = 'mert', layers = 3, dim = 32, inner = 64, heads = 4, conv_channels = 8, \
    positional_taps = 16, positional_groups = 4, layer_drop = 0.4";

const AST: &str = "name = 'ast', preset = 'limited_fixed', frames = 76, layers = 2, dim = 24, heads = 2, \
    image_classes = 0, mean = -40.0, std = 20.0";
const TMAE: &str =
    "name = 'tmae', frames = 72, layers = 2, dim = 16, heads = 2, mean = -40.0, std = 20.0";

/// Eight steps of two batches of three, dropout on, random crops.
fn experiment(dir: &Path, backbone: &str, sets: &[&str]) -> Experiment {
    let backbone = format!("model.backbone={{ {backbone} }}");
    let all = [
        &backbone,
        "data.shards=tones-24k",
        "data.crop={ kind = 'random', steps = 19200 }",
        "data.batch=3",
        "model.head={ kind = 'mlp' }",
        "optim={ kind = 'adam', lr = 1e-3, clip = 1.0, weight_decay = 1e-3 }",
        "trainer={ steps = 8, accumulate = 2, log_steps = 1, save_steps = 2 }",
    ];
    common::experiment(dir, &[&all, sets].concat())
}

fn rows(dir: &Path) -> Vec<Row> {
    read_log(&dir.join("log.jsonl")).unwrap().into_iter().map(Row::untimed).collect()
}

fn train(exp: &Experiment, path: &Path) -> Vec<Row> {
    run(exp, &RunDir::create(path).unwrap(), &mut (), &AtomicBool::new(false)).unwrap();
    rows(path)
}

fn best(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("best.safetensors")).unwrap()
}

#[test]
fn a_checkpointed_run_is_the_run_that_kept_everything_and_either_resumes_the_other() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus_at(dir, [12, 4, 2], "tones-24k", 24_000);
    common::corpus(dir, [12, 4, 2]);
    for (name, backbone, shards) in [
        ("musicfm", MUSICFM, "tones-24k"),
        ("mert", MERT, "tones-24k"),
        ("ast", AST, "tones-16k"),
        ("tmae", TMAE, "tones-16k"),
    ] {
        let shards = format!("data.shards={shards}");
        let with = |on| experiment(dir, backbone, &[&shards, &format!("trainer.checkpoint={on}")]);
        let (kept, again) = (dir.join(format!("{name}-kept")), dir.join(format!("{name}-again")));
        let want = train(&with(false), &kept);
        assert_eq!(train(&with(true), &again), want, "{name}");
        assert!(best(&kept) == best(&again), "{name}");

        let mixed = dir.join(format!("{name}-mixed"));
        common::interrupted(&with(true), &mixed, 3);
        let never = AtomicBool::new(false);
        resume(&with(false), &RunDir::open(&mixed).unwrap(), &mut (), &never).unwrap();
        assert_eq!(rows(&mixed), want, "{name}");
        assert!(best(&kept) == best(&mixed), "{name}");
    }
}

#[test]
fn a_layer_left_out_of_a_step_is_left_alone_by_the_optimizer_and_resuming_is_exact() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus_at(dir, [12, 4, 2], "tones-24k", 24_000);
    let exp = experiment(dir, MERT, &["trainer.accumulate=1"]);
    let whole = dir.join("whole");
    let want = train(&exp, &whole);
    let file = TensorFile::open(&whole.join("last/tensors.safetensors")).unwrap();
    let updates = |layer: usize| {
        let name = format!("optim.updates.encoder.layers.{layer}.attention.q_proj.weight");
        file.tensor(&name).unwrap().int64_value(&[])
    };
    let counts = [updates(0), updates(1), updates(2)];
    let head = file.tensor("optim.updates.head.proj.0.weight").unwrap().int64_value(&[]);
    assert_eq!(head, 8);
    assert!(counts.iter().all(|n| (1..=8).contains(n)), "{counts:?}");
    assert!(counts.iter().any(|&n| n < 8), "no layer was ever left out: {counts:?}");

    let parts = dir.join("parts");
    for at in [2, 5, u64::MAX] {
        let stop = AtomicBool::new(false);
        let mut log = StopAt { step: at, stop: &stop, rows: Vec::new(), in_validation: false };
        let outcome = match parts.exists() {
            false => run(&exp, &RunDir::create(&parts).unwrap(), &mut log, &stop),
            true => resume(&exp, &RunDir::open(&parts).unwrap(), &mut log, &stop),
        };
        let ending = if at == u64::MAX { Ending::Done } else { Ending::Stopped };
        assert_eq!(outcome.unwrap().ending, ending);
    }
    assert_eq!(rows(&parts), want);
    assert!(best(&whole) == best(&parts));
}
