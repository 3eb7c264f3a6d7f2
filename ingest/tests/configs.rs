//! Every config of the data stages parses and is spelt out: nothing rests on a default that a reader cannot see.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::Config;
use std::path::{Path, PathBuf};

fn configs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/data");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn every_data_config_parses_and_is_named_after_its_data_set() {
    assert!(configs().len() >= 3);
    for path in configs() {
        let config = Config::read(&path, &[]).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(config.dataset.as_str()));
        assert!(config.root.starts_with("data/raw"), "{}", path.display());
        assert_eq!(config.data, Path::new("data"));
    }
}

#[test]
fn every_line_of_a_data_config_says_what_it_is_for() {
    for path in configs() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with('#'), "{}", path.display());
        for line in text.lines().filter(|l| l.contains('=') && !l.starts_with('#')) {
            assert!(line.contains("  #"), "{}: {line}", path.display());
        }
    }
}
