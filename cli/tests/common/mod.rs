//! A small corpus and the binary to run on it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Four steps of a network of two channels on the corpus of a [`Place`]: seconds.
pub const TINY: &str = r#"
[run]
seed = 1
device = "cpu"
threads = 1
[data]
view = "demo"
shards = "demo-16k"
crop = { kind = "random", steps = 32768 }
batch = 8
[model]
backbone = { name = "vggish", preset = "limited", channels = 2 }
head = { kind = "published" }
[tuning]
method = "full"
[objective]
kind = "supervised"
task = { kind = "tagging" }
[optim]
kind = "adam"
lr = 3e-3
[trainer]
steps = 4
"#;

/// One epoch of LoRA on a MERT of two narrow layers, on the corpus of a [`Place`] at 24 kHz: seconds.
pub const LORA: &str = r#"
[run]
seed = 1
device = "cpu"
threads = 1
[data]
view = "demo"
shards = "demo-24k"
crop = { kind = "random", steps = 12000 }
batch = 8
[model]
backbone = { name = "mert", layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 16 }
head = { kind = "linear" }
[tuning]
method = "lora"
[objective]
kind = "supervised"
task = { kind = "tagging" }
[optim]
kind = "adam"
lr = 3e-3
[trainer]
epochs = 1
"#;

/// A folder with `raw/demo` in MTAT layout, and configs that point into it.
pub struct Place {
    pub dir: PathBuf,
}

impl Place {
    /// Synthesises `clips` clips of `seconds` under `dir`.
    pub fn new(dir: &Path, clips: usize, seconds: f64) -> Self {
        let raw = dir.join("data/raw/demo");
        let out = etude()
            .args([
                "demo",
                "--clips",
                &clips.to_string(),
                "--seconds",
                &seconds.to_string(),
                "--out",
            ])
            .arg(&raw)
            .output()
            .unwrap();
        assert_done(&out, "demo");
        let config = "corpus = \"magnatagatune\"\ndataset = \"demo\"\nroot = \"data/raw/demo\"\n\
             data = \"data\"\n[ingest]\nmax_bad = 0.2\nmin_s = 0.2\n[shards]\nrate = 16000\n";
        std::fs::write(dir.join("demo.toml"), config).unwrap();
        Self { dir: dir.to_path_buf() }
    }

    /// As [`Place::new`], with the manifest and shards at `rate` Hz.
    pub fn with_shards(dir: &Path, clips: usize, seconds: f64, rate: u32) -> Self {
        let place = Self::new(dir, clips, seconds);
        place.done(&["ingest", "demo.toml"]);
        place.done(&["shards", "demo.toml", "--set", &format!("shards.rate={rate}")]);
        place
    }

    /// `etude` in this folder.
    pub fn etude(&self, args: &[&str]) -> Command {
        let mut command = etude();
        command.current_dir(&self.dir).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.etude(args).output().unwrap()
    }

    /// Runs a command that must succeed; its stdout.
    pub fn done(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_done(&out, &args.join(" "));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Starts a command and leaves it running, silent.
    pub fn start(&self, args: &[&str]) -> Child {
        self.etude(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Every file below `sub` with its bytes.
    pub fn bytes(&self, sub: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.dir.join(sub), &self.dir.join(sub), &mut files);
        files
    }
}

/// The binary under test, quiet.
pub fn etude() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etude"));
    command.arg("--quiet");
    command
}

/// Exit code 0, or the whole output in the message.
pub fn assert_done(out: &Output, what: &str) {
    assert!(
        out.status.success(),
        "{what}: {}\n{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Exit code 2 and one error that says all of `words`.
pub fn assert_fails(out: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "one clear error: {said}");
    for word in words {
        assert!(said.contains(word), "the error should say {word:?}: {said}");
    }
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(
                path.strip_prefix(root).unwrap().to_path_buf(),
                std::fs::read(&path).unwrap(),
            );
        }
    }
}
