//! The crate graph is part of the design: an arrow only ever points to a lower layer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Layer of each package; a package may use only packages of lower layers.
const LAYERS: [(&str, u32); 11] = [
    ("etude-manifests", 0),
    ("etude-features", 0),
    ("etude-demo", 0),
    ("etude-link", 0),
    ("etude-aten", 1),
    ("etude-shards", 1),
    ("etude-models", 2),
    ("etude-ingest", 2),
    ("etude-eval", 3),
    ("etude-train", 4),
    ("etude-cli", 5),
];

/// Packages that must build and test without libtorch and without polars.
const DATA: [&str; 5] =
    ["etude-demo", "etude-manifests", "etude-features", "etude-shards", "etude-ingest"];

fn cargo(args: &[&str]) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let out = Command::new(env!("CARGO")).args(args).current_dir(root).output().unwrap();
    assert!(out.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn arrows_point_to_lower_layers_only() {
    let meta = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let meta: Value = serde_json::from_str(&meta).unwrap();
    let layers: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let packages = meta["packages"].as_array().unwrap();
    assert_eq!(packages.len(), LAYERS.len(), "a member without a layer: add it to LAYERS");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let own = *layers.get(name).unwrap_or_else(|| panic!("{name} has no layer"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let Some(&theirs) = layers.get(used) else { continue };
            assert!(theirs < own, "{name} (layer {own}) uses {used} (layer {theirs})");
        }
    }
}

#[test]
fn data_crates_need_neither_libtorch_nor_polars() {
    for package in DATA {
        let tree =
            cargo(&["tree", "-p", package, "--edges", "all", "--offline", "--prefix", "none"]);
        for heavy in ["torch-sys v", "tch v", "polars v"] {
            assert!(!tree.contains(heavy), "{package} pulls {heavy}");
        }
    }
}

#[test]
fn a_data_only_binary_needs_neither_libtorch_nor_polars() {
    let args = ["tree", "-p", "etude-cli", "--no-default-features", "--features", "data"];
    let tree =
        cargo(&[&args[..], &["--edges", "normal", "--offline", "--prefix", "none"]].concat());
    for heavy in ["torch-sys v", "tch v", "polars v"] {
        assert!(!tree.contains(heavy), "etude with `data` alone pulls {heavy}");
    }
}

#[test]
fn there_is_one_arrow_in_the_tree() {
    let tree =
        cargo(&["tree", "-p", "etude-cli", "--edges", "normal", "--offline", "--prefix", "none"]);
    let mut arrows: Vec<_> = tree.lines().filter(|l| l.starts_with("arrow-array v")).collect();
    arrows.sort_unstable();
    arrows.dedup_by_key(|l| l.split(" (").next().unwrap().to_string());
    assert_eq!(arrows.len(), 1, "{arrows:?}");
}
