//! Low-rank updates against huggingface/peft 0.21 (fixtures/peft/hf_layout): its adapters on the query projection of
//! the small MERT's first layer, merged there and here. Tolerance 1e-6, as in the fixtures' README.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_close, open};
use etude_models::nn::{Scope, Store};
use etude_models::peft::{Dora, Linear, Lora, Rank, Role, Scaling, Site};
use etude_models::{Method, weights};
use tch::{Device, Kind, Tensor};

const PLACE: &str = "encoder.layers.0.attention.q_proj";

/// The projection with the adapter of `variant`; checks that its output is that of the merged layer.
fn merged(variant: &str, method: &dyn Method) -> Tensor {
    let store = Store::new(Device::Cpu);
    let site = Site { role: Role::Query, layer: Some(0), inp: 32, out: 32 };
    let linear = Linear::new(&Scope::root(&store, method, 0, false), site).unwrap();
    let base = open("mert/base/weights.safetensors");
    let mut state: Vec<_> = ["weight", "bias"]
        .map(|n| (n.to_owned(), base.tensor(&format!("{PLACE}.{n}")).unwrap()))
        .into();
    weights::restore(&store, &state, |name, _| name == "weight" || name == "bias").unwrap();
    linear.settle().unwrap();
    let adapter = open(&format!("peft/hf_layout/{variant}/adapter_model.safetensors"));
    for name in adapter.names() {
        if let Some(last) = name.strip_prefix(&format!("base_model.model.{PLACE}.")) {
            let ours = last.trim_end_matches(".weight").replace("base_layer.", "");
            state.retain(|(n, _)| *n != ours);
            state.push((ours, adapter.tensor(&name).unwrap()));
        }
    }
    weights::restore(&store, &state, |_, _| true).unwrap();
    let out = linear.merged().unwrap();
    let (weight, bias) = (&out[0].tensor, &out[1].tensor);
    let x = Tensor::arange(96, (Kind::Float, Device::Cpu)).reshape([3, 32]).sin();
    let plain = x.linear(weight, Some(bias));
    assert_close(variant, &linear.forward(&x, false).unwrap(), &plain, 1e-5);
    weight.shallow_clone()
}

#[test]
fn merged_weights_of_lora_rslora_and_dora_are_those_of_the_library() {
    let rank = Rank { attention: 3, ffn: 3, conv: 0 };
    let lora = |alpha, scaling| Lora { rank, alpha, scaling, ..Lora::default() };
    for (variant, method) in [
        ("lora", &lora(6.0, Scaling::Rank) as &dyn Method),
        ("rslora", &lora(6.0, Scaling::RootRank)),
        ("dora", &Dora { low_rank: lora(6.0, Scaling::Rank) }),
        ("lora_bias_rank", &lora(3.0, Scaling::Rank)),
    ] {
        let want = open(&format!("peft/hf_layout/{variant}/expected.safetensors"));
        let want = want.tensor("merged.layer0.q_proj.weight").unwrap();
        assert_close(variant, &merged(variant, method), &want, 1e-6);
    }
}
