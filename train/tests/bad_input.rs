//! Inputs that do not fit, through the trainer: what is refused says what to do, what is only unusual trains.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_manifests::Split;
use etude_models::weights::TensorFile;
use etude_train::{
    Ending, Experiment, Outcome, Row, RunDir, Trained, evaluate, read_log, resume, run,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const MUSICFM: &str = "name = 'musicfm', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 4, codebook_size = 24";
const MERT: &str = "name = 'mert', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 8, \
    positional_taps = 16, positional_groups = 4";
const VGGISH: &str = "name = 'vggish', preset = 'limited', channels = 2";

/// Two steps of batches of four on the tones.
fn experiment(dir: &Path, backbone: &str, sets: &[&str]) -> Experiment {
    let backbone = format!("model.backbone={{ {backbone} }}");
    let (shards, steps) = match backbone.contains("vggish") {
        true => ("tones-16k", 32_768),
        false => ("tones-24k", 24_000),
    };
    let shards = format!("data.shards={shards}");
    let crop = format!("data.crop={{ kind = 'random', steps = {steps} }}");
    let all = [
        &backbone,
        &shards,
        "model.head={ kind = 'linear' }",
        &crop,
        "data.batch=4",
        "optim.lr=1e-3",
        "trainer={ steps = 2, log_steps = 1 }",
    ];
    common::experiment(dir, &[&all, sets].concat())
}

fn start(exp: &Experiment, path: &Path) -> Result<Outcome, String> {
    let outcome = run(exp, &RunDir::create(path).unwrap(), &mut (), &AtomicBool::new(false));
    outcome.map_err(|e| e.to_string())
}

fn says(result: Result<Outcome, String>, words: &[&str]) {
    let text = result.unwrap_err();
    for word in words {
        assert!(text.contains(word), "should say {word:?}: {text}");
    }
    assert!(text.lines().count() < 40, "a screenful, not more: {text}");
}

#[test]
fn weights_of_another_network_depth_or_width_say_what_they_are() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus_at(dir, [4, 2, 2], "tones-24k", 24_000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let weights = |file: &str| format!("model.weights={}", fixtures.join(file).display());
    let musicfm = weights("musicfm/weights.safetensors");
    let refused = |backbone: &str, sets: &[&str], words: &[&str]| {
        let path = dir.join("run");
        says(start(&experiment(dir, backbone, sets), &path), words);
        assert!(!path.join("config.toml").exists(), "a refused start leaves no run");
    };
    let mert = weights("mert/base/weights.safetensors");
    refused(MUSICFM, &[&mert], &["mert/base", "0 tensors fit", "another network", "more"]);
    refused(MERT, &[&musicfm], &["musicfm/weights", "another network"]);
    let deeper = MUSICFM.replace("layers = 2", "layers = 5");
    refused(&deeper, &[&musicfm], &["the file has 2 encoder layers", "2 or fewer"]);
    let wider = MUSICFM.replace("dim = 32", "dim = 64");
    refused(&wider, &[&musicfm], &["misshapen", "expected [64", "got [32", "config.json"]);
    let larger = MUSICFM.replace("codebook_size = 24", "codebook_size = 48");
    refused(&larger, &[&musicfm], &["quantizer", "expected [48, 16], got [24, 16]"]);
    refused(MUSICFM, &["model.weights=nowhere"], &["nowhere", "expected a safetensors file"]);
    let shallow = MUSICFM.replace("layers = 2", "layers = 1");
    start(&experiment(dir, &shallow, &[&musicfm]), &dir.join("shallow")).unwrap();

    // a head made for other classes
    let full = experiment(dir, MUSICFM, &["tuning={ method = 'full' }", &musicfm]);
    start(&full, &dir.join("base")).unwrap();
    let state = TensorFile::open(&dir.join("base/best.safetensors")).unwrap().tensors().unwrap();
    let other = TensorFile::open(&fixtures.join("musicfm/weights.safetensors")).unwrap();
    let kept = |name: &str| state.iter().any(|(n, _)| n == name);
    let mut whole: Vec<_> =
        other.tensors().unwrap().into_iter().filter(|(n, _)| !kept(n)).collect();
    whole.extend(state.into_iter().map(|(n, t)| {
        let wide = n.starts_with("head.");
        (n, if wide { tch::Tensor::cat(&[&t, &t], 0) } else { t })
    }));
    let file = dir.join("six.safetensors");
    etude_models::weights::write(&file, &whole, &Default::default()).unwrap();
    let six = format!("model.weights={}", file.display());
    start(&experiment(dir, MUSICFM, &[&six]), &dir.join("without-its-head")).unwrap();
    refused(
        MUSICFM,
        &[&six, "model.head_weights=true"],
        &["head.linear.weight: expected [3, 32], got [6, 32]", "leave out model.head_weights"],
    );
}

#[test]
fn a_state_of_another_model_is_named_with_its_file_when_scored_and_when_resumed() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus(dir, [4, 2, 2]);
    let wide = VGGISH.replace("channels = 2", "channels = 4");
    let (small, large) = (dir.join("small"), dir.join("large"));
    let exp = experiment(dir, VGGISH, &[]);
    start(&exp, &small).unwrap();
    start(&experiment(dir, &wide, &[]), &large).unwrap();
    let copy = |from: &Path, to: &Path| std::fs::copy(from, to).map(|_| ()).unwrap();
    copy(&large.join("best.safetensors"), &small.join("best.safetensors"));
    let scored = evaluate(&RunDir::read(&small).unwrap(), Split::Test, &[], &mut ());
    let text = scored.unwrap_err().to_string();
    assert!(text.contains("small/best.safetensors") && text.contains("misshapen"), "{text}");

    for name in ["tensors.safetensors", "state.json", "digests.json"] {
        copy(&large.join("last").join(name), &small.join("last").join(name));
    }
    let resumed = resume(&exp, &RunDir::open(&small).unwrap(), &mut (), &AtomicBool::new(false));
    says(resumed.map_err(|e| e.to_string()), &["small/last", "misshapen"]);
}

#[test]
fn a_clip_shorter_than_a_segment_is_padded_in_training_and_one_window_in_scoring() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus(dir, [4, 2, 2]);
    common::corpus_at(dir, [4, 2, 2], "tones-24k", 24_000);
    for (name, backbone) in [("musicfm", MUSICFM), ("mert", MERT), ("vggish", VGGISH)] {
        // clips of 48000 samples
        let exp = experiment(dir, backbone, &["data.crop={ kind = 'random', steps = 57600 }"]);
        let path = dir.join(name);
        assert_eq!(start(&exp, &path).unwrap().ending, Ending::Done, "{name}");
        let dir = RunDir::read(&path).unwrap();
        let found = evaluate(&dir, Split::Test, &[], &mut ()).unwrap();
        assert_eq!(found.scores.examples, 2, "{name}");
        let trained = Trained::open(&dir, &[]).unwrap();
        let heard = trained.hear("short", &common::clip(6)).unwrap();
        assert_eq!((heard.starts.as_slice(), heard.steps), ([0].as_slice(), 57_600), "{name}");
        let file = TensorFile::open(&path.join("predictions.test.safetensors")).unwrap();
        let stored = file.tensor("scores").unwrap();
        for (class, p) in heard.mean.iter().enumerate() {
            let gap = f64::from(*p) - stored.double_value(&[0, class as i64]);
            assert!(gap.abs() < 0.01, "{name}: {heard:?}, {stored:?}");
        }
    }
}

#[test]
fn silence_trains_and_scores_with_finite_numbers() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::silence(dir, [4, 2, 2], "tones-16k", 16_000);
    common::silence(dir, [4, 2, 2], "tones-24k", 24_000);
    for (name, backbone) in [
        ("musicfm", MUSICFM.to_owned()),
        ("mert", MERT.to_owned()),
        ("mert-normalised", format!("{MERT}, normalise = true")),
        ("mert-norm-first", format!("{MERT}, norm_first = true")),
        ("vggish", VGGISH.to_owned()),
        ("vggish-ccml", format!("{}, input = 'wave'", VGGISH.replace("limited", "ccml"))),
    ] {
        let exp = experiment(dir, &backbone, &["tuning={ method = 'full' }"]);
        let path = dir.join(name);
        start(&exp, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut steps = 0;
        for row in read_log(&path.join("log.jsonl")).unwrap() {
            if let Row::Step { loss, grad_norm, .. } = row {
                assert!(loss.is_finite() && grad_norm.is_finite() && grad_norm > 0.0, "{name}");
                steps += 1;
            }
        }
        assert_eq!(steps, 2, "{name}");
    }
}

#[test]
fn a_lost_loss_names_its_step_and_the_state_before_it_loads_scores_and_resumes() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus(dir, [8, 2, 2]);
    // two good steps an epoch, then a rate that sends the weights to infinity
    let stages = "optim.schedule={ kind = 'staged', stages = [
        { from_epoch = 1, lr = 1e38, rule = { kind = 'sgd' } } ] }";
    let sets = ["trainer={ epochs = 3, log_steps = 1, save_steps = 1 }", stages];
    let exp = experiment(dir, VGGISH, &sets);
    let path = dir.join("run");
    let words = ["step ", "start a new run with a lower optim.lr", "is kept in last"];
    let first = start(&exp, &path).unwrap_err().to_lowercase();
    for word in words {
        assert!(first.contains(word), "should say {word:?}: {first}");
    }
    let run_dir = RunDir::read(&path).unwrap();
    let found = evaluate(&run_dir, Split::Test, &[], &mut ()).unwrap();
    assert!(found.step == 2 && found.loss.is_finite(), "{found:?}");

    // it loads, goes on, and meets the same end
    let stop = AtomicBool::new(true);
    let stopped = resume(&exp, &RunDir::open(&path).unwrap(), &mut (), &stop).unwrap();
    assert_eq!(stopped.ending, Ending::Stopped);
    assert!(stopped.step >= 2, "{stopped:?}");
    let again = resume(&exp, &RunDir::open(&path).unwrap(), &mut (), &AtomicBool::new(false));
    assert_eq!(again.unwrap_err().to_string().to_lowercase(), first);
}

#[test]
fn a_group_that_scales_nothing_and_a_view_without_classes_are_refused() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus(dir, [4, 2, 2]);
    let groups = "optim.groups=[{ prefix = 'conformer.', lr_scale = 0.1 }]";
    let exp = experiment(dir, VGGISH, &["tuning={ method = 'probe' }", groups]);
    let words = ["optim.groups: no tensor that probe trains begins with \"conformer.\"", "head."];
    says(start(&exp, &dir.join("groups")), &words);

    let manifests = dir.join("manifests");
    let mut view = etude_manifests::read_view(&manifests.join("tones.parquet")).unwrap();
    view.vocab.classes.clear();
    for example in &mut view.examples {
        example.target = etude_manifests::Target::Tags(Vec::new());
    }
    etude_manifests::write_view(&manifests, &view).unwrap();
    let words = ["vocabulary tones3", "expected at least one class"];
    says(start(&experiment(dir, VGGISH, &[]), &dir.join("classes")), &words);
}
