//! A cache is filled while the first epoch trains on it. Stopped anywhere it ends with the same bytes and the run with the
//! same numbers; only one run fills it, and what another left of it is never mistaken.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::kept::{LORA, Stops, caches, data, experiment, same_tensors, train};
use common::untimed;
use etude_shards::{Index, Reader, TrackEntry};
use etude_train::{Ending, Experiment, Log, Outcome, Pace, Row, RunDir, resume, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Six batches of two clips, of each clip three windows, in files of two batches.
fn small(dir: &Path, model: &str, cache: &str, sets: &[&str]) -> Experiment {
    let cache = format!("data.cache={{ {cache} }}");
    let mut all = vec![LORA, "data.batch=2", cache.as_str()];
    all.extend(sets);
    let mut exp = experiment(dir, model, &all);
    let states = if model == "mert" { 74 } else { 25 };
    let window = states * 32 * if cache.contains("f32") { 4 } else { 2 } + 1024;
    exp.data.cache.as_mut().unwrap().file_bytes = Some(13 * window);
    exp
}

/// The cache of the training windows.
fn training(dir: &Path) -> (PathBuf, BTreeMap<String, Vec<u8>>) {
    let all = caches(dir);
    let of_training = |path: &Path| {
        fs::read_to_string(path.join("cache.json")).unwrap().contains("\"split\": \"train\"")
    };
    all.into_iter().find(|(path, _)| of_training(path)).unwrap()
}

/// Goes on in `path`, or begins there.
fn start(exp: &Experiment, path: &Path, log: &mut dyn Log, stop: &AtomicBool) -> Outcome {
    match path.exists() {
        true => resume(exp, &RunDir::open(path).unwrap(), log, stop).unwrap(),
        false => run(exp, &RunDir::create(path).unwrap(), log, stop).unwrap(),
    }
}

/// A start that is stopped after a step; what was said.
fn until(exp: &Experiment, path: &Path, step: u64) -> Vec<String> {
    let stop = AtomicBool::new(false);
    let mut log = Stops { step, ..Stops::never(&stop) };
    let ending = start(exp, path, &mut log, &stop).ending;
    assert_eq!(ending, if step == u64::MAX { Ending::Done } else { Ending::Stopped });
    log.said
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        match found.file_type().unwrap().is_dir() {
            true => copy(&found.path(), &to.join(found.file_name())),
            false => drop(fs::copy(found.path(), to.join(found.file_name())).unwrap()),
        }
    }
}

#[test]
fn steps_are_taken_before_the_cache_is_full_unless_it_is_to_be_filled_before_to_the_same_bytes() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    for (model, dtype) in [("musicfm", "dtype = 'f32'"), ("mert", "dtype = 'bf16'")] {
        let exp = small(dir, model, dtype, &[]);
        let said = until(&exp, &dir.join(format!("{model}-first")), u64::MAX);
        assert!(said[0].contains("cache/tones-24k-") && said[0].contains(" of 36 windows, "));
        assert!(said[0].ends_with("; filled during the first epoch"), "{said:?}");
        assert_eq!(said[1..7], [1, 2, 3, 4, 5, 6].map(|step| format!("step {step}")));
        assert!(said[7].ends_with(": full") && said[8].contains(" of 10 windows, "), "{said:?}");
        let filled = caches(dir);
        fs::remove_dir_all(dir.join("cache")).unwrap();
        let exp = small(dir, model, &format!("{dtype}, fill = 'before'"), &[]);
        let said = until(&exp, &dir.join(format!("{model}-before")), u64::MAX);
        assert!(said[0].contains(" of 36 windows, ") && said[1].contains(" of 10 windows, "));
        assert_eq!(said[2], "step 1");
        assert_eq!(caches(dir), filled);
        fs::remove_dir_all(dir.join("cache")).unwrap();
        let of = |kind: &str| untimed(&dir.join(format!("{model}-{kind}")));
        assert_eq!(of("first"), of("before"));
    }
}

#[test]
fn a_run_stopped_anywhere_in_the_first_epoch_ends_with_the_same_numbers_and_the_same_cache() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    for (model, cache, more) in [
        ("musicfm", "dtype = 'f32'", &["trainer.validate_steps=4"][..]),
        ("mert", "dtype = 'bf16'", &["trainer.accumulate=2", "trainer.precision=bf16"]),
    ] {
        let (exp, before) = (small(dir, model, cache, more), format!("{cache}, fill = 'before'"));
        let whole = dir.join(format!("{model}-whole"));
        let steps = until(&exp, &whole, u64::MAX);
        let steps = steps.iter().filter(|said| said.starts_with("step")).count() as u64 / 2;
        let (rows, filled) = (untimed(&whole), caches(dir));
        assert!(training(dir).1.contains_key("shard-00002.parquet"), "three files");
        assert!(!training(dir).1.contains_key("shard-00003.parquet"), "three files");
        let mut plans: Vec<Vec<u64>> = (1..=steps).map(|step| vec![step]).collect();
        plans.push((1..=steps).collect());
        for plan in plans {
            fs::remove_dir_all(dir.join("cache")).unwrap();
            let path = dir.join(format!("{model}-{plan:?}"));
            for &step in &plan {
                until(&exp, &path, step);
                let left = training(dir).1;
                assert!(left.keys().all(|name| !name.ends_with(".part")), "{:?}", left.keys());
                assert_eq!(left.contains_key("index.json"), step == steps, "stopped at {step}");
            }
            // and gone on with in another way, which changes no number
            let rest = if plan == [2] { small(dir, model, &before, more) } else { exp.clone() };
            until(&rest, &path, u64::MAX);
            assert_eq!(untimed(&path), rows, "{model}, stopped at {plan:?}");
            assert!(caches(dir) == filled, "{model}, stopped at {plan:?}");
            same_tensors(&whole, &path);
        }
        fs::remove_dir_all(dir.join("cache")).unwrap();
    }
}

#[test]
fn a_killed_run_takes_up_a_cache_that_is_ahead_of_its_checkpoint_or_has_lost_a_file() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let exp = small(dir, "musicfm", "dtype = 'f32'", &[]);
    let whole = dir.join("whole");
    until(&exp, &whole, u64::MAX);
    let (rows, filled) = (untimed(&whole), caches(dir));
    for (n, lost) in ["", "shard-00000.json", "shard-00000.parquet"].into_iter().enumerate() {
        fs::remove_dir_all(dir.join("cache")).unwrap();
        let (path, before) = (dir.join(format!("run{n}")), dir.join(format!("before{n}")));
        until(&exp, &path, 3);
        copy(&path, &before);
        until(&exp, &path, 5);
        let cache = training(dir).0;
        fs::write(cache.join("shard-00002.parquet.part"), "torn").unwrap();
        if !lost.is_empty() {
            fs::write(cache.join(lost), "torn").unwrap();
        }
        until(&exp, &before, u64::MAX);
        assert_eq!(untimed(&before), rows);
        assert!(caches(dir) == filled);
        same_tensors(&whole, &before);
    }
}

#[test]
fn what_the_first_epoch_does_not_reach_is_filled_in_behind_it_and_can_be_stopped_too() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let exp = small(dir, "mert", "", &["trainer.epoch_batches=2", "trainer.epochs=4"]);
    let whole = dir.join("whole");
    until(&exp, &whole, u64::MAX);
    let (rows, filled) = (untimed(&whole), caches(dir));
    fs::remove_dir_all(dir.join("cache")).unwrap();
    let path = dir.join("stopped");
    for windows in [14, 25] {
        let stop = AtomicBool::new(false);
        let mut log = Stops { windows, ..Stops::never(&stop) };
        let outcome = start(&exp, &path, &mut log, &stop);
        assert_eq!((outcome.ending, outcome.step), (Ending::Stopped, 2));
        assert!(!training(dir).1.contains_key("index.json"));
    }
    until(&exp, &path, u64::MAX);
    assert_eq!(untimed(&path), rows);
    assert!(caches(dir) == filled);
}

#[test]
fn a_full_cache_serves_every_order_and_a_partial_one_of_another_order_is_not_mistaken() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let of_seed = |seed: u64| small(dir, "mert", "dtype = 'f32'", &[&format!("run.seed={seed}")]);
    let numbers = |seed: u64| {
        let path = dir.join(format!("plain{seed}"));
        let exp = format!("run.seed={seed}");
        train(&experiment(dir, "mert", &[LORA, "data.batch=2", &exp]), &path)
    };
    let (seven, eight) = (numbers(7), numbers(8));
    until(&of_seed(7), &dir.join("seven"), u64::MAX);
    let filled = caches(dir);
    let said = until(&of_seed(8), &dir.join("eight"), u64::MAX);
    assert!(said[0].ends_with("; all there"), "{said:?}");
    assert_eq!(untimed(&dir.join("eight")), eight);
    assert!(caches(dir) == filled, "nothing new");
    // another order leaves a part of it
    fs::remove_dir_all(dir.join("cache")).unwrap();
    until(&of_seed(8), &dir.join("part"), 5);
    until(&of_seed(7), &dir.join("over"), u64::MAX);
    assert_eq!(untimed(&dir.join("over")), seven);
    assert!(caches(dir) == filled);
    // which finds it full and goes on
    until(&of_seed(8), &dir.join("part"), u64::MAX);
    assert_eq!(untimed(&dir.join("part")), eight);
    assert!(caches(dir) == filled);
    // and once more where a damaged file had made the cache a partial one, with an index that speaks of other files
    fs::write(training(dir).0.join("shard-00002.parquet"), "torn").unwrap();
    until(&of_seed(8), &dir.join("again"), 5);
    assert!(!training(dir).1.contains_key("index.json"));
    until(&of_seed(7), &dir.join("last"), u64::MAX);
    assert_eq!(untimed(&dir.join("last")), seven);
    assert!(caches(dir) == filled);
}

/// What the cache of the training windows holds of each.
fn numbers(dir: &Path) -> BTreeMap<String, Vec<f32>> {
    let index = Index::open(&training(dir).0).unwrap();
    let reader = Reader::new(&index);
    let numbers = |(n, track): (usize, &TrackEntry)| {
        let mut numbers = vec![0.0; track.steps as usize * index.spec().kind.width()];
        reader.read(n, 0, &mut numbers).unwrap();
        (format!("{}#{}", track.key, track.variant), numbers)
    };
    index.tracks().enumerate().map(numbers).collect()
}

#[test]
fn what_is_kept_of_a_window_does_not_depend_on_the_order_though_kernels_depend_on_the_size_of_a_batch()
 {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    // eleven clips, then one
    let sets = ["data.batch=11", "data.crop={ kind = 'whole' }", "tuning={ method = 'probe' }"];
    let kept = [7, 8].map(|seed| {
        let seed = format!("run.seed={seed}");
        let exp = small(dir, "musicfm", "dtype = 'f32'", &[&sets[..], &[seed.as_str()]].concat());
        until(&exp, &dir.join(&seed), u64::MAX);
        let kept = numbers(dir);
        fs::remove_dir_all(dir.join("cache")).unwrap();
        kept
    });
    assert_eq!(kept[0].len(), 12);
    assert!(kept[0] == kept[1]);
}

/// Begins another run when the first step is logged.
struct Beside<'a> {
    exp: &'a Experiment,
    path: &'a Path,
    said: Vec<String>,
}

/// Stops a run that has to wait.
struct Waits<'a>(&'a AtomicBool, &'a mut Vec<String>);

impl Log for Waits<'_> {
    fn row(&mut self, row: &Row) {
        if let Row::Event { text, .. } = row {
            self.1.push(text.clone());
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn pace(&mut self, _: &Pace) {}
}

impl Log for Beside<'_> {
    fn row(&mut self, row: &Row) {
        if matches!(row, Row::Step { step: 1, .. }) {
            let stop = AtomicBool::new(false);
            let outcome = start(self.exp, self.path, &mut Waits(&stop, &mut self.said), &stop);
            assert_eq!((outcome.ending, outcome.step), (Ending::Stopped, 0));
        }
    }

    fn pace(&mut self, _: &Pace) {}
}

#[test]
fn a_second_run_waits_for_the_one_that_fills_the_cache_and_says_so() {
    let _turn = common::turn();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    data(dir);
    let exp = small(dir, "musicfm", "dtype = 'f32'", &[]);
    let (first, second) = (dir.join("first"), dir.join("second"));
    let mut log = Beside { exp: &exp, path: &second, said: Vec::new() };
    start(&exp, &first, &mut log, &AtomicBool::new(false));
    assert!(matches!(&log.said[..], [one] if one.ends_with(": another run is filling it")));
    let said = until(&exp, &second, u64::MAX);
    assert!(said[0].ends_with("; all there"), "{said:?}");
    assert_eq!(untimed(&first), untimed(&second));
}
