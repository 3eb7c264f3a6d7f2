//! MTG-Jamendo (Bogdanov et al. 2019): whole tracks with genre, instrument and mood/theme tags, five artist-disjoint splits.
//!
//! `splits/split-{0..4}/autotagging[_<subset>]-{train,validation,test}.tsv`: tab separated, CRLF, no quotes, and every
//! field from the sixth on is one tag. A row's audio is `NN/<id>.mp3`, NN the last two digits of the id, or
//! `NN/<id>.low.mp3` in the low-quality tree.
//!
//! Views: `<prefix>_<subset>` for split 0 and `<prefix>_<subset>_split<n>` for the others. Classes are in alphabetical
//! order, as in the published lists.

use super::table::{Form, Row, Table};
use super::{Corpus, CorpusConfig, Durations, index, labels, sorted, sources, split_name, view};
use crate::error::{Error, Result};
use etude_manifests::{Split, Track, View, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Largest difference between the published and the decoded duration, seconds.
const TOLERANCE_S: f64 = 1.0;

const FORM: Form = Form { delimiter: b'\t', quotes: false, open_ended: true };

/// The layout, section `[mtg_jamendo]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MtgJamendo {
    /// Folder below the root that holds `splits/`, `tags/` and `download/`: `data` of the published repository.
    pub metadata: String,
    /// Folder below the root that holds `00` to `99`.
    pub audio: String,
    /// Which tree was downloaded.
    pub quality: Quality,
    /// Published splits to read, 0 to 4; the first is the default split of the shards.
    pub splits: Vec<u8>,
    /// Label lists to read; a track is in the manifest if it is in one of them.
    pub subsets: Vec<Subset>,
    /// First part of the views' names.
    pub prefix: String,
}

/// Audio as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// 320 kb/s, stereo, `NN/<id>.mp3`.
    Full,
    /// Variable rate, mono, `NN/<id>.low.mp3`.
    Low,
}

/// A published label list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subset {
    /// The 50 most frequent tags of all categories.
    Top50,
    /// 87 genres.
    Genre,
    /// 40 instruments.
    Instrument,
    /// 56 moods and themes.
    Moodtheme,
    /// All 183 tags.
    All,
}

impl Default for MtgJamendo {
    fn default() -> Self {
        Self {
            metadata: "data".into(),
            audio: "audio".into(),
            quality: Quality::Full,
            splits: vec![0],
            subsets: vec![Subset::Top50, Subset::Genre, Subset::Instrument, Subset::Moodtheme],
            prefix: "mtg".into(),
        }
    }
}

impl Corpus for MtgJamendo {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = self.lists().map(|list| list.path(self, cfg)).collect();
        files.extend(self.subsets.iter().filter_map(|s| self.class_list(cfg, *s)));
        files.extend(self.digest_lists(cfg));
        Ok(files)
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let tables = self.read(cfg)?;
        let vocabs: Vec<Vocab> =
            self.subsets.iter().map(|&s| self.vocab(cfg, s, &tables)).collect::<Result<_>>()?;
        let indices: Vec<_> = vocabs.iter().map(index).collect();
        let mut digests = HashMap::new();
        for list in self.digest_lists(cfg) {
            read_digests(&list, &mut digests)?;
        }
        let tracks = tables.rows.into_iter().map(|(id, row)| {
            let tags: Vec<String> = row.tags.into_iter().collect();
            let labels = vocabs
                .iter()
                .zip(&indices)
                .map(|(vocab, index)| (vocab.id.clone(), Some(labels(&tags, index))));
            let file = match self.quality {
                Quality::Full => row.path,
                Quality::Low => row.path.replace(".mp3", ".low.mp3"),
            };
            Track {
                dataset: cfg.dataset.clone(),
                key: format!("{}:{id}", cfg.dataset),
                clip_id: id.to_string(),
                track_id: Some(id.to_string()),
                artist_id: Some(row.artist),
                album_id: Some(row.album),
                path: match self.audio.trim_end_matches('/') {
                    "" => file.clone(),
                    folder => format!("{folder}/{file}"),
                },
                published_digest: digests.get(&file).map(|d| format!("sha256:{d}")),
                labels: labels.collect(),
                tags: Some(tags),
                splits: row.splits,
                ..Track::default()
            }
        });
        sorted(tracks.collect(), &cfg.root.join(&self.metadata))
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let tables = self.read(cfg)?;
        let sources = sources(&self.files(cfg)?)?;
        let mut views = Vec::new();
        for &subset in &self.subsets {
            let vocab = self.vocab(cfg, subset, &tables)?;
            for &n in &self.splits {
                let suffix = if n == 0 { String::new() } else { format!("_split{n}") };
                let name = format!("{}_{}{suffix}", self.prefix, subset.name());
                views.push(view(cfg, &name, &self.scheme_of(n), true, &vocab, tracks, &sources));
            }
        }
        Ok(views)
    }

    fn vocabs(&self, cfg: &CorpusConfig, _tracks: &[Track]) -> Result<Vec<Vocab>> {
        let tables = self.read(cfg)?;
        self.subsets.iter().map(|&s| self.vocab(cfg, s, &tables)).collect()
    }

    fn scheme(&self, _cfg: &CorpusConfig) -> String {
        self.scheme_of(self.splits.first().copied().unwrap_or(0))
    }

    fn durations(&self, cfg: &CorpusConfig) -> Result<Durations> {
        let rows = self.read(cfg)?.rows;
        let seconds = rows.into_iter().map(|(id, row)| (id.to_string(), row.seconds)).collect();
        Ok(Durations::Each { seconds, tolerance: TOLERANCE_S })
    }

    fn artist_disjoint(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        if self.splits.is_empty() || self.splits.iter().any(|&n| n > 4) {
            return Err(format!(
                "mtg_jamendo.splits: expected some of 0 to 4, got {:?}",
                self.splits
            ));
        }
        if self.subsets.is_empty() {
            return Err("mtg_jamendo.subsets: expected at least one, got none".into());
        }
        Ok(())
    }
}

/// Rows of all lists, merged by track.
#[derive(Default)]
struct Tables {
    rows: BTreeMap<u32, Merged>,
    tags: BTreeMap<Subset, BTreeSet<String>>,
}

struct Merged {
    artist: String,
    album: String,
    path: String,
    seconds: f64,
    tags: BTreeSet<String>,
    splits: BTreeMap<String, Split>,
}

/// One published file.
struct List {
    n: u8,
    subset: Subset,
    part: &'static str,
}

impl MtgJamendo {
    fn lists(&self) -> impl Iterator<Item = List> {
        let parts = ["train", "validation", "test"];
        self.splits.iter().flat_map(move |&n| {
            let of = move |&subset| parts.map(|part| List { n, subset, part });
            self.subsets.iter().flat_map(of)
        })
    }

    fn read(&self, cfg: &CorpusConfig) -> Result<Tables> {
        let mut tables = Tables::default();
        for list in self.lists() {
            let mut table = Table::open(&list.path(self, cfg), FORM)?;
            let at =
                table.columns(["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"])?;
            if at != [0, 1, 2, 3, 4, 5] {
                return Err(table.wrong(
                    1,
                    "TRACK_ID to TAGS in the published order",
                    "another order",
                ));
            }
            let split = split_name(list.part).unwrap_or(Split::Train); // parts are spelt as publishers do
            while let Some(row) = table.next()? {
                tables.add(&row, list.subset, &self.scheme_of(list.n), split)?;
            }
        }
        Ok(tables)
    }

    /// The published list of classes where there is one; otherwise the tags of the subset's files in alphabetical order.
    fn vocab(&self, cfg: &CorpusConfig, subset: Subset, tables: &Tables) -> Result<Vocab> {
        let found = tables.tags.get(&subset).cloned().unwrap_or_default();
        let (classes, order) = match self.class_list(cfg, subset) {
            None => (found.into_iter().collect(), "alphabetical"),
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
                let classes: Vec<String> =
                    text.lines().map(str::trim).filter(|l| !l.is_empty()).map(Into::into).collect();
                if let Some(tag) = found.iter().find(|tag| !classes.contains(tag)) {
                    return Err(Error::Annotation {
                        place: path.display().to_string(),
                        expected: format!("every tag of the {} files", subset.name()),
                        got: format!("no {tag}"),
                    });
                }
                (classes, "published")
            }
        };
        let id = format!("{}{}", subset.vocab_id(), classes.len());
        Ok(Vocab { id, classes, order: order.into() })
    }

    fn class_list(&self, cfg: &CorpusConfig, subset: Subset) -> Option<PathBuf> {
        let name = match subset {
            Subset::Top50 => "top50.txt",
            Subset::Moodtheme => "moodtheme_split.txt",
            Subset::Genre | Subset::Instrument | Subset::All => return None,
        };
        Some(cfg.root.join(&self.metadata).join("tags").join(name)).filter(|p| p.exists())
    }

    /// Published digests of the tracks, the longer list first.
    fn digest_lists(&self, cfg: &CorpusConfig) -> Vec<PathBuf> {
        let tree = match self.quality {
            Quality::Full => "audio",
            Quality::Low => "audio-low",
        };
        let folder = cfg.root.join(&self.metadata).join("download");
        let lists = ["raw_30s", "autotagging_moodtheme"];
        let paths = lists.map(|list| folder.join(format!("{list}_{tree}_sha256_tracks.txt")));
        paths.into_iter().filter(|p| p.exists()).collect()
    }

    fn scheme_of(&self, n: u8) -> String {
        format!("{}_split{n}", self.prefix)
    }
}

impl List {
    fn path(&self, corpus: &MtgJamendo, cfg: &CorpusConfig) -> PathBuf {
        let subset = match self.subset {
            Subset::All => "",
            Subset::Top50 => "_top50tags",
            Subset::Genre => "_genre",
            Subset::Instrument => "_instrument",
            Subset::Moodtheme => "_moodtheme",
        };
        let folder = cfg.root.join(&corpus.metadata).join(format!("splits/split-{}", self.n));
        folder.join(format!("autotagging{subset}-{}.tsv", self.part))
    }
}

impl Subset {
    fn name(self) -> &'static str {
        match self {
            Subset::Top50 => "top50",
            Subset::Genre => "genre",
            Subset::Instrument => "instrument",
            Subset::Moodtheme => "moodtheme",
            Subset::All => "all",
        }
    }

    /// The number of classes comes behind.
    fn vocab_id(self) -> &'static str {
        match self {
            Subset::Top50 | Subset::All => "jam",
            Subset::Genre => "jam_genre",
            Subset::Instrument => "jam_instr",
            Subset::Moodtheme => "jam_mood",
        }
    }
}

impl Tables {
    fn add(&mut self, row: &Row, subset: Subset, scheme: &str, split: Split) -> Result<()> {
        let number = row.get(0).strip_prefix("track_").and_then(|n| n.parse::<u32>().ok());
        let id = number.ok_or_else(|| row.wrong("track_ and a number", row.get(0)))?;
        let path = format!("{:02}/{id}.mp3", id % 100);
        if row.get(3) != path {
            return Err(row.wrong(&path, row.get(3)));
        }
        let seconds = row.number(4)?;
        let (artist, album) = (row.get(1), row.get(2));
        let merged = self.rows.entry(id).or_insert_with(|| Merged {
            artist: artist.to_owned(),
            album: album.to_owned(),
            path,
            seconds,
            tags: BTreeSet::new(),
            splits: BTreeMap::new(),
        });
        if (merged.artist.as_str(), merged.album.as_str(), merged.seconds)
            != (artist, album, seconds)
        {
            let expected =
                format!("{} {} {} as in another list", merged.artist, merged.album, merged.seconds);
            return Err(row.wrong(&expected, &format!("{artist} {album} {seconds}")));
        }
        if let Some(other) = merged.splits.insert(scheme.to_owned(), split)
            && other != split
        {
            return Err(row.wrong(
                &format!("{other:?} as in another list of {scheme}"),
                &format!("{split:?}"),
            ));
        }
        let seen = self.tags.entry(subset).or_default();
        for tag in row.rest(5).filter(|t| !t.is_empty()) {
            if !["genre---", "instrument---", "mood/theme---"].iter().any(|c| tag.starts_with(c)) {
                return Err(
                    row.wrong("genre---, instrument--- or mood/theme---", &format!("{tag:?}"))
                );
            }
            if !seen.contains(tag) {
                seen.insert(tag.to_owned());
            }
            merged.tags.insert(tag.to_owned());
        }
        Ok(())
    }
}

/// Lines of `<sha256> <path>`; a path that is known already keeps its digest.
fn read_digests(list: &Path, digests: &mut HashMap<String, String>) -> Result<()> {
    let text = std::fs::read_to_string(list).map_err(Error::io(list))?;
    for (line, content) in (1..).zip(text.lines()).filter(|(_, c)| !c.trim().is_empty()) {
        match content.trim_end().split_once(' ') {
            Some((digest, path))
                if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                let digest = digest.to_ascii_lowercase();
                digests.entry(path.trim_start().to_owned()).or_insert(digest);
            }
            _ => {
                return Err(Error::Annotation {
                    place: format!("{}:{line}", list.display()),
                    expected: "a SHA-256, a space and a path".into(),
                    got: format!("{content:?}"),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const HEADER: &str = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n";
    const ROW: &str = "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punk\tinstrument---bass\r\n";

    fn error(train: &str, test: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data/splits/split-0");
        std::fs::create_dir_all(&folder).unwrap();
        for (part, rows) in [("train", train), ("validation", ""), ("test", test)] {
            let file = folder.join(format!("autotagging-{part}.tsv"));
            std::fs::write(file, format!("{HEADER}{rows}")).unwrap();
        }
        let cfg = CorpusConfig { dataset: "j".into(), root: dir.path().to_path_buf() };
        let corpus = MtgJamendo { subsets: vec![Subset::All], ..MtgJamendo::default() };
        corpus.tracks(&cfg).map(|t| format!("{} tracks", t.len())).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn a_row_that_is_not_in_the_published_form_is_an_error_with_its_line() {
        assert_eq!(error(ROW, ""), "1 tracks");
        let train = |from: &str, to: &str| error(&format!("{ROW}{}", ROW.replace(from, to)), "");
        let cases = [
            (train("track_0000214", "214"), ":3: expected track_ and a number, got 214"),
            (train("14/214", "15/214"), ":3: expected 14/214.mp3, got 15/214.mp3"),
            (train("124.6", "long"), ":3: expected a number in DURATION, got \"long\""),
            (
                train("124.6", "12.0"),
                ":3: expected artist_000014 album_000031 124.6 as in another list",
            ),
            (
                train("genre---punk", "punk"),
                ":3: expected genre---, instrument--- or mood/theme---",
            ),
            (
                train("\t14/214.mp3\t124.6\tgenre---punk\tinstrument---bass", ""),
                ":3: expected at least 5 columns, got 3",
            ),
            (
                error(ROW, ROW),
                "autotagging-test.tsv:2: expected Train as in another list of mtg_split0, got Test",
            ),
        ];
        for (text, expected) in cases {
            assert!(text.contains(expected), "{text}\n{expected}");
        }
    }

    #[test]
    fn a_list_of_digests_names_the_line_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list.txt");
        std::fs::write(&list, format!("{} 00/1.mp3\nxyz 00/2.mp3\n", "A1".repeat(32))).unwrap();
        let mut digests = HashMap::new();
        let text = read_digests(&list, &mut digests).unwrap_err().to_string();
        assert!(
            text.ends_with(
                "list.txt:2: expected a SHA-256, a space and a path, got \"xyz 00/2.mp3\""
            ),
            "{text}"
        );
        assert_eq!(digests["00/1.mp3"], "a1".repeat(32));
    }
}
