//! Every experiment in `configs/` reads and passes its checks. `configs/data` belongs to the data stages.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_train::Experiment;
use etude_train::study::Study;
use std::path::{Path, PathBuf};

fn experiments(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "data" {
                experiments(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn every_experiment_reads_and_says_what_to_expect() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut found = Vec::new();
    experiments(&root, &mut found);
    assert!(found.len() >= 2, "{found:?}");
    // study files name experiments and are none
    found.retain(|path| Study::read(path).is_err());
    for path in found {
        let exp = Experiment::read(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        exp.check().unwrap();
        let head: String = exp.text().lines().take_while(|l| l.starts_with('#')).collect();
        assert!(
            head.contains("xpected") || head.contains("ublished"),
            "{}: no head comment",
            path.display()
        );
    }
}
