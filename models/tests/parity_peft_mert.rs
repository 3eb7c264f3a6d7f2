//! Every tuning method on MERT-95M's kind of encoder against the published code (fixtures/peft): logits, loss, each
//! gradient, parameters after three optimizer steps, merging. Tolerances as in the fixtures' README.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::fixture;
use common::peft::Case;
use etude_models::{BackboneConfig, FrozenStats, mert};

const METHODS: [&str; 7] = ["probe", "finetune", "adapter", "lora", "bitfit", "ssf", "prefix"];

fn case() -> Case {
    let text = std::fs::read_to_string(fixture("mert/base/config.json")).unwrap();
    Case {
        name: "mert",
        backbone: BackboneConfig::Mert(mert::Config::from_json(&text).unwrap()),
        weights: "mert/base/weights.safetensors",
        input: "mert/input.safetensors",
    }
}

#[test]
fn hidden_states_logits_and_loss_are_the_published_ones() {
    for method in METHODS {
        case().set(method, FrozenStats::Running).check_outputs();
    }
}

#[test]
fn exactly_the_published_tensors_train_with_the_published_gradients() {
    for method in METHODS {
        case().set(method, FrozenStats::Running).check_gradients();
    }
}

#[test]
fn three_adamw_steps_end_at_the_published_parameters() {
    for method in METHODS {
        let atol = if method == "finetune" { 1e-4 } else { 5e-5 };
        case().set(method, FrozenStats::Running).check_adamw(atol);
    }
}

#[test]
fn three_clipped_adam_steps_on_the_cosine_schedule_end_at_the_published_parameters() {
    for method in METHODS {
        let atol = if method == "finetune" { 1e-4 } else { 5e-5 };
        case().set(method, FrozenStats::Running).check_adam_with_schedule_and_clipping(atol);
    }
}

#[test]
fn a_merged_update_gives_the_published_logits_without_the_method() {
    for method in ["lora", "ssf"] {
        case().set(method, FrozenStats::Running).check_merged();
    }
}
