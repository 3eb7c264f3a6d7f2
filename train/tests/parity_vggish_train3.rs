//! Three training steps of the published short-chunk CNN: losses, first gradients, weights and running statistics.
//!
//! Tolerances are those of the fixture (20 times the distance between its float32 and float64 runs).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_eval::{Inputs, Task, TaskConfig};
use etude_manifests::{Target, Vocab};
use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, HeadConfig, LinearHead, Model, ModelConfig, Tuning, vggish};
use etude_train::clip_grad_norm;
use etude_train::optim::{AdamConfig, Param, Rule};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vggish").join(name)
}

/// The published network with 4 channels and its classifier, without the dropout before it.
fn model() -> Model {
    let cfg = vggish::Config { channels: 4, ..vggish::Config::preset(vggish::Preset::Ccml) };
    let cfg = ModelConfig {
        backbone: BackboneConfig::Vggish(cfg),
        head: HeadConfig::Linear(LinearHead { dropout: 0.0 }),
        weights: Some(fixture("weights.safetensors")),
        head_weights: false,
        layer: None,
        frozen_stats: Default::default(),
    };
    let tuning: Tuning = serde_json::from_str(r#"{"method": "full"}"#).unwrap();
    let model = Model::build(&cfg, &tuning, 50, Device::Cpu, 0).unwrap();
    let weights = TensorFile::open(&fixture("weights.safetensors")).unwrap();
    let _guard = tch::no_grad_guard();
    for end in ["weight", "bias"] {
        let mut ours = model.vs.get(&format!("head.linear.{end}")).unwrap();
        ours.copy_(&weights.tensor(&format!("dense2.{end}")).unwrap());
    }
    model
}

/// Rows of 0 and 1 as tags.
fn targets(matrix: &Tensor) -> Vec<Target> {
    let rows = Vec::<Vec<f32>>::try_from(matrix.to_kind(Kind::Float)).unwrap();
    let tags = |row: &Vec<f32>| {
        let on = row.iter().enumerate().filter(|(_, x)| **x == 1.0);
        Target::Tags(on.map(|(i, _)| i as u16).collect())
    };
    rows.iter().map(tags).collect()
}

fn check(name: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    let d = (got - want).abs().max().double_value(&[]);
    assert!(d <= tolerance, "{name}: distance {d:.2e}, tolerance {tolerance:.0e}");
}

#[test]
fn three_adam_steps_are_those_of_the_published_code() {
    tch::set_num_threads(1);
    let file = TensorFile::open(&fixture("train3.safetensors")).unwrap();
    let get = |name: &str| file.tensor(name).unwrap();
    let model = model();
    let classes = (0..50).map(|c| c.to_string()).collect();
    let vocab = Vocab { id: "50".into(), classes, order: "published".into() };
    let task: Box<dyn Task> = TaskConfig::named("tagging").unwrap().build(&vocab).unwrap();
    let inputs = Inputs { x: get("in.mel"), lengths: vec![128; 4] };
    let target = task.target(&targets(&get("in.target")), &inputs).unwrap();
    let params = model
        .trainable()
        .into_iter()
        .map(|(name, tensor)| Param { name, tensor, lr_scale: 1.0 })
        .collect();
    let mut adam =
        Rule::Adam(AdamConfig { weight_decay: 1e-5, ..Default::default() }).build(params);

    let ours = |name: &str| model.vs.get(&name.replace("dense2", "head.linear")).unwrap();
    let mut losses = Vec::new();
    for step in 0..3 {
        let loss = task.loss(&model.logits(&inputs.x, true).unwrap(), &target).unwrap();
        losses.push(loss.double_value(&[]) as f32);
        adam.zero_grad().unwrap();
        loss.backward();
        assert!(clip_grad_norm(adam.params(), None).unwrap().double_value(&[]).is_finite());
        if step == 0 {
            for (name, tolerance) in
                [("dense2.weight", 5e-7), ("layer1.conv.weight", 7e-5), ("layer7.bn.weight", 7e-7)]
            {
                let want = get(&format!("out.grad_step1.{name}"));
                check(name, &ours(name).grad(), &want, tolerance);
            }
        }
        adam.step(1e-3).unwrap();
    }
    check("losses", &Tensor::from_slice(&losses), &get("out.losses"), 2e-6);
    for (name, tolerance) in [
        ("dense2.weight", 2e-6),
        ("dense2.bias", 5e-7),
        ("layer1.conv.weight", 8e-7),
        ("layer4.bn.weight", 3e-6),
        ("layer4.bn.running_mean", 6e-6),
        ("layer4.bn.running_var", 2e-6),
        ("spec_bn.running_mean", 3e-5),
        ("spec_bn.running_var", 5e-4),
    ] {
        check(name, &ours(name), &get(&format!("out.after3.{name}")), tolerance);
    }
}
