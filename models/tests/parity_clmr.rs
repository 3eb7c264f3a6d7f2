//! SampleCNN and its contrastive training against CLMR (fixtures/clmr): stages, projections, loss and its gradient.
//! Tolerances are those of the fixtures' README: absolute, 20 times the float32 noise of the original.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::{assert_close, fixture, open};
use etude_models::nn::{Part, Scope, Store};
use etude_models::peft::Full;
use etude_models::samplecnn::{Config, SampleCnn, nt_xent, similarity};
use etude_models::weights::{TensorFile, import, load_part, write};
use etude_models::{
    Backbone, BackboneConfig, Head, HeadConfig, Layer, Model, ModelConfig, NameMap, ProjectionHead,
    PublishedHead, Tuning,
};
use tch::{Device, Kind, Tensor};

const WEIGHTS: &str = "clmr/weights.safetensors";

/// The network with a head and the fixture's weights.
fn build(head: HeadConfig) -> (Store, SampleCnn, Head) {
    let store = Store::new(Device::Cpu);
    let full = Full {};
    let root = Scope::root(&store, &full, 1, false);
    let cfg = Config { channels: 16 };
    let net = SampleCnn::new(&root, &cfg).unwrap();
    let published = BackboneConfig::SampleCnn(cfg).published_head();
    let built = head.build(&(root.part(Part::Head) / "head"), 64, 50, published);
    let built = built.unwrap().unwrap();
    let names = match head {
        HeadConfig::Projection(_) => {
            NameMap::new().skip("encoder.fc.").rename("projector.", "head.projector.")
        }
        _ => BackboneConfig::SampleCnn(cfg).names(true),
    };
    load_part(&store, &fixture(WEIGHTS), &names, |_, _| true).unwrap();
    (store, net, built)
}

#[test]
fn every_stage_of_the_encoder_is_the_published_one() {
    let (_store, net, head) = build(HeadConfig::Published(PublishedHead {}));
    let want = open("clmr/encoder.safetensors");
    let mut x = want.tensor("in.wav").unwrap();
    for (i, stage) in net.stages().iter().enumerate() {
        x = stage.forward(&x, false).unwrap();
        let atol = [3e-5, 3e-5, 3e-5, 3e-5, 2e-5, 2e-5, 2e-5, 2e-5, 2e-5, 2e-5, 8e-6][i];
        if i >= 2 {
            let name = format!("out.seq{i}");
            assert_close(&name, &x, &want.tensor(&name).unwrap(), atol);
        }
    }
    let wave = want.tensor("in.wav").unwrap().squeeze_dim(1);
    let hidden = net.hidden(&wave, Layer::Last, false).unwrap();
    let embedding = hidden.squeeze_dim(1);
    assert_close("embedding", &embedding, &want.tensor("out.embedding").unwrap(), 8e-6);
    let logits = head.forward(&hidden, false).unwrap();
    assert_close("logits", &logits, &want.tensor("out.logits").unwrap(), 5e-6);
}

#[test]
fn two_views_of_two_clips_have_the_published_projections_and_loss() {
    let (_store, net, head) = build(HeadConfig::Projection(ProjectionHead { dim: 64 }));
    let want = open("clmr/simclr.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    let view = |name: &str| {
        let hidden =
            net.hidden(&get(&format!("in.x_{name}")).squeeze_dim(1), Layer::Last, false).unwrap();
        let z = head.forward(&hidden, false).unwrap();
        (hidden.squeeze_dim(1), z)
    };
    let ((h_i, z_i), (h_j, z_j)) = (view("i"), view("j"));
    assert_close("h_i", &h_i, &get("out.h_i"), 8e-6);
    assert_close("h_j", &h_j, &get("out.h_j"), 7e-6);
    assert_close("z_i", &z_i, &get("out.z_i"), 3e-6);
    assert_close("z_j", &z_j, &get("out.z_j"), 3e-6);
    assert_close("loss", &nt_xent(&z_i, &z_j, 0.5).unwrap().0, &get("out.loss"), 3e-6);
}

#[test]
fn loss_and_gradients_at_both_temperatures_are_the_published_ones() {
    let want = open("clmr/ntxent.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    let cosines = similarity(&get("in.z_i"), &get("in.z_j")).unwrap();
    assert_close("similarity", &cosines, &get("out.similarity"), 3e-6);
    for (t, loss_atol, i_atol, j_atol) in [("0.5", 3e-6, 4e-8, 3e-8), ("0.1", 3e-7, 7e-8, 5e-8)] {
        let z_i = get("in.z_i").set_requires_grad(true);
        let z_j = get("in.z_j").set_requires_grad(true);
        let (loss, nearest) = nt_xent(&z_i, &z_j, t.parse().unwrap()).unwrap();
        assert_close("loss", &loss, &get(&format!("out.loss_t{t}")), loss_atol);
        assert_eq!(nearest.double_value(&[]), 1.0);
        loss.backward();
        assert_close("grad_z_i", &z_i.grad(), &get(&format!("out.grad_z_i_t{t}")), i_atol);
        assert_close("grad_z_j", &z_j.grad(), &get(&format!("out.grad_z_j_t{t}")), j_atol);
    }
    assert!(nt_xent(&cosines, &get("in.z_i"), 0.5).is_err());
}

#[test]
fn views_that_are_all_alike_have_the_loss_of_a_guess() {
    let z = Tensor::ones([8, 5], (Kind::Float, Device::Cpu));
    let (loss, _) = nt_xent(&z, &z, 0.5).unwrap();
    assert!((loss.double_value(&[]) - 15f64.ln()).abs() < 1e-6);
}

#[test]
fn a_wave_of_another_length_is_refused() {
    let (_store, net, _) = build(HeadConfig::Published(PublishedHead {}));
    let x = Tensor::zeros([1, 59_050], (Kind::Float, Device::Cpu));
    let text = net.hidden(&x, Layer::Last, false).unwrap_err().to_string();
    assert_eq!(text, "samplecnn: expected waves [B, 59049], got [1, 59050]");
}

#[test]
fn the_published_width_has_the_published_number_of_parameters() {
    for (head, want) in [
        (HeadConfig::Published(PublishedHead {}), 2_394_162),
        (HeadConfig::Projection(ProjectionHead::default()), 2_368_512 + 294_912),
    ] {
        let cfg = ModelConfig {
            backbone: BackboneConfig::SampleCnn(Config::default()),
            head,
            weights: None,
            head_weights: false,
            layer: None,
            frozen_stats: Default::default(),
        };
        let model = Model::build(&cfg, &Tuning::Full(Full {}), 50, Device::Cpu, 0).unwrap();
        assert_eq!(model.vs.count(|_, v| v.learnable), want);
    }
}

#[test]
fn a_lightning_checkpoint_which_holds_the_encoder_twice_is_imported_once() {
    let dir = tempfile::tempdir().unwrap();
    let plain = open(WEIGHTS).tensors().unwrap();
    let mut tensors = Vec::new();
    for (name, tensor) in plain.iter().filter(|(n, _)| !n.starts_with("encoder.fc.")) {
        let wrong = tensor.zeros_like();
        if name.starts_with("encoder.") {
            tensors.push((format!("state_dict.{name}"), wrong));
        }
        tensors.push((format!("state_dict.model.{name}"), tensor.shallow_clone()));
    }
    let moment = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    tensors.push(("optimizer_states.0.state.0.exp_avg".to_owned(), moment));
    let path = dir.path().join("clmr.safetensors");
    write(&path, &tensors, &BTreeMap::new()).unwrap();
    let backbone = BackboneConfig::SampleCnn(Config { channels: 16 });
    for (from, classifier) in [(path, 0), (fixture(WEIGHTS), 2)] {
        let out = dir.path().join("out");
        let report = import(&backbone, &from, &out).unwrap();
        assert_eq!((report.matched, report.skipped.len()), (77, 2 + classifier));
        let ours = TensorFile::open(&out.join("model.safetensors")).unwrap();
        assert_eq!(ours.names().len(), 77 + classifier);
        let (name, want) = plain.iter().find(|(n, _)| n.ends_with("10.0.weight")).unwrap();
        assert!(ours.tensor(name).unwrap().equal(want));
    }
}
