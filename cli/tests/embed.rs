//! `etude embed` gives the hidden states of the published code.
#![cfg(all(feature = "data", feature = "torch"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{assert_done, assert_fails, etude};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::process::Output;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn tensor(file: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(fixture(file)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (view.shape().to_vec(), numbers.collect())
}

/// A model folder `m`, and the waves of its fixture as `0.wav` and `1.wav`, float32 at 24 kHz.
fn place(dir: &Path, model: &str, weights: &str, config: &str, input: &str) {
    let mut import = etude();
    import.current_dir(dir).args(["import", model, "--out", "m", "--config"]);
    assert_done(&import.arg(fixture(config)).arg(fixture(weights)).output().unwrap(), "import");
    let (shape, numbers) = tensor(input, "wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 24_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    for (n, wave) in numbers.chunks(shape[1]).enumerate() {
        let mut wav = hound::WavWriter::create(dir.join(format!("{n}.wav")), spec).unwrap();
        wave.iter().for_each(|&x| wav.write_sample(x).unwrap());
        wav.finalize().unwrap();
    }
}

fn embed(dir: &Path, args: &[&str]) -> Output {
    let fixed = ["embed", "--model", "m", "--device", "cpu", "--threads", "1"];
    etude().current_dir(dir).args(fixed).args(args).output().unwrap()
}

/// Embeds one file into `x.npy`: its shape and numbers.
fn npy(dir: &Path, args: &[&str]) -> ([usize; 2], Vec<f32>) {
    assert_done(&embed(dir, &[&["--out", "x.npy"], args].concat()), &args.join(" "));
    let bytes = std::fs::read(dir.join("x.npy")).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let shape = [file.shape()[0] as usize, file.shape()[1] as usize];
    (shape, file.into_vec().unwrap())
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let most = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let gap = got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(gap <= 1e-5 * most + 1e-6, "{what}: off by {gap:e} of {most}");
}

#[test]
fn hidden_states_are_those_of_the_published_musicfm_and_mert() {
    for (model, folder, weights, last) in [
        ("musicfm", "musicfm", "pretrained_tiny.pt", "hidden_2"),
        ("mert", "mert/base", "pytorch_model.bin", "last_hidden"),
        ("mert", "mert/large", "weights.safetensors", "last_hidden"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (weights, config) = (format!("{folder}/{weights}"), format!("{folder}/config.json"));
        let input = format!("{model}/input.safetensors");
        place(dir.path(), model, &weights, &config, &input);
        for (layer, name) in [(None, last), (Some("0"), "hidden_0"), (Some("1"), "hidden_1")] {
            let (shape, want) = tensor(&format!("{folder}/expected.safetensors"), name);
            let layer = layer.map_or(vec![], |n| vec!["--layer", n]);
            for (n, want) in want.chunks(shape[1] * shape[2]).enumerate() {
                let file = format!("{n}.wav");
                let (got_shape, got) = npy(dir.path(), &[&layer[..], &[file.as_str()]].concat());
                assert_eq!(got_shape, [shape[1], shape[2]]);
                assert_close(&got, want, &format!("{folder} {name} {n}"));
            }
        }
    }
}

#[test]
fn means_rates_windows_and_tables_come_from_the_same_hidden_states() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let input = "musicfm/input.safetensors";
    place(dir, "musicfm", "musicfm/weights.safetensors", "musicfm/config.json", input);
    let ([frames, dim], all) = npy(dir, &["0.wav"]);
    let (shape, mean) = npy(dir, &["--pool", "mean", "0.wav"]);
    assert_eq!(shape, [1, dim]);
    let sum = |d: usize| all.iter().skip(d).step_by(dim).sum::<f32>() / frames as f32;
    assert_close(&mean, &(0..dim).map(sum).collect::<Vec<_>>(), "mean");

    let samples = tensor(input, "wav").0[1];
    let (shape, slow) = npy(dir, &["--pool", "5hz", "0.wav"]);
    assert_eq!(shape[0], (samples as f64 / 24_000.0 * 5.0).round() as usize);
    let to = frames.div_ceil(shape[0]); // the first of the averages ends here
    let first: Vec<f32> =
        (0..dim).map(|d| (0..to).map(|t| all[t * dim + d]).sum::<f32>() / to as f32).collect();
    assert_close(&slow[..dim], &first, "5hz");

    // side by side: the first window alone is what a file cut there gives
    let (shape, cut) = npy(dir, &["--window", "1", "0.wav"]);
    assert!(shape[0] >= frames - 1 && shape[0] <= frames + 1, "{shape:?}");
    assert!(cut.iter().zip(&all).any(|(a, b)| (a - b).abs() > 1e-3), "windows change nothing");

    std::fs::write(dir.join("bad.wav"), b"no audio").unwrap();
    let out = embed(dir, &["--json", "--out", "t.parquet", "0.wav", "bad.wav", "1.wav"]);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&said["stored"], said["refused"].as_array().unwrap().len()), (&2.into(), 1));
    for part in ["open", "audio", "compute"] {
        assert!(said["seconds"][part].as_f64().unwrap() > 0.0, "{said}");
    }
    assert!(dir.join("t.parquet").exists() && !dir.join("t.parquet.part").exists());
}

#[test]
fn what_cannot_be_embedded_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let input = "musicfm/input.safetensors";
    place(dir, "musicfm", "musicfm/weights.safetensors", "musicfm/config.json", input);
    let fails = |args: &[&str], words: &[&str]| assert_fails(&embed(dir, args), words);
    fails(&["--out", "x.npy", "--layer", "3", "0.wav"], &["layer: expected 0 to 2, got 3"]);
    fails(&["--out", "x.npy", "--pool", "50hz", "0.wav"], &["at most 25hz"]);
    fails(&["--out", "x.npy", "0.wav", "1.wav"], &["x.npy", "FILE.parquet"]);
    fails(&["--out", "x.mp3", "0.wav"], &["x.mp3", ".npy or .parquet"]);
    fails(&["--out", "x", "--shards", "nowhere"], &["nowhere"]);
    std::fs::write(dir.join("m/config.json"), "{}").unwrap();
    fails(&["--out", "x.npy", "0.wav"], &["config.json", "etude import"]);
    assert!(!dir.join("x.npy").exists());
}

#[test]
fn a_view_becomes_embedding_shards_that_check_and_train() {
    let tmp = tempfile::tempdir().unwrap();
    let place = common::Place::new(tmp.path(), 24, 2.0);
    place.done(&["ingest", "demo.toml"]);
    place.done(&["shards", "demo.toml", "--set", "shards.rate=24000"]);
    let config = fixture("musicfm/config.json");
    let weights = fixture("musicfm/weights.safetensors");
    let (config, weights) = (config.to_str().unwrap(), weights.to_str().unwrap());
    place.done(&["import", "musicfm", weights, "--config", config, "--out", "m"]);
    let found = std::fs::read_dir(tmp.path().join("data/manifests")).unwrap();
    let names = found.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut views: Vec<String> = names
        .filter(|n| n.ends_with(".parquet") && !n.contains(".tracks."))
        .map(|n| n.trim_end_matches(".parquet").to_owned())
        .collect();
    views.sort();
    let view = views[0].as_str();
    let out = "data/shards/demo-mfm.l2";
    let args = ["embed", "--model", "m", "--device", "cpu", "--threads", "1", "--pool", "mean"];
    let args = [&args[..], &["--view", view, "--out", out, "--json"]].concat();
    let said: serde_json::Value = serde_json::from_str(&place.done(&args)).unwrap();
    assert!(said["stored"].as_u64().unwrap() >= 20 && said["fps"] == 0.0, "{said}");
    let bytes = place.bytes(out);
    let again: serde_json::Value = serde_json::from_str(&place.done(&args)).unwrap();
    assert_eq!(again["nothing_to_do"], true);
    assert_eq!(bytes, place.bytes(out));
    place.done(&["check", out]);
    let experiment = format!(
        "[run]\nseed = 1\ndevice = \"cpu\"\nthreads = 1\n\
         [data]\nview = \"{view}\"\nshards = \"demo-mfm.l2\"\ncrop = {{ kind = \"whole\" }}\nbatch = 4\n\
         [model]\nbackbone = {{ name = \"identity\", dim = 32 }}\nhead = {{ kind = \"linear\" }}\n\
         [tuning]\nmethod = \"probe\"\n\
         [objective]\nkind = \"supervised\"\ntask = {{ kind = \"tagging\" }}\n\
         [optim]\nkind = \"adam\"\nlr = 1e-2\n[trainer]\nepochs = 1\n"
    );
    std::fs::write(tmp.path().join("probe.toml"), experiment).unwrap();
    place.done(&["train", "probe.toml"]);
    assert!(tmp.path().join("runs/probe/1/best.safetensors").exists());
}
