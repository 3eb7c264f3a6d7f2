//! The benches of training run from end to end on any machine at small sizes.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_done, assert_fails, etude};
use std::path::Path;

fn bench(dir: &Path, more: &[&str]) -> std::process::Output {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut command = etude();
    command.current_dir(dir).args(["--json", "bench", "gpu", "--tiny", "--device", "cpu"]);
    command.args(["--steps", "2", "--warmup", "1", "--batch", "2", "--out", "results"]);
    command.args(["--scratch", "."]).arg("--fixtures").arg(fixtures);
    command.args(more).output().unwrap()
}

#[test]
fn the_tiny_bench_measures_both_networks_compares_numbers_and_leaves_only_its_results() {
    let dir = tempfile::tempdir().unwrap();
    let out = bench(dir.path(), &[]);
    assert_done(&out, "bench gpu");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let rows = said["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{said}");
    for row in rows {
        assert!(row["clips_s"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{row}");
        assert!((0.0..=1.0).contains(&row["stall"].as_f64().unwrap()), "{row}");
        assert!(["math", "flash"].contains(&row["attention"].as_str().unwrap()), "{row}");
        let losses = row["losses"].as_array().unwrap();
        assert!(losses.len() == 2 && losses.iter().all(|l| l.as_f64().unwrap().is_finite()));
    }
    let parity = said["parity"].as_array().unwrap();
    assert_eq!(parity.len(), 3);
    for model in parity {
        let (exact, rough) = (model["f32"].as_f64().unwrap(), model["bf16"].as_f64().unwrap());
        assert!(exact < 1e-4 && rough > exact && rough < 0.05, "{model}");
    }
    let page = std::fs::read_to_string(dir.path().join("results/gpu.md")).unwrap();
    assert!(page.contains("MusicFM, LoRA rank 2") && page.contains("say nothing"), "{page}");
    let json = std::fs::read(dir.path().join("results/gpu.json")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), said);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "scratch is removed");
}

#[test]
fn a_python_that_cannot_run_the_peer_is_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = bench(dir.path(), &["--peers", "no-such-python", "--peer-script", "p.py"]);
    assert_fails(&out, &["no-such-python p.py"]);
    assert!(!dir.path().join("results").exists());
}

#[test]
fn any_experiment_is_measured_on_made_up_audio_in_seconds_a_step_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/peft/mtat/musicfm_lora.toml");
    let tiny = "model.backbone={ name = 'musicfm', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 4, codebook_size = 24 }";
    let kept = ["data.cache={}", "data.cache={ fill = 'before' }"].map(|cache| ["--set", cache]);
    for cache in [&[][..], &kept[0], &kept[1]] {
        let mut command = etude();
        command.current_dir(dir.path()).args(["--json", "bench", "train"]).arg(&config);
        command.args(["--noise", "1", "--steps", "3", "--warmup", "1", "--scratch", "."]);
        for set in [tiny, "model.frozen_stats=running", "run.device=cpu", "data.batch=2"] {
            command.args(["--set", set]);
        }
        let out = command.args(cache).output().unwrap();
        assert_done(&out, "bench train");
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let [rate, step] = said["rows"].as_array().unwrap().as_slice() else { panic!("{said}") };
        let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
        assert_eq!((&rate["unit"], &step["unit"]), (&"clips/s".into(), &"s".into()));
        assert!((number(rate, "median") * number(step, "median") - 2.0).abs() < 1e-6, "{said}");
        assert!(number(step, "best") <= number(step, "median"));
        assert!(number(step, "median") <= number(step, "worst"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
