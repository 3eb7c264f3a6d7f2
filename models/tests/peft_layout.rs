//! The folder layout of huggingface/peft: its own adapters on the small MERT (fixtures/peft/hf_layout, library 0.21.2)
//! read and folded, ours written and read back. Tolerances as in the fixtures' README: 1e-6 for merged weights, 5e-5
//! for hidden states.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, fixture, open};
use etude_models::peft::{
    Adapter, Dora, Full, Ia3, Lora, Prefixes, Probe, Rank, Scaling, Ssf, Target,
};
use etude_models::weights::TensorFile;
use etude_models::weights::peft::{PeftAdapter, write};
use etude_models::{
    BackboneConfig, FrozenStats, HeadConfig, Layer, LinearHead, MlpHead, Model, ModelConfig,
    Pretrained, PublishedHead, Tuning, mert, musicfm, vggish, weights,
};
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

fn mert() -> ModelConfig {
    let json = std::fs::read_to_string(fixture("mert/base/config.json")).unwrap();
    config(BackboneConfig::Mert(mert::Config::from_json(&json).unwrap()), "mert/base/weights")
}

fn musicfm() -> ModelConfig {
    let json = std::fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    config(BackboneConfig::MusicFm(musicfm::Config::from_json(&json).unwrap()), "musicfm/weights")
}

fn config(backbone: BackboneConfig, weights: &str) -> ModelConfig {
    ModelConfig {
        backbone,
        head: HeadConfig::Mlp(MlpHead { hidden: None, dropout: 0.0 }),
        weights: Some(fixture(weights)),
        head_weights: false,
        layer: None,
        frozen_stats: FrozenStats::Running,
    }
}

fn build(cfg: &ModelConfig, tuning: &Tuning) -> Model {
    Model::build(cfg, tuning, 5, Device::Cpu, 3).unwrap()
}

fn probe() -> Tuning {
    Tuning::Probe(Probe {})
}

fn wave() -> Tensor {
    let t = Tensor::arange(12_000, (Kind::Float, Device::Cpu)).reshape([1, 12_000]);
    (&t * &t * 1e-7).sin() * 0.3 + (t * 0.37).sin() * 0.05
}

/// Moves everything that was added off its start, so that nothing is hidden by zeros.
fn stir(model: &Model) {
    no_grad(|| {
        for (name, mut tensor) in model.trainable() {
            let n = tensor.numel() as i64;
            let ramp = Tensor::arange(n, (Kind::Float, Device::Cpu)).reshape(tensor.size());
            let _ = tensor.g_add_(&((ramp * 0.7 + name.len() as f64).sin() * 0.05));
        }
    });
}

/// Methods that the layout has a form for; ranks that differ by layer and all ways to scale.
fn exported() -> Vec<Tuning> {
    use Target::{Key, Query, Up, Value};
    let rank = Rank { attention: 3, ffn: 2, conv: 2 };
    let lora = |scaling, targets: &[Target]| Lora {
        rank,
        alpha: 1.5,
        scaling,
        targets: targets.to_vec(),
        ..Lora::default()
    };
    let all = Lora::default().targets;
    vec![
        Tuning::Lora(lora(Scaling::Constant, &all)),
        Tuning::Lora(lora(Scaling::Rank, &[Query, Value])),
        Tuning::Lora(lora(Scaling::RootRank, &[Query, Up])),
        Tuning::Dora(Dora { low_rank: lora(Scaling::Constant, &all) }),
        Tuning::Ia3(Ia3::default()),
        Tuning::Ia3(Ia3 { targets: vec![Key, Up] }),
    ]
}

#[test]
fn folders_of_the_library_fold_to_its_merged_weights_and_hidden_states() {
    let input = open("mert/input.safetensors").tensor("wav").unwrap().narrow(0, 0, 1);
    for variant in ["lora", "rslora", "dora", "ia3", "vera", "lora_bias_rank"] {
        let dir = format!("peft/hf_layout/{variant}");
        let want = open(&format!("{dir}/expected.safetensors"));
        let model = build(&mert(), &probe());
        let hidden = || model.backbone.hidden(&input, Layer::Last, false).unwrap();
        let compare = |name: &str, got: &Tensor, atol| {
            let want = want.tensor(name).unwrap();
            assert_close(&format!("{variant} {name}"), &got.reshape(want.size()), &want, atol);
        };
        compare("base.last_hidden", &hidden(), 5e-5);
        let adapter = PeftAdapter::read(&fixture(&dir)).unwrap();
        assert_eq!(adapter.fold(&model.vs).unwrap(), adapter.layers().count());
        let weight = model.vs.get("encoder.layers.0.attention.q_proj.weight").unwrap();
        compare("merged.layer0.q_proj.weight", &weight, 1e-6);
        compare("merged.last_hidden", &hidden(), 5e-5);
        compare("adapted.last_hidden", &hidden(), 5e-5);
    }
}

#[test]
fn a_folder_of_the_library_goes_on_training_under_the_same_method() {
    let low_rank = Lora {
        rank: Rank { attention: 3, ffn: 3, conv: 0 },
        alpha: 6.0,
        scaling: Scaling::Rank,
        targets: vec![Target::Query, Target::Value],
        ..Lora::default()
    };
    let adapter = PeftAdapter::read(&fixture("peft/hf_layout/lora")).unwrap();
    let tuning = Tuning::Lora(low_rank.clone());
    let model = build(&mert(), &tuning);
    adapter.load(&model, &tuning).unwrap();
    let input = open("mert/input.safetensors").tensor("wav").unwrap().narrow(0, 0, 1);
    let want = open("peft/hf_layout/lora/expected.safetensors").tensor("adapted.last_hidden");
    let want = want.unwrap();
    let got = model.backbone.hidden(&input, Layer::Last, false).unwrap().reshape(want.size());
    assert_close("adapted", &got, &want, 5e-5);

    let stronger = Tuning::Lora(Lora { alpha: 12.0, ..low_rank.clone() });
    let text = adapter.load(&build(&mert(), &stronger), &stronger).unwrap_err().to_string();
    assert!(text.contains("expected a factor of 2 on encoder.layers.0"), "{text}");
    let fewer = Tuning::Lora(Lora { targets: vec![Target::Query], ..low_rank });
    let text = adapter.load(&build(&mert(), &fewer), &fewer).unwrap_err().to_string();
    assert!(text.contains("extra      encoder.layers.0.attention.v_proj.lora_A"), "{text}");
}

#[test]
fn what_is_written_is_read_back_equal_and_does_the_same() {
    for (cfg, tuning) in
        [mert(), musicfm()].iter().flat_map(|cfg| exported().into_iter().map(move |t| (cfg, t)))
    {
        let what = format!("{tuning:?} on {}", cfg.backbone.name());
        let tmp = tempfile::tempdir().unwrap();
        let model = build(cfg, &tuning);
        stir(&model);
        let layers = write(&model, &tuning, tmp.path()).unwrap();
        let adapter = PeftAdapter::read(tmp.path()).unwrap();
        assert_eq!(adapter.layers().count(), layers, "{what}");

        let ours: Vec<_> =
            model.trainable().into_iter().filter(|(n, _)| !n.starts_with("head.")).collect();
        let read = adapter.tensors();
        assert_eq!(read.len(), ours.len(), "{what}");
        for ((name, tensor), (want_name, want)) in read.iter().zip(&ours) {
            assert_eq!(name, want_name, "{what}");
            assert!(tensor.equal(want), "{what}: {name}");
        }

        let want = model.backbone.hidden(&wave(), Layer::Last, false).unwrap();
        let again = build(cfg, &tuning);
        adapter.load(&again, &tuning).unwrap();
        let got = again.backbone.hidden(&wave(), Layer::Last, false).unwrap();
        assert_close(&what, &got, &want, 0.0);
        let plain = build(cfg, &probe());
        adapter.fold(&plain.vs).unwrap();
        let got = plain.backbone.hidden(&wave(), Layer::Last, false).unwrap();
        assert_close(&what, &got, &want, 5e-5);
    }
}

#[test]
fn statistics_that_followed_the_data_go_along() {
    let tuning = Tuning::Lora(Lora::default());
    let cfg = ModelConfig { frozen_stats: FrozenStats::Batch, ..musicfm() };
    let model = build(&cfg, &tuning);
    stir(&model);
    let before = model.vs.get("conv.conv.0.bn1.running_mean").unwrap().copy();
    let _ = model.logits(&wave(), true).unwrap();
    assert!(!model.vs.get("conv.conv.0.bn1.running_mean").unwrap().equal(&before));
    let tmp = tempfile::tempdir().unwrap();
    write(&model, &tuning, tmp.path()).unwrap();
    let plain = build(&musicfm(), &probe());
    PeftAdapter::read(tmp.path()).unwrap().fold(&plain.vs).unwrap();
    let got = plain.backbone.hidden(&wave(), Layer::Last, false).unwrap();
    let want = model.backbone.hidden(&wave(), Layer::Last, false).unwrap();
    assert_close("folded", &got, &want, 5e-5);
    let text = std::fs::read_to_string(tmp.path().join("adapter_config.json")).unwrap();
    assert!(text.contains("\"conv.conv.0.bn1\""), "{text}");
}

#[test]
fn methods_without_a_form_in_the_layout_are_named() {
    let tmp = tempfile::tempdir().unwrap();
    for tuning in [Tuning::Ssf(Ssf::default()), Tuning::Adapter(Adapter::default()), probe()] {
        let text = write(&build(&mert(), &tuning), &tuning, tmp.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("tuning: {} has no form", tuning.name())), "{text}");
    }
    let pointwise = Tuning::Ia3(Ia3 { targets: vec![Target::Pointwise] });
    let error = write(&build(&musicfm(), &pointwise), &pointwise, tmp.path()).unwrap_err();
    assert!(error.to_string().contains("on a convolution"), "{error}");
}

#[test]
fn an_adapter_for_another_network_is_refused_whole() {
    let model = build(&musicfm(), &probe());
    let before = weights_of(&model);
    let adapter = PeftAdapter::read(&fixture("peft/hf_layout/lora")).unwrap();
    let text = adapter.fold(&model.vs).unwrap_err().to_string();
    assert!(text.contains("extra      encoder.layers.0.attention.q_proj"), "{text}");
    for ((name, now), (_, then)) in weights_of(&model).iter().zip(&before) {
        assert!(now.equal(then), "{name}");
    }
}

fn weights_of(model: &Model) -> Vec<(String, Tensor)> {
    model.vs.select(|_, _| true).into_iter().map(|(n, t)| (n, t.detach().copy())).collect()
}

/// The model that starts from a merged folder, head and all.
fn from_folder(cfg: &ModelConfig, dir: &Path) -> Model {
    let cfg = ModelConfig { weights: Some(dir.to_owned()), head_weights: true, ..cfg.clone() };
    build(&cfg, &probe())
}

#[test]
fn a_merged_folder_gives_the_logits_of_the_tuned_model() {
    let mut tunings = exported();
    tunings.extend([Tuning::Ssf(Ssf::default()), probe(), Tuning::BitFit(Default::default())]);
    for (cfg, tuning) in
        [mert(), musicfm()].iter().flat_map(|cfg| tunings.iter().map(move |t| (cfg, t)))
    {
        let what = format!("{tuning:?} on {}", cfg.backbone.name());
        let tmp = tempfile::tempdir().unwrap();
        let model = build(cfg, tuning);
        stir(&model);
        let count = weights::merge(&model, cfg, tuning, tmp.path()).unwrap();
        let file = TensorFile::open(&tmp.path().join("model.safetensors")).unwrap();
        assert_eq!(file.names().len(), count, "{what}");
        assert!(file.names().iter().all(|n| !n.contains("lora") && !n.contains("ia3")), "{what}");
        let want = model.logits(&wave(), false).unwrap();
        let got = from_folder(cfg, tmp.path()).logits(&wave(), false).unwrap();
        assert_close(&what, &got, &want, 2e-5);
        // it is a model folder, with the backbone's settings
        let folder = Pretrained::open(tmp.path(), Device::Cpu).unwrap();
        let hidden = model.backbone.hidden(&wave(), Layer::Last, false).unwrap();
        assert_close(&what, &folder.hidden(&wave(), Layer::Last).unwrap(), &hidden, 5e-5);
        let backbone = BackboneConfig::read(tmp.path()).unwrap();
        let again = ModelConfig { backbone, ..cfg.clone() };
        assert!(
            from_folder(&again, tmp.path()).logits(&wave(), false).unwrap().equal(&got),
            "{what}"
        );
        // and it starts a run with another head
        let other = HeadConfig::Linear(LinearHead::default());
        let weights = Some(tmp.path().to_owned());
        build(&ModelConfig { head: other, weights, ..cfg.clone() }, &probe());
    }
}

#[test]
fn a_network_tuned_whole_with_its_published_head_merges_to_itself() {
    let backbone = vggish::Config { preset: vggish::Preset::Limited, channels: 4, input: None };
    let cfg = config(BackboneConfig::Vggish(backbone), "vggish/weights");
    let cfg = ModelConfig { head: HeadConfig::Published(PublishedHead {}), ..cfg };
    let tmp = tempfile::tempdir().unwrap();
    let full = Tuning::Full(Full {});
    let model = build(&cfg, &full);
    stir(&model);
    weights::merge(&model, &cfg, &full, tmp.path()).unwrap();
    let wave = wave().repeat([1, 3]);
    let got = from_folder(&cfg, tmp.path()).logits(&wave, false).unwrap();
    assert!(got.equal(&model.logits(&wave, false).unwrap()));
}

#[test]
fn what_no_weight_can_hold_is_not_merged_and_says_so() {
    let tmp = tempfile::tempdir().unwrap();
    for tuning in [Tuning::Adapter(Adapter::default()), Tuning::Prefix(Prefixes::default())] {
        let cfg = mert();
        let error = weights::merge(&build(&cfg, &tuning), &cfg, &tuning, tmp.path()).unwrap_err();
        let text = error.to_string();
        let start = format!("tuning: {} cannot be folded into the base: ", tuning.name());
        assert!(text.starts_with(&start), "{text}");
        assert!(!tmp.path().join("model.safetensors").exists());
    }
}
