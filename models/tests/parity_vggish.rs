//! VGGish against the published definitions (fixtures/vggish): every stage of both studies' networks, loss and
//! gradients. Tolerances are those of the fixtures' README: absolute, 20 times the float32 noise of the original.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, fixture, open};
use etude_models::nn::{Part, Scope, Store};
use etude_models::peft::{Full, Probe};
use etude_models::vggish::{Config, Preset, Source, Vggish};
use etude_models::weights::load_part;
use etude_models::{
    Backbone, BackboneConfig, Error, Head, HeadConfig, Layer, Method, Model, ModelConfig,
    PublishedHead, Tuning,
};
use tch::{Device, Kind, Reduction, Tensor};

const CHANNELS: i64 = 4;
const TAGS: i64 = 50;

fn config(preset: Preset, input: Option<Source>) -> Config {
    Config { preset, channels: CHANNELS, input }
}

/// The network and its published classifier with the fixture's weights.
fn build(cfg: Config, method: &dyn Method) -> (Store, Vggish, Head) {
    let store = Store::new(Device::Cpu);
    let root = Scope::root(&store, method, 1, false);
    let backbone = Vggish::new(&root, &cfg).unwrap();
    let config = BackboneConfig::Vggish(cfg);
    let vs = root.part(Part::Head) / "head";
    let head = HeadConfig::Published(PublishedHead {});
    let head = head.build(&vs, 4 * CHANNELS, TAGS, config.published_head()).unwrap().unwrap();
    let file = fixture("vggish/weights.safetensors");
    let report = load_part(&store, &file, &config.names(true), |_, _| true).unwrap();
    assert_eq!((report.matched, report.skipped.len()), (65, 0));
    (store, backbone, head)
}

/// Compares every stage that `tolerances` names; the image is the network's own.
fn check_stages(preset: Preset, input: &Tensor, file: &str, tolerances: &[(&str, f64)]) {
    let (_store, net, head) = build(config(preset, None), &Full {});
    let want = open(file);
    let mut stages: Vec<(String, Tensor)> = Vec::new();
    if preset == Preset::Limited {
        stages.push(("mel_db".into(), net.mel(input).unwrap()));
    }
    let mut x = net.image(input, false).unwrap();
    for (i, block) in net.blocks().iter().enumerate() {
        x = block.forward(&x, false).unwrap();
        stages.push((format!("layer{}", i + 1), x.shallow_clone()));
    }
    let pooled = net.pool(&x).unwrap();
    let embedding = net.embed(&pooled, false).unwrap();
    let logits = head.forward(&embedding.unsqueeze(1), false).unwrap();
    stages.push(("pooled".into(), pooled));
    stages.push(("bn_relu".into(), embedding.shallow_clone()));
    stages.push(("sigmoid".into(), logits.sigmoid()));
    stages.push(("dense2_logits".into(), logits));
    for (name, atol) in tolerances {
        let (_, got) = stages.iter().find(|(n, _)| n == name).unwrap();
        assert_close(name, got, &want.tensor(&format!("out.{name}")).unwrap(), *atol);
    }
    // the road every model is used by gives the last two stages again
    let hidden = net.hidden(input, Layer::Last, false).unwrap();
    assert_close("hidden", &hidden, &embedding.unsqueeze(1), 0.0);
}

#[test]
fn every_stage_from_the_wave_is_the_published_one() {
    let wave = open("vggish/seed2_wave.safetensors").tensor("in.wav").unwrap();
    let tolerances = [
        ("mel_db", 3e-2),
        ("layer1", 2e-3),
        ("layer2", 2e-3),
        ("layer3", 2e-3),
        ("layer4", 4e-4),
        ("layer5", 2e-4),
        ("layer6", 9e-5),
        ("layer7", 7e-5),
        ("bn_relu", 7e-5),
        ("dense2_logits", 4e-5),
        ("sigmoid", 9e-6),
    ];
    check_stages(Preset::Limited, &wave, "vggish/seed2_wave.safetensors", &tolerances);
}

#[test]
fn every_stage_from_mel_frames_with_turned_axes_is_the_published_one() {
    let mel = open("vggish/ccml_mel.safetensors").tensor("in.mel").unwrap();
    let tolerances = [
        ("layer2", 3e-5),
        ("layer3", 3e-5),
        ("layer4", 3e-5),
        ("layer5", 2e-5),
        ("layer6", 1e-5),
        ("layer7", 9e-6),
        ("pooled", 9e-6),
        ("bn_relu", 1e-5),
        ("dense2_logits", 7e-6),
        ("sigmoid", 2e-6),
    ];
    check_stages(Preset::Ccml, &mel, "vggish/ccml_mel.safetensors", &tolerances);
}

#[test]
fn loss_and_gradients_of_the_first_training_step_are_the_published_ones() {
    let want = open("vggish/train3.safetensors");
    let (store, net, head) = build(config(Preset::Ccml, None), &Full {});
    let hidden = net.hidden(&want.tensor("in.mel").unwrap(), Layer::Last, true).unwrap();
    // the fixture has no dropout: the head in evaluation mode, everything below it in training mode
    let scores = head.forward(&hidden, false).unwrap().sigmoid();
    let target = want.tensor("in.target").unwrap();
    let loss = scores.binary_cross_entropy::<Tensor>(&target, None, Reduction::Mean);
    let first = want.tensor("out.losses").unwrap().get(0);
    assert_close("loss", &loss, &first, 2e-6);
    loss.backward();
    for (ours, name, atol) in [
        ("head.dense2.weight", "dense2.weight", 5e-7),
        ("layer1.conv.weight", "layer1.conv.weight", 7e-5),
        ("layer7.bn.weight", "layer7.bn.weight", 7e-7),
    ] {
        let got = store.get(ours).unwrap().grad();
        assert_close(name, &got, &want.tensor(&format!("out.grad_step1.{name}")).unwrap(), atol);
    }
}

#[test]
fn a_wave_and_its_own_mel_frames_give_the_same_embedding_in_both_studies() {
    let wave = open("vggish/seed2_wave.safetensors").tensor("in.wav").unwrap();
    for preset in [Preset::Limited, Preset::Ccml] {
        let (_s, on_wave, _) = build(config(preset, Some(Source::Wave)), &Probe {});
        let (_s, on_frames, _) = build(config(preset, Some(Source::Frames)), &Probe {});
        let frames = on_wave.mel(&wave).unwrap().transpose(1, 2);
        let from_wave = on_wave.hidden(&wave, Layer::Last, false).unwrap();
        let from_frames = on_frames.hidden(&frames, Layer::Last, false).unwrap();
        assert_close("embedding", &from_wave, &from_frames, 0.0);
        assert_eq!(from_wave.size(), [2, 1, 16]);
    }
}

#[test]
fn inputs_the_network_cannot_take_are_refused_with_the_lengths_it_can() {
    let (_s, net, _) = build(config(Preset::Ccml, None), &Probe {});
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let text = |x: &Tensor| net.hidden(x, Layer::Last, false).unwrap_err().to_string();
    assert!(text(&zeros(&[1, 256, 128])).contains("expected 128 to 255 frames"));
    assert!(text(&zeros(&[1, 127, 128])).contains("got 127 frames"));
    assert!(
        text(&zeros(&[1, 200, 96])).contains("expected mel frames [B, N, 128], got [1, 200, 96]")
    );
    assert!(text(&zeros(&[59_049])).contains("got [59049]"));
    assert!(net.hidden(&zeros(&[1, 255, 128]), Layer::At(2), false).is_err());
    let (_s, net, _) = build(config(Preset::Limited, None), &Probe {});
    assert!(net.hidden(&zeros(&[1, 32_512]), Layer::At(0), false).is_ok());
    assert!(net.hidden(&zeros(&[1, 32_511]), Layer::At(0), false).is_err());
}

#[test]
fn the_published_width_has_the_published_number_of_parameters() {
    let cfg = ModelConfig {
        backbone: BackboneConfig::Vggish(Config::preset(Preset::Limited)),
        head: HeadConfig::Published(PublishedHead {}),
        weights: None,
        head_weights: false,
        layer: None,
        frozen_stats: Default::default(),
    };
    let model = Model::build(&cfg, &Tuning::Full(Full {}), TAGS, Device::Cpu, 0).unwrap();
    assert_eq!(model.vs.count(|_, v| v.learnable), 3_687_348);
    assert_eq!(model.trainable().iter().map(|(_, t)| t.numel()).sum::<usize>(), 3_687_348);
}

#[test]
fn a_published_file_loads_with_and_without_its_classifier() {
    let cfg = |head_weights| ModelConfig {
        backbone: BackboneConfig::Vggish(config(Preset::Ccml, None)),
        head: HeadConfig::Published(PublishedHead {}),
        weights: Some(fixture("vggish/weights")),
        head_weights,
        layer: None,
        frozen_stats: Default::default(),
    };
    let build = |head_weights, tags| {
        Model::build(&cfg(head_weights), &Tuning::Probe(Probe {}), tags, Device::Cpu, 0)
    };
    let mel = open("vggish/ccml_mel.safetensors");
    let logits = build(true, TAGS).unwrap().logits(&mel.tensor("in.mel").unwrap(), false).unwrap();
    assert_close("logits", &logits, &mel.tensor("out.dense2_logits").unwrap(), 7e-6);
    let fresh = build(false, 7).unwrap();
    let report = fresh.loaded.as_ref().unwrap();
    assert_eq!(
        (report.matched, report.skipped.as_slice()),
        (63, ["dense2.bias", "dense2.weight"].map(String::from).as_slice())
    );
    let Error::Names(report) = build(true, 7).unwrap_err() else { panic!() };
    assert_eq!(report.misshapen.len(), 2);
}
