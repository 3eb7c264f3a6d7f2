//! A published checkpoint, imported, tuned for two steps and scored.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_manifests::Split;
use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, import};
use etude_train::{Ending, Experiment, RunDir, Trained, evaluate, run};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Two steps of LoRA from the weights of a model folder, under the settings beside them.
fn experiment(data: &Path, weights: &Path, sets: &[&str]) -> Experiment {
    let config = std::fs::read_to_string(weights.join("config.json")).unwrap();
    let backbone: serde_json::Value = serde_json::from_str(&config).unwrap();
    let numbers = backbone.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    let keys: Vec<String> = numbers.map(|(key, value)| format!("{key} = {value}")).collect();
    let backbone = format!("model.backbone={{ {} }}", keys.join(", "));
    let weights = format!("model.weights={}", weights.display());
    let all = [
        &backbone,
        &weights,
        "model.head={ kind = 'mlp' }",
        "tuning={ method = 'lora' }",
        "data.shards=tones-24k",
        "data.crop={ kind = 'random', steps = 24000 }",
        "data.batch=4",
        "optim.lr=1e-2",
        "trainer={ steps = 2, log_steps = 1 }",
    ];
    common::experiment(data, &[&all, sets].concat())
}

#[test]
fn lora_trains_and_scores_from_an_imported_folder() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus_at(dir, [8, 4, 4], "tones-24k", 24_000);
    for (name, file, config) in [
        ("musicfm", "musicfm/pretrained_tiny.pt", "musicfm/config.json"),
        ("mert", "mert/base/pytorch_model.bin", "mert/base/config.json"),
    ] {
        let text = std::fs::read_to_string(fixture(config)).unwrap();
        let backbone = BackboneConfig::from_json(name, &text).unwrap();
        let folder = dir.join("checkpoints").join(name);
        assert!(import(&backbone, &fixture(file), None, &folder).unwrap().fits());

        let path = dir.join("runs").join(name);
        let exp = experiment(dir, &folder, &[]);
        let run_dir = RunDir::create(&path).unwrap();
        let outcome = run(&exp, &run_dir, &mut (), &AtomicBool::new(false)).unwrap();
        assert_eq!((outcome.ending, outcome.step), (Ending::Done, 2), "{name}");
        drop(run_dir);

        let run_dir = RunDir::read(&path).unwrap();
        let found = evaluate(&run_dir, Split::Test, &[], &mut ()).unwrap();
        assert_eq!((found.scores.examples, found.step), (4, 2), "{name}");
        assert!(found.loss.is_finite() && found.scores.summary["ROC-AUC"].is_finite(), "{name}");

        // what was tuned has moved, what it stands on has not
        let tuned = TensorFile::open(&path.join("best.safetensors")).unwrap();
        let b = tuned.names().into_iter().find(|n| n.ends_with(".lora_B")).unwrap();
        assert!(tuned.tensor(&b).unwrap().abs().max().double_value(&[]) > 0.0, "{b}");
        let trained = Trained::open(&run_dir, &[]).unwrap();
        let base = TensorFile::open(&folder.join("model.safetensors")).unwrap();
        for (name, tensor) in base.tensors().unwrap() {
            assert!(trained.model.vs.get(&name).unwrap().detach().equal(&tensor), "{name}");
        }
    }
}
