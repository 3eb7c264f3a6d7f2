//! MusiCNN against the published definitions (fixtures/musicnn): every stage of both nets. Tolerances are those of the
//! fixtures' README: absolute, 20 times the float32 noise of the original.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, fixture, open};
use etude_models::musicnn::{Config, Musicnn, Net, Preset};
use etude_models::nn::{Part, Scope, Source, Store};
use etude_models::peft::{Full, Probe};
use etude_models::weights::load_part;
use etude_models::{
    Backbone, BackboneConfig, Head, HeadConfig, Layer, Method, Model, ModelConfig, PublishedHead,
    Tuning,
};
use tch::{Device, Kind, Reduction, Tensor};

const TAGS: i64 = 50;

/// The fixtures' sizes and files.
fn config(preset: Preset) -> (Config, &'static str, usize) {
    let published = Config::preset(preset);
    match preset {
        Preset::Limited => (
            Config { tall: 25, long: 6, channels: 8, dim: 24, ..published },
            "musicnn/seed2_weights.safetensors",
            0,
        ),
        Preset::Sota => (
            Config { tall: 10, long: 3, channels: 8, dim: 16, ..published },
            "musicnn/ccml_weights.safetensors",
            0,
        ),
        _ => (
            Config { tall: 10, long: 3, channels: 8, dim: 16, ..published },
            "musicnn/ccml_weights.safetensors",
            2,
        ),
    }
}

/// The network and its published classifier with the fixture's weights.
fn build(preset: Preset, input: Option<Source>, method: &dyn Method) -> (Store, Musicnn, Head) {
    let (cfg, file, skipped) = config(preset);
    let cfg = Config { input, ..cfg };
    let store = Store::new(Device::Cpu);
    let root = Scope::root(&store, method, 1, false);
    let backbone = Musicnn::new(&root, &cfg).unwrap();
    let config = BackboneConfig::Musicnn(cfg);
    let vs = root.part(Part::Head) / "head";
    let head = HeadConfig::Published(PublishedHead {});
    let head = head.build(&vs, cfg.dim, TAGS, config.published_head()).unwrap().unwrap();
    let report = load_part(&store, &fixture(file), &config.names(true), |_, _| true).unwrap();
    assert_eq!(report.skipped.len(), skipped);
    (store, backbone, head)
}

fn check(stages: &[(&str, Tensor, f64)], file: &str) {
    let want = open(file);
    for (name, got, atol) in stages {
        assert_close(name, got, &want.tensor(&format!("out.{name}")).unwrap(), *atol);
    }
}

#[test]
fn every_stage_of_the_limited_data_net_is_the_published_one() {
    let (_store, model, head) = build(Preset::Limited, None, &Full {});
    let Net::Limited(net) = model.net() else { panic!() };
    let file = "musicnn/seed2_wave.safetensors";
    let wave = open(file).tensor("in.wav").unwrap();
    let image = model.image(&wave).unwrap();
    let front = net.front_end(&image, false).unwrap();
    let midend = net.midend(&front, false).unwrap();
    let (max, mean) = net.pool(&midend).unwrap();
    let flat = net.flat(&max, &mean, false).unwrap();
    let dense = net.dense_relu(&flat, false).unwrap();
    let penultimate = net.embed(&dense, false).unwrap();
    let hidden = model.hidden(&wave, Layer::Last, false).unwrap();
    assert_close("hidden", &hidden, &penultimate.unsqueeze(1), 0.0);
    let logits = head.forward(&hidden, false).unwrap();
    let target = open(file).tensor("in.target").unwrap();
    let scores = logits.sigmoid();
    let loss = scores.binary_cross_entropy::<Tensor>(&target, None, Reduction::Mean);
    let stages = [
        ("log_mel", image.unsqueeze(1), 7e-3),
        ("frontend", front, 2e-3),
        ("midend", midend, 2e-3),
        ("maxpool", max, 5e-4),
        ("meanpool", mean, 6e-5),
        ("flat_bn", flat, 4e-4),
        ("dense_relu", dense, 9e-5),
        ("penultimate_bn", penultimate, 2e-4),
        ("logits", logits, 1e-4),
        ("sigmoid", scores, 3e-5),
        ("bce_loss", loss, 2e-6),
    ];
    check(&stages, file);
}

/// Branches, residuals, dense layer, embedding, logits and scores of the other net.
fn sota_stages(preset: Preset, file: &str, input: &str) -> Vec<(String, Tensor)> {
    let (_store, model, head) = build(preset, None, &Full {});
    let Net::Sota(net) = model.net() else { panic!() };
    let x = open(file).tensor(input).unwrap();
    let branches = net.branches(&model.image(&x).unwrap(), false).unwrap();
    let front = Tensor::cat(&branches, 1);
    let mut all = net.residuals(&front, false).unwrap();
    let mut stages: Vec<_> = branches
        .into_iter()
        .enumerate()
        .map(|(i, x)| (format!("branch{i}"), x))
        .chain(all.iter().enumerate().map(|(i, x)| (format!("res{}", i + 1), x.shallow_clone())))
        .collect();
    all.insert(0, front);
    let dense = net.dense1(&Tensor::cat(&all, 1), false).unwrap();
    let embedding = net.embed(&dense, false).unwrap();
    let hidden = model.hidden(&x, Layer::Last, false).unwrap();
    assert_close("hidden", &hidden, &embedding.unsqueeze(1), 0.0);
    let logits = head.forward(&hidden, false).unwrap();
    stages.extend([
        ("dense1".to_owned(), dense),
        ("penultimate".to_owned(), embedding),
        ("sigmoid".to_owned(), logits.sigmoid()),
        ("dense2_logits".to_owned(), logits),
    ]);
    stages
}

fn check_named(stages: &[(String, Tensor)], tolerances: &[(&str, f64)], file: &str) {
    let want = open(file);
    for (name, atol) in tolerances {
        let (_, got) = stages.iter().find(|(n, _)| n == name).unwrap();
        assert_close(name, got, &want.tensor(&format!("out.{name}")).unwrap(), *atol);
    }
}

#[test]
fn every_stage_of_the_transfer_net_on_turned_frames_is_the_published_one() {
    let file = "musicnn/ccml_mel.safetensors";
    let stages = sota_stages(Preset::Ccml, file, "in.mel");
    let tolerances = [
        ("branch0", 2e-4),
        ("branch1", 2e-4),
        ("branch2", 5e-5),
        ("branch3", 7e-5),
        ("branch4", 8e-5),
        ("res1", 6e-5),
        ("res2", 7e-5),
        ("res3", 9e-5),
        ("dense1", 3e-5),
        ("penultimate", 8e-5),
        ("dense2_logits", 4e-5),
        ("sigmoid", 9e-6),
    ];
    check_named(&stages, &tolerances, file);
}

#[test]
fn the_same_weights_on_a_wave_give_the_published_stages() {
    let file = "musicnn/ccml_wave.safetensors";
    let (_store, model, _) = build(Preset::Sota, None, &Probe {});
    let want = open(file);
    let image = model.image(&want.tensor("in.wav").unwrap()).unwrap();
    assert_close("mel_db", &image, &want.tensor("out.mel_db").unwrap(), 5e-2);
    let stages = sota_stages(Preset::Sota, file, "in.wav");
    let tolerances = [
        ("branch0", 3e-4),
        ("branch4", 2e-5),
        ("res1", 2e-4),
        ("penultimate", 8e-5),
        ("dense2_logits", 4e-5),
        ("sigmoid", 1e-5),
    ];
    check_named(&stages, &tolerances, file);
}

#[test]
fn a_batch_of_one_gives_the_row_it_gives_in_a_larger_batch() {
    let (_store, model, _) = build(Preset::Limited, None, &Probe {});
    let wave = open("musicnn/seed2_wave.safetensors").tensor("in.wav").unwrap();
    let both = model.hidden(&wave, Layer::Last, false).unwrap();
    let second = model.hidden(&wave.narrow(0, 1, 1), Layer::Last, false).unwrap();
    assert_close("row", &second, &both.narrow(0, 1, 1), 1e-5);
}

#[test]
fn a_norm_that_nothing_uses_follows_the_batch_and_is_never_trained() {
    let (store, model, _) = build(Preset::Limited, None, &Full {});
    let wave = open("musicnn/seed2_wave.safetensors").tensor("in.wav").unwrap();
    let statistic = || store.get("midend.batch_norm3.running_mean").unwrap().copy();
    let before = statistic();
    let _ = model.hidden(&wave, Layer::Last, false).unwrap();
    assert!(statistic().equal(&before));
    let loss = model.hidden(&wave, Layer::Last, true).unwrap().square().mean(Kind::Float);
    assert!(!statistic().equal(&before));
    loss.backward();
    assert!(!store.get("midend.batch_norm3.weight").unwrap().requires_grad());
    let trained = store.select(|_, v| v.learnable && v.changes);
    for (name, tensor) in trained.iter().filter(|(n, _)| !n.starts_with("head.")) {
        assert!(tensor.grad().defined(), "{name}");
    }
}

#[test]
fn with_the_axes_right_the_kernels_look_over_bands() {
    let (_s, turned, _) = build(Preset::Ccml, None, &Probe {});
    let (_s, right, _) = build(Preset::CcmlFixed, None, &Probe {});
    let mel = open("musicnn/ccml_mel.safetensors").tensor("in.mel").unwrap();
    let square = mel.narrow(1, 0, 128);
    let one = turned.hidden(&square.transpose(1, 2).contiguous(), Layer::Last, false).unwrap();
    let other = right.hidden(&square, Layer::Last, false).unwrap();
    assert_close("turned", &one, &other, 1e-5);
    assert!(right.hidden(&mel.narrow(1, 0, 20), Layer::Last, false).is_ok());
}

#[test]
fn a_wave_and_its_own_mel_frames_give_the_same_embedding() {
    let wave = open("musicnn/seed2_wave.safetensors").tensor("in.wav").unwrap();
    for preset in [Preset::Limited, Preset::Ccml, Preset::CcmlFixed, Preset::Sota] {
        let (_s, on_wave, _) = build(preset, Some(Source::Wave), &Probe {});
        let (_s, on_frames, _) = build(preset, Some(Source::Frames), &Probe {});
        let image = on_wave.image(&wave).unwrap();
        let frames = if preset == Preset::Ccml { image } else { image.transpose(1, 2) };
        let from_wave = on_wave.hidden(&wave, Layer::Last, false).unwrap();
        let from_frames = on_frames.hidden(&frames, Layer::Last, false).unwrap();
        assert_close("embedding", &from_wave, &from_frames, 1e-6);
    }
}

#[test]
fn inputs_the_nets_cannot_take_are_refused_with_the_lengths_they_can() {
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let (_s, net, _) = build(Preset::Limited, None, &Probe {});
    let text = net.hidden(&zeros(&[2, 47_615]), Layer::Last, false).unwrap_err().to_string();
    assert!(text.contains("187 to 372 frames") && text.contains("got 96 bands, 186 frames"));
    assert!(net.hidden(&zeros(&[2, 47_616]), Layer::Last, false).is_ok());
    assert!(net.hidden(&zeros(&[1, 95_231]), Layer::Last, false).is_ok());
    assert!(net.hidden(&zeros(&[1, 95_232]), Layer::Last, false).is_err());
    let (_s, net, _) = build(Preset::Ccml, None, &Probe {});
    let text = net.hidden(&zeros(&[1, 66, 128]), Layer::Last, false).unwrap_err().to_string();
    assert!(text.contains("an image of 67 rows or more") && text.contains("66 rows"), "{text}");
    assert!(net.hidden(&zeros(&[1, 187, 96]), Layer::Last, false).is_err());
    assert!(net.hidden(&zeros(&[1, 187, 128]), Layer::At(1), false).is_err());
}

#[test]
fn the_published_widths_have_the_published_number_of_parameters() {
    for (preset, want) in
        [(Preset::Limited, 808_577), (Preset::Ccml, 784_300), (Preset::CcmlFixed, 784_300)]
    {
        let cfg = ModelConfig {
            backbone: BackboneConfig::Musicnn(Config::preset(preset)),
            head: HeadConfig::Published(PublishedHead {}),
            weights: None,
            head_weights: false,
            layer: None,
            frozen_stats: Default::default(),
        };
        let model = Model::build(&cfg, &Tuning::Full(Full {}), TAGS, Device::Cpu, 0).unwrap();
        assert_eq!(model.vs.count(|_, v| v.learnable), want);
    }
}
