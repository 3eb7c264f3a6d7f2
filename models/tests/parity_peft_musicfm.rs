//! Every tuning method on MusicFM against the published code (fixtures/peft): logits, loss, each gradient, parameters
//! after three optimizer steps, merging, batch norm in training mode. Tolerances as in the fixtures' README.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::fixture;
use common::peft::Case;
use etude_models::{BackboneConfig, FrozenStats, musicfm};

const METHODS: [&str; 7] = ["probe", "finetune", "adapter", "lora", "bitfit", "ssf", "prefix"];

fn case() -> Case {
    let text = std::fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    Case {
        name: "musicfm",
        backbone: BackboneConfig::MusicFm(musicfm::Config::from_json(&text).unwrap()),
        weights: "musicfm/weights.safetensors",
        input: "musicfm/input.safetensors",
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
fn frozen_norms_that_follow_the_batch_give_the_published_training_regime() {
    for method in ["probe", "adapter", "lora"] {
        case().set(method, FrozenStats::Batch).check_batch_statistics();
    }
}

#[test]
fn a_merged_update_gives_the_published_logits_without_the_method() {
    for method in ["lora", "ssf"] {
        case().set(method, FrozenStats::Running).check_merged();
    }
}
