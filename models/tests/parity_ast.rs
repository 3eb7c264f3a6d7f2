//! AST against the published definitions (fixtures/ast): stages of both studies' networks, the same from Hugging Face's
//! names, and what becomes of ImageNet weights. Tolerances are those of the fixtures' README: absolute, 20 times the
//! float32 noise of the original.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::{assert_close, fixture, open};
use etude_models::ast::{Ast, Config, Preset, adapt_positions, mono_kernel};
use etude_models::nn::{Block, Part, Scope, Store};
use etude_models::peft::{Full, Probe};
use etude_models::weights::{TensorFile, import, load_part, write};
use etude_models::{
    Backbone, BackboneConfig, Head, HeadConfig, Layer, Method, Model, ModelConfig, PublishedHead,
    Tuning,
};
use tch::{Device, Kind, Reduction, Tensor};

fn config(preset: Preset) -> Config {
    Config { dim: 48, layers: 2, heads: 4, image_classes: 7, ..Config::preset(preset) }
}

fn weights(preset: Preset) -> (&'static str, i64) {
    match preset {
        Preset::Limited => ("ast/seed2_weights.safetensors", 50),
        _ => ("ast/ccml_weights.safetensors", 20),
    }
}

/// The network and its published classifier with the fixture's weights.
fn build(cfg: Config, method: &dyn Method) -> (Store, Ast, Head) {
    let (file, tags) = weights(cfg.preset);
    let store = Store::new(Device::Cpu);
    let root = Scope::root(&store, method, 1, false);
    let net = Ast::new(&root, &cfg).unwrap();
    let config = BackboneConfig::Ast(cfg);
    let head = HeadConfig::Published(PublishedHead {});
    let vs = root.part(Part::Head) / "head";
    let head = head.build(&vs, 48, tags, config.published_head()).unwrap().unwrap();
    let report = load_part(&store, &fixture(file), &config.names(true), |_, _| true).unwrap();
    assert!(report.skipped.is_empty());
    (store, net, head)
}

#[test]
fn every_stage_of_the_limited_data_network_is_the_published_one() {
    let (_store, net, head) = build(config(Preset::Limited), &Full {});
    let want = open("ast/seed2_wave.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    let wave = get("in.wav");
    assert_close("mel_power", &net.mel(&wave).unwrap(), &get("out.mel_power"), 7e-3);
    let patches = net.patch_tokens(&net.image(&wave).unwrap()).unwrap();
    assert_close("patch_tokens", &patches, &get("out.patch_tokens"), 6e-4);
    let mut x = net.tokens(&patches).unwrap();
    for (i, block) in net.blocks().iter().enumerate() {
        x = block.forward(&x, &(), false).unwrap();
        assert_close("block", &x, &get(&format!("out.block{i}")), 6e-4);
    }
    let embedding = net.hidden(&wave, Layer::At(net.spec().embedding), false).unwrap();
    assert_close("embedding", &embedding.squeeze_dim(1), &get("out.embedding"), 3e-5);
    let hidden = net.hidden(&wave, Layer::Last, false).unwrap();
    let logits = head.forward(&hidden, false).unwrap();
    assert_close("logits", &logits, &get("out.logits"), 2e-5);
    let (target, none) = (get("in.target"), None::<&Tensor>);
    let loss = logits.binary_cross_entropy_with_logits(&target, none, none, Reduction::Mean);
    assert_close("loss", &loss, &get("out.bce_with_logits"), 2e-6);
}

/// The transfer study's network on its fixture.
fn check_ccml(net: &Ast, head: &Head) {
    let want = open("ast/ccml_mel.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    let mel = get("in.mel_norm");
    let patches = net.patch_tokens(&net.image(&mel).unwrap()).unwrap();
    assert_close("patch_tokens", &patches.narrow(1, 0, 120), &get("out.patch_tokens"), 4e-5);
    let mut x = net.tokens(&patches).unwrap();
    for (i, block) in net.blocks().iter().enumerate() {
        x = block.forward(&x, &(), false).unwrap();
        let want = get(&format!("out.block{i}_first40"));
        assert_close("block", &x.narrow(1, 0, 40), &want, [4e-5, 5e-5][i]);
    }
    let embedding = net.embed(&x).unwrap();
    assert_close("embedding", &embedding, &get("out.embedding"), 2e-5);
    assert_close("head_norm", &net.head_norm(&embedding).unwrap(), &get("out.head_norm"), 2e-5);
    let hidden = net.hidden(&mel, Layer::Last, false).unwrap();
    let logits = head.forward(&hidden, false).unwrap();
    assert_close("logits", &logits, &get("out.logits"), 2e-5);
    assert_close("sigmoid", &logits.sigmoid(), &get("out.sigmoid"), 4e-6);
}

#[test]
fn every_stage_of_the_transfer_network_is_the_published_one() {
    let (_store, net, head) = build(config(Preset::Ccml), &Probe {});
    check_ccml(&net, &head);
}

#[test]
fn frames_are_standardised_by_twice_the_deviation() {
    let numbers = Config { mean: Some(-30.0), std: Some(8.0), ..config(Preset::Ccml) };
    let (_store, net, head) = build(numbers, &Probe {});
    let want = open("ast/ccml_mel.safetensors");
    let mel = want.tensor("in.mel_norm").unwrap() * 16.0 - 30.0;
    let hidden = net.hidden(&mel, Layer::Last, false).unwrap();
    let logits = head.forward(&hidden, false).unwrap();
    assert_close("logits", &logits, &want.tensor("out.logits").unwrap(), 4e-5);
}

#[test]
fn positions_and_kernel_of_an_image_network_are_fitted_as_published() {
    let want = open("ast/imagenet_init.safetensors");
    let get = |name: &str| want.tensor(name).unwrap();
    for (columns, atol) in [(49, 8e-6), (31, 8e-6), (13, 9e-6)] {
        let got = adapt_positions(&get("in.pos_embed_578"), (24, 24), (12, columns)).unwrap();
        assert_close("positions", &got, &get(&format!("out.pos_embed_t{columns}")), atol);
    }
    let kernel = mono_kernel(&get("in.rgb_kernel")).unwrap();
    assert_close("kernel", &kernel, &get("out.mono_kernel"), 2e-5);
}

/// The fixture's transfer network as transformers would name it.
fn as_hugging_face() -> Vec<(String, Tensor)> {
    let mut out = Vec::new();
    for (name, tensor) in open("ast/ccml_weights.safetensors").tensors().unwrap() {
        if name.starts_with("v.head") {
            continue;
        }
        let bare = name.replace("mlp_head.0.", "classifier.layernorm.");
        let bare = bare.replace("mlp_head.1.", "classifier.dense.");
        let bare =
            bare.replace("v.norm.", "base.layernorm.").replace("v.blocks.", "base.encoder.layer.");
        let bare = bare
            .replace("v.cls_token", "base.embeddings.cls_token")
            .replace("v.dist_token", "base.embeddings.distillation_token")
            .replace("v.pos_embed", "base.embeddings.position_embeddings")
            .replace("v.patch_embed.proj", "base.embeddings.patch_embeddings.projection")
            .replace(".norm1.", ".layernorm_before.")
            .replace(".norm2.", ".layernorm_after.")
            .replace(".attn.proj.", ".attention.output.dense.")
            .replace(".mlp.fc1.", ".intermediate.dense.")
            .replace(".mlp.fc2.", ".output.dense.")
            .replace("base.", "audio_spectrogram_transformer.");
        if !bare.contains(".attn.qkv.") {
            out.push((bare, tensor));
            continue;
        }
        for (i, part) in tensor.chunk(3, 0).into_iter().enumerate() {
            let to = format!(".attention.attention.{}.", ["query", "key", "value"][i]);
            out.push((bare.replace(".attn.qkv.", &to), part.contiguous()));
        }
    }
    out
}

#[test]
fn hugging_faces_names_are_the_same_network() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hf.safetensors");
    write(&path, &as_hugging_face(), &BTreeMap::new()).unwrap();
    let cfg = Config { image_classes: 0, ..config(Preset::Ccml) };
    let report = import(&BackboneConfig::Ast(cfg), &path, &dir.path().join("out")).unwrap();
    assert_eq!((report.matched, report.skipped.len()), (33, 2), "{report}");
    let ours = TensorFile::open(&dir.path().join("out/model.safetensors")).unwrap();
    let want = open("ast/ccml_weights.safetensors");
    for name in ours.names() {
        assert!(ours.tensor(&name).unwrap().equal(&want.tensor(&name).unwrap()), "{name}");
    }
    assert_eq!(ours.names().len() + 4, want.names().len());
}

#[test]
fn an_image_network_becomes_a_folder_to_start_from() {
    let dir = tempfile::tempdir().unwrap();
    let init = open("ast/imagenet_init.safetensors");
    let mut tensors = Vec::new();
    for (name, tensor) in open("ast/ccml_weights.safetensors").tensors().unwrap() {
        let Some(bare) = name.strip_prefix("v.") else { continue };
        let tensor = match bare {
            "pos_embed" => init.tensor("in.pos_embed_578").unwrap(),
            "patch_embed.proj.weight" => init.tensor("in.rgb_kernel").unwrap().repeat([6, 1, 1, 1]),
            _ => tensor,
        };
        tensors.push((format!("model.{bare}"), tensor));
    }
    let path = dir.path().join("deit.safetensors");
    write(&path, &tensors, &BTreeMap::new()).unwrap();
    for (frames, columns) in [(500, 49), (320, 31), (144, 13)] {
        let cfg = BackboneConfig::Ast(Config { frames: Some(frames), ..config(Preset::Ccml) });
        let out = dir.path().join("out");
        import(&cfg, &path, &out).unwrap();
        let model = ModelConfig {
            backbone: cfg,
            head: HeadConfig::Published(PublishedHead {}),
            weights: Some(out),
            head_weights: false,
            layer: None,
            frozen_stats: Default::default(),
        };
        let model = Model::build(&model, &Tuning::Full(Full {}), 20, Device::Cpu, 0).unwrap();
        let positions = model.vs.get("v.pos_embed").unwrap();
        let want = init.tensor(&format!("out.pos_embed_t{columns}")).unwrap();
        assert_close("positions", &positions, &want, 9e-6);
        assert_eq!(
            model.vs.get("mlp_head.0.weight").unwrap().mean(Kind::Float).double_value(&[]),
            1.0
        );
        let x = Tensor::zeros([1, frames, 128], (Kind::Float, Device::Cpu));
        assert!(model.logits(&x, false).unwrap().isfinite().all().int64_value(&[]) == 1);
    }
    let turned = BackboneConfig::Ast(config(Preset::Limited));
    let text = import(&turned, &path, &dir.path().join("no")).unwrap_err().to_string();
    assert!(text.contains("expected ccml or limited_fixed"), "{text}");
}

#[test]
fn the_published_widths_have_the_published_number_of_parameters() {
    for (preset, tags, want) in [(Preset::Limited, 50, 87_120_130), (Preset::Ccml, 50, 87_286_018)]
    {
        let whole = Config::preset(preset);
        let count = |layers: usize| {
            let cfg = ModelConfig {
                backbone: BackboneConfig::Ast(Config { layers, ..whole }),
                head: HeadConfig::Published(PublishedHead {}),
                weights: None,
                head_weights: false,
                layer: None,
                frozen_stats: Default::default(),
            };
            let model = Model::build(&cfg, &Tuning::Probe(Probe {}), tags, Device::Cpu, 0).unwrap();
            model.vs.count(|_, v| v.learnable)
        };
        // one block is counted and taken twelve times: drawing 87 million numbers is no test
        let (none, one) = (count(0), count(1));
        assert_eq!((one - none, none + 12 * (one - none)), (7_087_872, want));
    }
}

#[test]
fn lengths_and_settings_that_do_not_fit_are_named() {
    let (_store, net, _) = build(config(Preset::Ccml), &Probe {});
    let zeros = |frames: i64| Tensor::zeros([1, frames, 128], (Kind::Float, Device::Cpu));
    let text = net.hidden(&zeros(495), Layer::Last, false).unwrap_err().to_string();
    assert_eq!(text, "ast: expected 496 to 505 frames, got 495 frames");
    assert!(net.hidden(&zeros(505), Layer::Last, false).is_ok());
    let fail = |cfg: Config| {
        let store = Store::new(Device::Cpu);
        Ast::new(&Scope::root(&store, &Full {}, 0, false), &cfg).unwrap_err().to_string()
    };
    let text = fail(Config { mean: Some(1.0), ..config(Preset::Ccml) });
    assert_eq!(text, "backbone.mean and std: expected both or neither, got one");
    let both = Config { mean: Some(1.0), std: Some(1.0), ..config(Preset::Limited) };
    assert!(fail(both).contains("limited_fixed has them"));
    assert!(fail(Config { frames: Some(15), ..config(Preset::Ccml) }).contains("at least 16"));
}
