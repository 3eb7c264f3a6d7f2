//! GiantSteps key (Knees et al. 2015) and MTG key (Faraldo): two repositories side by side, one to test and one to train on.
//!
//! Train: `annotations.txt` (key and confidence per id) and `beatport_metadata.txt` (artists); kept are keys of
//! confidence 2 that are one key. Test: `annotations/key/<id>.LOFI.key` and `md5/<id>.LOFI.md5`. The audio of both is
//! `audio/<id>.LOFI.mp3`.
//!
//! View `<dataset>_key`: classes from C major to B minor, tonics with flats. The validation split is that of
//! p-lambda/jukemir: artists by the SHA-1 of their names, and with an artist all who share a track with them.

use super::table::{Form, Row, Table};
use super::{Corpus, CorpusConfig, class_view, filled, sorted, sources};
use crate::error::{Error, Result};
use etude_manifests::{Split, Track, View, Vocab};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

const FORM: Form = Form { delimiter: b'\t', quotes: false, open_ended: false };

const TONICS: [&str; 12] = ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"];

/// The layout, section `[giantsteps]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Giantsteps {
    /// Folder below the root with the repository of the train tracks.
    pub train: String,
    /// Folder below the root with the repository of the test tracks.
    pub test: String,
}

impl Default for Giantsteps {
    fn default() -> Self {
        Self { train: "giantsteps-mtg-key-dataset".into(), test: "giantsteps-key-dataset".into() }
    }
}

impl Corpus for Giantsteps {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let train = cfg.root.join(&self.train).join("annotations");
        let test = cfg.root.join(&self.test);
        let mut files = vec![
            train.join("annotations.txt"),
            train.join("beatport_metadata.txt"),
            test.join("annotations/key"),
        ];
        files.extend(Some(test.join("md5")).filter(|folder| folder.is_dir()));
        Ok(files)
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let mut tracks = self.train(cfg)?;
        tracks.extend(self.test(cfg)?);
        let vocab = vocab(cfg);
        for track in &mut tracks {
            let class = track.tags.as_deref().and_then(class);
            track.labels.insert(vocab.id.clone(), class.map(|class| vec![class]));
        }
        sorted(tracks, &cfg.root)
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let sources = sources(&self.files(cfg)?)?;
        let name = scheme(cfg);
        Ok(vec![class_view(cfg, &name, &name, &vocab(cfg), tracks, &sources)])
    }

    fn vocabs(&self, cfg: &CorpusConfig, _tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vec![vocab(cfg)])
    }

    fn scheme(&self, cfg: &CorpusConfig) -> String {
        scheme(cfg)
    }

    fn artist_disjoint(&self) -> bool {
        false // train and validation are; artists of the test tracks are not published
    }
}

/// Artists and title of a train track.
struct Song {
    artist: String,
    title: String,
}

impl Giantsteps {
    /// Every annotated train track; in a split only with one key of full confidence.
    fn train(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let files = self.files(cfg)?;
        let songs = songs(&files[1])?;
        let valid = validation_artists(&songs);
        let mut table = Table::open(&files[0], FORM)?;
        let [id, key, confidence] = table.columns(["ID", "MANUAL KEY", "C"])?;
        let mut tracks = Vec::new();
        while let Some(row) = table.next()? {
            let clip_id = row.name(id)?;
            let Some(song) = songs.get(clip_id) else {
                return Err(
                    row.wrong(&format!("{clip_id} to be in beatport_metadata.txt"), "no such row")
                );
            };
            let keys = row.get(key).trim();
            let mut track = self.blank(cfg, &self.train, clip_id);
            track.artist = filled(&song.artist);
            track.artist_id =
                filled(&song.artist.to_lowercase()).map(|name| format!("name:{name}"));
            track.title = filled(&song.title);
            track.tags =
                Some(keys.split('/').map(|k| k.trim().to_owned()).filter(|k| k != "-").collect());
            let sure = row.whole(confidence)? == 2;
            if sure && track.tags.as_ref().is_some_and(|tags| tags.len() == 1) {
                one_key(&row, keys)?;
                let by_valid = artists(&song.artist).any(|artist| valid.contains(&artist));
                let split = if by_valid { Split::Valid } else { Split::Train };
                track.splits.insert(scheme(cfg), split);
            }
            tracks.push(track);
        }
        Ok(tracks)
    }

    fn test(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let root = cfg.root.join(&self.test);
        let folder = root.join("annotations/key");
        let mut tracks = Vec::new();
        for entry in folder.read_dir().map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".LOFI.key") else { continue };
            let key = std::fs::read_to_string(&path).map_err(Error::io(&path))?.trim().to_owned();
            if class(std::slice::from_ref(&key)).is_none() {
                return Err(Error::Annotation {
                    place: format!("{}:1", path.display()),
                    expected: "a key such as C minor".into(),
                    got: format!("{key:?}"),
                });
            }
            let mut track = self.blank(cfg, &self.test, id);
            let md5 = std::fs::read_to_string(root.join(format!("md5/{id}.LOFI.md5"))).ok();
            let digest = md5.as_deref().and_then(|text| text.split_whitespace().next());
            track.published_digest = digest.map(|digest| format!("md5:{digest}"));
            track.tags = Some(vec![key]);
            track.splits.insert(scheme(cfg), Split::Test);
            tracks.push(track);
        }
        Ok(tracks)
    }

    fn blank(&self, cfg: &CorpusConfig, folder: &str, id: &str) -> Track {
        Track {
            dataset: cfg.dataset.clone(),
            key: format!("{}:{id}", cfg.dataset),
            clip_id: id.to_owned(),
            track_id: Some(id.to_owned()),
            path: format!("{}/audio/{id}.LOFI.mp3", folder.trim_end_matches('/')),
            splits: BTreeMap::new(),
            ..Track::default()
        }
    }
}

fn songs(path: &std::path::Path) -> Result<HashMap<String, Song>> {
    let mut table = Table::open(path, FORM)?;
    let [id, artist, title] = table.columns(["ID", "ARTIST", "SONG TITLE"])?;
    let mut songs = HashMap::new();
    while let Some(row) = table.next()? {
        let song = Song { artist: row.get(artist).to_owned(), title: row.get(title).to_owned() };
        if songs.insert(row.name(id)?.to_owned(), song).is_some() {
            return Err(row.wrong("every ID once", &format!("{} twice", row.get(id))));
        }
    }
    Ok(songs)
}

/// Artists in lower case.
fn artists(text: &str) -> impl Iterator<Item = String> {
    text.to_lowercase()
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Artists whose hash modulo 116 is 100 or more, and who shares a track with one of them, twice over all tracks in the
/// order of their ids.
fn validation_artists(songs: &HashMap<String, Song>) -> HashSet<String> {
    let mut ids: Vec<&String> = songs.keys().collect();
    ids.sort_by_key(|id| (id.len(), id.as_str()));
    let all = ids.iter().flat_map(|id| artists(&songs[*id].artist));
    let mut valid: HashSet<String> = all.filter(|name| remainder(name, 116) >= 100).collect();
    for _ in 0..2 {
        for id in &ids {
            let names: Vec<String> = artists(&songs[*id].artist).collect();
            if names.iter().any(|name| valid.contains(name)) {
                valid.extend(names);
            }
        }
    }
    valid
}

/// SHA-1 of a text, as a number, modulo `n`.
fn remainder(text: &str, n: u32) -> u32 {
    Sha1::digest(text.as_bytes()).iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % n)
}

fn one_key(row: &Row, key: &str) -> Result<()> {
    match class(&[key.to_owned()]) {
        Some(_) => Ok(()),
        None => Err(row.wrong("a key such as C# minor", &format!("{key:?}"))),
    }
}

/// Index of the one key: 0 to 11 major from C, 12 to 23 minor.
fn class(keys: &[String]) -> Option<i32> {
    let [key] = keys else { return None };
    let (tonic, mode) = key.split_once(' ')?;
    let tonic = match tonic {
        "C#" => "Db",
        "D#" => "Eb",
        "F#" => "Gb",
        "G#" => "Ab",
        "A#" => "Bb",
        tonic => tonic,
    };
    let pitch = TONICS.iter().position(|t| *t == tonic)?;
    let mode = ["major", "minor"].iter().position(|m| *m == mode)?;
    i32::try_from(mode * TONICS.len() + pitch).ok()
}

fn vocab(cfg: &CorpusConfig) -> Vocab {
    let of = |mode: &'static str| TONICS.iter().map(move |tonic| format!("{tonic} {mode}"));
    Vocab {
        id: format!("{}_key24", cfg.dataset),
        classes: of("major").chain(of("minor")).collect(),
        order: "published".into(),
    }
}

fn scheme(cfg: &CorpusConfig) -> String {
    format!("{}_key", cfg.dataset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::Target;

    const KEYS: &str = "ID\tMANUAL KEY\tC\r\n1\tC# minor\t2\r\n2\tA major / A minor\t2\r\n3\tE major\t1\r\n4\t-\t2\r\n";
    const SONGS: &str =
        "ID\tARTIST\tSONG TITLE\r\n1\tAnn, Bob\tx\r\n2\tAnn\tx\r\n3\tCy\tx\r\n4\tCy\tx\r\n";

    fn place(keys: &str, songs: &str, test: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        let train = dir.path().join("giantsteps-mtg-key-dataset/annotations");
        let key = dir.path().join("giantsteps-key-dataset/annotations/key");
        let md5 = dir.path().join("giantsteps-key-dataset/md5");
        [&train, &key, &md5]
            .into_iter()
            .for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        std::fs::write(train.join("annotations.txt"), keys).unwrap();
        std::fs::write(train.join("beatport_metadata.txt"), songs).unwrap();
        std::fs::write(key.join("9.LOFI.key"), test).unwrap();
        std::fs::write(md5.join("9.LOFI.md5"), "00ff  9.LOFI.mp3\n").unwrap();
        let cfg = CorpusConfig { dataset: "giantsteps".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    #[test]
    fn only_sure_single_keys_are_examples() {
        let (_dir, cfg) = place(KEYS, SONGS, "Gb major\n");
        let tracks = Giantsteps::default().tracks(&cfg).unwrap();
        assert_eq!(tracks.len(), 5);
        let view = Giantsteps::default().views(&cfg, &tracks).unwrap().remove(0);
        let found: Vec<(&str, &Target)> =
            view.examples.iter().map(|e| (e.key.as_str(), &e.target)).collect();
        assert_eq!(
            found,
            [("giantsteps:1", &Target::Class(13)), ("giantsteps:9", &Target::Class(6))]
        );
        assert_eq!(view.vocab.classes[13], "Db minor");
        assert_eq!(tracks[4].published_digest.as_deref(), Some("md5:00ff"));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let why = |keys: &str, songs: &str, test: &str| {
            Giantsteps::default().tracks(&place(keys, songs, test).1).unwrap_err().to_string()
        };
        let text = why(&KEYS.replace("C# minor", "H minor"), SONGS, "C minor");
        assert!(
            text.contains("annotations.txt:2: expected a key such as C# minor, got \"H minor\""),
            "{text}"
        );
        let text = why(&KEYS.replace("\n3\t", "\n7\t"), SONGS, "C minor");
        assert!(
            text.contains("annotations.txt:4: expected 7 to be in beatport_metadata.txt"),
            "{text}"
        );
        let text = why(KEYS, &SONGS.replace("\n3\t", "\n2\t"), "C minor");
        assert!(
            text.contains("beatport_metadata.txt:4: expected every ID once, got 2 twice"),
            "{text}"
        );
        let text = why(KEYS, SONGS, "C");
        assert!(text.contains("9.LOFI.key:1: expected a key such as C minor, got \"C\""), "{text}");
    }
}
