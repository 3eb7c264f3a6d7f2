//! Pre-training on masked tokens, from the published loss (fixtures/musicfm) to a network that others start from.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{train, untimed};
use etude_manifests::Split;
use etude_models::masked::BlockMask;
use etude_models::weights::TensorFile;
use etude_models::{Model, ModelConfig, Precision, Tuning};
use etude_train::objectives::masked_tokens::{ACCURACY, MaskedTokens};
use etude_train::{Ending, Experiment, Row, RunDir, Trained, evaluate, resume};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/musicfm").join(name)
}

/// The tiny model of the fixtures.
const TINY: &str = "model.backbone={ name = 'musicfm', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 4, \
    codebook_size = 24, pretraining = true }";

fn pretraining(data: &Path, sets: &[&str]) -> Experiment {
    let all = [
        TINY,
        "model.head={ kind = 'none' }",
        "objective={ kind = 'masked_tokens' }",
        "data.shards=tones-24k",
        "data.crop={ kind = 'random', steps = 48000 }",
        "data.batch=4",
        "trainer.keep={ best = 1, by = 'loss', mode = 'min' }",
    ];
    common::experiment(data, &[&all, sets].concat())
}

/// Tolerance: 1e-5 of the expected value (the fixtures' README).
#[test]
fn loss_and_accuracy_are_the_published_ones_also_beside_padding() {
    let backbone = "name = 'musicfm'\nlayers = 2\ndim = 32\ninner = 64\nheads = 4\nconv_channels = 4\n\
        codebook_size = 24\npretraining = true";
    let weights = fixture("weights.safetensors");
    let text = format!("weights = {weights:?}\nhead = {{ kind = 'none' }}\n[backbone]\n{backbone}");
    let cfg: ModelConfig = toml::from_str(&text).unwrap();
    let full: Tuning = toml::from_str("method = 'full'").unwrap();
    let mut model = Model::build(&cfg, &full, 0, Device::Cpu, 1).unwrap();
    let expected = TensorFile::open(&fixture("expected.safetensors")).unwrap();
    let want = |name: &str| expected.tensor(name).unwrap();
    let wave = TensorFile::open(&fixture("input.safetensors")).unwrap().tensor("wav").unwrap();
    let wave = wave.narrow(1, 0, 48_000);
    let mask = BlockMask::from_blocks(&want("mask_starts")).unwrap();
    let run = |model: &Model, lengths: [usize; 2]| {
        let (loss, accuracy) =
            MaskedTokens::loss_of(model, &wave, &wave, &mask, &lengths, false).unwrap();
        [loss, accuracy].map(|x| x.double_value(&[]))
    };
    let [loss, accuracy] = run(&model, [48_000; 2]);
    let [want_loss, want_accuracy] =
        ["mlm_loss", "mlm_accuracy"].map(|n| want(n).double_value(&[0]));
    assert!((loss - want_loss).abs() < 1e-5 * want_loss, "{loss}, published {want_loss}");
    assert!((accuracy - want_accuracy).abs() < 1e-6);

    // tokens of the second clip that begin in its padding do not count
    assert_ne!(run(&model, [48_000, 9_600])[0], loss);
    model.precision = Precision::Bf16;
    let rough = run(&model, [48_000; 2])[0];
    assert!(rough != loss && (rough - loss).abs() < 0.05 * loss, "{rough}, float32 {loss}");
}

#[test]
fn silence_has_a_finite_loss_and_finite_gradients() {
    let _turn = common::turn();
    let exp = pretraining(Path::new("/nowhere"), &[]);
    let model = Model::build(&exp.model, &exp.tuning, 0, Device::Cpu, 1).unwrap();
    let wave = Tensor::zeros([2, 48_000], (Kind::Float, Device::Cpu));
    let mask = BlockMask::draw(&wave, 3).unwrap();
    for seen in [wave.shallow_clone(), mask.hide(&wave).unwrap()] {
        let (loss, _) =
            MaskedTokens::loss_of(&model, &seen, &wave, &mask, &[48_000; 2], true).unwrap();
        assert!(loss.double_value(&[]).is_finite());
        loss.backward();
        for (name, tensor) in model.trainable() {
            let grad = tensor.grad();
            assert!(!grad.defined() || bool::try_from(grad.isfinite().all()).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_network_learns_tokens_resumes_exactly_and_is_what_other_runs_start_from() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus_at(tmp.path(), [16, 4, 4], "tones-24k", 24_000);
    let exp = pretraining(tmp.path(), &["trainer.epochs=5", "optim.lr=3e-3"]);
    let base = tmp.path().join("base");
    assert_eq!(train(&exp, &base).ending, Ending::Done);
    let rows = untimed(&base);
    let losses = common::losses(&rows);
    // it begins at guessing, ln 24 = 3.18, or above
    assert!(losses[0] > 3.0 && losses[losses.len() - 4..].iter().all(|x| *x < 2.9), "{losses:?}");
    assert!(matches!(&rows[0], Row::Step { extras, .. } if extras.contains_key(ACCURACY)));

    // interrupted after five steps and resumed: the same numbers, the same network
    let again = tmp.path().join("again");
    common::interrupted(&exp, &again, 5);
    assert!(!again.join("model.safetensors").exists(), "not before the end");
    let dir = RunDir::open(&again).unwrap();
    resume(&exp, &dir, &mut (), &AtomicBool::new(false)).unwrap();
    assert_eq!(untimed(&again), rows);
    let bytes = |run: &Path, name| std::fs::read(run.join(name)).unwrap();
    assert!(bytes(&base, "model.safetensors") == bytes(&again, "model.safetensors"));
    let none = evaluate(&RunDir::read(&base).unwrap(), Split::Test, &[], &mut ());
    assert!(none.unwrap_err().to_string().contains("pre-training has nothing to score"));

    // a probe on it keeps the head alone, and the digest of what it stands on
    let weights = format!("model.weights={}", base.display());
    let tuned = |method: &str| {
        let tuning = format!("tuning={{ method = '{method}' }}");
        let head = "model.head={ kind = 'mlp' }";
        pretraining(
            tmp.path(),
            &[
                "objective={ kind = 'supervised', task = { kind = 'tagging' } }",
                "trainer.keep={ best = 1, by = 'mAP', mode = 'max' }",
                "model.backbone.pretraining=false",
                head,
                &weights,
                &tuning,
            ],
        )
    };
    for method in ["probe", "lora", "full"] {
        let path = tmp.path().join(method);
        train(&tuned(method), &path);
        let names = TensorFile::open(&path.join("best.safetensors")).unwrap().names();
        let head = |n: &String| n.starts_with("head.");
        assert_eq!(names.iter().all(head), method == "probe", "{names:?}");
        assert!(method == "full" || names.iter().all(|n| head(n) || n.contains(".lora_")));
        let dir = RunDir::read(&path).unwrap();
        evaluate(&dir, Split::Test, &[], &mut ()).unwrap();
    }

    // another base under the same name is refused
    std::fs::remove_dir_all(&base).unwrap();
    train(&pretraining(tmp.path(), &["trainer.epochs=1"]), &base);
    let dir = RunDir::read(&tmp.path().join("probe")).unwrap();
    let text = evaluate(&dir, Split::Test, &[], &mut ()).unwrap_err().to_string();
    assert!(text.starts_with("digest of the base weights: the run started from "), "{text}");
    let text = Trained::open(&dir, &[]).err().unwrap().to_string();
    assert!(text.contains("put back the weights"), "{text}");
}
