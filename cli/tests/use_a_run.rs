//! What a run is good for once it is trained: tags of any file, a merged model, an adapter for another library.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{LORA, Place, assert_done, assert_fails};
use serde_json::Value;
use std::path::Path;

const RUN: &str = "runs/tiny/1";

/// A small MERT tuned with LoRA for a few steps, from random weights.
fn tuned(dir: &Path) -> Place {
    let place = Place::with_shards(dir, 24, 2.0, 24_000);
    std::fs::write(dir.join("tiny.toml"), LORA).unwrap();
    place.done(&["train", "tiny.toml"]);
    place
}

fn json(place: &Place, args: &[&str], code: i32) -> Value {
    let out = place.run(&[&["--json"], args].concat());
    assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn some_audio(dir: &Path) -> String {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(e) if e == "flac" || e == "wav" => return path.display().to_string(),
                _ => {}
            }
        }
    }
    panic!("no audio below {}", dir.display());
}

/// One block per start; the commit is that of the build, `unknown` outside a repository.
fn versions_are_noted_with_the_commit(place: &Place) {
    let text = std::fs::read_to_string(place.dir.join(RUN).join("versions.txt")).unwrap();
    let lines: Vec<(&str, &str)> = text.trim_end().lines().map(|l| l.split_at(11)).collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| name.trim_end()).collect();
    assert_eq!(names, ["etude", "commit", "rustc", "libtorch", "device", "threads"]);
    let (commit, hex) = (lines[1].1, |c: char| c.is_ascii_hexdigit());
    assert!(commit == "unknown" || (commit.len() >= 12 && commit.chars().all(hex)), "{commit}");
}

/// Prefixes and adapters: the error says why and what works instead, and nothing is written.
fn additions_that_no_weight_can_hold_are_not_merged(place: &Place) {
    let config = std::fs::read_to_string(place.dir.join("tiny.toml")).unwrap();
    for (method, why) in [
        ("prefix", "its keys and values are no weights of the network"),
        ("adapter", "its bottlenecks are layers that the network does not have"),
    ] {
        let tuning = format!("method = {method:?}");
        let config = config.replace("method = \"lora\"", &tuning).replace("epochs", "steps");
        std::fs::write(place.dir.join(format!("{method}.toml")), config).unwrap();
        place.done(&["train", &format!("{method}.toml")]);
        let out = place.run(&["merge", &format!("runs/{method}/1"), "--out", "none"]);
        assert_fails(&out, &[method, "cannot be folded into the base", why, "keep the run"]);
        assert!(!place.dir.join("none").exists());
    }
}

#[test]
fn a_run_tags_files_merges_and_exports() {
    let dir = tempfile::tempdir().unwrap();
    let place = tuned(dir.path());
    versions_are_noted_with_the_commit(&place);
    additions_that_no_weight_can_hold_are_not_merged(&place);
    let good = some_audio(&dir.path().join("data/raw/demo"));
    std::fs::write(dir.path().join("bad.mp3"), "no audio at all").unwrap();

    let heard = json(&place, &["tag", "--run", RUN, "--top", "0", "--windows", &good], 0);
    let file = &heard["files"][0];
    let tags = file["tags"].as_array().unwrap();
    let p: Vec<f64> = tags.iter().map(|t| t["probability"].as_f64().unwrap()).collect();
    assert!(
        p.len() > 3 && p.is_sorted_by(|a, b| a >= b) && p.iter().all(|p| (0.0..=1.0).contains(p))
    );
    let windows = file["windows"].as_array().unwrap();
    assert_eq!(windows.len(), (file["seconds"].as_f64().unwrap() / 0.5) as usize);
    let in_windows = windows.iter().map(|w| w["tags"][0]["probability"].as_f64().unwrap());
    assert!((in_windows.sum::<f64>() / windows.len() as f64 - p[0]).abs() < 1e-5);

    // A file that is no audio is a line, not the end.
    let out = place.run(&["tag", "--run", RUN, "--top", "2", "bad.mp3", "missing.wav", &good]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(text.matches("refused: ").count(), 2, "{text}");
    assert!(
        text.contains("bad.mp3") && text.contains("missing.wav") && text.contains('█'),
        "{text}"
    );
    let refused = json(&place, &["tag", "--run", RUN, "bad.mp3"], 1);
    assert!(refused["files"][0]["error"].as_str().unwrap().contains("bad.mp3"));

    // The merged model, trained no further, scores as the run does.
    let merged = json(&place, &["merge", RUN, "--out", "merged"], 0);
    assert_eq!(merged["method"], "lora");
    let probe = std::fs::read_to_string(dir.path().join("tiny.toml")).unwrap();
    let probe = probe
        .replace("\"lora\"", "\"probe\"")
        .replace("lr = 3e-3", "lr = 1e-12")
        .replace("[model]\n", "[model]\nweights = \"merged\"\nhead_weights = true\n");
    std::fs::write(dir.path().join("again.toml"), probe).unwrap();
    place.done(&["train", "again.toml"]);
    let again = json(&place, &["tag", "--run", "runs/again/1", "--top", "0", &good], 0);
    for (a, b) in tags.iter().zip(again["files"][0]["tags"].as_array().unwrap()) {
        let of = |t: &Value| t["probability"].as_f64().unwrap();
        assert!((of(a) - of(b)).abs() < 1e-5, "{a} {b}");
    }

    let exported = json(&place, &["export", RUN, "--format", "peft", "--out", "adapter"], 0);
    assert_eq!(exported["layers"], 2 * 6);
    for name in ["adapter_config.json", "adapter_model.safetensors", "head.safetensors"] {
        assert!(dir.path().join("adapter").join(name).is_file(), "{name}");
    }
    let out = place.run(&["export", "runs/again/1", "--format", "peft", "--out", "none"]);
    assert_fails(&out, &["probe has no form in huggingface/peft"]);
    assert_done(&place.run(&["merge", "runs/again/1", "--out", "plain"]), "merge");
    assert_fails(&place.run(&["tag", "--run", "runs/none/1", &good]), &["runs/none/1"]);
}
