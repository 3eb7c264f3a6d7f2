//! Every tuning method on MusicFM and on MERT-95M's kind of encoder against the published code (fixtures/peft): logits,
//! loss, each gradient, parameters after three optimizer steps, merging, batch norm in training mode. Tolerances as in the
//! fixtures' README.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::fixture;
use common::peft::{Case, Set};
use etude_models::{BackboneConfig, FrozenStats, mert, musicfm};

const METHODS: [&str; 7] = ["probe", "finetune", "adapter", "lora", "bitfit", "ssf", "prefix"];

fn musicfm() -> Case {
    let text = std::fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    Case {
        name: "musicfm",
        backbone: BackboneConfig::MusicFm(musicfm::Config::from_json(&text).unwrap()),
        weights: "musicfm/weights.safetensors",
        input: "musicfm/input.safetensors",
    }
}

fn mert() -> Case {
    let text = std::fs::read_to_string(fixture("mert/base/config.json")).unwrap();
    Case {
        name: "mert",
        backbone: BackboneConfig::Mert(mert::Config::from_json(&text).unwrap()),
        weights: "mert/base/weights.safetensors",
        input: "mert/input.safetensors",
    }
}

/// `check` on both networks with each of these methods.
fn each(methods: &[&str], check: impl Fn(&str, &Set)) {
    for case in [musicfm(), mert()] {
        for method in methods {
            check(method, &case.set(method, FrozenStats::Running));
        }
    }
}

/// Finetuning moves far more numbers than the other methods.
fn atol(method: &str) -> f64 {
    if method == "finetune" { 1e-4 } else { 5e-5 }
}

#[test]
fn hidden_states_logits_and_loss_are_the_published_ones() {
    each(&METHODS, |_, set| set.check_outputs());
}

#[test]
fn exactly_the_published_tensors_train_with_the_published_gradients() {
    each(&METHODS, |_, set| set.check_gradients());
}

#[test]
fn three_adamw_steps_end_at_the_published_parameters() {
    each(&METHODS, |method, set| set.check_adamw(atol(method)));
}

#[test]
fn three_clipped_adam_steps_on_the_cosine_schedule_end_at_the_published_parameters() {
    each(&METHODS, |method, set| set.check_adam_with_schedule_and_clipping(atol(method)));
}

#[test]
fn frozen_norms_that_follow_the_batch_give_the_published_training_regime() {
    for method in ["probe", "adapter", "lora"] {
        musicfm().set(method, FrozenStats::Batch).check_batch_statistics();
    }
}

#[test]
fn a_merged_update_gives_the_published_logits_without_the_method() {
    each(&["lora", "ssf"], |_, set| set.check_merged());
}
