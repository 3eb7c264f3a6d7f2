//! The method matrix: every tuning method on every backbone. A method joins by being in `tunings`, a backbone by being
//! in `backbones`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::{assert_close, fixture};
use etude_models::peft::{Adapter, BitFit, Dora, Full, Ia3, Lora, Prefixes, Probe, Scaling, Ssf};
use etude_models::vggish::{self, Preset};
use etude_models::weights::{TensorFile, write};
use etude_models::{
    BackboneConfig, Error, FrozenStats, HeadConfig, LinearHead, MlpHead, Model, ModelConfig,
    PublishedHead, Tuning, ast, mert, musicfm,
};
use tch::{Device, Kind, Tensor, no_grad};

struct Bench {
    cfg: ModelConfig,
    input: Tensor,
    /// Whether it has encoder layers, so that every method finds a place.
    encoder: bool,
}

fn model(backbone: BackboneConfig, head: HeadConfig, weights: &str) -> ModelConfig {
    ModelConfig {
        backbone,
        head,
        weights: Some(fixture(weights)),
        head_weights: false,
        layer: None,
        frozen_stats: FrozenStats::Running,
    }
}

fn backbones() -> Vec<Bench> {
    let wave = |samples: i64| {
        let t = Tensor::arange(2 * samples, (Kind::Float, Device::Cpu)).reshape([2, samples]);
        (&t * &t * 1e-7).sin() * 0.3 + (t * 0.37).sin() * 0.05
    };
    let vgg = vggish::Config { preset: Preset::Limited, channels: 4, input: None };
    let json = std::fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    let musicfm = BackboneConfig::MusicFm(musicfm::Config::from_json(&json).unwrap());
    let mert = |kind| {
        let json = std::fs::read_to_string(fixture(&format!("mert/{kind}/config.json"))).unwrap();
        BackboneConfig::Mert(mert::Config::from_json(&json).unwrap())
    };
    let mlp = HeadConfig::Mlp(MlpHead { hidden: None, dropout: 0.0 });
    let ast = ast::Config {
        dim: 48,
        layers: 2,
        heads: 4,
        image_classes: 7,
        mean: Some(-30.0),
        std: Some(20.0),
        ..ast::Config::preset(ast::Preset::LimitedFixed)
    };
    vec![
        Bench {
            cfg: model(
                BackboneConfig::Vggish(vgg),
                HeadConfig::Linear(LinearHead::default()),
                "vggish/weights",
            ),
            input: wave(32_768),
            encoder: false,
        },
        Bench {
            cfg: model(musicfm, mlp.clone(), "musicfm/weights"),
            input: wave(12_000),
            encoder: true,
        },
        Bench {
            cfg: model(mert("base"), mlp.clone(), "mert/base/weights"),
            input: wave(6_000),
            encoder: true,
        },
        Bench {
            cfg: model(mert("large"), mlp.clone(), "mert/large/weights"),
            input: wave(6_000),
            encoder: true,
        },
        Bench {
            cfg: model(BackboneConfig::Ast(ast), mlp, "ast/seed2_weights"),
            input: wave(81_866),
            encoder: true,
        },
    ]
}

/// What a method promises.
struct Promise {
    tuning: Tuning,
    /// Whether training starts exactly at the published model.
    starts_equal: bool,
    /// Whether a name below the head's may train.
    trains: fn(&str) -> bool,
    /// Whether the change can be folded into the base.
    merges: bool,
}

fn tunings() -> Vec<Promise> {
    let promise =
        |tuning, starts_equal, merges, trains| Promise { tuning, starts_equal, trains, merges };
    vec![
        promise(Tuning::Full(Full {}), true, false, |_| true),
        promise(Tuning::Probe(Probe {}), true, false, |_| false),
        promise(Tuning::Adapter(Adapter { bottleneck: 3 }), true, false, |n| {
            let of_mert = n.starts_with("encoder.layers.") && n.contains(".layer_norm.");
            let of_ast = n.contains(".norm1.") || n.contains(".norm2.");
            n.contains("_adapter.") || n.contains("_layer_norm.") || of_mert || of_ast
        }),
        promise(Tuning::Lora(Lora::default()), true, true, |n| n.contains(".lora_")),
        promise(
            Tuning::Lora(Lora { alpha: 4.0, scaling: Scaling::RootRank, ..Lora::default() }),
            true,
            true,
            |n| n.contains(".lora_"),
        ),
        promise(Tuning::Dora(Dora::default()), true, true, |n| n.contains(".lora_")),
        promise(Tuning::Prefix(Prefixes { tokens: 3, bottleneck: 4 }), false, false, |n| {
            n.contains(".wte.") || n.contains(".control_trans.")
        }),
        promise(Tuning::BitFit(BitFit { conv: true, ..BitFit::default() }), true, false, |n| {
            n.ends_with(".bias")
        }),
        promise(Tuning::Ssf(Ssf::default()), false, true, |n| {
            n.ends_with(".scale") || n.ends_with(".shift")
        }),
        promise(Tuning::Ssf(Ssf { init_std: 0.0 }), true, true, |n| {
            n.ends_with(".scale") || n.ends_with(".shift")
        }),
        promise(Tuning::Ia3(Ia3::default()), true, true, |n| n.ends_with(".ia3_l")),
    ]
}

fn build(bench: &Bench, tuning: &Tuning, seed: u64) -> Model {
    Model::build(&bench.cfg, tuning, 5, Device::Cpu, seed).unwrap()
}

/// Every pair that can be built, with a name for messages.
fn pairs() -> Vec<(String, Bench, Promise)> {
    let mut out = Vec::new();
    for promise in tunings() {
        for bench in backbones() {
            if bench.encoder || matches!(promise.tuning, Tuning::Full(_) | Tuning::Probe(_)) {
                let weights = bench.cfg.weights.as_ref().unwrap();
                let name = format!("{:?} on {}", promise.tuning, weights.display());
                let promise = Promise { tuning: promise.tuning.clone(), ..promise };
                out.push((name, bench, promise));
            }
        }
    }
    out
}

fn loss(model: &Model, bench: &Bench) -> Tensor {
    let logits = model.logits(&bench.input, true).unwrap();
    (logits - 1.0).square().mean(Kind::Float)
}

/// Plain gradient descent, so that nothing hides in an optimizer.
fn train(model: &Model, bench: &Bench, steps: usize) {
    for _ in 0..steps {
        loss(model, bench).backward();
        no_grad(|| {
            for (_, p) in model.trainable() {
                let mut p = p;
                let grad = p.grad();
                let _ = p.g_sub_(&(grad * 0.05));
                p.zero_grad();
            }
        });
    }
}

fn snapshot(model: &Model) -> BTreeMap<String, Tensor> {
    model.vs.select(|_, _| true).into_iter().map(|(n, t)| (n, t.detach().copy())).collect()
}

#[test]
fn every_method_but_prefix_starts_at_the_published_model() {
    for (name, bench, promise) in pairs() {
        let plain = build(&bench, &Tuning::Probe(Probe {}), 3).logits(&bench.input, false).unwrap();
        let tuned = build(&bench, &promise.tuning, 3).logits(&bench.input, false).unwrap();
        let gap = common::gap(&tuned, &plain);
        if promise.starts_equal {
            assert!(gap <= 1e-5, "{name}: off by {gap:e}");
        } else {
            assert!(gap > 1e-5, "{name}: does nothing at the start");
        }
    }
}

#[test]
fn only_the_right_tensors_train_and_a_gradient_reaches_each() {
    for (name, bench, promise) in pairs() {
        let model = build(&bench, &promise.tuning, 3);
        loss(&model, &bench).backward();
        let trainable = model.trainable();
        assert!(trainable.iter().any(|(n, _)| n.starts_with("head.")), "{name}");
        for (param, tensor) in &trainable {
            assert!(
                param.starts_with("head.") || (promise.trains)(param),
                "{name}: {param} trains"
            );
            let grad = tensor.grad();
            assert!(
                grad.defined() && grad.isfinite().all().int64_value(&[]) == 1,
                "{name}: {param}"
            );
        }
        let trained: Vec<_> = trainable.iter().map(|(n, _)| n.as_str()).collect();
        for (param, tensor) in model.vs.select(|_, _| true) {
            assert_eq!(
                tensor.requires_grad(),
                trained.contains(&param.as_str()),
                "{name}: {param}"
            );
        }
        let base =
            trainable.len() - trainable.iter().filter(|(n, _)| n.starts_with("head.")).count();
        assert_eq!(base == 0, matches!(promise.tuning, Tuning::Probe(_)), "{name}");
    }
}

#[test]
fn training_lowers_the_loss_and_changes_nothing_else() {
    for (name, bench, promise) in pairs() {
        let model = build(&bench, &promise.tuning, 3);
        let (before, start) = (snapshot(&model), loss(&model, &bench).double_value(&[]));
        train(&model, &bench, 12);
        let end = loss(&model, &bench).double_value(&[]);
        assert!(end < 0.9 * start, "{name}: loss {start} became {end}");
        let changes: Vec<_> = model.state().into_iter().map(|(n, _)| n).collect();
        for (param, tensor) in snapshot(&model) {
            if !changes.contains(&param) {
                assert!(tensor.equal(&before[&param]), "{name}: {param} changed");
            }
        }
    }
}

#[test]
fn a_state_written_and_read_back_is_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bench, promise) in pairs() {
        let model = build(&bench, &promise.tuning, 3);
        train(&model, &bench, 2);
        let path = dir.path().join("state.safetensors");
        write(&path, &model.state(), &BTreeMap::new()).unwrap();
        let again = build(&bench, &promise.tuning, 4);
        again.restore(&TensorFile::open(&path).unwrap().tensors().unwrap()).unwrap();
        let logits = |m: &Model| m.logits(&bench.input, false).unwrap();
        assert!(logits(&model).equal(&logits(&again)), "{name}");
        let other = if matches!(promise.tuning, Tuning::Probe(_)) {
            Tuning::Full(Full {})
        } else {
            Tuning::Probe(Probe {})
        };
        let wrong = build(&bench, &other, 3).restore(&model.state());
        assert!(matches!(wrong, Err(Error::Names(_))), "{name}");
    }
}

#[test]
fn under_mixed_precision_losses_are_near_and_gradients_stay_float32() {
    for (name, bench, promise) in pairs() {
        let model = build(&bench, &promise.tuning, 3);
        let exact = loss(&model, &bench).double_value(&[]);
        let mixed = {
            let _mixed = etude_aten::Autocast::bf16(Device::Cpu).unwrap();
            loss(&model, &bench)
        };
        let rough = mixed.double_value(&[]);
        assert!(
            rough != exact && (rough - exact).abs() < 0.05 * exact,
            "{name}: {rough}, exactly {exact}"
        );
        mixed.backward();
        for (param, tensor) in model.trainable() {
            assert_eq!(tensor.grad().kind(), Kind::Float, "{name}: {param}");
        }
    }
}

#[test]
fn merging_folds_the_change_into_the_base_and_leaves_the_model_alone() {
    for (name, bench, promise) in pairs().into_iter().filter(|(_, _, p)| p.merges) {
        let model = build(&bench, &promise.tuning, 3);
        train(&model, &bench, 5);
        let before = model.logits(&bench.input, false).unwrap();
        let merged = model.merged().unwrap();
        assert!(model.logits(&bench.input, false).unwrap().equal(&before), "{name}");
        let plain = build(&bench, &Tuning::Probe(Probe {}), 9);
        let head = model.trainable().into_iter().filter(|(n, _)| n.starts_with("head."));
        let state: Vec<_> = merged.into_iter().chain(head).collect();
        etude_models::weights::restore(&plain.vs, &state, |_, _| true).unwrap();
        let after = plain.logits(&bench.input, false).unwrap();
        assert_close(&name, &after, &before, 2e-5);
    }
}

#[test]
fn starting_values_follow_seed_and_name_only() {
    let bench = &backbones()[1];
    let values = |tuning: &Tuning, seed| {
        let cfg = ModelConfig { weights: None, ..bench.cfg.clone() };
        snapshot(&Model::build(&cfg, tuning, 5, Device::Cpu, seed).unwrap())
    };
    let probe = values(&Tuning::Probe(Probe {}), 3);
    tch::manual_seed(77);
    let before = Tensor::rand([4], (Kind::Float, Device::Cpu));
    tch::manual_seed(77);
    let lora = values(&Tuning::Lora(Lora::default()), 3);
    assert!(
        Tensor::rand([4], (Kind::Float, Device::Cpu)).equal(&before),
        "the global generator moved"
    );
    for (name, tensor) in &probe {
        assert!(lora[name].equal(tensor), "{name}");
    }
    assert!(
        !values(&Tuning::Probe(Probe {}), 4)["head.proj.0.weight"]
            .equal(&probe["head.proj.0.weight"])
    );
}

#[test]
fn trainable_counts_of_the_published_width_are_the_published_ones() {
    // per encoder layer; the layer count and the front end do not matter, so both are small
    let musicfm = musicfm::Config { layers: 1, conv_channels: 1, ..Default::default() };
    let mert = mert::Config { layers: 1, conv_channels: 1, ..Default::default() };
    let mlp = HeadConfig::Mlp(MlpHead::default());
    let bitfit = |conv| Tuning::BitFit(BitFit { conv, ..BitFit::default() });
    for (backbone, head, counts) in [
        (
            BackboneConfig::MusicFm(musicfm),
            1_100_850,
            [109_616, 67_584, 18_432, 19_456, 31_744, 1_608_192],
        ),
        (BackboneConfig::Mert(mert), 629_042, [53_792, 27_648, 8_448, 8_448, 13_824, 1_206_272]),
    ] {
        let cfg = ModelConfig { weights: None, ..model(backbone, mlp.clone(), "") };
        let tunings = [
            Tuning::Adapter(Adapter::default()),
            Tuning::Lora(Lora::default()),
            bitfit(false),
            bitfit(true),
            Tuning::Ssf(Ssf::default()),
            Tuning::Prefix(Prefixes::default()),
        ];
        let probe = (Tuning::Probe(Probe {}), 0);
        for (tuning, count) in tunings.into_iter().zip(counts).chain([probe]) {
            let model = Model::build(&cfg, &tuning, 50, Device::Cpu, 0).unwrap();
            let trained = model.trainable().iter().map(|(_, t)| t.numel()).sum::<usize>();
            assert_eq!(trained, head + count, "{tuning:?} on {}", cfg.backbone.name());
        }
    }
}

#[test]
fn a_method_without_a_place_and_a_setting_out_of_range_are_refused() {
    let bench = &backbones()[0];
    let fail = |bench: &Bench, tuning| {
        Model::build(&bench.cfg, &tuning, 5, Device::Cpu, 0).unwrap_err().to_string()
    };
    for promise in tunings() {
        if matches!(promise.tuning, Tuning::Full(_) | Tuning::Probe(_)) {
            continue;
        }
        let method = promise.tuning.name();
        let text = fail(bench, promise.tuning);
        assert!(text.starts_with(&format!("tuning: {method} finds no place in vggish")), "{text}");
    }
    let bench = &backbones()[1];
    let text = fail(bench, Tuning::Adapter(Adapter { bottleneck: 0 }));
    assert_eq!(text, "tuning.bottleneck: expected at least 1, got 0");
    let text = fail(bench, Tuning::Lora(Lora { dropout: 1.5, ..Lora::default() }));
    assert_eq!(text, "tuning.dropout: expected a probability below 1, got 1.5");
    let no_head =
        ModelConfig { head: HeadConfig::Published(PublishedHead {}), ..bench.cfg.clone() };
    let error = Model::build(&no_head, &Tuning::Probe(Probe {}), 5, Device::Cpu, 0).unwrap_err();
    assert!(error.to_string().contains("published without a classifier"), "{error}");
}

#[test]
fn configurations_name_what_is_wrong_with_them() {
    let tuning = |text: &str| toml::from_str::<Tuning>(text);
    assert_eq!(tuning("method = 'lora'").unwrap(), Tuning::Lora(Lora::default()));
    assert_eq!(tuning("method = 'bitfit'").unwrap(), Tuning::BitFit(BitFit::default()));
    assert_eq!(tuning("method = 'dora'\nalpha = 2.0").unwrap().name(), "dora");
    let lora = tuning("method = 'lora'\nrank = { attention = 8, ffn = 0 }\nscaling = 'root_rank'");
    let Tuning::Lora(lora) = lora.unwrap() else { panic!() };
    assert_eq!((lora.rank.attention, lora.rank.ffn, lora.rank.conv), (8, 0, 2));
    let text = tuning("method = 'lorra'").unwrap_err().to_string();
    assert!(
        text.contains("unknown variant `lorra`, expected one of `full`, `probe`, `adapter`"),
        "{text}"
    );
    for (bad, key) in [
        ("method = 'full'\nrank = 3", "rank"),
        ("method = 'probe'\nrank = 3", "rank"),
        ("method = 'lora'\nrnk = 3", "rnk"),
        ("method = 'dora'\nrnk = 3", "rnk"),
        ("method = 'lora'\nrank = { att = 3 }", "att"),
    ] {
        let text = tuning(bad).unwrap_err().to_string();
        assert!(text.contains(&format!("unknown field `{key}`")), "{bad}: {text}");
    }
    let model = |text: &str| toml::from_str::<ModelConfig>(text);
    let cfg =
        model("backbone = { name = 'musicfm', layers = 6 }\nhead = { kind = 'mlp' }").unwrap();
    let BackboneConfig::MusicFm(musicfm) = &cfg.backbone else { panic!() };
    assert_eq!((musicfm.layers, musicfm.dim), (6, 1024));
    let cfg =
        model("backbone = { name = 'vggish', preset = 'ccml' }\nhead = { kind = 'published' }");
    assert_eq!(cfg.unwrap().backbone, BackboneConfig::Vggish(vggish::Config::preset(Preset::Ccml)));
    let cfg =
        model("backbone = { name = 'mert', preset = '330m', layers = 6 }\nhead = { kind = 'mlp' }");
    let BackboneConfig::Mert(mert) = cfg.unwrap().backbone else { panic!() };
    assert_eq!((mert.layers, mert.dim, mert.norm_first), (6, 1024, true));
    let text = model("backbone = { name = 'musicfm', depth = 6 }\nhead = { kind = 'mlp' }");
    assert!(text.unwrap_err().to_string().contains("unknown field `depth`"));
    let text = model("backbone = { name = 'mert', depth = 6 }\nhead = { kind = 'mlp' }");
    assert!(text.unwrap_err().to_string().contains("unknown field `depth`"));
}
