//! Runs that keep what the frozen beginning of a network makes of each window.

use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, import};
use etude_train::{Ending, Experiment, Log, Pace, Phase, Row, RunDir, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub const LORA: &str = "tuning={ method = 'lora', dropout = 0.1 }";
pub const F32: &str = "data.cache={ dtype = 'f32' }";

/// Twelve clips at 24 kHz and the small MusicFM and MERT of the fixtures, imported.
pub fn data(dir: &Path) {
    super::corpus_at(dir, [12, 5, 3], "tones-24k", 24_000);
    for (name, at) in [("musicfm", "musicfm"), ("mert", "mert/base")] {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(at);
        let text = fs::read_to_string(fixtures.join("config.json")).unwrap();
        let config = BackboneConfig::from_json(name, &text).unwrap();
        import(&config, &fixtures.join("weights.safetensors"), None, &dir.join(name)).unwrap();
    }
}

/// Pieces of 1 s at three places of a clip of 2 s, two epochs; `sets` override keys.
pub fn experiment(dir: &Path, model: &str, sets: &[&str]) -> Experiment {
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
    super::experiment(dir, &all)
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

pub fn train(exp: &Experiment, path: &Path) -> Vec<Row> {
    let never = AtomicBool::new(false);
    let outcome = run(exp, &RunDir::create(path).unwrap(), &mut (), &never).unwrap();
    assert_eq!(outcome.ending, Ending::Done);
    super::untimed(path)
}

pub fn same_tensors(a: &Path, b: &Path) {
    let open = |path: &Path| TensorFile::open(&path.join("last/tensors.safetensors")).unwrap();
    let (a, b) = (open(a), open(b));
    assert_eq!(a.names(), b.names());
    for ((name, x), (_, y)) in a.tensors().unwrap().iter().zip(b.tensors().unwrap()) {
        assert!(x.equal(&y), "{name}");
    }
}

/// The caches in a folder, each with the bytes of its files.
pub fn caches(dir: &Path) -> BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>> {
    let Ok(list) = fs::read_dir(dir.join("cache")) else { return BTreeMap::new() };
    let files = |path: &Path| {
        let list = fs::read_dir(path).unwrap().map(|f| f.unwrap().path());
        list.map(|p| (p.file_name().unwrap().to_string_lossy().into(), fs::read(p).unwrap()))
            .collect()
    };
    list.map(|c| c.unwrap().path()).map(|path| (path.clone(), files(&path))).collect()
}

/// A log that keeps what is said of caches and which steps are logged, and stops the run after a step or after so many
/// windows of a cache.
pub struct Stops<'a> {
    pub step: u64,
    pub windows: u64,
    pub stop: &'a AtomicBool,
    pub said: Vec<String>,
}

impl<'a> Stops<'a> {
    pub fn never(stop: &'a AtomicBool) -> Self {
        Self { step: u64::MAX, windows: u64::MAX, stop, said: Vec::new() }
    }
}

impl Log for Stops<'_> {
    fn row(&mut self, row: &Row) {
        match row {
            Row::Event { text, .. } => self.said.push(text.clone()),
            Row::Step { step, .. } => {
                self.said.push(format!("step {step}"));
                if *step == self.step {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            Row::Valid { .. } => {}
        }
    }

    fn pace(&mut self, pace: &Pace) {
        if pace.phase == Phase::Caching && pace.done >= self.windows {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}
