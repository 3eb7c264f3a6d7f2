//! Any folder of audio with a table of tags: CSV, TSV or Parquet, one row per file.
//!
//! A column holds the path below the root. Tags are one column (`rock|live` or `rock;live`; a list in Parquet) or one 0/1
//! column per tag. Without a column of splits, a seeded split keeps every artist (or album, where no artist is known) in
//! one part. The view has the name of the data set.

use super::sheet::{Line, Sheet};
use super::{Corpus, CorpusConfig, fill_labels, filled, name_id, sorted, split_name};
use crate::error::Result;
use etude_manifests::split::{Shares, grouped};
use etude_manifests::{Track, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Which column is what, section `[folder]` of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Folder {
    /// The table, below the root; `.csv`, `.tsv` or `.parquet`.
    pub table: String,
    /// Column of paths below the root.
    pub path: String,
    /// Column of tags separated by `|` or `;`; empty if each tag has a column of its own.
    pub tags: String,
    /// Columns of 0 and 1, one per tag.
    pub tag_columns: Vec<String>,
    /// Most frequent tags that are classes, in descending order; 0 = all tags, in alphabetical order.
    pub classes: usize,
    /// Column of `train`, `valid` and `test`; empty for a seeded split. An empty cell is in no split.
    pub split: String,
    /// Column of artists; empty if there is none.
    pub artist: String,
    /// Column of albums; empty if there is none.
    pub album: String,
    /// Column of titles; empty if there is none.
    pub title: String,
    /// Seed of the split.
    pub seed: u64,
    /// Share of the tracks in the validation split.
    pub valid: f64,
    /// Share of the tracks in the test split.
    pub test: f64,
}

impl Default for Folder {
    fn default() -> Self {
        let shares = Shares::default();
        Self {
            table: "tracks.csv".into(),
            path: "path".into(),
            tags: "tags".into(),
            tag_columns: Vec::new(),
            classes: 0,
            split: String::new(),
            artist: String::new(),
            album: String::new(),
            title: String::new(),
            seed: 0,
            valid: shares.valid,
            test: shares.test,
        }
    }
}

impl Corpus for Folder {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        Ok(vec![cfg.root.join(&self.table)])
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let sheet = Sheet::read(&cfg.root.join(&self.table))?;
        let at = Columns::find(self, &sheet)?;
        let mut tracks: Vec<Track> =
            sheet.lines().map(|line| self.track(cfg, &at, &line)).collect::<Result<_>>()?;
        if at.split.is_none() {
            self.divide(cfg, &mut tracks)?;
        }
        let vocab = self.vocab(cfg, &tracks);
        fill_labels(&mut tracks, &vocab);
        sorted(tracks, &cfg.root.join(&self.table))
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vec![self.vocab(cfg, tracks)])
    }

    fn artist_disjoint(&self) -> bool {
        self.split.is_empty() && !self.artist.is_empty()
    }

    fn check(&self) -> Result<(), String> {
        let shares = Shares { valid: self.valid, test: self.test };
        shares.counts(0).map_err(|e| format!("folder.valid and folder.test: {e}"))?;
        for (name, value) in [("table", &self.table), ("path", &self.path)] {
            if value.is_empty() {
                return Err(format!("folder.{name}: expected a name, got nothing"));
            }
        }
        Ok(())
    }
}

/// Positions of the columns in use.
struct Columns {
    path: usize,
    tags: Option<usize>,
    tag_columns: Vec<usize>,
    split: Option<usize>,
    artist: Option<usize>,
    album: Option<usize>,
    title: Option<usize>,
}

impl Columns {
    fn find(folder: &Folder, sheet: &Sheet) -> Result<Self> {
        let optional = |name: &str| match name {
            "" => Ok(None),
            name => sheet.column(name).map(Some),
        };
        let single = folder.tag_columns.is_empty();
        Ok(Self {
            path: sheet.column(&folder.path)?,
            tags: if single { optional(&folder.tags)? } else { None },
            tag_columns: folder
                .tag_columns
                .iter()
                .map(|c| sheet.column(c))
                .collect::<Result<_>>()?,
            split: optional(&folder.split)?,
            artist: optional(&folder.artist)?,
            album: optional(&folder.album)?,
            title: optional(&folder.title)?,
        })
    }
}

impl Folder {
    fn track(&self, cfg: &CorpusConfig, at: &Columns, line: &Line) -> Result<Track> {
        let path = line.path(at.path)?;
        let text = |column: Option<usize>| column.and_then(|c| filled(&line.text(c)));
        let (artist, album) = (text(at.artist), text(at.album));
        let mut splits = BTreeMap::new();
        if let Some(name) = text(at.split) {
            let split = split_name(&name);
            let split =
                split.ok_or_else(|| line.wrong("train, valid or test", &format!("{name:?}")))?;
            splits.insert(cfg.dataset.clone(), split);
        }
        Ok(Track {
            dataset: cfg.dataset.clone(),
            key: format!("{}:{path}", cfg.dataset),
            clip_id: path.clone(),
            track_id: Some(path.clone()),
            artist_id: artist.as_deref().and_then(name_id),
            album_id: album.as_deref().and_then(name_id),
            artist,
            album,
            title: text(at.title),
            path,
            tags: self.tags(at, line)?,
            splits,
            ..Track::default()
        })
    }

    /// Tags in the order of the table; `None` where the cell is null.
    fn tags(&self, at: &Columns, line: &Line) -> Result<Option<Vec<String>>> {
        if let Some(column) = at.tags {
            return Ok(line.list(column));
        }
        let mut tags = Vec::new();
        for (name, &column) in self.tag_columns.iter().zip(&at.tag_columns) {
            match line.text(column).as_str() {
                "1" | "1.0" | "true" => tags.push(name.clone()),
                "0" | "0.0" | "false" => {}
                other => {
                    return Err(line.wrong(&format!("0 or 1 for {name:?}"), &format!("{other:?}")));
                }
            }
        }
        Ok(Some(tags))
    }

    /// A seeded split in which no artist is in two parts.
    fn divide(&self, cfg: &CorpusConfig, tracks: &mut [Track]) -> Result<()> {
        let keys: Vec<&str> = tracks.iter().map(|t| t.key.as_str()).collect();
        let group = |t: &'_ Track| t.artist_id.clone().or_else(|| t.album_id.clone());
        let groups: Vec<Option<String>> = tracks.iter().map(group).collect();
        let groups: Vec<Option<&str>> = groups.iter().map(Option::as_deref).collect();
        let shares = Shares { valid: self.valid, test: self.test };
        let splits = grouped(&keys, &groups, &shares, self.seed)?;
        for (track, split) in tracks.iter_mut().zip(splits) {
            track.splits.insert(cfg.dataset.clone(), split);
        }
        Ok(())
    }

    fn vocab(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Vocab {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for tag in tracks.iter().flat_map(|t| t.tags.iter().flatten()) {
            *counts.entry(tag).or_default() += 1;
        }
        let mut classes: Vec<&str> = counts.keys().copied().collect();
        classes.sort_unstable();
        let mut order = "alphabetical";
        if self.classes > 0 {
            classes.sort_by_key(|t| std::cmp::Reverse(counts[t]));
            classes.truncate(self.classes);
            order = "count_desc";
        }
        Vocab {
            id: format!("{}{}", cfg.dataset, classes.len()),
            classes: classes.into_iter().map(str::to_owned).collect(),
            order: order.into(),
        }
    }
}

impl Line<'_> {
    /// A path below the corpus root.
    fn path(&self, column: usize) -> Result<String> {
        let path = self.text(column).replace('\\', "/");
        let inside = std::path::Path::new(&path);
        let inside = inside.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        match inside && !path.is_empty() {
            true => Ok(path),
            false => Err(self.wrong("a path below the corpus folder", &format!("{path:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::{Split, Status};
    use std::collections::HashSet;

    const CSV: &str = "path,tags,who,part\na/1.wav,rock|live,Ann,train\n\"b,2.flac\",rock; slow ,ann,valid\n\
                       c/3.wav,,Bob,test\nd.wav,jazz,,\n";

    fn place(csv: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tracks.csv"), csv).unwrap();
        let cfg = CorpusConfig { dataset: "mine".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    fn named() -> Folder {
        Folder { artist: "who".into(), split: "part".into(), ..Folder::default() }
    }

    fn error(csv: &str, folder: &Folder) -> String {
        folder.tracks(&place(csv).1).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn tags_splits_and_artists_come_from_the_columns_that_are_named() {
        let (_dir, cfg) = place(CSV);
        let mut tracks = named().tracks(&cfg).unwrap();
        let keys: Vec<&str> = tracks.iter().map(|t| t.key.as_str()).collect();
        assert_eq!(keys, ["mine:a/1.wav", "mine:b,2.flac", "mine:c/3.wav", "mine:d.wav"]);
        assert_eq!(tracks[1].tags.as_deref().unwrap(), ["rock", "slow"]);
        assert_eq!(tracks[0].artist_id, tracks[1].artist_id);
        tracks.iter_mut().for_each(|t| t.status = Status::Ok);
        let view = named().views(&cfg, &tracks).unwrap().remove(0);
        assert_eq!(view.vocab.classes, ["jazz", "live", "rock", "slow"]);
        let splits: Vec<Split> = view.examples.iter().map(|e| e.split).collect();
        assert_eq!(splits, [Split::Train, Split::Valid, Split::Test]); // d.wav is in none
        let top = Folder { classes: 2, ..named() };
        assert_eq!(top.vocabs(&cfg, &tracks).unwrap()[0].classes, ["rock", "jazz"]);
    }

    #[test]
    fn one_column_per_tag_does_as_well() {
        let (_dir, cfg) = place("path,rock,slow,bpm\na.wav,1,0,90\nb.wav,0,0,x\n");
        let folder =
            Folder { tag_columns: vec!["rock".into(), "slow".into()], ..Folder::default() };
        let tracks = folder.tracks(&cfg).unwrap();
        assert_eq!(tracks[0].tags.as_deref().unwrap(), ["rock"]);
        assert_eq!(tracks[1].tags.as_deref(), Some(&[][..]));
        let text = error("path,rock,slow\na.wav,1,2\n", &folder);
        assert!(text.ends_with("tracks.csv:2: expected 0 or 1 for \"slow\", got \"2\""), "{text}");
    }

    #[test]
    fn a_seeded_split_keeps_artists_together_and_depends_on_the_seed_alone() {
        let rows: String = (0..200).map(|i| format!("{i}.wav,x,a{}\n", i / 5)).collect();
        let (_dir, cfg) = place(&format!("path,tags,who\n{rows}"));
        let of = |seed| {
            let folder = Folder { artist: "who".into(), seed, ..Folder::default() };
            assert!(folder.artist_disjoint());
            folder.tracks(&cfg).unwrap()
        };
        let tracks = of(1);
        for split in [Split::Train, Split::Valid, Split::Test] {
            let n = tracks.iter().filter(|t| t.splits["mine"] == split).count();
            let share = n as f64 / 200.0;
            let expected = [0.7, 0.1, 0.2][split as usize];
            assert!((share - expected).abs() < 0.03, "{split:?} {share}");
        }
        let pairs: HashSet<_> =
            tracks.iter().map(|t| (t.artist_id.clone(), t.splits["mine"])).collect();
        assert_eq!(pairs.len(), 40);
        assert_eq!(tracks, of(1));
        assert_ne!(tracks, of(2));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let folder = named();
        let cases = [
            (CSV.replace("test", "tset"), ":4: expected train, valid or test, got \"tset\""),
            (CSV.replace("c/3.wav", "../3.wav"), ":4: expected a path below the corpus folder"),
            (
                CSV.replace("who", "whom"),
                ":1: expected a column \"who\", got path, tags, whom, part",
            ),
            (CSV.replace("d.wav,jazz,,", "d.wav"), ":5: expected 4 columns, got 1"),
            (CSV.replace("d.wav", "a/1.wav"), "expected every id once, got a/1.wav twice"),
        ];
        for (csv, expected) in cases {
            let text = error(&csv, &folder);
            assert!(text.contains(expected), "{text}\n{expected}");
        }
    }
}
