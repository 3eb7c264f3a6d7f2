//! A small corpus in the layout of MagnaTagATune, made of tones, and the folders that the stages fill from it.

use etude_ingest::{Bad, Config, Progress, Report, Result, Step, stage};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A corpus and its config, in a folder of its own.
pub struct Corpus {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

const TAGS: [&str; 6] = ["low", "high", "noisy", "slow", "never", "stereo"];

impl Corpus {
    /// `clips` good files of 0.3 to 1.2 s: WAV and FLAC, several rates, one or two channels.
    pub fn new(clips: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("raw");
        for folder in 0..16 {
            fs::create_dir_all(root.join(format!("{folder:x}"))).unwrap();
        }
        let mut annotations = String::from("\"clip_id\"");
        TAGS.iter().for_each(|t| write!(annotations, "\t\"{t}\"").unwrap());
        annotations.push_str("\t\"mp3_path\"\r\n");
        let mut info = String::from(
            "\"clip_id\"\t\"track_number\"\t\"title\"\t\"artist\"\t\"album\"\t\"url\"\t\"segmentStart\"\t\"segmentEnd\"\t\"original_url\"\t\"mp3_path\"\r\n",
        );
        for i in 0..clips {
            let path = path(i);
            write_clip(&root.join(&path), i);
            write!(annotations, "\"{}\"", i * 3 + 2).unwrap();
            for t in 0..TAGS.len() {
                let on = t != 4 && i % 5 != 4 && (i + t) % (t + 2) == 0;
                write!(annotations, "\t\"{}\"", u8::from(on)).unwrap();
            }
            write!(annotations, "\t\"{path}\"\r\n").unwrap();
            let artist = i / 4;
            write!(
                info,
                "\"{}\"\t\"{:02}\"\t\"Title {i}\"\t\"Artist {artist}\"\t\"Album\"\t\"http://x/{artist}/\"\t\"0\"\t\"1\"\t\"\"\t\"{path}\"\r\n",
                i * 3 + 2,
                i % 20
            )
            .unwrap();
        }
        fs::write(root.join("annotations_final.csv"), annotations).unwrap();
        fs::write(root.join("clip_info_final.csv"), info).unwrap();
        let config = dir.path().join("tones.toml");
        let text = format!(
            "corpus = \"magnatagatune\"\ndataset = \"tones\"\nroot = {root:?}\ndata = {:?}\nthreads = 2\n\
             [ingest]\nmax_bad = 0.9\n[shards]\nrate = 16000\nblock_s = 0.5\nrow_group_mb = 1\nfile_mb = 1\n",
            dir.path().join("data")
        );
        fs::write(&config, text).unwrap();
        Self { dir, config }
    }

    /// The file of clip `i`.
    pub fn clip(&self, i: usize) -> PathBuf {
        self.dir.path().join("raw").join(path(i))
    }

    /// The config with overrides.
    pub fn with(&self, sets: &[&str]) -> Config {
        Config::read(&self.config, &sets.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// The config for an output folder of that name.
    pub fn out(&self, data: &str, bad: Bad) -> Config {
        let mut config = self.with(&[]);
        config.data = self.dir.path().join(data);
        config.ingest.bad = bad;
        config
    }
}

fn path(i: usize) -> String {
    let end = if i % 3 == 1 { "flac" } else { "wav" };
    format!("{:x}/clip_{i:04}.{end}", (i * 7) % 16)
}

/// A tone and a little noise, different for every `i`.
pub fn write_clip(path: &Path, i: usize) {
    let rate = [16_000, 22_050, 44_100, 8000][i % 4];
    let channels: u16 = if i % 4 == 2 { 2 } else { 1 };
    let frames = rate * (3 + i % 10) / 10;
    let mut seed = i as u32 + 1;
    let samples: Vec<i32> = (0..frames * usize::from(channels))
        .map(|n| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let t = (n / usize::from(channels)) as f64 / rate as f64;
            let tone = (t * std::f64::consts::TAU * (110.0 + i as f64)).sin() * 9000.0;
            tone as i32 + (seed >> 24) as i32 - 128
        })
        .collect();
    if path.extension().is_some_and(|e| e == "flac") {
        fs::write(path, flac(&samples, usize::from(channels), rate)).unwrap();
        return;
    }
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&s| writer.write_sample(s as i16).unwrap());
    writer.finalize().unwrap();
}

fn flac(samples: &[i32], channels: usize, rate: usize) -> Vec<u8> {
    use flacenc::component::BitRepr;
    use flacenc::error::Verify;
    let config = flacenc::config::Encoder::default().into_verified().unwrap();
    let source = flacenc::source::MemSource::from_samples(samples, channels, 16, rate);
    let stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size).unwrap();
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).unwrap();
    sink.into_inner()
}

/// `etude ingest`.
pub fn ingest(config: &Config) -> Result<Report> {
    stage::tables::run(config, &(), &AtomicBool::new(false))
}

/// `etude shards`.
pub fn shards(config: &Config) -> Result<Report> {
    stage::pack::run(config, &(), &AtomicBool::new(false))
}

/// Name and bytes of every file below a folder, less the stages' own notes, whose names begin with a dot.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().map(|e| e.unwrap().path()) {
            let hidden = entry.file_name().unwrap().to_string_lossy().starts_with('.');
            if entry.is_dir() {
                folders.push(entry);
            } else if !hidden {
                let name = entry.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&entry).unwrap());
            }
        }
    }
    found
}

/// Like [`contents`], and it says which file differs.
pub fn assert_same(left: &Path, right: &Path, what: &str) {
    let (left, right) = (contents(left), contents(right));
    let names = |c: &BTreeMap<String, Vec<u8>>| c.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right), "{what}");
    assert!(!left.is_empty(), "{what}");
    for (name, bytes) in &left {
        assert!(*bytes == right[name], "{what}: {name} differs");
    }
}

/// Counts, and asks for a stop after some tracks.
pub struct StopAfter<'a> {
    stop: &'a AtomicBool,
    after: usize,
    done: AtomicUsize,
}

impl<'a> StopAfter<'a> {
    pub fn new(stop: &'a AtomicBool, after: usize) -> Self {
        Self { stop, after, done: AtomicUsize::new(0) }
    }
}

impl Progress for StopAfter<'_> {
    fn start(&self, _: &str, _: u64) {}
    fn done(&self, _: &Step) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.after {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn finish(&self) {}
}
