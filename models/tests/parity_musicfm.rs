//! MusicFM against the published code (fixtures/musicfm, a small random model): every stage, every hidden state,
//! depth, batch norm in training mode, pre-training targets, mask and loss. Tolerance: 1e-5 of the largest expected
//! value plus 1e-6 per tensor, decibels 2e-3 (the fixtures' README).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, fixture, open, rule};
use etude_models::masked::{self, BlockMask};
use etude_models::musicfm::{self, MusicFm};
use etude_models::nn::{Block, Scope, Store};
use etude_models::peft::{Full, Probe};
use etude_models::weights::load;
use etude_models::{Backbone, BackboneConfig, Error, Layer, Method};
use tch::{Device, Kind, Tensor};

fn config() -> musicfm::Config {
    let read = |name| std::fs::read_to_string(fixture(name)).unwrap();
    let config = musicfm::Config::from_json(&read("musicfm/config.json")).unwrap();
    config.with_stats(&read("musicfm/stats.json")).unwrap()
}

fn build(cfg: &musicfm::Config, method: &dyn Method) -> (Store, MusicFm) {
    let store = Store::new(Device::Cpu);
    let net = MusicFm::new(&Scope::root(&store, method, 0, false), cfg).unwrap();
    let names = BackboneConfig::MusicFm(*cfg).names(false);
    load(&store, &fixture("musicfm/weights.safetensors"), &names).unwrap();
    (store, net)
}

fn wave() -> Tensor {
    open("musicfm/input.safetensors").tensor("wav").unwrap()
}

fn want(name: &str) -> Tensor {
    open("musicfm/expected.safetensors").tensor(name).unwrap()
}

fn check(name: &str, got: &Tensor) {
    let want = want(name);
    assert_close(name, got, &want, rule(&want));
}

#[test]
fn every_name_of_the_published_file_has_its_place_and_no_other() {
    let (store, _) = build(&config(), &Full {});
    let ours: Vec<String> = store.select(|_, _| true).into_iter().map(|(n, _)| n).collect();
    assert_eq!(ours, open("musicfm/weights.safetensors").names());
    assert_eq!(ours.len(), 125);
}

#[test]
fn every_stage_of_the_front_end_is_the_published_one() {
    let (_s, net) = build(&config(), &Probe {});
    let mel = net.mel(&wave()).unwrap();
    assert_close("mel_db", &mel, &want("mel_db"), 2e-3);
    let norm = net.normalise(&want("mel_db")).unwrap();
    check("mel_norm", &norm);
    let blocks = net.subsampling().blocks();
    let x = blocks[0].forward(&want("mel_norm").unsqueeze(1), &(), false).unwrap();
    check("conv_block0_item0", &x.get(0));
    let x = blocks[1].forward(&x, &(), false).unwrap();
    check("conv_block1", &x);
    check("conv_out", &net.subsampling().join(&x, false).unwrap());
    check("conv_out", &net.subsampling().forward(&want("mel_norm"), false).unwrap());
}

#[test]
fn every_stage_of_a_conformer_layer_is_the_published_one() {
    let (_s, net) = build(&config(), &Probe {});
    let rope = net.conformer().rotary(51).unwrap();
    check("rotary_cos_sin", &Tensor::stack(&[&rope.cos, &rope.sin], 0));
    let layer = &net.conformer().layers()[0];
    let x = layer.first_half(&want("hidden_0"), false).unwrap();
    check("layer0.after_ffn1", &x);
    let inner = layer.attention_norm().forward(&x).unwrap();
    check("layer0.attn_in", &inner);
    let turned = rope.turn(&inner).unwrap();
    check("layer0.attn_in_rotated", &turned);
    check("layer0.attn_out", &layer.attention().forward(&turned, &inner, false).unwrap());
    let x = layer.attend(&x, &rope, false).unwrap();
    check("layer0.after_attn", &x);
    let conv = layer.convolution().forward(&x, false).unwrap();
    check("layer0.conv_module_out", &conv);
    check("layer0.after_ffn2", &layer.second_half(&(x + conv), false).unwrap());
    check("hidden_1", &layer.forward(&want("hidden_0"), &rope, false).unwrap());
}

#[test]
fn every_hidden_state_from_the_wave_is_the_published_one_in_both_modes() {
    let (_s, net) = build(&config(), &Probe {});
    for train in [false, true] {
        for n in 0..=2 {
            let got = net.hidden(&wave(), Layer::At(n), train).unwrap();
            check(&format!("hidden_{n}"), &got);
            assert!(!got.requires_grad(), "a frozen network keeps no graph");
        }
    }
    let last = net.hidden(&wave(), Layer::Last, false).unwrap();
    assert!(last.equal(&net.hidden(&wave(), Layer::At(2), false).unwrap()));
    check("logits", &net.token_logits(&want("hidden_2"), false).unwrap());
}

#[test]
fn nothing_above_the_hidden_state_asked_for_is_computed() {
    let (store, net) = build(&config(), &Full {});
    for asked in 0..=2usize {
        net.hidden(&wave(), Layer::At(asked), false).unwrap().sum(Kind::Float).backward();
        let reached = |prefix: &str| {
            let params = store.select(|n, v| n.starts_with(prefix) && v.changes && v.learnable);
            assert!(!params.is_empty());
            params.into_iter().any(|(_, mut p)| {
                let defined =
                    p.grad().defined() && p.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0;
                p.zero_grad();
                defined
            })
        };
        assert!(reached("conv."));
        assert_eq!(reached("conformer.layers.0."), asked > 0, "{asked}");
        assert_eq!(reached("conformer.layers.1."), asked > 1, "{asked}");
        assert_eq!(reached("conformer.layer_norm."), asked > 1, "{asked}");
    }
}

#[test]
fn a_model_cut_to_its_first_layer_ends_in_the_encoders_norm() {
    let cfg = musicfm::Config { layers: 1, ..config() };
    let (store, net) = build(&cfg, &Probe {});
    let got = net.hidden(&wave(), Layer::Last, false).unwrap();
    check("depth1.hidden_last", &got);
    assert_eq!(store.select(|_, _| true).len(), 125 - 34);
    assert!(matches!(net.hidden(&wave(), Layer::At(2), false), Err(Error::Setting { .. })));
}

#[test]
fn batch_norms_in_training_mode_give_the_published_output_and_running_statistics() {
    let (store, net) = build(&config(), &Full {});
    let got = net.hidden(&wave(), Layer::Last, true).unwrap();
    let last = want("train_bn.hidden_last");
    // the README's float32 noise of this row is 5.2e-6: ten times that
    assert_close("train_bn.hidden_last", &got, &last, 5.2e-5);
    let names = open("musicfm/expected.safetensors").names();
    let mut seen = 0;
    for name in names.iter().filter(|n| n.starts_with("train_bn.") && n.contains(".running_")) {
        let ours = store.get(name.strip_prefix("train_bn.").unwrap()).unwrap();
        check(name, &ours);
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn targets_mask_and_loss_of_the_pretraining_are_the_published_ones() {
    let (_s, net) = build(&config(), &Full {});
    let wave = wave().narrow(1, 0, 48_000);
    let mel = net.normalise(&net.mel(&wave).unwrap()).unwrap();
    let stacked = net.stack(&mel).unwrap();
    let projected = net.quantizer().project(&stacked).unwrap();
    check("target_projection", &projected);
    let tokens = net.tokens(&wave).unwrap();
    assert!(tokens.equal(&want("target_tokens")));
    let mask = BlockMask::from_blocks(&want("mask_starts")).unwrap();
    let chosen = mask.tokens(tokens.size()[1]).unwrap();
    assert!(chosen.nonzero().equal(&want("mask_token_indices")));
    let hidden = net.hidden(&wave, Layer::Last, false).unwrap();
    let logits = net.token_logits(&hidden, false).unwrap();
    let (loss, accuracy) = masked::loss(&logits, &tokens, &chosen).unwrap();
    check("mlm_loss", &loss.reshape([1]));
    check("mlm_accuracy", &accuracy.reshape([1]));
    let odd = net.tokens(&wave.narrow(1, 0, 47_760)).unwrap_err().to_string();
    assert!(odd.contains("divisible by 4") && odd.contains("199 frames"), "{odd}");
}

#[test]
fn the_published_sizes_have_the_published_names_and_counts() {
    let store = Store::new(Device::Cpu);
    let full = Full {};
    let vs = Scope::root(&store, &full, 0, false);
    let cfg = musicfm::Config { layers: 6, ..Default::default() };
    let net = MusicFm::new(&vs, &cfg).unwrap();
    // one layer is 34 tensors and 24 175 616 parameters; the published model has twelve
    let layer = |name: &str| name.starts_with("conformer.layers.5.");
    assert_eq!(store.count(|n, v| layer(n) && v.learnable), 24_175_616);
    assert_eq!(store.select(|n, _| layer(n)).len(), 34);
    let (entries, learnable) = (store.select(|_, _| true).len(), store.count(|_, v| v.learnable));
    assert_eq!(entries + 6 * 34, 465);
    assert_eq!(learnable + 6 * 24_175_616, 328_932_480);
    let part = |prefix: &str| store.count(|n, v| n.starts_with(prefix) && v.learnable);
    assert_eq!(part("conv."), 26_233_856);
    assert_eq!(part("linear."), 4_198_400);
    assert_eq!(part("conformer.pos_conv_embed."), 8_389_760);
    // what full fine-tuning of six layers trains: the published count less the convolution that is never applied
    let trained = store.count(|_, v| v.changes && v.learnable);
    assert_eq!(trained, 179_679_360 - 8_389_760);
    let spec = net.spec();
    assert_eq!((spec.dim, spec.frame_rate, spec.layers), (1024, Some(25.0), 6));
}

#[test]
fn a_wave_too_short_is_refused_with_the_length_that_is_not() {
    let (_s, net) = build(&config(), &Probe {});
    let x = Tensor::zeros([1, 1024], (Kind::Float, Device::Cpu));
    let text = net.hidden(&x, Layer::Last, false).unwrap_err().to_string();
    assert_eq!(text, "mel front end: expected wave [B, T] with T above 1024, got [1, 1024]");
}

#[test]
fn in_bfloat16_frozen_convolutions_piece_by_piece_are_near_float32_everywhere() {
    let (_s, net) = build(&config(), &Probe {});
    tch::manual_seed(3);
    // 663 frames are 166 tokens: three pieces, the last one short, and an odd end
    let mel = Tensor::randn([2, 128, 663], (Kind::Float, Device::Cpu));
    let exact = net.subsampling().forward(&mel, false).unwrap();
    let rough = {
        let _mixed = etude_aten::Autocast::bf16(Device::Cpu).unwrap();
        net.subsampling().forward(&mel, false).unwrap()
    };
    assert_eq!((rough.kind(), rough.size()), (Kind::BFloat16, exact.size()));
    let gap = (rough.to_kind(Kind::Float) - &exact).abs();
    let worst = gap.amax([0i64, 2], false); // of each token
    let scale = exact.abs().max().double_value(&[]);
    // bfloat16 has 8 bits; a wrong margin would show at the ends of the pieces
    assert!(worst.max().double_value(&[]) < 0.03 * scale, "{} of {scale}", worst.max());
    let one = net.subsampling().forward(&mel.narrow(0, 1, 1), false).unwrap();
    assert_close("one clip of two", &one, &exact.narrow(0, 1, 1), 1e-6 * scale);
}
