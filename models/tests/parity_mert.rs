//! MERT against the published code (fixtures/mert, small random models of both kinds): every stage, every hidden state,
//! depth, gain, normalised waves, both spellings of the weight norm, names and counts of the published sizes.
//! Tolerance: 1e-5 of the largest expected value plus 1e-6 per tensor (the fixtures' README).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use common::{assert_close, fixture, open, rule};
use etude_models::mert::{self, Mert, Preset};
use etude_models::nn::{Block, Scope, Store};
use etude_models::peft::{Adapter, Full, Lora, Probe};
use etude_models::weights::{WeightFile, load, write};
use etude_models::{Backbone, BackboneConfig, Error, Layer, Method};
use tch::{Device, Kind, Tensor};

const KINDS: [&str; 2] = ["base", "large"];

fn config(kind: &str) -> mert::Config {
    let text = std::fs::read_to_string(fixture(&format!("mert/{kind}/config.json"))).unwrap();
    mert::Config::from_json(&text).unwrap()
}

fn fresh(cfg: &mert::Config, method: &dyn Method, batch_stats: bool) -> (Store, Mert) {
    let store = Store::new(Device::Cpu);
    let net = Mert::new(&Scope::root(&store, method, 0, batch_stats), cfg).unwrap();
    (store, net)
}

fn build(kind: &str, cfg: &mert::Config, method: &dyn Method) -> (Store, Mert) {
    let (store, net) = fresh(cfg, method, false);
    let names = BackboneConfig::Mert(*cfg).names(false);
    load(&store, &fixture(&format!("mert/{kind}/weights.safetensors")), &names).unwrap();
    (store, net)
}

fn wave() -> Tensor {
    open("mert/input.safetensors").tensor("wav").unwrap()
}

fn check(kind: &str, name: &str, got: &Tensor) {
    let want = open(&format!("mert/{kind}/expected.safetensors")).tensor(name).unwrap();
    assert_close(&format!("{kind} {name}"), got, &want, rule(&want));
}

fn last(net: &Mert, wave: &Tensor) -> Tensor {
    net.hidden(wave, Layer::Last, false).unwrap()
}

#[test]
fn every_stage_is_the_published_one() {
    for kind in KINDS {
        let (_s, net) = build(kind, &config(kind), &Probe {});
        let mut x = wave().unsqueeze(1);
        for (i, layer) in net.extractor().layers().iter().enumerate() {
            x = layer.forward(&x, &(), false).unwrap();
            check(
                kind,
                &format!("conv_{i}"),
                &x.narrow(2, 0, x.size()[2].min(if i < 6 { 120 } else { 157 })),
            );
        }
        let at_once = net.extractor().forward(&wave(), false).unwrap();
        assert_close(&format!("{kind} convolutions in pieces"), &at_once, &x, rule(&x));
        let projected = net.project(&x, false).unwrap();
        check(kind, "feat_proj", &projected);
        let positional = net.encoder().positional();
        check(kind, "pos_conv_effective_weight", &positional.weight().unwrap().narrow(0, 0, 4));
        check(kind, "pos_conv", &positional.forward(&projected).unwrap());
    }
}

#[test]
fn every_hidden_state_from_the_wave_is_the_published_one_in_both_modes() {
    for kind in KINDS {
        let (_s, net) = build(kind, &config(kind), &Probe {});
        for train in [false, true] {
            for n in 0..=2 {
                let got = net.hidden(&wave(), Layer::At(n), train).unwrap();
                check(kind, &format!("hidden_{n}"), &got);
                assert!(!got.requires_grad(), "a frozen network keeps no graph");
            }
        }
        check(kind, "last_hidden", &last(&net, &wave()));
        assert!(matches!(net.hidden(&wave(), Layer::At(3), false), Err(Error::Setting { .. })));
    }
}

#[test]
fn quiet_and_normalised_waves_and_a_model_of_one_layer_give_the_published_output() {
    for kind in KINDS {
        let cfg = config(kind);
        let (_s, net) = build(kind, &cfg, &Probe {});
        check(kind, "gain_0p003.last_hidden", &last(&net, &(wave() * 0.003)));
        let (_s, net) = build(kind, &mert::Config { normalise: true, ..cfg }, &Probe {});
        check(kind, "input_normalised.last_hidden", &last(&net, &wave()));
        assert!(last(&net, &(wave() * 0.5 + 0.1)).isfinite().all().int64_value(&[]) == 1);
        let (store, net) = build(kind, &mert::Config { layers: 1, ..cfg }, &Probe {});
        check(kind, "depth1.last_hidden", &last(&net, &wave()));
        assert_eq!(store.select(|_, _| true).len(), 51 - 16);
    }
}

#[test]
fn under_mixed_precision_every_hidden_state_is_within_four_percent() {
    for kind in KINDS {
        let (_s, net) = build(kind, &config(kind), &Probe {});
        for n in 0..=2 {
            let run = || net.hidden(&wave(), Layer::At(n), false).unwrap().to_kind(Kind::Double);
            let exact = run();
            let rough = {
                let _mixed = etude_aten::Autocast::bf16(Device::Cpu).unwrap();
                run()
            };
            let size = |x: &Tensor| x.square().mean(Kind::Double).sqrt().double_value(&[]);
            let off = size(&(&rough - &exact)) / size(&exact);
            assert!(off > 1e-4 && off < 0.04, "{kind} hidden_{n}: {off}");
        }
    }
}

#[test]
fn a_hidden_state_needs_no_layer_above_it() {
    for kind in KINDS {
        let cfg = config(kind);
        let (store, net) = build(kind, &cfg, &Probe {});
        for (name, tensor) in store.select(|n, _| n.starts_with("encoder.layers.1.")) {
            let _ = tensor.detach().fill_(f64::NAN);
            assert!(tensor.isnan().all().int64_value(&[]) == 1, "{name}");
        }
        for n in 0..2 {
            let got = net.hidden(&wave(), Layer::At(n), false).unwrap();
            check(kind, &format!("hidden_{n}"), &got);
        }
        assert!(last(&net, &wave()).isnan().any().int64_value(&[]) == 1);
    }
}

#[test]
fn published_archives_and_either_spelling_of_the_weight_norm_are_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let cfg = config(kind);
        let names = BackboneConfig::Mert(cfg).names(false);
        let (store, _) = build(kind, &cfg, &Full {});
        let want = store.select(|_, _| true);
        let ours: Vec<String> = want.iter().map(|(n, _)| n.clone()).collect();
        assert_eq!(ours, open(&format!("mert/{kind}/weights.safetensors")).names());
        assert_eq!(ours.len(), 51);

        let newer = open(&format!("mert/{kind}/pos_conv_parametrized_keys.safetensors"));
        let older = want.iter().filter(|(n, _)| !n.contains(".weight_"));
        let mut tensors: Vec<_> = older.map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        tensors.extend(newer.tensors().unwrap());
        let path = dir.path().join(format!("{kind}.safetensors"));
        write(&path, &tensors, &BTreeMap::new()).unwrap();
        assert!(!WeightFile::open(&path).unwrap().names().iter().any(|n| n.ends_with("weight_g")));

        for file in [path, fixture(&format!("mert/{kind}/pytorch_model.bin"))] {
            let (again, _) = fresh(&cfg, &Full {}, false);
            let report = load(&again, &file, &names).unwrap();
            assert!(report.fits() && report.matched == 51, "{report}");
            for (name, tensor) in &want {
                assert!(again.get(name).unwrap().equal(tensor), "{name}");
            }
        }
    }
}

#[test]
fn no_gradient_passes_through_a_frozen_extractor() {
    let methods: [(&dyn Method, bool); 4] = [
        (&Full {}, true),
        (&Probe {}, false),
        (&Lora::default(), false),
        (&Adapter { bottleneck: 2 }, false),
    ];
    for (method, trains) in methods {
        let (store, net) = build("base", &config("base"), method);
        let wave = wave().narrow(1, 0, 4000).set_requires_grad(true);
        let hidden = net.hidden(&wave, Layer::Last, true).unwrap();
        assert_eq!(
            net.extractor().forward(&wave, true).unwrap().requires_grad(),
            trains,
            "{method:?}"
        );
        if hidden.requires_grad() {
            hidden.square().sum(Kind::Float).backward();
        }
        assert_eq!(wave.grad().defined(), trains, "{method:?}");
        let first = store.get("feature_extractor.conv_layers.0.conv.weight").unwrap();
        assert_eq!(first.grad().defined(), trains, "{method:?}");
        let unused = store.get("masked_spec_embed").unwrap();
        assert!(!unused.requires_grad(), "{method:?}");
    }
}

#[test]
fn dropout_and_layer_drop_are_on_only_where_the_network_trains() {
    let cfg = mert::Config { layer_drop: 0.5, hidden_dropout: 0.0, ..config("base") };
    let wave = wave().narrow(1, 0, 4000);
    let outputs = |method: &dyn Method, batch_stats, train| {
        let (_s, net) = fresh(&cfg, method, batch_stats);
        tch::manual_seed(5);
        let outs = (0..24).map(|_| net.hidden(&wave, Layer::Last, train).unwrap());
        let mut seen: Vec<Tensor> = Vec::new();
        for out in outs {
            if !seen.iter().any(|s| s.equal(&out)) {
                seen.push(out);
            }
        }
        seen.len()
    };
    // two layers, each in or out
    assert_eq!(outputs(&Full {}, false, true), 4);
    assert_eq!(outputs(&Probe {}, true, true), 4);
    assert_eq!(outputs(&Full {}, false, false), 1);
    assert_eq!(outputs(&Probe {}, false, true), 1);
    let all = mert::Config { layer_drop: 0.0, projection_dropout: 0.1, ..cfg };
    let differ = |method: &dyn Method| {
        let (_s, net) = fresh(&all, method, false);
        let run = || net.hidden(&wave, Layer::At(0), true).unwrap();
        !run().equal(&run())
    };
    assert!(differ(&Full {}) && !differ(&Probe {}));
}

#[test]
fn the_published_sizes_have_the_published_names_shapes_and_counts() {
    let sizes = [
        (Preset::M95, 12, 768, 3072, [7_087_872, 9_317_248, 94_371_712], 211),
        (Preset::M330, 24, 1024, 4096, [12_596_224, 13_119_616, 315_428_992], 403),
    ];
    for (preset, depth, dim, inner, [layer, rest, total], entries) in sizes {
        // one layer stands for all: they are equal
        let cfg = mert::Config::preset(preset);
        assert_eq!(cfg.layers, depth);
        let store = Store::new(Device::Cpu);
        let vs = Scope::root(&store, &Full {}, 0, false).blank();
        let net = Mert::new(&vs, &mert::Config { layers: 1, ..cfg }).unwrap();
        let in_layer = |n: &str| n.starts_with("encoder.layers.");
        assert_eq!(store.count(|n, _| in_layer(n)), layer);
        assert_eq!(store.count(|n, _| !in_layer(n)), rest);
        assert_eq!(rest + depth * layer, total);
        let others = store.select(|n, _| !in_layer(n)).len();
        assert_eq!(others + depth * store.select(|n, _| in_layer(n)).len(), entries);
        assert_eq!(store.count(|n, _| n.starts_with("feature_extractor.")), 4_200_448);
        // full fine-tuning trains all but what only pre-training uses
        let trained = store.count(|_, v| v.changes);
        assert_eq!(trained, rest + layer - dim as usize);
        for (name, shape) in [
            ("masked_spec_embed", vec![dim]),
            ("feature_extractor.conv_layers.0.conv.weight", vec![512, 1, 10]),
            ("feature_extractor.conv_layers.0.layer_norm.weight", vec![512]),
            ("feature_extractor.conv_layers.4.conv.weight", vec![512, 512, 3]),
            ("feature_extractor.conv_layers.6.conv.weight", vec![512, 512, 2]),
            ("feature_projection.layer_norm.bias", vec![512]),
            ("feature_projection.projection.weight", vec![dim, 512]),
            ("encoder.pos_conv_embed.conv.weight_g", vec![1, 1, 128]),
            ("encoder.pos_conv_embed.conv.weight_v", vec![dim, dim / 16, 128]),
            ("encoder.layer_norm.weight", vec![dim]),
            ("encoder.layers.0.attention.q_proj.weight", vec![dim, dim]),
            ("encoder.layers.0.attention.out_proj.bias", vec![dim]),
            ("encoder.layers.0.feed_forward.intermediate_dense.weight", vec![inner, dim]),
            ("encoder.layers.0.feed_forward.output_dense.weight", vec![dim, inner]),
            ("encoder.layers.0.final_layer_norm.bias", vec![dim]),
        ] {
            assert_eq!(store.get(name).unwrap().size(), shape, "{name}");
        }
        let spec = net.spec();
        assert_eq!((spec.dim, spec.frame_rate, spec.layers), (dim, Some(75.0), 1));
    }
}

#[test]
fn a_clip_has_the_published_number_of_frames_and_one_too_short_is_refused() {
    let (_s, net) = build("base", &config("base"), &Probe {});
    for (samples, frames) in [(400, 1), (719, 1), (720, 2), (120_000, 374), (720_000, 2249)] {
        let x = Tensor::zeros([1, samples], (Kind::Float, Device::Cpu));
        assert_eq!(net.extractor().forward(&x, false).unwrap().size(), [1, 16, frames]);
    }
    for shape in [vec![1, 399], vec![400], vec![1, 1, 400]] {
        let x = Tensor::zeros(shape.as_slice(), (Kind::Float, Device::Cpu));
        let text = last_error(&net, &x);
        let start = "convolutions on the wave: expected wave [B, T] with T of at least 400, got ";
        assert_eq!(text, format!("{start}{shape:?}"));
    }
}

fn last_error(net: &Mert, x: &Tensor) -> String {
    net.hidden(x, Layer::Last, false).unwrap_err().to_string()
}

#[test]
fn sizes_that_do_not_fit_each_other_are_refused() {
    let fail = |cfg: mert::Config| {
        let store = Store::new(Device::Cpu);
        Mert::new(&Scope::root(&store, &Probe {}, 0, false), &cfg).unwrap_err().to_string()
    };
    let cfg = config("base");
    assert_eq!(
        fail(mert::Config { heads: 5, ..cfg }),
        "heads: expected a divisor of the width 32, got 5"
    );
    assert_eq!(
        fail(mert::Config { positional_groups: 12, ..cfg }),
        "backbone.positional_groups: expected a divisor of the width 32, got 12"
    );
    assert_eq!(
        fail(mert::Config { layer_drop: 1.0, ..cfg }),
        "backbone.layer_drop: expected a probability below 1, got 1"
    );
}
