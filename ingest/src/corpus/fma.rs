//! FMA (Defferrard et al. 2017): clips of 30 s of the Free Music Archive with 163 genres in a tree.
//!
//! `tracks.csv` has three header rows and cells with line breaks; `genres.csv` gives the ids of its genres their titles.
//! Track 1234 is `001/001234.mp3` below the folder of its subset, where the list `checksums` has its SHA-1.
//!
//! Views: `<dataset>_medium`, the most frequent titles of `genres_all` in the official artist-disjoint split;
//! `<dataset>_small`, one of eight top genres; with the lists of the transfer study (pxaris/ccml) `<dataset>_ccml`, the
//! same tags in its random split. A vocabulary counts its own train split, ties in alphabetical order.

use super::table::{Form, Row, Table};
use super::{
    Corpus, CorpusConfig, class_view, fill_labels, filled, numpy, sorted, sources, split_name, top,
    view,
};
use crate::error::{Error, Result};
use etude_manifests::{Split, Track, View, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

const FORM: Form = Form { delimiter: b',', quotes: true, open_ended: false };

/// Clips that are too short or have no audio: mdeff/fma issue 8.
const KNOWN_BAD: [u32; 21] = [
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571, 99134,
    105247, 108924, 108925, 126981, 127336, 133297, 143992,
];

/// The layout, section `[fma]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fma {
    /// What was downloaded.
    pub subset: FmaSubset,
    /// Folder below the root with `tracks.csv` and `genres.csv`.
    pub metadata: String,
    /// Folder below the root that holds `000` to `155` and `checksums`.
    pub audio: String,
    /// Most frequent titles that are classes of the views of tags.
    pub classes: usize,
    /// Folder below the root with `train.npy`, `valid.npy` and `test.npy` of the transfer study; empty = no such view.
    pub ccml: String,
    /// Leaves the clips that are known to be broken (six of small, 21 of medium) in the official splits.
    pub known_bad: bool,
    /// Adds `<dataset>_small_mulap`, in which the official validation split is the test split: the published program
    /// of MULAP scores it.
    pub mulap: bool,
}

/// Subsets with clips of 30 s and one top genre each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FmaSubset {
    /// 8 000 clips, eight genres of 1 000.
    Small,
    /// 25 000 clips, those of small among them.
    Medium,
}

impl Default for Fma {
    fn default() -> Self {
        Self {
            subset: FmaSubset::Medium,
            metadata: "fma_metadata".into(),
            audio: "fma_medium".into(),
            classes: 20,
            ccml: String::new(),
            known_bad: false,
            mulap: false,
        }
    }
}

impl Corpus for Fma {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let metadata = cfg.root.join(&self.metadata);
        let mut files = vec![metadata.join("tracks.csv"), metadata.join("genres.csv")];
        files.extend(self.lists(cfg).into_iter().flatten());
        files.extend(Some(self.checksums(cfg)).filter(|path| path.exists()));
        Ok(files)
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let mut tracks = self.read(cfg)?;
        self.add_ccml(cfg, &mut tracks)?;
        for vocab in self.tag_vocabs(cfg, &tracks) {
            fill_labels(&mut tracks, &vocab);
        }
        let tops = self.tops(cfg)?;
        let vocab = top_genres(cfg, &tracks, &tops);
        for track in &mut tracks {
            let class = tops.get(&track.clip_id).and_then(|top| vocab.index(top));
            let class = class.filter(|_| track.splits.contains_key(&small(cfg)));
            track.labels.insert(vocab.id.clone(), class.map(|class| vec![class.into()]));
        }
        sorted(tracks, &self.tracks_csv(cfg))
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let sources = sources(&self.files(cfg)?)?;
        let schemes = self.tag_schemes(cfg);
        let vocabs = self.tag_vocabs(cfg, tracks);
        let tagged = schemes.iter().zip(&vocabs);
        let mut views: Vec<View> = tagged
            .map(|(name, vocab)| view(cfg, name, name, false, vocab, tracks, &sources))
            .collect();
        let vocab = top_genres(cfg, tracks, &self.tops(cfg)?);
        let mut names = vec![small(cfg)];
        names.extend(self.mulap.then(|| mulap(cfg)));
        views.extend(names.iter().map(|n| class_view(cfg, n, n, &vocab, tracks, &sources)));
        Ok(views)
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        let mut vocabs = self.tag_vocabs(cfg, tracks);
        vocabs.push(top_genres(cfg, tracks, &self.tops(cfg)?));
        Ok(vocabs)
    }

    fn scheme(&self, cfg: &CorpusConfig) -> String {
        match self.subset {
            FmaSubset::Medium => medium(cfg),
            FmaSubset::Small => small(cfg),
        }
    }

    fn artist_disjoint(&self) -> bool {
        self.ccml.is_empty() // the official splits are, the random one is not
    }

    fn check(&self) -> Result<(), String> {
        if self.classes == 0 {
            return Err("fma.classes: expected at least 1, got 0".into());
        }
        match self.subset == FmaSubset::Small && !self.ccml.is_empty() {
            true => Err("fma.ccml: its lists are of subset = \"medium\", got \"small\"".into()),
            false => Ok(()),
        }
    }
}

impl Fma {
    /// Rows of the subset, with tags and official splits.
    fn read(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let titles = self.titles(cfg)?;
        let digests = self.digests(cfg)?;
        let mut table = Table::open_levels(&self.tracks_csv(cfg), FORM)?;
        let [artist_id, artist, album_id, album, title, licence, genres] = table.columns([
            "artist.id",
            "artist.name",
            "album.id",
            "album.title",
            "track.title",
            "track.license",
            "track.genres_all",
        ])?;
        let at = Columns::find(&table)?;
        let mut tracks = Vec::new();
        while let Some(row) = table.next()? {
            let Some(id) = at.id(self, &row)? else { continue };
            let file = format!("{:03}/{id:06}.mp3", id / 1000);
            let tags = list(&row, genres)?.into_iter().map(|genre| {
                let title = titles.get(&genre).cloned();
                title.ok_or_else(|| row.wrong("genres of genres.csv", &genre.to_string()))
            });
            tracks.push(Track {
                dataset: cfg.dataset.clone(),
                key: format!("{}:{id}", cfg.dataset),
                clip_id: id.to_string(),
                track_id: Some(id.to_string()),
                artist_id: filled(row.get(artist_id)),
                album_id: filled(row.get(album_id)),
                artist: filled(row.get(artist).trim()),
                album: filled(row.get(album).trim()),
                title: filled(row.get(title).trim()),
                licence: filled(row.get(licence)),
                published_digest: digests.get(&file).map(|d| format!("sha1:{d}")),
                path: match self.audio.trim_end_matches('/') {
                    "" => file,
                    folder => format!("{folder}/{file}"),
                },
                tags: Some(tags.collect::<Result<_>>()?),
                splits: self.official(cfg, &at, &row, id)?,
                ..Track::default()
            });
        }
        Ok(tracks)
    }

    /// The official split of a row in every scheme it belongs to.
    fn official(
        &self,
        cfg: &CorpusConfig,
        at: &Columns,
        row: &Row,
        id: u32,
    ) -> Result<BTreeMap<String, Split>> {
        let name = row.get(at.split);
        let split = split_name(name);
        let split =
            split.ok_or_else(|| row.wrong("training, validation or test", &format!("{name:?}")))?;
        let mut splits = BTreeMap::new();
        if KNOWN_BAD.contains(&id) && !self.known_bad {
            return Ok(splits);
        }
        if self.subset == FmaSubset::Medium {
            splits.insert(medium(cfg), split);
        }
        if row.get(at.subset) == "small" {
            splits.insert(small(cfg), split);
            if self.mulap && split != Split::Test {
                let tested = if split == Split::Valid { Split::Test } else { split };
                splits.insert(mulap(cfg), tested);
            }
        }
        Ok(splits)
    }

    /// The splits of the transfer study. A list that names a clip without a row is of other data.
    fn add_ccml(&self, cfg: &CorpusConfig, tracks: &mut [Track]) -> Result<()> {
        let Some(lists) = self.lists(cfg) else { return Ok(()) };
        let mut splits = numpy::splits(&lists)?;
        for track in tracks {
            if let Some(split) = splits.remove(&format!("{:0>6}", track.clip_id)) {
                track.splits.insert(ccml(cfg), split);
            }
        }
        match splits.keys().next() {
            None => Ok(()),
            Some(first) => Err(Error::Annotation {
                place: cfg.root.join(&self.ccml).display().to_string(),
                expected: "ids that tracks.csv has in subset medium".into(),
                got: format!("{first} and {} more that it has not", splits.len() - 1),
            }),
        }
    }

    /// Schemes of tags; each is the name of its view.
    fn tag_schemes(&self, cfg: &CorpusConfig) -> Vec<String> {
        let medium = (self.subset == FmaSubset::Medium).then(|| medium(cfg));
        let ccml = (!self.ccml.is_empty()).then(|| ccml(cfg));
        medium.into_iter().chain(ccml).collect()
    }

    fn tag_vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Vec<Vocab> {
        let of = |scheme: &String| {
            let train = |t: &&Track| t.splits.get(scheme) == Some(&Split::Train);
            top(scheme, self.classes, tracks.iter().filter(train))
        };
        self.tag_schemes(cfg).iter().map(of).collect()
    }

    /// Genre id to title.
    fn titles(&self, cfg: &CorpusConfig) -> Result<HashMap<u32, String>> {
        let mut table = Table::open(&cfg.root.join(&self.metadata).join("genres.csv"), FORM)?;
        let [id, title] = table.columns(["genre_id", "title"])?;
        let mut titles = HashMap::new();
        while let Some(row) = table.next()? {
            let genre = row.whole(id)?;
            if titles.insert(genre, row.get(title).to_owned()).is_some() {
                return Err(row.wrong("every genre_id once", &format!("{genre} twice")));
            }
        }
        Ok(titles)
    }

    /// Clip id to top genre, where there is one.
    fn tops(&self, cfg: &CorpusConfig) -> Result<HashMap<String, String>> {
        let mut table = Table::open_levels(&self.tracks_csv(cfg), FORM)?;
        let at = Columns::find(&table)?;
        let genre = table.column("track.genre_top")?;
        let mut tops = HashMap::new();
        while let Some(row) = table.next()? {
            if let (Some(id), Some(genre)) = (at.id(self, &row)?, filled(row.get(genre))) {
                tops.insert(id.to_string(), genre);
            }
        }
        Ok(tops)
    }

    /// Path below the audio folder to SHA-1.
    fn digests(&self, cfg: &CorpusConfig) -> Result<HashMap<String, String>> {
        let path = self.checksums(cfg);
        let mut digests = HashMap::new();
        if !path.exists() {
            return Ok(digests);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let parts = line.split_once("  ");
            let hex = |d: &str| d.len() == 40 && d.bytes().all(|b| b.is_ascii_hexdigit());
            let Some((digest, file)) = parts.filter(|(digest, _)| hex(digest)) else {
                return Err(Error::Annotation {
                    place: format!("{}:{}", path.display(), n + 1),
                    expected: "a SHA-1, two spaces and a path".into(),
                    got: format!("{line:?}"),
                });
            };
            digests.insert(file.to_owned(), digest.to_lowercase());
        }
        Ok(digests)
    }

    fn tracks_csv(&self, cfg: &CorpusConfig) -> PathBuf {
        cfg.root.join(&self.metadata).join("tracks.csv")
    }

    fn checksums(&self, cfg: &CorpusConfig) -> PathBuf {
        cfg.root.join(&self.audio).join("checksums")
    }

    fn lists(&self, cfg: &CorpusConfig) -> Option<[PathBuf; 3]> {
        let folder = cfg.root.join(&self.ccml);
        let lists = ["train.npy", "valid.npy", "test.npy"];
        (!self.ccml.is_empty()).then(|| lists.map(|list| folder.join(list)))
    }
}

/// Columns that say whether a row is of interest.
struct Columns {
    id: usize,
    subset: usize,
    split: usize,
}

impl Columns {
    fn find(table: &Table) -> Result<Self> {
        let [id, subset, split] = table.columns(["track_id", "set.subset", "set.split"])?;
        Ok(Self { id, subset, split })
    }

    /// The id of a row of the subset.
    fn id(&self, fma: &Fma, row: &Row) -> Result<Option<u32>> {
        let wanted = match row.get(self.subset) {
            "small" => true,
            "medium" => fma.subset == FmaSubset::Medium,
            "large" | "full" | "" => false,
            other => {
                return Err(row.wrong("small, medium, large or full", &format!("{other:?}")));
            }
        };
        let id = row.whole(self.id)?;
        Ok(wanted.then_some(id))
    }
}

/// A list of numbers as Python writes it: `[76, 103]`.
fn list(row: &Row, column: usize) -> Result<Vec<u32>> {
    let cell = row.get(column);
    let inner = cell.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let numbers = inner.map(str::trim).map(|inner| match inner {
        "" => Ok(Vec::new()),
        inner => inner.split(',').map(|n| n.trim().parse()).collect(),
    });
    match numbers {
        Some(Ok(numbers)) => Ok(numbers),
        _ => Err(row.wrong("a list of genre ids, e.g. [76, 103]", &format!("{cell:?}"))),
    }
}

/// The top genres of the small subset in alphabetical order.
fn top_genres(cfg: &CorpusConfig, tracks: &[Track], tops: &HashMap<String, String>) -> Vocab {
    let in_small = tracks.iter().filter(|t| t.splits.contains_key(&small(cfg)));
    let classes: BTreeSet<&String> = in_small.filter_map(|t| tops.get(&t.clip_id)).collect();
    Vocab {
        id: format!("{}{}", small(cfg), classes.len()),
        classes: classes.into_iter().cloned().collect(),
        order: "alphabetical".into(),
    }
}

fn medium(cfg: &CorpusConfig) -> String {
    format!("{}_medium", cfg.dataset)
}

fn small(cfg: &CorpusConfig) -> String {
    format!("{}_small", cfg.dataset)
}

fn ccml(cfg: &CorpusConfig) -> String {
    format!("{}_ccml", cfg.dataset)
}

fn mulap(cfg: &CorpusConfig) -> String {
    format!("{}_small_mulap", cfg.dataset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::Target;

    const HEADER: &str = ",album,album,artist,artist,set,set,track,track,track,track\n\
        ,id,title,id,name,split,subset,genre_top,genres_all,license,title\ntrack_id,,,,,,,,,,\n";
    const ROWS: &str = "2,1,A,1,x,training,small,Pop,[10],by,t\n3,1,\"A\nB\",1,x,validation,small,Folk,\"[17, 10]\",by,t\n\
        5,1,A,1,x,test,small,Pop,[10],by,t\n10,1,A,1,x,training,medium,Rock,[],by,t\n20,1,A,1,x,training,large,,[10],by,t\n\
        98565,1,A,1,x,training,small,Pop,[10],by,t\n";

    fn place(header: &str, rows: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["fma_metadata", "fma_medium"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let metadata = dir.path().join("fma_metadata");
        std::fs::write(metadata.join("tracks.csv"), format!("{header}{rows}")).unwrap();
        let genres = "genre_id,#tracks,parent,title,top_level\n10,5,0,Pop,10\n17,1,0,Folk,17\n";
        std::fs::write(metadata.join("genres.csv"), genres).unwrap();
        let cfg = CorpusConfig { dataset: "fma".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    fn targets(view: &View) -> Vec<(&str, Split, Target)> {
        view.examples.iter().map(|e| (e.key.as_str(), e.split, e.target.clone())).collect()
    }

    #[test]
    fn medium_holds_small_and_both_leave_out_clips_known_to_be_bad() {
        let (dir, cfg) = place(HEADER, ROWS);
        let digest = "0123456789abcdef0123456789ABCDEF01234567";
        let list = format!("{digest}  000/000002.mp3\n");
        std::fs::write(dir.path().join("fma_medium/checksums"), list).unwrap();
        let fma = Fma { mulap: true, ..Fma::default() };
        let tracks = fma.tracks(&cfg).unwrap();
        let keys: Vec<&str> = tracks.iter().map(|t| t.key.as_str()).collect();
        assert_eq!(keys, ["fma:10", "fma:2", "fma:3", "fma:5", "fma:98565"]);
        assert_eq!(tracks[1].published_digest, Some(format!("sha1:{}", digest.to_lowercase())));
        let views = fma.views(&cfg, &tracks).unwrap();
        let names: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["fma_medium", "fma_small", "fma_small_mulap"]);
        let (train, valid, test) = (Split::Train, Split::Valid, Split::Test);
        let tags = |tags: &[u16]| Target::Tags(tags.to_vec());
        let expected = [
            ("fma:10", train, tags(&[])),
            ("fma:2", train, tags(&[0])),
            ("fma:3", valid, tags(&[0])), // Folk is not in train
            ("fma:5", test, tags(&[0])),
        ];
        assert_eq!(targets(&views[0]), expected);
        let [folk, pop] = [Target::Class(0), Target::Class(1)];
        let expected = [
            ("fma:2", train, pop.clone()),
            ("fma:3", valid, folk.clone()),
            ("fma:5", test, pop.clone()),
        ];
        assert_eq!(targets(&views[1]), expected);
        assert_eq!(targets(&views[2]), [("fma:2", train, pop), ("fma:3", test, folk)]);
        let all = Fma { known_bad: true, subset: FmaSubset::Small, ..Fma::default() };
        let tracks = all.tracks(&cfg).unwrap();
        let views = all.views(&cfg, &tracks).unwrap();
        assert_eq!((views.len(), views[0].examples.len()), (1, 4));
    }

    #[test]
    fn mistakes_name_file_and_line_even_after_line_breaks_in_cells() {
        let rows = |from: &str, to: &str| ROWS.replacen(from, to, 1);
        let cases = [
            (
                rows("test,small", "exam,small"),
                "tracks.csv:7: expected training, validation or test, got \"exam\"",
            ),
            (rows("5,1,A", "x,1,A"), ":7: expected a whole number in track_id, got \"x\""),
            (rows("\"[17, 10]\"", "\"[17, 11]\""), ":5: expected genres of genres.csv, got 11"),
            (
                rows("\"[17, 10]\"", "17"),
                ":5: expected a list of genre ids, e.g. [76, 103], got \"17\"",
            ),
            (
                rows("test,small", "test,tiny"),
                ":7: expected small, medium, large or full, got \"tiny\"",
            ),
            (rows("test,small,Pop", "test,small"), ":7: expected 11 columns, got 10"),
            (rows("5,1", "3,1"), "expected every id once, got 3 twice"),
        ];
        for (rows, expected) in cases {
            let (_dir, cfg) = place(HEADER, &rows);
            let text = Fma::default().tracks(&cfg).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}\n{expected}");
        }
        let (_dir, cfg) = place(&HEADER.replace("track_id,,", "track_id,1,"), ROWS);
        let text = Fma::default().tracks(&cfg).unwrap_err().to_string();
        assert!(text.contains("tracks.csv:3: expected three header rows"), "{text}");
        let (dir, cfg) = place(HEADER, ROWS);
        std::fs::write(dir.path().join("fma_medium/checksums"), "abc  000/000002.mp3\n").unwrap();
        let text = Fma::default().tracks(&cfg).unwrap_err().to_string();
        assert!(text.contains("checksums:1: expected a SHA-1, two spaces and a path"), "{text}");
    }
}
