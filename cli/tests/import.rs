//! Published checkpoints become model folders; files that are something else become one clear error.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_done, etude};
use std::path::{Path, PathBuf};
use std::process::Output;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Imports in `dir`, into `dir/out`.
fn import(dir: &Path, model: &str, file: &Path, more: &[&str]) -> Output {
    let mut command = etude();
    command.current_dir(dir).args(["import", model, "--out", "out", "--json"]).arg(file);
    command.args(more).output().unwrap()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn every_published_form_imports_and_imports_again_from_its_own_folder() {
    for (model, file, config, matched) in [
        ("musicfm", "musicfm/pretrained_tiny.pt", "musicfm/config.json", 125),
        ("musicfm", "musicfm/weights.safetensors", "musicfm/config.json", 125),
        ("mert", "mert/base/pytorch_model.bin", "mert/base/config.json", 0),
        ("mert", "mert/large/weights.safetensors", "mert/large/config.json", 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = fixture(config);
        let args = ["--config", config.to_str().unwrap()];
        let out = import(dir.path(), model, &fixture(file), &args);
        assert_done(&out, file);
        let said = json(&out);
        assert!(said["fits"] == true && said["missing"].as_array().unwrap().is_empty(), "{said}");
        let count = said["matched"].as_u64().unwrap();
        assert!(if matched == 0 { count > 20 } else { count == matched }, "{said}");
        let ours = dir.path().join("out");
        assert_eq!(ours.join("stats.json").exists(), model == "musicfm");
        assert_eq!(said.get("own_statistics").is_some_and(|s| s == true), model == "musicfm");
        let bytes = std::fs::read(ours.join("model.safetensors")).unwrap();

        // the folder's own files are in a form that imports
        let again = tempfile::tempdir().unwrap();
        let config = ours.join("config.json");
        let args = ["--config", config.to_str().unwrap()];
        assert_done(&import(again.path(), model, &ours.join("model.safetensors"), &args), file);
        for name in ["config.json", "stats.json"] {
            let read = |dir: &Path| std::fs::read(dir.join(name)).ok();
            assert_eq!(read(&again.path().join("out")), read(&ours), "{file}: {name}");
        }
        assert_eq!(
            bytes.len(),
            std::fs::read(again.path().join("out/model.safetensors")).unwrap().len()
        );
    }
}

#[test]
fn fewer_layers_leave_the_upper_ones_out_and_the_folder_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = fixture("musicfm/config.json");
    let args = ["--config", config.to_str().unwrap(), "--layers", "1"];
    let out = import(dir.path(), "musicfm", &fixture("musicfm/pretrained_tiny.pt"), &args);
    assert_done(&out, "import");
    let said = json(&out);
    assert_eq!((&said["matched"], said["skipped"].as_array().unwrap().len()), (&91.into(), 34));
    let config = std::fs::read_to_string(dir.path().join("out/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["name"], &config["layers"]), (&"musicfm".into(), &1.into()));
}

#[test]
fn the_other_spelling_of_the_weight_norm_is_the_same_model() {
    use std::collections::BTreeMap;
    let dir = tempfile::tempdir().unwrap();
    let base = std::fs::read(fixture("mert/base/weights.safetensors")).unwrap();
    let newer = std::fs::read(fixture("mert/base/pos_conv_parametrized_keys.safetensors")).unwrap();
    let base = safetensors::SafeTensors::deserialize(&base).unwrap();
    let newer = safetensors::SafeTensors::deserialize(&newer).unwrap();
    let mut all: BTreeMap<String, _> = base.tensors().into_iter().collect();
    all.retain(|name, _| !(name.contains("pos_conv_embed") && name.contains("weight")));
    all.extend(newer.tensors());
    let file = dir.path().join("newer.safetensors");
    safetensors::serialize_to_file(all, None, &file).unwrap();
    let config = fixture("mert/base/config.json");
    let args = ["--config", config.to_str().unwrap()];
    assert_done(&import(dir.path(), "mert", &file, &args), "newer names");
    let ours = std::fs::read(dir.path().join("out/model.safetensors")).unwrap();
    let ours = safetensors::SafeTensors::deserialize(&ours).unwrap();
    for (name, tensor) in base.tensors() {
        assert_eq!(ours.tensor(&name).unwrap().data(), tensor.data(), "{name}");
    }
}

#[test]
fn a_checkpoint_of_another_model_is_told_name_by_name_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = fixture("mert/base/config.json");
    let args = ["--config", config.to_str().unwrap()];
    let out = import(dir.path(), "mert", &fixture("musicfm/pretrained_tiny.pt"), &args);
    assert_eq!(out.status.code(), Some(2));
    let said = json(&out);
    assert_eq!((&said["fits"], &said["matched"]), (&false.into(), &0.into()));
    assert_eq!(said["extra"].as_array().unwrap().len(), 125);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.starts_with("error: ") && text.contains("is not this mert"), "{text}");
    assert!(!dir.path().join("out").exists());

    // the right model at another size
    let config = fixture("musicfm/config.json");
    let args = ["--config", config.to_str().unwrap(), "--layers", "3"];
    let out = import(dir.path(), "musicfm", &fixture("musicfm/pretrained_tiny.pt"), &args);
    assert_eq!((out.status.code(), json(&out)["missing"].as_array().unwrap().len()), (Some(2), 34));
}

/// Exit code 2 and an error on stderr that names the file; nothing written, nothing run, no panic.
fn refuses(dir: &Path, file: &Path, what: &str) {
    let config = fixture("musicfm/config.json");
    let out = import(dir, "musicfm", file, &["--config", config.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{what}: {text}");
    assert!(text.contains("error: ") && !text.contains("panicked"), "{what}: {text}");
    assert!(text.contains(file.file_name().unwrap().to_str().unwrap()), "{what}: {text}");
    assert!(!dir.join("out").exists() && !dir.join("CODE_WAS_RUN").exists(), "{what}");
}

#[test]
fn a_file_that_wants_to_run_code_is_refused_and_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["hostile/os_system.pt", "hostile/os_system_in_dict.pt"] {
        refuses(dir.path(), &fixture(name), name);
    }
    let bare = dir.path().join("bare.bin");
    std::fs::write(&bare, b"\x80\x02cos\nsystem\nX\x12\0\0\0touch CODE_WAS_RUN\x85R.").unwrap();
    refuses(dir.path(), &bare, "a pickle without an archive");
}

#[test]
fn truncated_and_random_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["musicfm/pretrained_tiny.pt", "musicfm/weights.safetensors"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let file = dir.path().join("cut.bin");
        let end = whole.len();
        for length in [0, 1, 8, 9, 100, 4096, end / 3, end / 2, end - 200, end - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            refuses(dir.path(), &file, &format!("{name}, {length} of {end} bytes"));
        }
    }
    let noise: Vec<u8> =
        (0..50_000u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    for (what, bytes) in [
        ("noise", noise.as_slice()),
        ("text", b"<html>404</html>"),
        ("zeros", &[0; 5000]),
        ("a header of 2^60 bytes", b"\0\0\0\0\0\0\0\x10{}"),
        ("a pickle of a string of 2^62 bytes", b"\x80\x04\x8d\0\0\0\0\0\0\0\x40a."),
        ("zip magic only", b"PK\x03\x04"),
    ] {
        let file = dir.path().join("junk.pt");
        std::fs::write(&file, bytes).unwrap();
        refuses(dir.path(), &file, what);
    }
    refuses(dir.path(), &dir.path().join("absent.pt"), "no file");
}

#[test]
fn statistics_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (stats, config) = (dir.path().join("s.json"), fixture("musicfm/config.json"));
    for text in ["", "{}", r#"{"melspec_2048_mean": 1, "melspec_2048_std": 0}"#] {
        std::fs::write(&stats, text).unwrap();
        let args = ["--config", config.to_str().unwrap(), "--stats", "s.json"];
        let out = import(dir.path(), "musicfm", &fixture("musicfm/pretrained_tiny.pt"), &args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && said.contains("s.json"), "{said}");
        assert!(!dir.path().join("out").exists());
    }
}
