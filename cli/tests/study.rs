//! Both studies in miniature: every step, figure and report, a kill in the middle, and what is said of what is missing.
#![cfg(all(feature = "data", feature = "torch"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, TINY, assert_fails};
use etude_manifests::{Split, read_view, write_view};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Pre-training in two steps.
fn train() -> String {
    TINY.replace("steps = 4", "steps = 2")
}

const PROBE: &str = r#"
[run]
seed = 1
device = "cpu"
threads = 1
[data]
view = "demo"
shards = "demo-embedded"
crop = { kind = "whole" }
batch = 16
[model]
backbone = { name = "identity", dim = 8 }
head = { kind = "probe", layers = "slp" }
[tuning]
method = "probe"
[objective]
kind = "supervised"
task = { kind = "tagging" }
[optim]
kind = "adam"
lr = 1e-2
[trainer]
epochs = 2
keep = { best = 1, by = "ROC-AUC", mode = "max" }
stop = { patience = 9, by = "loss" }
"#;

const LIMITED: &str = r#"
[study]
kind = "limited"
seeds = [1]
subsets = { view = "demo_limited_{}", full = "demo", sizes = [0, 1, "full"] }
models = [{ name = "vggish", experiment = "vggish.toml", window = 32768 }]
published = "published.csv"
[[study.tasks]]
name = "tagging"
experiment = "tagging.toml"
scores = ["ROC-AUC", "mAP"]
deformed = true
baselines = ["mfcc"]
[[study.probes]]
name = "slp"
head = { kind = "probe", layers = "slp" }
[[study.probes]]
name = "mlp"
head = { kind = "probe", layers = "mlp" }
[study.deformations]
deform_0 = { kind = "noise", snr_db = 0.0 }
"#;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A small corpus with its limited views, and a limited-data study on it.
fn limited(dir: &Path) -> Place {
    let place = Place::new(dir, 40, 4.0);
    place.done(&["ingest", "demo.toml"]);
    let manifests = dir.join("data/manifests");
    let view = read_view(&manifests.join("demo.parquet")).unwrap();
    let few: HashSet<&str> = view.only(Split::Train).take(6).map(|e| e.key.as_str()).collect();
    write_view(&manifests, &view.listed("demo_limited_1", Split::Train, &few).unwrap()).unwrap();
    let configs = dir.join("configs/limited");
    write(&configs.join("study.toml"), LIMITED);
    write(&configs.join("vggish.toml"), &train());
    write(&configs.join("tagging.toml"), PROBE);
    let head = "task,model,size,probe,condition,score,value\n";
    let published = format!("{head}tagging,vggish,full,slp,clean,ROC-AUC,0.8976\n");
    write(&configs.join("published.csv"), &published);
    place
}

fn states(said: &str) -> Vec<(String, String)> {
    let said: Value = serde_json::from_str(said).unwrap();
    let of = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    said["steps"].as_array().unwrap().iter().map(|s| (of(s, "step"), of(s, "state"))).collect()
}

#[test]
fn a_limited_data_study_runs_to_its_figures_and_survives_being_killed() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let place = limited(dir);
    let out = place.run(&["study", "limited"]);
    assert_fails(
        &out,
        &[
            "shards demo-16k:",
            "etude shards configs/data/demo.toml --set shards.rate=16000`",
            "shards demo-16k-mfcc:",
            "etude shards configs/data/demo.toml --set shards.rate=16000 --set shards.features=mfcc`",
        ],
    );
    place.done(&["shards", "demo.toml"]);
    place.done(&["shards", "demo.toml", "--set", "shards.features=mfcc"]);

    let only = states(&place.done(&["--json", "study", "limited", "--only", "vggish_0_slp"]));
    let names: Vec<&str> = only.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(
        names,
        [
            "pretrain/vggish_0/1 network",
            "embed/vggish_0/1 demo",
            "embed/vggish_0/1 demo deform_0",
            "tagging/vggish_0_slp/1",
            "tagging/vggish_0_slp/1 deform_0",
        ]
    );
    let all = states(&place.done(&["--json", "study", "limited"]));
    assert_eq!(all.len(), 25);
    assert_eq!(all.iter().filter(|s| s.1 == "done before").count(), 5);
    assert!(all.iter().all(|s| s.1.starts_with("done")), "{all:?}");
    let folder = dir.join("runs/limited");
    let csv = std::fs::read_to_string(folder.join("scores.csv")).unwrap();
    // 3 sizes, 2 probes, 2 conditions, 2 scores; 2 probes on hand-crafted features, 2 scores
    assert_eq!(csv.lines().count(), 1 + 24 + 4, "{csv}");
    assert_eq!(csv.lines().filter(|l| l.starts_with("tagging,mfcc,,,")).count(), 4, "{csv}");
    assert!(csv.lines().any(|l| l.starts_with("tagging,vggish,full,") && l.ends_with(",0.8976")));
    for name in ["tagging_ROC-AUC", "tagging_ROC-AUC_published", "tagging_mAP"] {
        let svg = std::fs::read_to_string(folder.join(format!("figures/{name}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg xmlns=") && svg.contains("<polyline") && !svg.contains("NaN")
        );
    }
    let svg = std::fs::read_to_string(folder.join("figures/tagging_ROC-AUC.svg")).unwrap();
    assert!(svg.contains(">mfcc slp 0.") && svg.contains(">mfcc mlp 0."), "{svg}");
    let config = std::fs::read_to_string(folder.join("tagging/mfcc_mlp/1/config.toml")).unwrap();
    assert!(config.contains("\"demo-16k-mfcc\"") && config.contains("dim = 80"), "{config}");
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("8 of 8 probes scored") && page.matches("<svg").count() == 3);
    let run = folder.join("tagging/vggish_1_mlp/1/config.toml");
    let config = std::fs::read_to_string(run).unwrap();
    assert!(config.contains("demo-limited.vggish_1.1") && config.contains("mlp"), "{config}");
    let again = states(&place.done(&["--json", "study", "limited"]));
    assert!(again.iter().all(|s| s.1 == "done before"), "{again:?}");

    // killed again and again, the study ends with the same numbers
    std::fs::remove_dir_all(dir.join("runs")).unwrap();
    for entry in std::fs::read_dir(dir.join("data/shards")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "demo-16k" && name != "demo-16k-mfcc" {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    for ms in [250, 500, 900] {
        let mut child = place.start(&["study", "limited"]);
        std::thread::sleep(Duration::from_millis(ms));
        let _ = child.kill();
        let _ = child.wait();
    }
    place.done(&["study", "limited"]);
    assert_eq!(std::fs::read_to_string(folder.join("scores.csv")).unwrap(), csv);
}

#[test]
fn a_transfer_study_tunes_every_network_to_every_other_corpus() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let place = Place::with_shards(dir, 40, 4.0, 16_000);
    let configs = dir.join("configs/ccml");
    let study = "[study]\nkind = \"transfer\"\nmodels = [\"vggish\"]\nseeds = [1]\n\
                 corpora = [{ name = \"a\" }, { name = \"b\", numbered = true }]\n";
    write(&configs.join("study.toml"), study);
    write(&configs.join("a/vggish.toml"), &train());
    let out = place.run(&["study", "transfer"]);
    assert_fails(&out, &["b/vggish.toml", "has a file in the folder of each corpus"]);
    let other = train().replace("\"demo\"", "\"demo_clean\"");
    write(&configs.join("b/vggish.toml"), &other);
    let all = states(&place.done(&["--json", "study", "transfer"]));
    let names: Vec<&str> = all.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(
        names,
        [
            "a/vggish/1",
            "a/vggish/1 network",
            "b/vggish/1",
            "b/vggish/1 network",
            "a/vggish_from_b/1",
            "a/vggish_from_b_f/1",
            "b/vggish_from_a/1",
            "b/vggish_from_a_f/1",
        ]
    );
    let folder = dir.join("runs/ccml");
    let config = |row: &str| {
        let text = std::fs::read_to_string(folder.join(row).join("1/config.toml")).unwrap();
        text.parse::<toml::Table>().unwrap()
    };
    let frozen = config("b/vggish_from_a_f");
    assert_eq!(frozen["model"]["frozen_stats"].as_str(), Some("batch"));
    assert_eq!(frozen["tuning"]["method"].as_str(), Some("probe"));
    assert!(frozen["model"]["weights"].as_str().unwrap().ends_with("ccml/a/vggish/1/model"));
    assert_eq!(frozen["data"]["view"].as_str(), Some("demo_clean"));
    assert_eq!(config("b/vggish_from_a")["tuning"]["method"].as_str(), Some("full"));
    let csv = std::fs::read_to_string(folder.join("scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 * 2, "{csv}");
    assert!(folder.join("figures/vggish_ROC-AUC_last.svg").exists());
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("6 of 6 rows scored"));
    // another regime is another experiment and does not pass for this one
    let out = place.run(&["study", "transfer", "--set", "optim.lr=2e-3"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("optim.lr: the run has"));
}

#[test]
fn what_is_wrong_with_a_study_is_said_before_it_begins() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let place = limited(dir);
    place.done(&["shards", "demo.toml"]);
    place.done(&["shards", "demo.toml", "--set", "shards.features=mfcc"]);
    let study = dir.join("configs/limited/study.toml");
    for (from, to, words) in [
        ("vggish.toml\"", "vgish.toml\"", &["vgish.toml"][..]),
        ("demo_limited_{}", "demo_few_{}", &["view demo_few_1", "etude ingest"]),
        ("\"mAP\"]", "\"map\"]", &["tagging: scores", "expected some of mAP, ROC-AUC", "\"map\""]),
        ("[0, 1, \"full\"]", "[1, 0]", &["smallest first"]),
        ("kind = \"noise\"", "kind = \"noyse\"", &["noyse"]),
        ("[\"mfcc\"]", "[\"mfccs\"]", &["mfccs", "expected `chroma` or `mfcc`"]),
        ("[\"mfcc\"]", "[\"mfcc\", \"mfcc\"]", &["tagging: baselines", "two of mfcc"]),
        ("seeds = [1]", "seeds = []", &["study.seeds: expected at least one"]),
    ] {
        write(&study, &LIMITED.replace(from, to));
        assert_fails(&place.run(&["study", "limited"]), words);
    }
    write(&study, LIMITED);
    assert_fails(
        &place.run(&["study", "transfer", "--config", "configs/limited/study.toml"]),
        &["expected a study of kind Transfer"],
    );
    assert_fails(&place.run(&["study", "limited", "--only", "muscinn"]), &["no step of that name"]);
    write(&dir.join("configs/limited/tagging.toml"), &PROBE.replace("\"demo\"", "\"nowhere\""));
    assert_fails(&place.run(&["study", "limited"]), &["view nowhere"]);
    assert!(!dir.join("runs/limited/pretrain").exists(), "nothing was begun");
}
