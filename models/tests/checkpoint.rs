//! Gradient checkpointing gives the numbers of a network that keeps everything, to the bit.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::fixture;
use etude_models::peft::{Adapter, Full, Lora, Prefixes, Probe};
use etude_models::vggish::{self, Preset};
use etude_models::{
    BackboneConfig, FrozenStats, HeadConfig, MlpHead, Model, ModelConfig, Precision, Tuning, mert,
    musicfm,
};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 3] = ["musicfm", "mert/base", "mert/large"];

/// The tiny model of the fixtures, with this much of every dropout.
fn backbone(of: &str, dropout: f64) -> BackboneConfig {
    let json = std::fs::read_to_string(fixture(&format!("{of}/config.json"))).unwrap();
    if of == "musicfm" {
        return BackboneConfig::MusicFm(musicfm::Config {
            hidden_dropout: dropout,
            attention_dropout: dropout,
            activation_dropout: dropout,
            conv_dropout: dropout,
            ..musicfm::Config::from_json(&json).unwrap()
        });
    }
    BackboneConfig::Mert(mert::Config {
        projection_dropout: dropout,
        hidden_dropout: dropout,
        attention_dropout: dropout,
        activation_dropout: dropout,
        layer_drop: dropout,
        ..mert::Config::from_json(&json).unwrap()
    })
}

fn build(of: &str, dropout: f64, tuning: &Tuning, frozen_stats: FrozenStats) -> Model {
    let cfg = ModelConfig {
        backbone: backbone(of, dropout),
        head: HeadConfig::Mlp(MlpHead { hidden: None, dropout }),
        weights: Some(fixture(&format!("{of}/weights"))),
        head_weights: false,
        layer: None,
        frozen_stats,
    };
    Model::build(&cfg, tuning, 5, Device::Cpu, 3).unwrap()
}

fn wave(offset: i64) -> Tensor {
    let t = Tensor::arange(2 * 9_000, (Kind::Float, Device::Cpu)).reshape([2, 9_000]) + offset;
    (&t * &t * 1e-7).sin() * 0.3 + (t * 0.37).sin() * 0.05
}

/// Losses, gradients, running statistics and the generator's next numbers after three steps of two passes each.
fn numbers(model: &Model) -> BTreeMap<String, Tensor> {
    let mut out = BTreeMap::new();
    tch::manual_seed(11);
    for step in 0..3 {
        for (_, p) in model.trainable() {
            etude_aten::clear_grad(&p).unwrap();
        }
        for pass in 0..2 {
            let logits = model.logits(&wave(100 * step + pass), true).unwrap();
            let loss = (logits - 1.0).square().mean(Kind::Float);
            model.backward(&loss).unwrap();
            out.insert(format!("{step} {pass} loss"), loss.detach());
        }
        for (name, p) in model.trainable().into_iter().filter(|(_, p)| p.grad().defined()) {
            out.insert(format!("{step} gradient of {name}"), p.grad().copy());
            tch::no_grad(|| {
                let _ = p.shallow_clone().g_sub_(&(p.grad() * 0.05));
            });
        }
    }
    let statistics = model.state().into_iter().filter(|(_, t)| !t.requires_grad());
    out.extend(statistics.map(|(name, t)| (name, t.copy())));
    out.insert("next numbers".to_owned(), Tensor::rand([8], (Kind::Float, Device::Cpu)));
    out
}

#[test]
fn losses_gradients_statistics_and_random_numbers_are_the_same_to_the_bit() {
    let tunings = [
        (Tuning::Full(Full {}), FrozenStats::Running),
        (Tuning::Lora(Lora { dropout: 0.2, ..Lora::default() }), FrozenStats::Running),
        (Tuning::Adapter(Adapter { bottleneck: 3 }), FrozenStats::Batch),
        (Tuning::Prefix(Prefixes { tokens: 3, bottleneck: 4 }), FrozenStats::Running),
        (Tuning::Probe(Probe {}), FrozenStats::Batch),
    ];
    for of in MODELS {
        for (tuning, stats) in &tunings {
            for (dropout, precision) in
                [(0.0, Precision::F32), (0.3, Precision::F32), (0.3, Precision::Bf16)]
            {
                let what = format!("{of}, {tuning:?}, dropout {dropout}, {precision:?}");
                let run = |on| {
                    let mut model = build(of, dropout, tuning, *stats);
                    model.precision = precision;
                    model.backbone.checkpoint(on).unwrap();
                    numbers(&model)
                };
                let (kept, again) = (run(false), run(true));
                assert_eq!(kept.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
                for (name, value) in &kept {
                    assert!(value.equal(&again[name]), "{what}: {name}");
                }
            }
        }
    }
}

#[test]
fn a_pass_without_gradients_or_outside_training_leaves_nothing_to_carry() {
    let model = build("musicfm", 0.0, &Tuning::Full(Full {}), FrozenStats::Running);
    model.backbone.checkpoint(true).unwrap();
    let scored = model.logits(&wave(0), false).unwrap();
    model.backward(&scored.sum(Kind::Float)).unwrap();
    // a pass whose loss was never computed is dropped with the next one
    let _lost = model.logits(&wave(0), true).unwrap();
    let loss = model.logits(&wave(1), true).unwrap().sum(Kind::Float);
    model.backward(&loss).unwrap();
    model.backbone.backward().unwrap();
}

#[test]
fn a_network_without_encoder_layers_refuses() {
    let cfg = ModelConfig {
        backbone: BackboneConfig::Vggish(vggish::Config {
            preset: Preset::Limited,
            channels: 4,
            input: None,
        }),
        head: HeadConfig::Mlp(MlpHead::default()),
        weights: None,
        head_weights: false,
        layer: None,
        frozen_stats: FrozenStats::Running,
    };
    let model = Model::build(&cfg, &Tuning::Full(Full {}), 5, Device::Cpu, 3).unwrap();
    model.backbone.checkpoint(false).unwrap();
    let text = model.backbone.checkpoint(true).unwrap_err().to_string();
    assert_eq!(
        text,
        "trainer.checkpoint: expected a backbone with encoder layers, such as musicfm or mert, got vggish"
    );
}
