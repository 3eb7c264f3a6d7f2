//! Masked-patch pre-training: three optimizer steps as in fixtures/tmae, then training, resume and a base for others.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{train, untimed};
use etude_models::weights::TensorFile;
use etude_models::{Model, ModelConfig, Tuning};
use etude_train::objectives::masked_patches::MaskedPatches;
use etude_train::optim::{AdamWConfig, Param, Rule};
use etude_train::{Ending, Experiment, RunDir, frame_stats, resume};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tch::{Device, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tmae").join(name)
}

/// Tolerances are those of the fixture's README.
#[test]
fn three_adamw_steps_are_those_of_the_masked_autoencoder() {
    let _turn = common::turn();
    tch::set_num_threads(1);
    let weights = fixture("weights.safetensors");
    let text = format!(
        "weights = {weights:?}\nhead = {{ kind = 'none' }}\n[backbone]\nname = 'tmae'\ninput = 'frames'\ndim = 64\n\
         layers = 2\ndecoder_dim = 32\ndecoder_layers = 2\ndropout = 0.0\npretraining = true"
    );
    let cfg: ModelConfig = toml::from_str(&text).unwrap();
    let full: Tuning = toml::from_str("method = 'full'").unwrap();
    let model = Model::build(&cfg, &full, 0, Device::Cpu, 1).unwrap();
    let input = TensorFile::open(&fixture("tmae.safetensors")).unwrap();
    let x = input.tensor("in.mel").unwrap().transpose(1, 2);
    let noise = input.tensor("in.mask_noise").unwrap();
    let want = TensorFile::open(&fixture("train3.safetensors")).unwrap();
    let params = model.trainable().into_iter();
    let params = params.map(|(name, tensor)| Param { name, tensor, lr_scale: 1.0 }).collect();
    let rule = Rule::AdamW(AdamWConfig { weight_decay: 1e-4, ..Default::default() });
    let mut adamw = rule.build(params);
    let check = |name: &str, got: &Tensor, atol: f64| {
        let gap =
            (got - want.tensor(&format!("out.{name}")).unwrap()).abs().max().double_value(&[]);
        assert!(gap <= atol, "{name}: off by {gap:e}, tolerance {atol:e}");
    };
    let mut losses = Vec::new();
    for step in 0..3 {
        let loss = MaskedPatches::loss_of(&model, &x, &noise, 0.5, true).unwrap();
        losses.push(loss.double_value(&[]) as f32);
        adamw.zero_grad().unwrap();
        loss.backward();
        for (name, atol) in [("mask_token", 4e-8), ("encoder.0.attn.proj.weight", 2e-8)] {
            if step == 0 {
                check(&format!("grad_step1.{name}"), &model.vs.get(name).unwrap().grad(), atol);
            }
        }
        adamw.step(1e-4).unwrap();
    }
    check("losses", &Tensor::from_slice(&losses), 3e-6);
    for (name, atol) in [
        ("decoder_head.bias", 4e-7),
        ("norm_enc.weight", 3e-6),
        ("cls_token", 9e-7),
        ("encoder.0.attn.proj.weight", 4e-6),
    ] {
        check(&format!("after3.{name}"), &model.vs.get(name).unwrap(), atol);
    }
}

fn pretraining(data: &Path, sets: &[&str]) -> Experiment {
    let all = [
        "model.backbone={ name = 'tmae', dim = 32, layers = 2, decoder_dim = 16, decoder_layers = 1, frames = 96, \
         mean = -30.0, std = 20.0, pretraining = true }",
        "model.head={ kind = 'none' }",
        "objective={ kind = 'masked_patches' }",
        "data.crop={ kind = 'random', steps = 24320 }",
        "data.batch=8",
        "trainer.keep={ best = 1, by = 'loss', mode = 'min' }",
    ];
    common::experiment(data, &[&all, sets].concat())
}

#[test]
fn a_network_learns_what_is_hidden_resumes_exactly_and_is_what_other_runs_start_from() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [16, 4, 4]);
    let exp = pretraining(tmp.path(), &["trainer.epochs=8", "optim.lr=3e-3"]);
    let (mean, std) = frame_stats(&exp).unwrap();
    assert!((-60.0..-10.0).contains(&mean) && (5.0..40.0).contains(&std), "{mean} {std}");
    let base = tmp.path().join("base");
    assert_eq!(train(&exp, &base).ending, Ending::Done);
    let rows = untimed(&base);
    let losses = common::losses(&rows);
    assert!(losses[losses.len() - 1] < 0.7 * losses[0], "{losses:?}");

    let again = tmp.path().join("again");
    common::interrupted(&exp, &again, 5);
    resume(&exp, &RunDir::open(&again).unwrap(), &mut (), &AtomicBool::new(false)).unwrap();
    assert_eq!(untimed(&again), rows);
    let bytes = |run: &Path| std::fs::read(run.join("model.safetensors")).unwrap();
    assert!(bytes(&base) == bytes(&again));

    let weights = format!("model.weights={}", base.display());
    for method in ["probe", "lora"] {
        let tuning = format!("tuning={{ method = '{method}' }}");
        let tuned = pretraining(
            tmp.path(),
            &[
                "objective={ kind = 'supervised', task = { kind = 'tagging' } }",
                "model.head={ kind = 'linear' }",
                "model.backbone.pretraining=false",
                "trainer.keep={ best = 1, by = 'mAP', mode = 'max' }",
                &tuning,
                &weights,
            ],
        );
        train(&tuned, &tmp.path().join(method));
    }
}

#[test]
fn what_masked_patches_cannot_work_with_is_told_at_once() {
    let plain = common::experiment(Path::new("/nowhere"), &[]);
    let sets = [
        "objective={ kind = 'masked_patches', ratio = 1.5 }",
        "trainer.keep={ best = 1, by = 'loss', mode = 'min' }",
        "tuning={ method = 'probe' }",
    ];
    let sets = sets.map(str::to_owned);
    let text = Experiment::parse("x.toml", plain.text(), &sets).unwrap_err().to_string();
    for want in [
        "model.head.kind: expected none",
        "tuning.method: expected full",
        "model.backbone.name: expected tmae, got vggish",
        "objective.ratio: expected between 0 and 1, got 1.5",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
