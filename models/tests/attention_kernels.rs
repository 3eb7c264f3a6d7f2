//! Attention is computed by the fused kernel wherever libtorch has one: without dropout, in float32 and in bfloat16.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use etude_models::nn::{AttentionKernel, watch_attention};
use etude_models::peft::{Full, Lora, Prefixes};
use etude_models::{
    BackboneConfig, FrozenStats, HeadConfig, LinearHead, Model, ModelConfig, Precision, Tuning,
};
use tch::{Device, Kind, Tensor};

/// Small networks whose attention drops so much in training (AST and TMAE never do), and what they hear.
fn networks(dropout: f64) -> Vec<(BackboneConfig, Tensor)> {
    let wave = |samples: i64| Tensor::rand([2, samples], (Kind::Float, Device::Cpu)) - 0.5;
    let toml = |text: String| toml::from_str::<BackboneConfig>(&text).unwrap();
    let sizes = "layers = 2\ndim = 32\ninner = 64\nheads = 4";
    let dropout = format!("attention_dropout = {dropout:?}\nhidden_dropout = 0.1");
    vec![
        (
            toml(format!(
                "name = 'musicfm'\n{sizes}\n{dropout}\nconv_channels = 4\ncodebook_size = 24"
            )),
            wave(12_000),
        ),
        (toml(format!("name = 'mert'\n{sizes}\n{dropout}\nconv_channels = 16")), wave(6_000)),
        (
            toml("name = 'ast'\npreset = 'limited_fixed'\nlayers = 2\ndim = 48\nheads = 4\nmean = -30.0\nstd = 20.0".into()),
            wave(81_866),
        ),
        (toml("name = 'tmae'\nlayers = 2\ndim = 32\nheads = 4\nframes = 64".into()), wave(16_384)),
    ]
}

fn tunings() -> [Tuning; 3] {
    [
        Tuning::Full(Full {}),
        Tuning::Lora(Lora::default()),
        Tuning::Prefix(Prefixes { tokens: 3, bottleneck: 4 }),
    ]
}

/// The kernels of a training step, or of an evaluation.
fn kernels(
    (backbone, x): &(BackboneConfig, Tensor),
    tuning: &Tuning,
    precision: Precision,
    train: bool,
) -> BTreeSet<AttentionKernel> {
    etude_aten::set_threads(1);
    let cfg = ModelConfig {
        backbone: backbone.clone(),
        head: HeadConfig::Linear(LinearHead::default()),
        weights: None,
        head_weights: false,
        layer: None,
        frozen_stats: FrozenStats::Running,
    };
    let mut model = Model::build(&cfg, tuning, 5, Device::Cpu, 1).unwrap();
    model.precision = precision;
    let step = || {
        let loss = model.logits(x, train).unwrap().square().mean(Kind::Float);
        if train {
            model.backward(&loss).unwrap();
        }
    };
    watch_attention(step).1
}

#[test]
fn without_dropout_every_network_trains_on_the_fused_kernel() {
    for network in networks(0.0) {
        for tuning in tunings() {
            for precision in [Precision::F32, Precision::Bf16] {
                let seen = kernels(&network, &tuning, precision, true);
                let (name, method) = (network.0.name(), tuning.name());
                assert_eq!(seen, [AttentionKernel::Flash].into(), "{name} {method} {precision:?}");
            }
        }
    }
}

#[test]
fn with_dropout_a_network_that_trains_leaves_the_fused_kernel_and_scoring_does_not() {
    for network in networks(0.1) {
        let drops = ["musicfm", "mert"].contains(&network.0.name());
        let training = if drops { AttentionKernel::Math } else { AttentionKernel::Flash };
        for precision in [Precision::F32, Precision::Bf16] {
            let seen = |train| kernels(&network, &Tuning::Full(Full {}), precision, train);
            assert_eq!(seen(true), [training].into(), "{} {precision:?}", network.0.name());
            assert_eq!(seen(false), [AttentionKernel::Flash].into(), "{}", network.0.name());
        }
    }
}

#[test]
fn kernels_are_seen_only_where_and_while_somebody_watches() {
    let network = &networks(0.1)[1];
    let full = Tuning::Full(Full {});
    let (inner, outer) = watch_attention(|| {
        let inner = kernels(network, &full, Precision::F32, true);
        std::thread::scope(|scope| {
            scope.spawn(|| kernels(&networks(0.0)[1], &full, Precision::F32, false));
        });
        inner
    });
    assert_eq!((inner.len(), outer.len()), (1, 0));
    assert!(watch_attention(|| ()).1.is_empty());
    assert_eq!(AttentionKernel::Efficient.to_string(), "memory-efficient");
}
