//! A tiny network learns which tones a clip has.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_manifests::Split;
use etude_models::weights::TensorFile;
use etude_train::{Ending, RunDir, Trained, evaluate, run};
use std::sync::atomic::AtomicBool;

#[test]
fn a_tiny_network_learns_the_tones_and_its_scores_can_be_recomputed() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    common::corpus(tmp.path(), [64, 24, 24]);
    let exp = common::experiment(
        tmp.path(),
        &[
            "trainer.epochs=14",
            "trainer.keep.best=2",
            "model.backbone.channels=4",
            "optim.lr=0.004",
        ],
    );
    let path = tmp.path().join("run");
    let dir = RunDir::create(&path).unwrap();
    let outcome = run(&exp, &dir, &mut (), &AtomicBool::new(false)).unwrap();
    assert_eq!((outcome.ending, outcome.step), (Ending::Done, 14 * 8));
    drop(dir);

    let dir = RunDir::read(&path).unwrap();
    let found = evaluate(&dir, Split::Test, &[], &mut ()).unwrap();
    println!("{:?} {:.1} s", found.scores.summary, outcome.seconds);
    assert!(found.scores.summary["ROC-AUC"] > 0.9, "{:?}", found.scores.summary);
    assert_eq!(found.scores.examples, 24);
    assert_eq!(found.step, outcome.kept[0].step);

    // The validation that kept this state, done again.
    let again = evaluate(&dir, Split::Valid, &["eval.batch=5".into()], &mut ()).unwrap();
    let then = &outcome.kept[0].scores;
    assert!((again.scores.summary["mAP"] - then["mAP"]).abs() < 1e-9, "{then:?}");
    assert!((again.loss - then["loss"]).abs() < 1e-5, "{then:?}");

    // Scores from the file of predictions.
    let file = path.join("predictions.test.safetensors");
    let json = etude_eval::score_file(&file, "tagging").unwrap();
    assert_eq!(json["macro"]["roc_auc"], found.scores.summary["ROC-AUC"]);

    // The run alone, without its data.
    std::fs::remove_dir_all(tmp.path().join("shards")).unwrap();
    let trained = Trained::open(&dir, &[]).unwrap();
    assert_eq!(trained.identity.vocab.classes, ["low", "middle", "high"]);

    // A recording from outside the shards is heard as the same clip inside them, to the step of 16-bit numbers.
    assert_eq!(trained.rate().unwrap(), 16_000);
    let scores = TensorFile::open(&file).unwrap().tensor("scores").unwrap();
    for n in 0..4 {
        let heard = trained.hear("a clip", &common::clip(64 + 24 + n)).unwrap();
        assert_eq!((heard.starts.as_slice(), heard.steps), ([0].as_slice(), 32_768));
        for (class, p) in heard.mean.iter().enumerate() {
            let stored = scores.double_value(&[n as i64, class as i64]);
            assert!(
                (f64::from(*p) - stored).abs() < 0.01,
                "clip {n}, class {class}: {p}, {stored}"
            );
        }
    }
    // Longer recordings have more windows, in batches of any size, and the mean is theirs.
    let long = common::clip(90).repeat(3);
    let heard = trained.hear("long", &long).unwrap();
    assert_eq!(heard.starts, [0, 32_768, 65_536, 98_304]);
    let low: Vec<f32> = heard.over_time(0).collect();
    assert!((low.iter().sum::<f32>() / 4.0 - heard.mean[0]).abs() < 1e-6, "{low:?}");
    let by_three = Trained::open(&dir, &["eval.batch=3".into()]).unwrap();
    let again = by_three.hear("long", &long).unwrap();
    assert!(heard.outputs.iter().zip(&again.outputs).all(|(a, b)| (a - b).abs() < 1e-5));
    let text = trained.hear("silence.wav", &[]).unwrap_err().to_string();
    assert!(text.contains("silence.wav"), "{text}");
}
