//! A run on kept hidden states is the run on audio; a cache is shared, and never passes for another.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::kept::{F32, LORA, Stops, caches, data, experiment, same_tensors, train};
use etude_manifests::{Example, Split, read_view, write_view};
use etude_train::{Row, RunDir, evaluate, resume};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

#[test]
fn with_float32_losses_gradients_and_weights_are_those_of_a_run_without_a_cache() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let methods = [
        ("musicfm", LORA),
        ("musicfm", "tuning={ method = 'adapter', bottleneck = 4 }"),
        ("musicfm", "tuning={ method = 'probe' }"),
        ("mert", LORA),
        ("mert", "tuning={ method = 'prefix', tokens = 3, bottleneck = 8 }"),
        ("mert", "tuning={ method = 'probe' }"),
    ];
    for (n, (model, method)) in methods.into_iter().enumerate() {
        let name = |kind: &str| dir.join(format!("{kind}{n}"));
        let (plain, cached) = (name("plain"), name("cached"));
        let rows = train(&experiment(dir, model, &[method]), &plain);
        let exp = experiment(dir, model, &[method, F32, "data.threads=4"]);
        assert_eq!(train(&exp, &cached), rows, "{model}, {method}");
        same_tensors(&plain, &cached);
        assert!(rows.iter().any(|r| matches!(r, Row::Step { grad_norm, .. } if *grad_norm > 0.0)));
        // and scored without a cache it is what its validation said
        let best = evaluate(&RunDir::read(&cached).unwrap(), Split::Valid, &[], &mut ()).unwrap();
        let same = rows.iter().any(|r| {
            matches!(r, Row::Valid { scores, step, .. }
                if *step == best.step && scores["loss"] == best.loss)
        });
        assert!(same, "{model}, {method}");
    }
    // what is below the first tuned layer is shared by the methods; a probe keeps the last hidden state; each is one
    // cache of the training windows and one of the validation's
    let of =
        |name: &str| caches(dir).into_keys().filter(|p| p.to_string_lossy().contains(name)).count();
    assert_eq!((of("musicfm"), of("mert")), (4, 4));
}

#[test]
fn whatever_is_drawn_of_a_track_and_joined_in_a_step_the_numbers_are_those_of_a_run_without_a_cache()
 {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let cases: [(&str, &[&str]); 6] = [
        ("musicfm", &["data.crop={ kind = 'whole' }"]),
        ("mert", &["data.crop={ kind = 'centre', steps = 24000 }"]),
        ("mert", &["data.crop={ kind = 'sliding', steps = 16000, hop = 12000, tail = 'pad' }"]),
        // steps of two batches, the last of them of what is left: 5, 5 and 2 clips
        ("musicfm", &["trainer.accumulate=2", "trainer.validate_steps=1", "eval.valid=crop"]),
        // two clips that the first epoch does not draw
        ("mert", &["data.drop_last=true", "trainer.accumulate=2"]),
        // eight clips that it does not draw; and no more than that epoch
        ("musicfm", &["data.batch=2", "trainer.epoch_batches=2", "trainer.epochs=1"]),
    ];
    for (n, (model, sets)) in cases.into_iter().enumerate() {
        let mut all = vec![LORA, "trainer.epochs=3"];
        all.extend(sets);
        let rows = train(&experiment(dir, model, &all), &dir.join(format!("plain{n}")));
        all.push(F32);
        assert_eq!(train(&experiment(dir, model, &all), &dir.join(format!("kept{n}"))), rows);
        same_tensors(&dir.join(format!("plain{n}")), &dir.join(format!("kept{n}")));
        assert!(caches(dir).values().all(|files| files.contains_key("index.json")), "{n}");
    }
}

#[test]
fn two_examples_of_a_clip_share_what_is_kept_of_it() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let manifests = dir.join("manifests");
    let mut view = read_view(&manifests.join("tones.parquet")).unwrap();
    let again = |e: &Example| Example { key: format!("{}#b", e.key), ..e.clone() };
    view.examples.extend(view.examples.iter().map(again).collect::<Vec<_>>());
    view.name = "twice".to_owned();
    write_view(&manifests, &view).unwrap();
    let all = ["data.view=twice", "data.batch=3", "data.crop={ kind = 'whole' }", LORA];
    let rows = train(&experiment(dir, "mert", &all), &dir.join("plain"));
    let mut exp = experiment(dir, "mert", &[&all[..], &[F32]].concat());
    exp.data.cache.as_mut().unwrap().file_bytes = Some(1); // a file for each batch that brings something new
    assert_eq!(train(&exp, &dir.join("kept")), rows);
    same_tensors(&dir.join("plain"), &dir.join("kept"));
    assert!(caches(dir).values().all(|files| files.contains_key("index.json")));
}

#[test]
fn a_split_is_scored_from_what_is_kept_of_its_windows_and_scores_the_same() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let [plain, kept] = ["plain", "kept"].map(|name| dir.join(name));
    train(&experiment(dir, "musicfm", &[LORA, "eval.batch=4"]), &plain);
    train(&experiment(dir, "musicfm", &[LORA, "eval.batch=4", F32]), &kept);
    let scored = |path: &Path, split, sets: &[&str]| {
        let never = AtomicBool::new(false);
        let mut log = Stops::never(&never);
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let found = evaluate(&RunDir::read(path).unwrap(), split, &sets, &mut log).unwrap();
        let name = serde_json::to_value(split).unwrap();
        let file = format!("predictions.{}.safetensors", name.as_str().unwrap());
        ((found.scores, found.loss, fs::read(path.join(file)).unwrap()), log.said)
    };
    for split in [Split::Valid, Split::Test] {
        let (without, said) = scored(&plain, split, &[]);
        assert!(said.is_empty(), "{said:?}");
        let (with, said) = scored(&kept, split, &[]);
        assert_eq!(with, without, "{split:?}");
        match split {
            Split::Valid => assert!(said[0].ends_with("all there"), "that of the run: {said:?}"),
            _ => {
                assert!(said[0].contains(" 6 windows, ") && !said[0].contains("beside"), "{said:?}")
            }
        }
    }
    // the windows of the test split are there now, for every run on this network
    let all = caches(dir);
    assert_eq!(all.len(), 3);
    let (again, said) = scored(&kept, Split::Test, &[]);
    assert!(said[0].ends_with("all there") && again == scored(&plain, Split::Test, &[]).0);
    assert_eq!(caches(dir), all);
    // with other windows the validation split is a set of its own too
    let half = "eval.window={ steps = 24000, hop = 12000, tail = 'drop' }";
    assert_eq!(scored(&kept, Split::Valid, &[half]).0, scored(&plain, Split::Valid, &[half]).0);
}

#[test]
fn with_bfloat16_a_run_is_near_the_one_without_and_the_cache_half_the_size() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let plain = train(&experiment(dir, "musicfm", &[LORA]), &dir.join("plain"));
    let near = train(&experiment(dir, "musicfm", &[LORA, "data.cache={}"]), &dir.join("near"));
    let losses = |rows: &[Row]| -> Vec<f64> {
        let loss = |r: &Row| match r {
            Row::Step { loss, .. } => Some(*loss),
            Row::Valid { scores, .. } => Some(scores["loss"]),
            Row::Event { .. } => None,
        };
        rows.iter().filter_map(loss).collect()
    };
    let (a, b) = (losses(&plain), losses(&near));
    assert!(a.len() == b.len() && a != b);
    // bfloat16 keeps 8 bits: a relative error of 2^-9 at the cut
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.01 * a), "{a:?}\n{b:?}");
    train(&experiment(dir, "musicfm", &[LORA, F32]), &dir.join("exact"));
    let mut sizes: Vec<usize> =
        caches(dir).values().map(|c| c["shard-00000.parquet"].len()).collect();
    sizes.sort_unstable();
    // of the validation in both, then of the training
    assert!(sizes[2] * 18 < sizes[3] * 10, "{sizes:?}");
    // rounded from the first step on, whenever it was stored
    let before = [LORA, "data.cache={ fill = 'before' }"];
    fs::remove_dir_all(dir.join("cache")).unwrap();
    assert_eq!(train(&experiment(dir, "musicfm", &before), &dir.join("before")), near);
    // where the network computes in bfloat16 anyway, nothing is lost
    let rough = [LORA, "trainer.precision=bf16"];
    let rows = train(&experiment(dir, "musicfm", &rough), &dir.join("rough"));
    let kept = experiment(dir, "musicfm", &[rough[0], rough[1], "data.cache={}"]);
    assert_eq!(train(&kept, &dir.join("rough-kept")), rows);
}

#[test]
fn other_weights_settings_or_shards_are_another_cache() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let mut n = 0;
    let mut count = |sets: &[&str]| {
        n += 1;
        let mut all = vec![LORA, F32, "trainer.epochs=1"];
        all.extend(sets);
        train(&experiment(dir, "musicfm", &all), &dir.join(format!("run{n}")));
        caches(dir).len()
    };
    assert_eq!(count(&[]), 2, "of training and of validation");
    assert_eq!(
        count(&["optim.lr=0.1", "run.seed=8"]),
        2,
        "what lies behind the cut does not matter"
    );
    assert_eq!(count(&["trainer.precision=bf16"]), 4);
    assert_eq!(count(&["data.crop={ kind = 'centre', steps = 24000 }"]), 5);
    assert_eq!(count(&["model.backbone.layers=1"]), 7);
    let file = dir.join("musicfm/model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(count(&[]), 9);
    common::corpus_at(dir, [12, 5, 4], "tones-24k", 24_000);
    assert_eq!(count(&[]), 11);
}

#[test]
fn a_run_without_a_cache_does_not_go_on_with_one() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let (dir, path) = (tmp.path(), tmp.path().join("run"));
    data(dir);
    train(&experiment(dir, "musicfm", &[LORA, "trainer.epochs=1"]), &path);
    // an empty section has no key, and is one
    let exp = experiment(dir, "musicfm", &[LORA, "trainer.epochs=2", "data.cache={}"]);
    let run = RunDir::open(&path).unwrap();
    let text = resume(&exp, &run, &mut (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(text.contains("data.cache: the run has no such key"), "{text}");
    assert!(text.contains("test.toml has a section"), "{text}");
}
