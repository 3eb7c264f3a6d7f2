//! TMAE against the masked autoencoder it is defined as (fixtures/tmae): embedding of patches, masking, encoder, decoder,
//! loss, features. Tolerances are those of the fixtures' README: absolute, 20 times the float32 noise of the original.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, fixture, open};
use etude_models::nn::{Scope, Source, Store};
use etude_models::peft::{Full, Probe};
use etude_models::tmae::{Config, Masking, Tmae, masked_loss};
use etude_models::weights::load;
use etude_models::{
    Backbone, BackboneConfig, HeadConfig, Layer, Model, ModelConfig, NoHead, Tuning,
};
use tch::{Device, Kind, Tensor};

fn config(pretraining: bool) -> Config {
    let (input, dim, decoder_dim) = (Source::Frames, 64, 32);
    let layers = 2;
    Config { input, dim, decoder_dim, layers, decoder_layers: 2, pretraining, ..Config::default() }
}

fn build(pretraining: bool) -> (Store, Tmae) {
    let store = Store::new(Device::Cpu);
    let full = Full {};
    let cfg = config(pretraining);
    let net = Tmae::new(&Scope::root(&store, &full, 1, false), &cfg).unwrap();
    let places = store.get("pos_embed").unwrap().copy();
    let names = BackboneConfig::Tmae(cfg).names(false);
    load(&store, &fixture("tmae/weights.safetensors"), &names).unwrap();
    assert_close("pos_embed", &places, &store.get("pos_embed").unwrap(), 1e-6);
    (store, net)
}

fn frames() -> Tensor {
    let mel = open("tmae/tmae.safetensors").tensor("in.mel").unwrap(); // [B, F, N]
    mel.transpose(1, 2)
}

#[test]
fn every_stage_loss_included_is_the_one_it_is_defined_as() {
    let (store, net) = build(true);
    let want = open("tmae/tmae.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    let image = net.image(&frames()).unwrap();
    assert_close("image", &image, &get("in.mel"), 0.0);
    let tokens = net.patch_tokens(&image).unwrap();
    assert_close("patch_embed", &tokens, &get("out.patch_embed"), 3e-5);
    let mask = Masking::new(&get("in.mask_noise"), 0.5).unwrap();
    assert_close("mask", mask.hidden(), &get("out.mask"), 0.0);
    assert!(mask.places().equal(&get("out.ids_restore")));
    let latent = net.encode(&tokens, &mask, false).unwrap();
    assert_close("latent", &latent, &get("out.latent"), 4e-5);
    let pred = net.decode(&latent, &mask, false).unwrap();
    assert_close("pred", &pred, &get("out.pred"), 2e-5);
    let target = net.patches(&image).unwrap();
    assert_close("target", &target.narrow(1, 0, 3), &get("out.target"), 0.0);
    let loss = masked_loss(&pred, &target, &mask).unwrap();
    assert_close("loss", &loss, &get("out.loss"), 3e-6);
    loss.backward();
    let grads = open("tmae/train3.safetensors");
    for (name, atol) in [("mask_token", 4e-8), ("encoder.0.attn.proj.weight", 2e-8)] {
        let grad = grads.tensor(&format!("out.grad_step1.{name}")).unwrap();
        assert_close(name, &store.get(name).unwrap().grad(), &grad, atol);
    }
}

#[test]
fn features_are_the_normed_patches_of_the_whole_input_with_and_without_the_decoder() {
    let want = open("tmae/tmae.safetensors");
    for pretraining in [true, false] {
        let (_store, net) = build(pretraining);
        let tokens = net.hidden(&frames(), Layer::Last, false).unwrap();
        assert_close("tokens", &tokens, &want.tensor("out.features_tokens").unwrap(), 3e-5);
        let mean = tokens.mean_dim(1, false, Kind::Float);
        assert_close("features", &mean, &want.tensor("out.features").unwrap(), 6e-6);
    }
    let (_store, net) = build(false);
    let mask = Masking::new(&want.tensor("in.mask_noise").unwrap(), 0.5).unwrap();
    let text = net.decode(&want.tensor("out.latent").unwrap(), &mask, false).unwrap_err();
    assert!(text.to_string().starts_with("backbone.pretraining: expected true"), "{text}");
}

#[test]
fn the_stock_size_has_the_published_number_of_parameters() {
    let cfg = ModelConfig {
        backbone: BackboneConfig::Tmae(Config { pretraining: true, ..Config::default() }),
        head: HeadConfig::None(NoHead {}),
        weights: None,
        head_weights: false,
        layer: None,
        frozen_stats: Default::default(),
    };
    let model = Model::build(&cfg, &Tuning::Full(Full {}), 0, Device::Cpu, 0).unwrap();
    assert_eq!(model.vs.count(|_, _| true), 7_189_376);
    assert_eq!(model.vs.count(|_, v| v.learnable), 7_174_400);
}

#[test]
fn a_wave_of_the_published_window_has_38_patches_and_another_length_is_refused() {
    let cfg = Config { input: Source::Wave, mean: -20.0, std: 15.0, ..config(false) };
    let store = Store::new(Device::Cpu);
    let net = Tmae::new(&Scope::root(&store, &Probe {}, 1, false), &cfg).unwrap();
    let wave = |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.1).sin().unsqueeze(0);
    let window = net.spec().window.unwrap() as i64;
    assert_eq!(net.hidden(&wave(window), Layer::At(0), false).unwrap().size(), [1, 38, 64]);
    let text = net.hidden(&wave(window - 512), Layer::Last, false).unwrap_err().to_string();
    assert_eq!(text, "tmae: expected 304 to 311 frames, got 302 frames");
}
