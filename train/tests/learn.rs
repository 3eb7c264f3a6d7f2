//! A tiny network learns which tones a clip has.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_manifests::Split;
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
}
