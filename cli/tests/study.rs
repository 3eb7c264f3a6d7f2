//! Both studies in miniature: every step, figure and report, a kill in the middle, and what is said of what is missing.
#![cfg(all(feature = "data", feature = "torch"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, TINY, assert_fails};
use etude_manifests::{Example, Split, Target, View, read_view, write_view};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Pre-training in two steps.
fn train() -> String {
    TINY.replace("steps = 4", "steps = 2")
}

const VGGISH: &str = r#"{ name = "vggish", preset = "limited", channels = 2 }"#;
const SUPERVISED: &str = "kind = \"supervised\"\ntask = { kind = \"tagging\" }";

/// Two steps of another network of the limited-data study, with labels.
fn tagged(backbone: &str, steps: u64) -> String {
    train().replace(VGGISH, backbone).replace("steps = 32768", &format!("steps = {steps}"))
}

/// The same without labels.
fn untagged(backbone: &str, steps: u64, head: &str, objective: &str) -> String {
    let keep = "\nkeep = { by = \"loss\", mode = \"min\" }\n";
    tagged(backbone, steps).replace("published", head).replace(SUPERVISED, objective) + keep
}

/// Every network of the limited-data study: its name, window and pre-training.
fn five() -> [(&'static str, u64, String); 5] {
    let musicnn =
        r#"{ name = "musicnn", preset = "limited", tall = 2, long = 2, channels = 4, dim = 8 }"#;
    let ast = r#"{ name = "ast", preset = "limited_fixed", frames = 100, dim = 16, layers = 1, heads = 2 }"#;
    let clmr = r#"{ name = "samplecnn", channels = 4 }"#;
    let tmae = r#"{ name = "tmae", pretraining = true, dim = 16, layers = 1, heads = 2, decoder_dim = 16, decoder_layers = 1 }"#;
    let contrasted = untagged(clmr, 64_000, "projection", "kind = \"contrastive\"");
    let contrasted = contrasted.replace("demo-16k", "demo-22k05");
    let contrasted = contrasted.replace("batch = 8", "batch = 4\ndrop_last = true");
    [
        ("vggish", 32_768, train()),
        ("musicnn", 48_000, tagged(musicnn, 48_000)),
        ("ast", 25_344, tagged(ast, 25_344)),
        ("clmr", 59_049, contrasted),
        ("tmae", 77_600, untagged(tmae, 77_600, "none", "kind = \"masked_patches\"")),
    ]
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

/// Leaves a view those of its tags that some, not all, of its test examples have: others have no published scores.
fn keep_defined(manifests: &Path, name: &str) -> View {
    let mut view = read_view(&manifests.join(format!("{name}.parquet"))).unwrap();
    let has =
        |e: &Example, class: u16| matches!(&e.target, Target::Tags(on) if on.contains(&class));
    let defined = |class: &u16| {
        let mut test = view.only(Split::Test).map(|e| has(e, *class));
        let first = test.next();
        test.any(|on| Some(on) != first)
    };
    let kept: Vec<u16> = (0..view.vocab.len() as u16).filter(defined).collect();
    assert!(kept.len() > 5, "{kept:?}");
    for e in &mut view.examples {
        let on = (0..).zip(&kept).filter(|(_, class)| has(e, **class)).map(|(n, _)| n).collect();
        e.target = Target::Tags(on);
    }
    view.vocab.classes =
        kept.iter().map(|&class| view.vocab.classes[usize::from(class)].clone()).collect();
    write_view(manifests, &view).unwrap();
    view
}

/// A small corpus with its limited views, and a limited-data study on it.
fn limited(dir: &Path) -> Place {
    let place = Place::new(dir, 40, 4.0);
    place.done(&["ingest", "demo.toml"]);
    let manifests = dir.join("data/manifests");
    let view = keep_defined(&manifests, "demo");
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

/// A view of the demo corpus in which every recording has one of two keys, and a task on it for a study.
fn keys(dir: &Path) -> &'static str {
    let manifests = dir.join("data/manifests");
    let mut view = read_view(&manifests.join("demo.parquet")).unwrap();
    "demo_key".clone_into(&mut view.name);
    view.vocab.classes = vec!["A minor".to_owned(), "C major".to_owned()];
    for (n, e) in view.examples.iter_mut().enumerate() {
        e.target = Target::Class(u16::from(n % 2 == 0));
    }
    write_view(&manifests, &view).unwrap();
    let probe = PROBE.replace("\"tagging\"", "\"key\"").replace("\"demo\"", "\"demo_key\"");
    let probe = probe.replace("\"ROC-AUC\"", "\"accuracy\"");
    write(&dir.join("configs/limited/key.toml"), &probe);
    r#"
[[study.tasks]]
name = "key"
experiment = "key.toml"
scores = ["accuracy", "key-weighted"]
"#
}

/// Starts a command and ends it the hard way.
fn kill_after(place: &Place, args: &[&str], time: Duration) {
    let mut child = place.start(args);
    std::thread::sleep(time);
    let _ = child.kill();
    let _ = child.wait();
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
        kill_after(&place, &["study", "limited"], Duration::from_millis(ms));
    }
    place.done(&["study", "limited"]);
    assert_eq!(std::fs::read_to_string(folder.join("scores.csv")).unwrap(), csv);
}

#[test]
fn all_five_networks_learn_from_little_data_and_go_on_after_a_kill() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let place = limited(dir);
    place.done(&["shards", "demo.toml"]);
    place.done(&["shards", "demo.toml", "--set", "shards.rate=22050"]);
    place.done(&["shards", "demo.toml", "--set", "shards.features=mfcc"]);
    let configs = dir.join("configs/limited");
    let mut models = Vec::new();
    for (name, window, experiment) in five() {
        write(&configs.join(format!("{name}.toml")), &experiment);
        let published = if name == "tmae" { ", published_name = \"mae\"" } else { "" };
        models.push(format!(
            "{{ name = \"{name}\", experiment = \"{name}.toml\", window = {window}{published} }}"
        ));
    }
    let (before, rest) = LIMITED.split_once("models = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let study = format!("{before}models = [{}]\n{after}", models.join(", "));
    let study = study.replace("[0, 1, \"full\"]", "[0, 1]") + keys(dir);
    write(&configs.join("study.toml"), &study);

    for seconds in [2, 4] {
        kill_after(&place, &["study", "limited"], Duration::from_secs(seconds));
    }
    let all = states(&place.done(&["--json", "study", "limited"]));
    assert!(all.iter().all(|s| s.1.starts_with("done")), "{all:?}");
    let before = all.iter().filter(|s| s.1 == "done before").count();
    assert!(before > 0, "what was done before a kill is left alone");
    // of two sizes one is trained; AST and TMAE measure their frames first
    let networks = 5 * 2 + 5 + 2 * 2;
    // embeddings and two probes of each on clean and on deformed audio; two probes on hand-crafted features
    // two probes of each on keys
    assert_eq!(all.len(), networks + 5 * 2 * (2 + 2 * 2) + 2 + 5 * 2 * 2, "{all:?}");

    let folder = dir.join("runs/limited");
    let csv = std::fs::read_to_string(folder.join("scores.csv")).unwrap();
    for (name, ..) in five() {
        let lines = csv.lines().filter(|l| l.starts_with(&format!("tagging,{name},1,")));
        assert_eq!(lines.count(), 2 * 2 * 2, "probes, conditions, scores of {name}: {csv}");
        let keys = csv.lines().filter(|l| l.starts_with(&format!("key,{name},1,")));
        assert_eq!(keys.count(), 2 * 3, "probes and scores of the keys by {name}: {csv}");
    }
    let raw = folder.join("raw_results/1/demo");
    let metrics = |file: &str| {
        let text = std::fs::read_to_string(raw.join(file)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    for file in ["demo_mae_1_model-1/deform_0_metrics.json", "demo_mfcc_model-0/clean_metrics.json"]
    {
        let found = metrics(file);
        let names: Vec<&String> = found.as_object().unwrap().keys().collect();
        assert_eq!(names, ["average_precision", "roc_auc"], "{file}");
    }
    let keys = metrics("../demo_key/demo_key_ast_1_model-0/clean_metrics.json");
    assert!(keys["weighted_accuracy"]["micro"].as_f64().unwrap() > 0.0, "{keys}");
    let score = csv.lines().find(|l| l.starts_with("tagging,ast,0,") && l.contains("clean,1,mAP"));
    let value: f64 = score.unwrap().split(',').nth(8).unwrap().parse().unwrap();
    let published = metrics("demo_ast_0_model-0/clean_metrics.json");
    assert_eq!(published["average_precision"].as_f64(), Some(value));
}

/// Two epochs of every network of the transfer study, on stored mel frames.
fn three() -> [(&'static str, String); 3] {
    let vggish = r#"{ name = "vggish", preset = "ccml", channels = 2 }"#;
    let musicnn =
        r#"{ name = "musicnn", preset = "ccml", tall = 2, long = 2, channels = 4, dim = 8 }"#;
    let ast = r#"{ name = "ast", preset = "ccml", frames = 100, dim = 16, layers = 1, heads = 2 }"#;
    let on = |backbone, frames| tagged(backbone, frames).replace("demo-16k", "demo-vgg-16k-db");
    [("vggish", on(vggish, 128)), ("musicnn", on(musicnn, 80)), ("ast", on(ast, 100))]
}

#[test]
fn a_transfer_study_tunes_every_network_to_every_other_corpus() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let place = Place::new(dir, 40, 4.0);
    place.done(&["ingest", "demo.toml"]);
    let manifests = dir.join("data/manifests");
    for name in ["demo", "demo_clean"] {
        keep_defined(&manifests, name);
    }
    let configs = dir.join("configs/ccml");
    let study = "[study]\nkind = \"transfer\"\nmodels = [\"vggish\", \"musicnn\", \"ast\"]\nseeds = [1]\n\
                 corpora = [{ name = \"a\" }, { name = \"b\", numbered = true, one_crop = true }]\npublished_names = { vggish = \"vgg_ish\" }\n";
    write(&configs.join("study.toml"), study);
    for (name, experiment) in three() {
        write(&configs.join(format!("a/{name}.toml")), &experiment);
    }
    let out = place.run(&["study", "transfer"]);
    assert_fails(&out, &["b/vggish.toml", "has a file in the folder of each corpus"]);
    for (name, experiment) in three() {
        let other = experiment.replace("view = \"demo\"", "view = \"demo_clean\"");
        write(&configs.join(format!("b/{name}.toml")), &other);
    }
    let out = place.run(&["study", "transfer"]);
    assert_fails(&out, &["shards demo-vgg-16k-db:", "--set shards.mel=vgg_16k_db`"]);
    place.done(&["shards", "demo.toml", "--set", "shards.mel=vgg_16k_db"]);
    kill_after(&place, &["study", "transfer"], Duration::from_secs(2));
    let all = states(&place.done(&["--json", "study", "transfer"]));
    let mut names: Vec<&str> = all.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(names.len(), 2 * 3 * (1 + 1 + 2) + 2, "{names:?}");
    assert!(names.contains(&"a/ast/1 frames") && names.contains(&"b/ast_from_a_f/1"), "{names:?}");
    names.retain(|name| name.contains("vggish"));
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
    let mean = |row: &str| config(row)["model"]["backbone"]["mean"].as_float().unwrap();
    assert!(mean("b/ast_from_a") < 0.0, "decibels, measured");
    assert_eq!(mean("b/ast_from_a_f"), mean("b/ast"), "frames are standardised as the target's");
    let csv = std::fs::read_to_string(folder.join("scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 6 * 2, "{csv}");
    assert!(folder.join("figures/ROC-AUC_last.svg").exists());
    let report =
        std::fs::read_to_string(folder.join("evaluation/1/b/vgg_ish_from_a_f.txt")).unwrap();
    let head = "\nEvaluation of model \"vgg_ish_from_a_f\" on \"b\" test set:\nROC-AUC score: 0.";
    assert!(report.starts_with(head) && report.contains("\n           0  "), "{report}");
    assert!(folder.join("evaluation/1/a/ast_from_b.txt").exists());
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("18 of 18 rows scored"));
    // another regime is another experiment and does not pass for this one
    let out = place.run(&["study", "transfer", "--set", "optim.lr=2e-3"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("optim.lr: the run has"));
    write(&configs.join("study.toml"), &format!("{study}crops = \"published\"\n"));
    let only = ["study", "transfer", "--runs", "published", "--only", "vggish/1 network"];
    place.done(&only);
    let text = std::fs::read_to_string(dir.join("published/ccml/b/vggish/1/config.toml")).unwrap();
    assert!(text.contains("kind = \"once\"") && text.contains("valid = \"crop\""), "{text}");
    let text = std::fs::read_to_string(dir.join("published/ccml/a/vggish/1/config.toml")).unwrap();
    assert!(text.contains("kind = \"random\"") && text.contains("valid = \"crop\""), "{text}");
    // by itself AST does not know by what to standardise
    assert_fails(
        &place.run(&["train", "configs/ccml/a/ast.toml", "--runs", "alone"]),
        &["model.backbone: mean and std: expected those of the training frames"],
    );
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
