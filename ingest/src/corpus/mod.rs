//! Corpora: from annotation files as published to tracks and views. A corpus opens no audio.

mod numpy;
mod sheet;
mod table;

use crate::error::{Error, Result};
use etude_manifests::{Example, Source, Split, Status, Target, Track, View, Vocab};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The corpora: file, options, other public types of the file, and the layout in words. A new corpus is its file and its
/// line here. Of the line come the module, the value of `corpus` in a config and the section with its options, both with
/// the file's name ([`crate::Config`]). `corpora!(then {…})` calls `then!` with `{…}` and the list.
macro_rules! corpora {
    ($then:ident $given:tt) => {
        $then! { $given
            magnatagatune: Magnatagatune => "`annotations_final.csv` and `clip_info_final.csv`.";
            mtg_jamendo: MtgJamendo, Quality, Subset => "Split files `autotagging_*-{train,validation,test}.tsv`.";
            dunya: Dunya, Tradition => "Lists of recordings of Dunya and what its server says of each: makam, Hindustani, Carnatic.";
            fma: Fma, FmaSubset => "`tracks.csv` and `genres.csv`, `checksums` beside the audio.";
            lyra: Lyra => "`training.tsv` and `test.tsv`, mel spectrograms for audio.";
            tinysol: Tinysol => "`TinySOL_metadata.csv`: single notes.";
            beatport: Beatport => "One text file with a key per track.";
            giantsteps: Giantsteps => "Two repositories with keys: one to test, one to train on.";
            folder: Folder => "Any folder of audio with a table of tags.";
        }
    };
}
pub(crate) use corpora;

macro_rules! modules {
    ({} $($file:ident: $Corpus:ident $(, $also:ident)* => $layout:literal;)+) => {
        $(mod $file;
        pub use $file::{$Corpus $(, $also)*};)+
    };
}
corpora!(modules {});

/// Where a corpus is and what it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusConfig {
    /// Id of the data set, the first part of every key: `mtat`, `demo`, …
    pub dataset: String,
    /// Folder as downloaded and unpacked; paths of tracks are relative to it. Never written to.
    pub root: PathBuf,
}

/// One published corpus, or one layout that several data sets share.
pub trait Corpus: Sync {
    /// The annotation files that are read, in a fixed order.
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>>;

    /// Every annotated track, sorted by key, with tags, labels and splits, without facts about its audio.
    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>>;

    /// The vocabularies behind [`Track::labels`].
    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>>;

    /// The views. Tracks whose status says that they cannot be used are left out. Where nothing else is said: all
    /// annotated tracks with the one vocabulary, under the name of the data set.
    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let (name, scheme, sources) = (&cfg.dataset, self.scheme(cfg), sources(&self.files(cfg)?)?);
        let of = |vocab: &Vocab| view(cfg, name, &scheme, false, vocab, tracks, &sources);
        Ok(self.vocabs(cfg, tracks)?.iter().map(of).collect())
    }

    /// The splits that shards carry as their default: a key of [`Track::splits`].
    fn scheme(&self, cfg: &CorpusConfig) -> String {
        cfg.dataset.clone()
    }

    /// Durations as published.
    fn durations(&self, _cfg: &CorpusConfig) -> Result<Durations> {
        Ok(Durations::Unknown)
    }

    /// Whether the splits are declared to share no artist.
    fn artist_disjoint(&self) -> bool;

    /// What the annotations promise and the corpus does not hold, one line each; they end up in the report.
    fn remarks(&self, _cfg: &CorpusConfig, _tracks: &[Track]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// What is wrong with the options, if anything.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What the publisher says about durations; a decoded track outside gets the warning `duration_mismatch`.
#[derive(Debug, Clone, PartialEq)]
pub enum Durations {
    /// Nothing published.
    Unknown,
    /// Every clip has the same duration.
    Same {
        /// Seconds.
        seconds: f64,
        /// Allowed difference, seconds.
        tolerance: f64,
    },
    /// One duration per clip.
    Each {
        /// Clip id to seconds.
        seconds: HashMap<String, f64>,
        /// Allowed difference, seconds.
        tolerance: f64,
    },
}

impl Durations {
    /// Whether `seconds` decoded for `clip_id` is what was published; `true` where nothing was.
    pub fn fits(&self, clip_id: &str, decoded_s: f64) -> bool {
        let (published, tolerance) = match self {
            Durations::Unknown => return true,
            Durations::Same { seconds, tolerance } => (*seconds, *tolerance),
            Durations::Each { seconds, tolerance } => match seconds.get(clip_id) {
                Some(seconds) => (*seconds, *tolerance),
                None => return true,
            },
        };
        (decoded_s - published).abs() <= tolerance
    }
}

/// Name and SHA-256 of each file; of a folder, the digest of the names and digests of its files.
pub fn sources(files: &[PathBuf]) -> Result<Vec<Source>> {
    files.iter().map(|path| Ok(Source { name: file_name(path), sha256: sha256(path)? })).collect()
}

/// Tracks of `scheme` with their labels in `vocab`, as a view; `labelled` keeps tracks with at least one label only.
fn view(
    cfg: &CorpusConfig,
    name: &str,
    scheme: &str,
    labelled: bool,
    vocab: &Vocab,
    tracks: &[Track],
    sources: &[Source],
) -> View {
    let mut examples: Vec<Example> =
        tracks.iter().filter_map(|t| example(t, scheme, labelled, vocab)).collect();
    examples.sort_by(|a, b| a.key.cmp(&b.key));
    View {
        name: name.to_owned(),
        corpus: cfg.dataset.clone(),
        vocab: vocab.clone(),
        examples,
        sources: sources.to_vec(),
    }
}

/// As [`view`], for vocabularies of which every labelled track has one class.
fn class_view(
    cfg: &CorpusConfig,
    name: &str,
    scheme: &str,
    vocab: &Vocab,
    tracks: &[Track],
    sources: &[Source],
) -> View {
    let mut view = view(cfg, name, scheme, true, vocab, tracks, sources);
    for example in &mut view.examples {
        if let Target::Tags(tags) = &example.target
            && let [class] = tags.as_slice()
        {
            example.target = Target::Class(*class);
        }
    }
    view
}

fn example(track: &Track, scheme: &str, labelled: bool, vocab: &Vocab) -> Option<Example> {
    if !(track.status.usable() || track.status == Status::Unchecked) {
        return None;
    }
    let split = *track.splits.get(scheme)?;
    let labels = track.labels.get(&vocab.id)?.as_ref()?;
    if labelled && labels.is_empty() {
        return None;
    }
    let tags = labels.iter().filter_map(|&l| u16::try_from(l).ok()).collect();
    Some(Example {
        key: track.key.clone(),
        track: track.key.clone(),
        variant: "orig".into(),
        split,
        target: Target::Tags(tags),
    })
}

/// Indices of the tags that are classes, sorted.
fn labels(tags: &[String], index: &HashMap<&str, i32>) -> Vec<i32> {
    let mut found: Vec<i32> = tags.iter().filter_map(|t| index.get(t.as_str()).copied()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Sets the labels of every annotated track in a vocabulary.
fn fill_labels(tracks: &mut [Track], vocab: &Vocab) {
    let index = index(vocab);
    for track in tracks {
        let labels = track.tags.as_ref().map(|tags| labels(tags, &index));
        track.labels.insert(vocab.id.clone(), labels);
    }
}

/// The `n` tags that most of these tracks have, ties in alphabetical order; its id is `name` and their number.
fn top<'a>(name: &str, n: usize, tracks: impl Iterator<Item = &'a Track>) -> Vocab {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for track in tracks {
        let tags: BTreeSet<&String> = track.tags.iter().flatten().collect();
        tags.into_iter().for_each(|tag| *counts.entry(tag).or_default() += 1);
    }
    let mut classes: Vec<&str> = counts.keys().copied().collect();
    classes.sort_by_key(|tag| std::cmp::Reverse(counts[tag]));
    classes.truncate(n);
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    Vocab { id: format!("{name}{}", classes.len()), classes, order: "count_desc".into() }
}

/// Class to index.
fn index(vocab: &Vocab) -> HashMap<&str, i32> {
    vocab.classes.iter().map(String::as_str).zip(0..).collect()
}

/// A name as an id: `name:` and the text in lower case with single spaces; `None` if nothing is left.
fn name_id(name: &str) -> Option<String> {
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    (!words.is_empty()).then(|| format!("name:{}", words.join(" ")))
}

/// `Some` unless the text is empty.
fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Sorts by key; two tracks with one key or one path are an error.
fn sorted(mut tracks: Vec<Track>, file: &Path) -> Result<Vec<Track>> {
    tracks.sort_by(|a, b| a.key.cmp(&b.key));
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    for (i, track) in tracks.iter().enumerate() {
        if i > 0 && tracks[i - 1].key == track.key {
            return Err(Error::Annotation {
                place: file.display().to_string(),
                expected: "every id once".into(),
                got: format!("{} twice", track.clip_id),
            });
        }
        if let Some(other) = paths.insert(&track.path, &track.clip_id) {
            return Err(Error::Annotation {
                place: file.display().to_string(),
                expected: "every path once".into(),
                got: format!("{} for both {other} and {}", track.path, track.clip_id),
            });
        }
    }
    Ok(tracks)
}

/// Lower-case hex SHA-256 of a file, or of the sorted lines `<digest>  <name>` of the files of a folder.
fn sha256(path: &Path) -> Result<String> {
    if path.is_dir() {
        let entries = path.read_dir().map_err(Error::io(path))?;
        let mut files: Vec<PathBuf> = entries
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(Error::io(path))?;
        files.retain(|file| file.is_file());
        files.sort();
        let mut hash = Sha256::new();
        for file in &files {
            hash.update(format!("{}  {}\n", sha256(file)?, file_name(file)));
        }
        return Ok(hex(&hash.finalize()));
    }
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Split as the publishers spell it: `train`, `training`, `valid`, `validation`, `val`, `test`.
fn split_name(text: &str) -> Option<Split> {
    Some(match text {
        "train" | "training" => Split::Train,
        "valid" | "validation" | "val" => Split::Valid,
        "test" => Split::Test,
        _ => return None,
    })
}
