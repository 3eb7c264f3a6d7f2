//! The GPU bench runs from end to end on any machine at small sizes.
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
