//! MagnaTagATune (Law et al. 2009): clips of 29 s with 188 tags, and every data set in its published layout.
//!
//! `annotations_final.csv` has one row per clip: `clip_id`, one 0/1 column per tag, `mp3_path`. `clip_info_final.csv`
//! says where a clip comes from. Both are tab separated with quoted fields and CRLF. The audio is in folders `0` to
//! `f`; the folder is the split: `0` to `b` train, `c` valid, `d` to `f` test.
//!
//! Views: `<dataset>`, every clip; `<dataset>_clean`, clips with at least one of the top tags; for `mtat` also `mtat_jp`,
//! the lists of jongpillee/music_dataset_split, which lack the first three train clips of `mtat_clean`.

use super::table::{Form, Row, Table};
use super::{
    Corpus, CorpusConfig, Durations, filled, index, labels, name_id, sorted, sources, view,
};
use crate::error::Result;
use etude_manifests::{Split, Track, View, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// The data set whose vocabulary order is published.
const PUBLISHED: &str = "mtat";

/// Top 50 of `mtat`, most frequent first, in the order of the files that published scores rest on
/// (minzwon/sota-music-tagging-models and jordipons/musicnn-training). Ties are in no derivable order: `no vocal` and
/// `pop` have 995 clips, `male voice` and `female vocal` 644, `metal` and `female voice` 505.
const TOP50: [&str; 50] = [
    "guitar",
    "classical",
    "slow",
    "techno",
    "strings",
    "drums",
    "electronic",
    "rock",
    "fast",
    "piano",
    "ambient",
    "beat",
    "violin",
    "vocal",
    "synth",
    "female",
    "indian",
    "opera",
    "male",
    "singing",
    "vocals",
    "no vocals",
    "harpsichord",
    "loud",
    "quiet",
    "flute",
    "woman",
    "male vocal",
    "no vocal",
    "pop",
    "soft",
    "sitar",
    "solo",
    "man",
    "classic",
    "choir",
    "voice",
    "new age",
    "dance",
    "male voice",
    "female vocal",
    "beats",
    "harp",
    "cello",
    "no voice",
    "weird",
    "country",
    "metal",
    "female voice",
    "choral",
];

const FORM: Form = Form { delimiter: b'\t', quotes: true, open_ended: false };

/// The layout, section `[magnatagatune]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Magnatagatune {
    /// Folder below the root that holds `0` to `f`; empty if the root itself does.
    #[serde(default)]
    pub audio: String,
}

impl Corpus for Magnatagatune {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        Ok(vec![annotations(cfg), clip_info(cfg)])
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let info = read_clip_info(cfg)?;
        let (tags, mut tracks) = self.read_annotations(cfg, &info)?;
        let all = all(cfg, tags);
        let top = top(cfg, &all.classes, &tracks);
        let (all_index, top_index) = (index(&all), index(&top));
        for track in &mut tracks {
            let tags = track.tags.as_deref().unwrap_or_default();
            let labels_top = labels(tags, &top_index);
            if let Some(&split) = track.splits.get(&cfg.dataset).filter(|_| !labels_top.is_empty())
            {
                track.splits.insert(clean(cfg), split);
            }
            track.labels.insert(all.id.clone(), Some(labels(tags, &all_index)));
            track.labels.insert(top.id.clone(), Some(labels_top));
        }
        if cfg.dataset == PUBLISHED {
            add_jp(cfg, &mut tracks);
        }
        sorted(tracks, &annotations(cfg))
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let top = top(cfg, &read_tags(cfg)?, tracks);
        let sources = sources(&self.files(cfg)?)?;
        let mut names = vec![cfg.dataset.clone(), clean(cfg)];
        if cfg.dataset == PUBLISHED {
            names.push(jp(cfg));
        }
        Ok(names.iter().map(|name| view(cfg, name, name, false, &top, tracks, &sources)).collect())
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        let tags = read_tags(cfg)?;
        Ok(vec![top(cfg, &tags, tracks), all(cfg, tags)])
    }

    fn durations(&self, cfg: &CorpusConfig) -> Result<Durations> {
        Ok(match cfg.dataset.as_str() {
            PUBLISHED => Durations::Same { seconds: 29.124, tolerance: 0.05 },
            _ => Durations::Unknown,
        })
    }

    fn artist_disjoint(&self) -> bool {
        false // 45 artists are in train and test; published scores include that
    }
}

impl Magnatagatune {
    /// Tag columns, and one track per row with tags and the split of its folder.
    fn read_annotations(
        &self,
        cfg: &CorpusConfig,
        info: &HashMap<String, Info>,
    ) -> Result<(Vec<String>, Vec<Track>)> {
        let mut table = Table::open(&annotations(cfg), FORM)?;
        let (tags, path) = tag_columns(&table)?;
        let mut tracks = Vec::new();
        while let Some(row) = table.next()? {
            let id = row.get(0).to_owned();
            let file = row.path(path)?;
            let Some(info) = info.get(&id) else {
                return Err(row.wrong(
                    &format!("clip {id} to be in clip_info_final.csv"),
                    "no such row there",
                ));
            };
            if info.path != file {
                return Err(
                    row.wrong(&format!("the path in clip_info_final.csv, {}", info.path), file)
                );
            }
            let positive = positives(&row, &tags)?;
            let path = match self.audio.trim_end_matches('/') {
                "" => file.to_owned(),
                folder => format!("{folder}/{file}"),
            };
            tracks.push(Track {
                dataset: cfg.dataset.clone(),
                key: format!("{}:{id}", cfg.dataset),
                clip_id: id,
                path,
                tags: Some(positive),
                splits: BTreeMap::from([(cfg.dataset.clone(), split(&row, file)?)]),
                ..info.track.clone()
            });
        }
        Ok((tags, tracks))
    }
}

/// What `clip_info_final.csv` says about a clip.
struct Info {
    path: String,
    track: Track,
}

fn read_clip_info(cfg: &CorpusConfig) -> Result<HashMap<String, Info>> {
    let mut table = Table::open(&clip_info(cfg), FORM)?;
    let [id, number, title, artist, album, url, start, path] = table.columns([
        "clip_id",
        "track_number",
        "title",
        "artist",
        "album",
        "url",
        "segmentStart",
        "mp3_path",
    ])?;
    let mut info = HashMap::new();
    while let Some(row) = table.next()? {
        if row.get(path).is_empty() {
            continue; // no file was published for this clip
        }
        let track = Track {
            track_id: filled(row.get(url)).map(|u| format!("{u}#{}", row.get(number))),
            artist_id: name_id(row.get(artist)),
            album_id: filled(row.get(url)),
            artist: filled(row.get(artist)),
            album: filled(row.get(album)),
            title: filled(row.get(title)),
            clip_start_s: Some(row.number(start)?),
            ..Track::default()
        };
        let clip = Info { path: row.path(path)?.to_owned(), track };
        if info.insert(row.get(id).to_owned(), clip).is_some() {
            return Err(row.wrong("every clip_id once", &format!("{} twice", row.get(id))));
        }
    }
    Ok(info)
}

fn read_tags(cfg: &CorpusConfig) -> Result<Vec<String>> {
    Ok(tag_columns(&Table::open(&annotations(cfg), FORM)?)?.0)
}

/// Names of the tag columns, which are all but the first and the last, and the position of `mp3_path`.
fn tag_columns(table: &Table) -> Result<(Vec<String>, usize)> {
    let (id, path) = (table.column("clip_id")?, table.column("mp3_path")?);
    let header = table.header();
    if id != 0 || path != header.len() - 1 || path < 2 {
        return Err(table.wrong(
            1,
            "clip_id first, mp3_path last, tags between",
            "another order of columns",
        ));
    }
    Ok((header[1..path].to_vec(), path))
}

fn positives(row: &Row, tags: &[String]) -> Result<Vec<String>> {
    let mut positive = Vec::new();
    for (tag, value) in tags.iter().zip(row.rest(1)) {
        match value {
            "1" => positive.push(tag.clone()),
            "0" => {}
            other => return Err(row.wrong(&format!("0 or 1 for {tag:?}"), &format!("{other:?}"))),
        }
    }
    Ok(positive)
}

/// The first character of the path as a hexadecimal digit: below 12 train, 12 valid, above 12 test.
fn split(row: &Row, path: &str) -> Result<Split> {
    let folder = path.split('/').next().unwrap_or_default();
    let digit = folder.chars().next().and_then(|c| c.to_digit(16));
    match digit.filter(|_| folder.len() == 1) {
        Some(0..12) => Ok(Split::Train),
        Some(12) => Ok(Split::Valid),
        Some(_) => Ok(Split::Test),
        None => Err(row.wrong("a path in one of the folders 0 to 9, a to f", &format!("{path:?}"))),
    }
}

/// Every tag column.
fn all(cfg: &CorpusConfig, tags: Vec<String>) -> Vocab {
    let id = format!("{}{}", cfg.dataset, tags.len());
    Vocab { id, classes: tags, order: "published".into() }
}

/// The published order for `mtat`; otherwise the 50 most frequent tags over all rows, ties in column order.
fn top(cfg: &CorpusConfig, tags: &[String], tracks: &[Track]) -> Vocab {
    if cfg.dataset == PUBLISHED && TOP50.iter().all(|t| tags.iter().any(|tag| tag == t)) {
        let classes = TOP50.iter().map(|&t| t.to_owned()).collect();
        return Vocab { id: format!("{PUBLISHED}50"), classes, order: "published".into() };
    }
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for tag in tracks.iter().flat_map(|t| t.tags.iter().flatten()) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut classes: Vec<&String> = tags.iter().collect();
    classes.sort_by_key(|t| std::cmp::Reverse(counts.get(t.as_str()).copied().unwrap_or(0)));
    classes.truncate(TOP50.len());
    // A corpus with few tags has one vocabulary for both lists of labels; two ids keep their orders apart.
    Vocab {
        id: format!("{}_top{}", cfg.dataset, classes.len()),
        classes: classes.into_iter().cloned().collect(),
        order: "count_desc_csv".into(),
    }
}

/// The clean clips less the first three train clips by path.
fn add_jp(cfg: &CorpusConfig, tracks: &mut [Track]) {
    let mut train: Vec<&str> = tracks
        .iter()
        .filter(|t| t.splits.get(&clean(cfg)) == Some(&Split::Train))
        .map(|t| t.path.as_str())
        .collect();
    train.sort_unstable();
    let left_out: Vec<String> = train.iter().take(3).map(|&p| p.to_owned()).collect();
    for track in tracks.iter_mut().filter(|t| !left_out.contains(&t.path)) {
        if let Some(&split) = track.splits.get(&clean(cfg)) {
            track.splits.insert(jp(cfg), split);
        }
    }
}

fn annotations(cfg: &CorpusConfig) -> PathBuf {
    cfg.root.join("annotations_final.csv")
}

fn clip_info(cfg: &CorpusConfig) -> PathBuf {
    cfg.root.join("clip_info_final.csv")
}

fn clean(cfg: &CorpusConfig) -> String {
    format!("{}_clean", cfg.dataset)
}

fn jp(cfg: &CorpusConfig) -> String {
    format!("{}_jp", cfg.dataset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::Status;

    const ANNOTATIONS: &str = "\"clip_id\"\t\"a b\"\t\"c\"\t\"d\"\t\"mp3_path\"\r\n\
        \"2\"\t\"0\"\t\"1\"\t\"0\"\t\"f/x.mp3\"\r\n\"10\"\t\"1\"\t\"1\"\t\"0\"\t\"0/y.mp3\"\r\n\
        \"11\"\t\"0\"\t\"0\"\t\"0\"\t\"c/z.mp3\"\r\n";
    const INFO: &str = "clip_id\ttrack_number\ttitle\tartist\talbum\turl\tsegmentStart\tsegmentEnd\toriginal_url\tmp3_path\r\n\
        2\t01\tX\tAnn  Lee\tAl\thttp://u/\t30\t59\t\tf/x.mp3\r\n10\t02\tY\tann lee\tAl\thttp://u/\t0\t29\t\t0/y.mp3\r\n\
        11\t03\tZ\t\t\t\t0\t29\t\tc/z.mp3\r\n12\t03\tZ\t\t\t\t0\t29\t\t\r\n";

    fn place(annotations: &str, info: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("annotations_final.csv"), annotations).unwrap();
        std::fs::write(dir.path().join("clip_info_final.csv"), info).unwrap();
        let cfg = CorpusConfig { dataset: "small".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    fn error(annotations: &str, info: &str) -> String {
        let (_dir, cfg) = place(annotations, info);
        Magnatagatune::default().tracks(&cfg).unwrap_err().to_string()
    }

    #[test]
    fn any_data_set_in_this_layout_gets_its_tags_by_frequency_and_its_folders_as_splits() {
        let (_dir, cfg) = place(ANNOTATIONS, INFO);
        let corpus = Magnatagatune { audio: "mp3/".into() };
        let mut tracks = corpus.tracks(&cfg).unwrap();
        tracks.iter_mut().for_each(|t| t.status = Status::Ok);
        let keys: Vec<&str> = tracks.iter().map(|t| t.key.as_str()).collect();
        assert_eq!(keys, ["small:10", "small:11", "small:2"]);
        assert_eq!((tracks[0].path.as_str(), tracks[2].clip_start_s), ("mp3/0/y.mp3", Some(30.0)));
        assert_eq!(tracks[0].artist_id.as_deref(), Some("name:ann lee"));
        assert_eq!(tracks[0].artist_id, tracks[2].artist_id);
        assert_eq!((&tracks[1].artist, &tracks[1].track_id), (&None, &None));
        assert_eq!(tracks[2].track_id.as_deref(), Some("http://u/#01"));
        let views = corpus.views(&cfg, &tracks).unwrap();
        let names: Vec<(&str, usize)> =
            views.iter().map(|v| (v.name.as_str(), v.examples.len())).collect();
        assert_eq!(names, [("small", 3), ("small_clean", 2)]);
        assert_eq!(views[0].vocab.classes, ["c", "a b", "d"]); // "a b" and "d" would tie at 0
        assert_eq!(tracks[0].labels["small3"], Some(vec![0, 1])); // order of the columns
        assert_eq!(tracks[0].labels["small_top3"], Some(vec![0, 1]));
        let splits: Vec<Split> = views[0].examples.iter().map(|e| e.split).collect();
        assert_eq!(splits, [Split::Train, Split::Valid, Split::Test]);
    }

    #[test]
    fn a_file_that_is_not_in_the_published_form_is_an_error_with_its_line() {
        let a = |from: &str, to: &str| error(&ANNOTATIONS.replacen(from, to, 1), INFO);
        let i = |from: &str, to: &str| error(ANNOTATIONS, &INFO.replacen(from, to, 1));
        let cases = [
            (a("\"clip_id\"\t", ""), "annotations_final.csv:1: expected a column \"clip_id\""),
            (a("\"10\"\t\"1\"", "\"10\"\t\"2\""), ":3: expected 0 or 1 for \"a b\", got \"2\""),
            (a("\"10\"\t\"1\"\t", "\"10\"\t"), ":3: expected 5 columns, got 4"),
            (
                a("\"0/y.mp3\"", "\"0/w.mp3\""),
                ":3: expected the path in clip_info_final.csv, 0/y.mp3",
            ),
            (a("\"10\"", "\"13\""), ":3: expected clip 13 to be in clip_info_final.csv"),
            (a("\"10\"", "\"12\""), ":3: expected clip 12 to be in clip_info_final.csv"),
            (a("f/x.mp3", "/x.mp3"), ":2: expected a path below the corpus folder"),
            (a("\"c\"", "\"a b\""), ":1: expected every column name once"),
            (
                i("\t30\t", "\tx\t"),
                "clip_info_final.csv:2: expected a number in segmentStart, got \"x\"",
            ),
            (
                i("10\t02", "2\t02"),
                "clip_info_final.csv:3: expected every clip_id once, got 2 twice",
            ),
            (
                i("segmentStart", "start"),
                "clip_info_final.csv:1: expected a column \"segmentStart\"",
            ),
        ];
        for (text, expected) in cases {
            assert!(text.contains(expected), "{text}\n{expected}");
        }
        let text = error(&ANNOTATIONS.replace("c/z", "g/z"), &INFO.replace("c/z", "g/z"));
        assert!(
            text.contains(":4: expected a path in one of the folders 0 to 9, a to f"),
            "{text}"
        );
    }
}
