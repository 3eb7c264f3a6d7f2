//! The config of the data stages, `configs/data/<name>.toml`. Relative paths start at the current folder.

mod parse;
mod shards;

use crate::corpus::{Corpus, CorpusConfig, corpora};
use crate::error::{Error, Result};
use crate::limited::Limited;
use crate::policy::name;
use parse::{apply, parse, refused};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub use shards::{Shards, rate_name};

/// The config that is given, with one section per corpus behind the sections that all corpora share.
macro_rules! with_corpora {
    ({ $(#[$about:meta])* pub struct Config { $($shared:tt)* } }
     $($file:ident: $Corpus:ident $(, $also:ident)* => $layout:literal;)+) => {
        $(#[$about])*
        pub struct Config {
            $($shared)*
            $(#[doc = concat!("Options of `corpus = \"", stringify!($file), "\"`.")]
            pub $file: Option<crate::corpus::$Corpus>,)+
        }

        /// Published layouts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum CorpusName {
            $(#[doc = $layout]
            $Corpus,)+
        }

        impl Config {
            /// The corpus with its options.
            pub fn corpus(&self) -> Box<dyn Corpus> {
                match self.corpus {
                    $(CorpusName::$Corpus => Box::new(self.$file.clone().unwrap_or_default()),)+
                }
            }
        }
    };
}

corpora!(with_corpora {
    /// Everything that `etude ingest` and `etude shards` need to know. Complete on its own; every default is stated once.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// How the annotation files are laid out.
        pub corpus: CorpusName,
        /// Id of the data set: first part of every key and of every file name. Lower case, digits, underscores.
        pub dataset: String,
        /// Folder as downloaded and unpacked. Never written to.
        pub root: PathBuf,
        /// Folder for `manifests/` and `shards/`.
        #[serde(default = "default_data")]
        pub data: PathBuf,
        /// Worker threads; 0 = one per core. Any number gives the same bytes.
        #[serde(default)]
        pub threads: usize,
        /// Upper bound for audio held in memory at once, MiB; a single larger file is decoded alone.
        #[serde(default = "default_memory_mb")]
        pub memory_mb: u64,
        /// Do everything again, whatever is there.
        #[serde(default)]
        pub force: bool,
        /// What `etude ingest` checks and how it treats bad files.
        #[serde(default)]
        pub ingest: Ingest,
        /// What `etude shards` writes.
        #[serde(default)]
        pub shards: Shards,
        /// Subsets for limited-data studies.
        pub limited: Option<Limited>,
    }
});

/// Section `[ingest]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Decode every file, or leave that to `etude shards`.
    pub check: Check,
    /// What becomes of files that cannot be used.
    pub bad: Bad,
    /// Share of refused tracks above which a run that ends well still says so, 0 to 1.
    pub max_bad: f64,
    /// Shorter files are refused, seconds.
    pub min_s: f64,
    /// Longer files get the warning `duration_mismatch`, seconds; absent = none do.
    pub max_s: Option<f64>,
    /// Files with more channels are refused.
    pub max_channels: u16,
    /// Compare the MD5 inside FLAC files, and digest the samples to find re-tagged duplicates.
    pub verify: bool,
}

/// How much `etude ingest` finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// One full decode of every file.
    Decode,
    /// Existence and size only; `etude shards` decodes and completes the manifest, in one pass over the audio.
    Header,
}

/// What becomes of files that cannot be used. Raw data is never moved, changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// The run ends at the first.
    Fail,
    /// They are in the manifest with their status, and in no view and no shard.
    Skip,
    /// As `skip`, and listed in `<dataset>.quarantine.tsv`.
    Quarantine,
    /// As `skip`, but truncated, partly unreadable and not-a-number audio is used as far as it goes, with a warning.
    KeepGood,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            check: Check::Decode,
            bad: Bad::Skip,
            max_bad: 0.02,
            min_s: 0.1,
            max_s: None,
            max_channels: 8,
            verify: true,
        }
    }
}

fn default_data() -> PathBuf {
    "data".into()
}

fn default_memory_mb() -> u64 {
    2048
}

impl Config {
    /// Reads `path` and applies overrides of the form `section.key=value`; a value is TOML, and text needs no quotes.
    ///
    /// # Errors
    /// [`Error::Config`] with the line, what is wrong, and the nearest right name.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut table: toml::Table = parse(path, &text)?;
        for set in sets {
            apply(&mut table, set)?;
        }
        let config: Config = match table.try_into() {
            Ok(config) => config,
            // The file alone is asked again because only its text has lines.
            Err(e) => {
                parse::<Config>(path, &text)?;
                return Err(refused(format!("--set {}", sets.join(" --set ")), e.message()));
            }
        };
        config.check().map_err(|text| refused(path.display().to_string(), &text))?;
        Ok(config)
    }

    /// Name and place of the corpus.
    pub fn place(&self) -> CorpusConfig {
        CorpusConfig { dataset: self.dataset.clone(), root: self.root.clone() }
    }

    /// `<data>/manifests`.
    pub fn manifests_dir(&self) -> PathBuf {
        self.data.join("manifests")
    }

    /// `<data>/manifests/<dataset>.tracks.parquet`.
    pub fn tracks_path(&self) -> PathBuf {
        self.manifests_dir().join(format!("{}.tracks.parquet", self.dataset))
    }

    /// `<data>/shards/<dataset>-<rate>`, e.g. `mtat-24k` or `mtat-22k05`; for mel frames the front end in place of the
    /// rate, e.g. `lyra-vgg-16k-db`; for features both, e.g. `mtat-16k-mfcc`.
    pub fn shards_dir(&self) -> PathBuf {
        self.data.join("shards").join(format!("{}-{}", self.dataset, self.shards.name()))
    }

    /// Worker threads, at least one.
    pub fn workers(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let ingest = &self.ingest;
        let rules: [(bool, &str, String); 6] = [
            (
                !self.dataset.is_empty() && self.dataset.chars().all(plain),
                "dataset: expected lower-case letters, digits and underscores",
                self.dataset.clone(),
            ),
            (self.threads <= 1024, "threads: expected at most 1024", self.threads.to_string()),
            (
                (0.0..=1.0).contains(&ingest.max_bad),
                "ingest.max_bad: expected a share from 0 to 1",
                ingest.max_bad.to_string(),
            ),
            (
                ingest.min_s >= 0.0 && ingest.min_s.is_finite(),
                "ingest.min_s: expected seconds, 0 or more",
                ingest.min_s.to_string(),
            ),
            (
                ingest.max_s.is_none_or(|s| s > ingest.min_s && s.is_finite()),
                "ingest.max_s: expected seconds above ingest.min_s",
                ingest.max_s.unwrap_or_default().to_string(),
            ),
            (
                self.shards.cap_s.is_none_or(|s| s > ingest.min_s && s.is_finite()),
                "shards.cap_s: expected seconds above ingest.min_s",
                self.shards.cap_s.unwrap_or_default().to_string(),
            ),
        ];
        if let Some((_, rule, got)) = rules.into_iter().find(|(holds, ..)| !holds) {
            return Err(format!("{rule}, got {got}"));
        }
        self.shards.check()?;
        self.check_sections()
    }

    /// The section of the corpus in use, as JSON; null if the config has none.
    pub(crate) fn options(&self) -> serde_json::Value {
        let mut all = serde_json::to_value(self).unwrap_or_default(); // plain values: they always serialise
        all.get_mut(name(&self.corpus).as_str()).map(serde_json::Value::take).unwrap_or_default()
    }

    /// Options of a corpus that is not the one in use are a mistake.
    fn check_sections(&self) -> Result<(), String> {
        let all = serde_json::to_value(self).unwrap_or_default(); // plain values: they always serialise
        let in_use = name(&self.corpus);
        let known = ["ingest", "shards", "limited", &in_use];
        let mut sections = all.as_object().into_iter().flatten();
        let stray = sections.find(|(name, v)| v.is_object() && !known.contains(&name.as_str()));
        if let Some((section, _)) = stray {
            return Err(format!(
                "section [{section}] belongs to corpus = \"{section}\", got another corpus"
            ));
        }
        self.limited.as_ref().map_or(Ok(()), Limited::check)?;
        self.corpus().check()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const SMALL: &str =
        "corpus = \"magnatagatune\"\ndataset = \"mtat\"\nroot = \"raw\"\n[shards]\nrate = 16000\n";

    fn read(text: &str, sets: &[&str]) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::read(file.path(), &sets.iter().map(|&s| s.to_owned()).collect::<Vec<_>>())
    }

    fn error(text: &str, sets: &[&str]) -> String {
        read(text, sets).unwrap_err().to_string()
    }

    #[test]
    fn what_a_config_leaves_out_has_its_default() {
        let cfg = read(SMALL, &[]).unwrap();
        assert_eq!((cfg.data.to_str(), cfg.shards.rate), (Some("data"), 16_000));
        assert_eq!((cfg.ingest.clone(), cfg.shards.block_s), (Ingest::default(), 10.0));
        assert!(cfg.shards_dir().ends_with("data/shards/mtat-16k"));
    }

    #[test]
    fn an_override_is_typed_by_its_toml_value_and_text_needs_no_quotes() {
        let sets = [
            "ingest.bad=fail",
            "ingest.max_bad=0.5",
            "shards.rate = 22050",
            "data=\"/x\"",
            "root=a b",
        ];
        let cfg = read(SMALL, &sets).unwrap();
        assert_eq!((cfg.ingest.bad, cfg.ingest.max_bad, cfg.shards.rate), (Bad::Fail, 0.5, 22_050));
        assert_eq!((cfg.data.to_str(), cfg.root.to_str()), (Some("/x"), Some("a b")));
        assert!(cfg.shards_dir().ends_with("mtat-22k05"));
    }

    #[test]
    fn a_wrong_name_comes_with_its_line_and_the_nearest_right_one() {
        let text = error(&SMALL.replace("rate", "rte"), &[]);
        assert!(text.contains(":5: unknown field `rte`"), "{text}");
        assert!(text.ends_with("did you mean `rate`?"), "{text}");
        let text = error(SMALL, &["ingest.bad=skp"]);
        assert!(text.starts_with("--set ingest.bad=skp: unknown variant `skp`"), "{text}");
        assert!(text.ends_with("did you mean `skip`?"), "{text}");
        assert!(error("corpus = \n", &[]).contains(":1: "));
    }

    macro_rules! names {
        ({} $($file:ident: $Corpus:ident $(, $also:ident)* => $layout:literal;)+) => {
            [$((stringify!($file), CorpusName::$Corpus)),+]
        };
    }

    #[test]
    fn every_corpus_and_its_section_are_called_as_its_file_and_a_wrong_one_lists_them() {
        for (file, corpus) in corpora!(names {}) {
            let text = SMALL.replace("magnatagatune", file) + &format!("[{file}]\n");
            let cfg = read(&text, &[]).unwrap();
            assert_eq!((cfg.corpus, cfg.options().is_object()), (corpus, true), "{file}");
            let unknown = error(&text, &["corpus=mtt"]);
            assert!(unknown.contains(&format!("`{file}`")), "{unknown}");
        }
        let text = error(&SMALL.replace("magnatagatune", "dunia"), &[]);
        assert!(text.contains(":1: unknown variant `dunia`, expected one of `mag"), "{text}");
        assert!(text.ends_with("did you mean `dunya`?"), "{text}");
        let text = error(&(SMALL.to_owned() + "[dunia]\n"), &[]);
        assert!(text.contains(":6: unknown field `dunia`"), "{text}");
        assert!(text.ends_with("did you mean `dunya`?"), "{text}");
        let text = error(&(SMALL.to_owned() + "[magnatagatune]\nclases = 3\n"), &[]);
        assert!(text.contains(":7: unknown field `clases`"), "{text}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (set, name) in [
            ("dataset=MTAT", "dataset"),
            ("ingest.max_bad=2", "ingest.max_bad"),
            ("ingest.min_s=-1.0", "ingest.min_s"),
            ("ingest.max_s=0.0", "ingest.max_s"),
            ("shards.rate=1", "shards.rate"),
            ("shards.number=bf16", "shards.number"),
            ("shards.block_s=0.0", "shards.block_s"),
            ("shards.file_mb=0", "shards.row_group_mb"),
            ("shards.cap_s=0.0", "shards.cap_s"),
        ] {
            let text = error(SMALL, &[set]);
            assert!(text.contains(&format!("{name}: expected")), "{text}");
        }
        let text = error(SMALL, &["mtg_jamendo.splits=[0]"]);
        assert!(
            text.contains("section [mtg_jamendo] belongs to corpus = \"mtg_jamendo\""),
            "{text}"
        );
        let text = error(SMALL, &["corpus=mtg_jamendo", "mtg_jamendo.splits=[5]"]);
        assert!(text.contains("mtg_jamendo.splits: expected some of 0 to 4, got [5]"), "{text}");
        assert!(error(SMALL, &["ingest"]).contains("expected section.key=value"));
        assert!(error(SMALL, &["corpus.x=1"]).contains("corpus is a value, not a section"));
    }

    #[test]
    fn rates_are_named_by_kilohertz() {
        let names = [24_000, 16_000, 22_050, 44_100, 11_025, 8000].map(rate_name);
        assert_eq!(names, ["24k", "16k", "22k05", "44k1", "11k025", "8k"]);
    }
}
