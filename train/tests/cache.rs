//! A run on kept hidden states is the run on audio; the cache survives kills, is shared, and never passes for another.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::StopAt;
use etude_manifests::Split;
use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, import};
use etude_train::{Ending, Experiment, Pace, Phase, Row, RunDir, evaluate, read_log, resume, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const LORA: &str = "tuning={ method = 'lora', dropout = 0.1 }";
const F32: &str = "data.cache={ dtype = 'f32' }";

/// Twelve clips at 24 kHz and the small MusicFM and MERT of the fixtures, imported.
fn data(dir: &Path) {
    common::corpus_at(dir, [12, 5, 3], "tones-24k", 24_000);
    for (name, at) in [("musicfm", "musicfm"), ("mert", "mert/base")] {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(at);
        let text = fs::read_to_string(fixtures.join("config.json")).unwrap();
        let config = BackboneConfig::from_json(name, &text).unwrap();
        import(&config, &fixtures.join("weights.safetensors"), None, &dir.join(name)).unwrap();
    }
}

/// Pieces of 1 s at three places of a clip of 2 s, two epochs; `sets` override keys.
fn experiment(dir: &Path, model: &str, sets: &[&str]) -> Experiment {
    let config = fs::read_to_string(dir.join(model).join("config.json")).unwrap();
    let backbone = toml_of(&serde_json::from_str(&config).unwrap());
    let (backbone, weights) =
        (format!("model.backbone={backbone}"), format!("model.weights={:?}", dir.join(model)));
    let mut all = vec![
        "data.shards=tones-24k",
        "data.crop={ kind = 'grid', steps = 24000, windows = 3 }",
        "data.batch=5",
        "model.head={ kind = 'mlp' }",
        &backbone,
        &weights,
        "optim.lr=0.003",
        "optim.clip=1.0",
    ];
    all.extend(sets);
    common::experiment(dir, &all)
}

/// A JSON object as an inline table; null is left out.
fn toml_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let set = map.iter().filter(|(_, v)| !v.is_null());
            let pairs: Vec<_> = set.map(|(k, v)| format!("{k} = {}", toml_of(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

fn train(exp: &Experiment, path: &Path) -> Vec<Row> {
    let never = AtomicBool::new(false);
    let outcome = run(exp, &RunDir::create(path).unwrap(), &mut (), &never).unwrap();
    assert_eq!(outcome.ending, Ending::Done);
    read_log(&path.join("log.jsonl")).unwrap().into_iter().map(Row::untimed).collect()
}

fn same_tensors(a: &Path, b: &Path) {
    let open = |path: &Path| TensorFile::open(&path.join("last/tensors.safetensors")).unwrap();
    let (a, b) = (open(a), open(b));
    assert_eq!(a.names(), b.names());
    for ((name, x), (_, y)) in a.tensors().unwrap().iter().zip(b.tensors().unwrap()) {
        assert!(x.equal(&y), "{name}");
    }
}

/// The caches in a folder, each with the bytes of its files.
fn caches(dir: &Path) -> BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>> {
    let Ok(list) = fs::read_dir(dir.join("cache")) else { return BTreeMap::new() };
    let files = |path: &Path| {
        let list = fs::read_dir(path).unwrap().map(|f| f.unwrap().path());
        list.map(|p| (p.file_name().unwrap().to_string_lossy().into(), fs::read(p).unwrap()))
            .collect()
    };
    list.map(|c| c.unwrap().path()).map(|path| (path.clone(), files(&path))).collect()
}

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
    // what is below the first tuned layer is shared by the methods; a probe keeps the last hidden state
    let of =
        |name: &str| caches(dir).into_keys().filter(|p| p.to_string_lossy().contains(name)).count();
    assert_eq!((of("musicfm"), of("mert")), (2, 2));
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
        let stop = AtomicBool::new(false);
        let total = if sets.is_empty() { 3 * 2 } else { 5 * 3 };
        let mut log = StopInCache { after: u64::MAX, total, stop: &stop, said: Vec::new() };
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
            Split::Valid => assert_eq!((said.len(), caches(dir).len()), (0, 1), "the run's own"),
            _ => {
                assert!(said[0].contains(" 6 windows, ") && !said[0].contains("beside"), "{said:?}")
            }
        }
    }
    // the windows of the test split are there now, for every run on this network
    let all = caches(dir);
    assert_eq!(all.len(), 2);
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
    assert!(sizes[0] * 18 < sizes[1] * 10, "{sizes:?}");
    // where the network computes in bfloat16 anyway, nothing is lost
    let rough = [LORA, "trainer.precision=bf16"];
    let rows = train(&experiment(dir, "musicfm", &rough), &dir.join("rough"));
    let kept = experiment(dir, "musicfm", &[rough[0], rough[1], "data.cache={}"]);
    assert_eq!(train(&kept, &dir.join("rough-kept")), rows);
}

/// Of a run: three places in each clip to train on, two in each to validate.
const WINDOWS: u64 = 12 * 3 + 5 * 2;

/// Stops after this many windows of a cache.
struct StopInCache<'a> {
    after: u64,
    /// Windows that there are.
    total: u64,
    stop: &'a AtomicBool,
    said: Vec<String>,
}

impl etude_train::Log for StopInCache<'_> {
    fn row(&mut self, row: &Row) {
        if let Row::Event { text, .. } = row {
            self.said.push(text.clone());
        }
    }

    fn pace(&mut self, pace: &Pace) {
        if pace.phase != Phase::Caching {
            return;
        }
        assert_eq!(pace.total, self.total);
        if pace.done >= self.after {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_cache_that_was_being_filled_ends_with_the_same_bytes_and_is_used_again() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let exp = experiment(dir, "musicfm", &[LORA, F32]);
    let rows = train(&exp, &dir.join("whole"));
    let whole = caches(dir);
    fs::remove_dir_all(dir.join("cache")).unwrap();
    // stopped in the first and in the second file
    let path = dir.join("stopped");
    for (i, after) in [5, 41].into_iter().enumerate() {
        let stop = AtomicBool::new(false);
        let mut log = StopInCache { after, total: WINDOWS, stop: &stop, said: Vec::new() };
        let outcome = match i {
            0 => run(&exp, &RunDir::create(&path).unwrap(), &mut log, &stop),
            _ => resume(&exp, &RunDir::open(&path).unwrap(), &mut log, &stop),
        };
        let outcome = outcome.unwrap();
        assert_eq!((outcome.ending, outcome.step), (Ending::Stopped, 0));
        assert!(log.said[0].contains("cache/tones-24k-musicfm-"), "{:?}", log.said);
        assert!(log.said[0].contains("hidden state 0 of 46 windows, "), "{:?}", log.said);
    }
    // as a kill leaves it: a torn file beside the finished one, no index
    let cache = caches(dir).into_keys().next().unwrap();
    assert!(cache.join("shard-00000.json").exists() && !cache.join("index.json").exists());
    fs::write(cache.join("shard-00001.parquet.part"), "torn").unwrap();
    // and stopped once more in the middle of the training itself
    let stop = AtomicBool::new(false);
    let mut log = StopAt { step: 3, stop: &stop, rows: Vec::new(), in_validation: false };
    resume(&exp, &RunDir::open(&path).unwrap(), &mut log, &stop).unwrap();
    let never = AtomicBool::new(false);
    let mut said = StopInCache { after: u64::MAX, total: WINDOWS, stop: &never, said: Vec::new() };
    resume(&exp, &RunDir::open(&path).unwrap(), &mut said, &never).unwrap();
    assert!(said.said[0].ends_with("all there"), "{:?}", said.said);
    let again: Vec<Row> =
        read_log(&path.join("log.jsonl")).unwrap().into_iter().map(Row::untimed).collect();
    assert_eq!(again, rows);
    assert_eq!(caches(dir), whole);
    same_tensors(&dir.join("whole"), &path);
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
    assert_eq!(count(&[]), 1);
    assert_eq!(
        count(&["optim.lr=0.1", "run.seed=8"]),
        1,
        "what lies behind the cut does not matter"
    );
    assert_eq!(count(&["trainer.precision=bf16"]), 2);
    assert_eq!(count(&["data.crop={ kind = 'centre', steps = 24000 }"]), 3);
    assert_eq!(count(&["model.backbone.layers=1"]), 4);
    let file = dir.join("musicfm/model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(count(&[]), 5);
    common::corpus_at(dir, [12, 5, 4], "tones-24k", 24_000);
    assert_eq!(count(&[]), 6);
}
