//! Gradient checkpointing gives the numbers of a network that keeps everything, to the bit.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::fixture;
use etude_models::peft::{Adapter, Full, Lora, Prefixes, Probe};
use etude_models::tmae::{Masking, masked_loss};
use etude_models::vggish::{self, Preset};
use etude_models::{
    BackboneConfig, FrozenStats, HeadConfig, MlpHead, Model, ModelConfig, NoHead, Precision,
    Tuning, ast, mert, musicfm, tmae,
};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 5] = ["musicfm", "mert/base", "mert/large", "ast", "tmae"];

/// One test at a time: random numbers come from one generator of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tiny_tmae() -> tmae::Config {
    let (decoder_dim, decoder_layers, decoder_heads) = (12, 2, 2);
    let decoder = tmae::Config { decoder_dim, decoder_layers, decoder_heads, ..Default::default() };
    tmae::Config { frames: 32, dim: 16, layers: 3, heads: 2, ..decoder }
}

/// A tiny model, that of the fixtures where there is one of any length, with this much of every dropout.
fn backbone(of: &str, dropout: f64) -> BackboneConfig {
    match of {
        "ast" => {
            let preset = ast::Config::preset(ast::Preset::LimitedFixed);
            let (frames, layers) = (Some(36), 3);
            let ast = ast::Config { frames, layers, dim: 24, heads: 2, image_classes: 0, ..preset };
            return BackboneConfig::Ast(ast);
        }
        "tmae" => return BackboneConfig::Tmae(tmae::Config { dropout, ..tiny_tmae() }),
        _ => {}
    }
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
        weights: Some(fixture(&format!("{of}/weights"))).filter(|_| !["ast", "tmae"].contains(&of)),
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
    let _alone = alone();
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
fn both_halves_of_a_masked_autoencoder_give_the_same_gradients_to_the_bit() {
    let _alone = alone();
    let noise = Tensor::from_slice(&[0.4f32, 0.1, 0.9, 0.6, 0.2, 0.8, 0.3, 0.7]).view([2, 4]);
    let run = |on: bool| {
        let cfg = ModelConfig {
            backbone: BackboneConfig::Tmae(tmae::Config { pretraining: true, ..tiny_tmae() }),
            head: HeadConfig::None(NoHead {}),
            weights: None,
            head_weights: false,
            layer: None,
            frozen_stats: FrozenStats::Running,
        };
        let model = Model::build(&cfg, &Tuning::Full(Full {}), 0, Device::Cpu, 3).unwrap();
        model.backbone.checkpoint(on).unwrap();
        tch::manual_seed(5);
        let net = model.backbone.tmae().unwrap();
        let image = net.image(&wave(0)).unwrap();
        let mask = Masking::new(&noise, 0.5).unwrap();
        let latent = net.encode(&net.patch_tokens(&image).unwrap(), &mask, true).unwrap();
        let guess = net.decode(&latent, &mask, true).unwrap();
        let loss = masked_loss(&guess, &net.patches(&image).unwrap(), &mask).unwrap();
        model.backward(&loss).unwrap();
        let grads = model.trainable().into_iter().filter(|(_, p)| p.grad().defined());
        let grads: BTreeMap<String, Tensor> = grads.map(|(n, p)| (n, p.grad().copy())).collect();
        (loss.detach(), grads)
    };
    let (kept, again) = (run(false), run(true));
    assert!(kept.0.equal(&again.0));
    for part in ["encoder.0.", "encoder.2.", "decoder.1.", "mask_token", "patch_embed."] {
        assert!(kept.1.keys().any(|name| name.starts_with(part)), "{part}");
    }
    assert_eq!(kept.1.keys().collect::<Vec<_>>(), again.1.keys().collect::<Vec<_>>());
    for (name, grad) in &kept.1 {
        assert!(grad.equal(&again.1[name]), "{name}");
    }
}

#[test]
fn a_pass_without_gradients_or_outside_training_leaves_nothing_to_carry() {
    let _alone = alone();
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
    let _alone = alone();
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
        "trainer.checkpoint: expected a backbone with encoder layers: musicfm, mert, ast or tmae, got vggish"
    );
}
