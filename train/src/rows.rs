//! The rows of a paper: its experiments and the runs that exist of them, as [`etude_eval::paper::Entry`].
//!
//! `configs/<paper>/<row>.toml` and `runs/<paper>/<row>/<seed>/` are found by walking; a run without an experiment
//! file counts too, an experiment without a run is a row that waits. Pre-training is no row: it has no scores.

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::{Row, read_log};
use crate::run_dir::RunDir;
use crate::study::is_study;
use etude_eval::paper::{Curves, Entry};
use etude_eval::read_predictions;
use etude_manifests::read_tracks;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Everything known of a paper's rows. `configs` and `runs` are the folders of this paper, e.g. `configs/peft` and
/// `runs/peft`; either may be missing.
///
/// # Errors
/// [`Error::NoRun`] when there is neither an experiment nor a run, and whatever of them cannot be read.
pub fn paper_rows(configs: &Path, runs: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut artists = Artists::default();
    let mut run = BTreeSet::new();
    for dir in folders_with(runs, |dir| dir.join("config.toml").is_file())? {
        let name = row_name(runs, dir.parent().unwrap_or(runs));
        entries.extend(of_run(&name, &RunDir::read(&dir)?, &mut artists)?);
        run.insert(name);
    }
    for file in files(configs)?.into_iter().filter(|file| !is_study(file)) {
        let name = row_name(configs, &file.with_extension(""));
        if !run.contains(&name) {
            let exp = Experiment::read(&file, &[])?;
            entries.extend(exp.objective.is_scored().then(|| of_experiment(&name, &exp)));
        }
    }
    if entries.is_empty() {
        return Err(Error::NoRun { dir: runs.to_path_buf(), missing: "config.toml" });
    }
    Ok(entries)
}

/// The part of a path below a paper's folder, with `/`; the folder itself is the paper's only row.
fn row_name(paper: &Path, path: &Path) -> String {
    let below = path.strip_prefix(paper).unwrap_or(path);
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    match parts.is_empty() {
        true => paper.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        false => parts.join("/"),
    }
}

fn of_experiment(name: &str, exp: &Experiment) -> Entry {
    let (backbone, tuning) = (exp.model.backbone.name(), exp.tuning.name());
    Entry {
        name: name.to_owned(),
        seed: exp.run.seed,
        view: exp.data.view.clone(),
        model: backbone.to_owned(),
        method: tuning.to_owned(),
        published: exp.published.clone(),
        ..Entry::default()
    }
}

/// `None` for pre-training, which has no scores to compare.
fn of_run(name: &str, dir: &RunDir, artists: &mut Artists) -> Result<Option<Entry>> {
    let exp = Experiment::read(&dir.config(), &[])?;
    if !exp.objective.is_scored() {
        return Ok(None);
    }
    let mut entry = of_experiment(name, &exp);
    if let Some(report) = report(dir)? {
        entry.trained = report["trained_parameters"].as_u64();
        entry.minutes = report["minutes"].as_f64();
        entry.epoch_s = report["seconds_per_epoch"].as_f64();
        let memory = |key: &str| report[key].as_u64();
        entry.memory = memory("peak_device_memory_bytes").or_else(|| memory("peak_memory_bytes"));
    }
    if dir.log().exists() {
        entry.curves = curves(&read_log(&dir.log())?, &exp.trainer.keep.by);
    }
    let path = dir.path().join("predictions.test.safetensors");
    if path.exists() {
        let predictions = read_predictions(&path)?;
        entry.artists = artists.of(&exp.data.dir, &predictions.keys)?;
        entry.predictions = Some(predictions);
    }
    Ok(Some(entry))
}

fn report(dir: &RunDir) -> Result<Option<serde_json::Value>> {
    let path = dir.report();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    let value = serde_json::from_slice(&text).map_err(|e| Error::Damaged {
        path,
        expected: "the report of a run".to_owned(),
        got: e.to_string(),
    })?;
    Ok(Some(value))
}

/// Training loss, and the validation score by which states are kept.
fn curves(rows: &[Row], score: &str) -> Curves {
    let mut curves = Curves::default();
    for row in rows {
        match row {
            Row::Step { step, loss, .. } => curves.loss.push((*step, *loss)),
            Row::Valid { step, scores, .. } => {
                curves.valid.extend(scores.get(score).map(|value| (*step, *value)));
            }
            Row::Event { .. } => {}
        }
    }
    curves
}

/// Artists by track key, one manifest per corpus, each read once.
#[derive(Default)]
struct Artists {
    known: BTreeMap<PathBuf, HashMap<String, String>>,
}

impl Artists {
    /// Of examples; a key is `<corpus>:<clip>`, with `#variant` for derived audio. `None` where nobody knows.
    fn of(&mut self, data: &Path, keys: &[String]) -> Result<Vec<Option<String>>> {
        let mut artists = Vec::with_capacity(keys.len());
        for key in keys {
            let corpus = key.split(':').next().unwrap_or_default();
            let path = data.join("manifests").join(format!("{corpus}.tracks.parquet"));
            if !self.known.contains_key(&path) {
                let known = if path.is_file() { read_artists(&path)? } else { HashMap::new() };
                self.known.insert(path.clone(), known);
            }
            let track = key.split('#').next().unwrap_or(key);
            artists.push(self.known.get(&path).and_then(|known| known.get(track)).cloned());
        }
        Ok(artists)
    }
}

fn read_artists(path: &Path) -> Result<HashMap<String, String>> {
    let tracks = read_tracks(path)?;
    Ok(tracks.into_iter().filter_map(|t| Some((t.key, t.artist_id?))).collect())
}

/// All `.toml` files below a folder, sorted; none when it is missing.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "toml") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The outermost folders below `dir` that are what is looked for, sorted; none when `dir` is missing.
fn folders_with(dir: &Path, wanted: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)?.into_iter().filter(|p| p.is_dir()) {
        if wanted(&path) {
            found.push(path);
        } else {
            found.extend(folders_with(&path, wanted)?);
        }
    }
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = match fs::read_dir(dir) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(dir)(e)),
    };
    let mut paths = Vec::new();
    for entry in list {
        paths.push(entry.map_err(Error::io(dir))?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etude_eval::paper::{CompareConfig, compare, text};
    use etude_eval::{Predictions, TaskConfig, write_predictions};
    use etude_manifests::{Target, Vocab};

    const TEXT: &str = "
run = { seed = 7 }
data = { view = 'demo', shards = 'demo-16k', crop = { kind = 'whole' }, batch = 4 }
model = { backbone = { name = 'vggish', preset = 'limited' }, head = { kind = 'published' } }
tuning = { method = 'full' }
objective = { kind = 'supervised', task = { kind = 'tagging' } }
optim = { kind = 'adam', lr = 1e-3 }
trainer = { steps = 10 }
published = { mAP = 0.5 }
";

    /// A run as `etude train` and `etude eval` leave it; every `wrong`th track has its scores upside down.
    fn run(dir: &Path, data: &Path, wrong: usize) {
        fs::create_dir_all(dir).unwrap();
        let config = TEXT.replace("batch = 4", &format!("batch = 4, dir = {data:?}"));
        fs::write(dir.join("config.toml"), config).unwrap();
        fs::write(dir.join("report.json"), "{\"trained_parameters\": 60178, \"minutes\": 2.5}")
            .unwrap();
        let log = r#"{"row":"step","step":5,"epoch":0,"loss":0.7,"lr":0.1,"grad_norm":1.0,"timing":{"wall":0.0,"seconds":0.0,"samples_s":0.0,"stall":0.0}}
{"row":"valid","step":6,"epoch":1,"scores":{"mAP":0.25},"best":true,"timing":{"wall":0.0,"seconds":0.0,"samples_s":0.0,"stall":0.0}}
"#;
        fs::write(dir.join("log.jsonl"), log).unwrap();
        let vocab = Vocab {
            id: "t".into(),
            classes: vec!["guitar".into(), "slow".into()],
            order: "published".into(),
        };
        let target = |i: usize| if i.is_multiple_of(3) { vec![0] } else { vec![1] };
        let output = |i: usize| {
            let guitar = i.is_multiple_of(3) != i.is_multiple_of(wrong);
            let shade = (i % 7) as f32 / 100.0;
            if guitar { [0.8 + shade, 0.1] } else { [0.2, 0.7 - shade] }
        };
        let p = Predictions {
            keys: (0..60).map(|i| format!("demo:{i}")).collect(),
            outputs: (0..60).flat_map(output).collect(),
            targets: (0..60).map(|i| Target::Tags(target(i))).collect(),
            windows: vec![1; 60],
            width: 2,
            loss: 0.5,
        };
        let task = TaskConfig::named("tagging").unwrap().build(&vocab).unwrap();
        write_predictions(&dir.join("predictions.test.safetensors"), &p, &*task).unwrap();
    }

    #[test]
    fn runs_and_waiting_experiments_are_the_rows_of_a_paper() {
        let tmp = tempfile::tempdir().unwrap();
        let (configs, runs) = (tmp.path().join("configs/demo"), tmp.path().join("runs/demo"));
        fs::create_dir_all(&configs).unwrap();
        for name in ["good", "bad", "waiting"] {
            fs::write(configs.join(name).with_extension("toml"), TEXT).unwrap();
        }
        run(&runs.join("good/7"), tmp.path(), 11);
        run(&runs.join("bad/7"), tmp.path(), 2);
        let rows = paper_rows(&configs, &runs).unwrap();
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["bad", "good", "waiting"]);
        assert_eq!((rows[1].trained, rows[1].seed), (Some(60178), 7));
        assert_eq!(rows[1].curves.valid, [(6, 0.25)]);
        assert_eq!(rows[1].artists, vec![None; 60], "no manifest, no artists");
        assert!(rows[2].predictions.is_none() && rows[2].trained.is_none());
        let paper = compare("demo", rows, &CompareConfig::default()).unwrap();
        let [bad, good, _] = &paper.tables[0].rows[..] else { panic!() };
        assert!(good.score("mAP").unwrap().value > bad.score("mAP").unwrap().value + 0.1);
        assert!(bad.score("mAP").unwrap().p.unwrap() < 0.01);
        assert_eq!(paper.tables[0].reference, Some(1));
        let again = paper_rows(&configs, &runs).unwrap();
        assert_eq!(text(&compare("demo", again, &CompareConfig::default()).unwrap()), text(&paper));
    }

    #[test]
    fn a_paper_without_rows_says_where_it_looked() {
        let tmp = tempfile::tempdir().unwrap();
        let text = paper_rows(&tmp.path().join("c"), &tmp.path().join("r")).unwrap_err();
        assert!(text.to_string().contains("holds no run"), "{text}");
    }
}
