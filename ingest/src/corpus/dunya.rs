//! Turkish makam, Hindustani and Carnatic recordings of Dunya (CompMusic), as the transfer study takes them (pxaris/ccml).
//!
//! `train.npy`, `valid.npy` and `test.npy` list MusicBrainz recording ids. `<recordings>/<id>.json` is what the server's
//! recording end point says; `<audio>/<id>.mp3` is the audio. Both are had on request, and some are not to be had: a
//! recording without a file or with `null` for one is not annotated and in no view.
//!
//! View `<dataset>`: the most frequent labels of the train split, ties in alphabetical order. Labels are in Unicode's
//! composed form (NFC), each once; nulls are left out.

use super::{Corpus, CorpusConfig, Durations, fill_labels, filled, numpy, sorted, top};
use crate::error::{Error, Result};
use etude_manifests::{Split, Track, Vocab};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use unicode_normalization::UnicodeNormalization;

/// Largest difference between the published and the decoded duration, seconds.
const TOLERANCE_S: f64 = 2.0;

/// The layout, section `[dunya]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dunya {
    /// Which collection: it decides on the fields that labels come from.
    pub tradition: Tradition,
    /// Folder below the root with the three lists.
    pub lists: String,
    /// Folder below the root with `<id>.json`.
    pub recordings: String,
    /// Folder below the root with `<id>.mp3`.
    pub audio: String,
    /// Most frequent labels that are classes.
    pub classes: usize,
}

/// Collections of Dunya.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tradition {
    /// Turkish makam music.
    Makam,
    /// Hindustani music.
    Hindustani,
    /// Carnatic music.
    Carnatic,
}

/// A field with a list, the keys to a name in each of its items, and the word before it.
type Field = (&'static str, &'static [&'static str], &'static str);

impl Tradition {
    fn fields(self) -> &'static [Field] {
        match self {
            Tradition::Makam => &[
                ("makamlist", &["name"], "makam"),
                ("usullist", &["name"], "usul"),
                ("performers", &["instrument", "name"], "instrument"),
            ],
            Tradition::Hindustani => &[
                ("raags", &["common_name"], "raga"),
                ("taals", &["common_name"], "tala"),
                ("artists", &["instrument", "name"], "instrument"),
                ("forms", &["common_name"], "form"),
            ],
            Tradition::Carnatic => &[
                ("raaga", &["common_name"], "raga"),
                ("taala", &["common_name"], "tala"),
                ("artists", &["instrument", "name"], "instrument"),
                ("form", &["name"], "form"),
            ],
        }
    }

    /// Field with the releases.
    fn releases(self) -> &'static str {
        match self {
            Tradition::Makam => "releases",
            Tradition::Hindustani => "release",
            Tradition::Carnatic => "concert",
        }
    }
}

impl Default for Dunya {
    fn default() -> Self {
        Self {
            tradition: Tradition::Makam,
            lists: "split".into(),
            recordings: "recordings".into(),
            audio: "audio".into(),
            classes: 30,
        }
    }
}

impl Corpus for Dunya {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let mut files = self.lists(cfg).to_vec();
        files.push(cfg.root.join(&self.recordings));
        Ok(files)
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let splits = numpy::splits(&self.lists(cfg))?;
        let tracks = splits.into_iter().map(|(id, split)| self.track(cfg, id, split));
        let mut tracks: Vec<Track> = tracks.collect::<Result<_>>()?;
        let vocab = self.vocab(cfg, &tracks);
        fill_labels(&mut tracks, &vocab);
        sorted(tracks, &cfg.root.join(&self.lists))
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vec![self.vocab(cfg, tracks)])
    }

    fn durations(&self, cfg: &CorpusConfig) -> Result<Durations> {
        let mut seconds = HashMap::new();
        for id in numpy::splits(&self.lists(cfg))?.into_keys() {
            let recording = self.recording(cfg, &id)?;
            if let Some(ms) = recording.as_ref().and_then(|r| r["length"].as_f64()) {
                seconds.insert(id, ms / 1000.0);
            }
        }
        Ok(Durations::Each { seconds, tolerance: TOLERANCE_S })
    }

    fn artist_disjoint(&self) -> bool {
        false // the published split is random by recording
    }

    fn remarks(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<String>> {
        let missing: Vec<&Track> = tracks.iter().filter(|t| t.tags.is_none()).collect();
        let Some(first) = missing.first() else { return Ok(Vec::new()) };
        let (n, all, folder) = (missing.len(), tracks.len(), &self.recordings);
        let name = &cfg.dataset;
        Ok(vec![format!(
            "warning in view {name}: {n} of {all} recordings have no annotation in {folder}, the first is {}",
            first.clip_id
        )])
    }

    fn check(&self) -> Result<(), String> {
        match self.classes {
            0 => Err("dunya.classes: expected at least 1, got 0".into()),
            _ => Ok(()),
        }
    }
}

impl Dunya {
    fn lists(&self, cfg: &CorpusConfig) -> [PathBuf; 3] {
        ["train.npy", "valid.npy", "test.npy"].map(|name| cfg.root.join(&self.lists).join(name))
    }

    fn track(&self, cfg: &CorpusConfig, id: String, split: Split) -> Result<Track> {
        let recording = self.recording(cfg, &id)?;
        let mut track = Track {
            dataset: cfg.dataset.clone(),
            key: format!("{}:{id}", cfg.dataset),
            path: format!("{}/{id}.mp3", self.audio.trim_end_matches('/')),
            track_id: Some(id.clone()),
            clip_id: id,
            splits: BTreeMap::from([(cfg.dataset.clone(), split)]),
            ..Track::default()
        };
        if let Some(recording) = recording {
            let artist = lead(&recording);
            track.tags = Some(self.labels(&recording));
            track.title = recording["title"].as_str().and_then(filled);
            track.artist_id = artist["mbid"].as_str().and_then(filled);
            track.artist = artist["name"].as_str().and_then(filled);
            let release = &recording[self.tradition.releases()][0];
            track.album_id = release["mbid"].as_str().and_then(filled);
            track.album = release["title"].as_str().and_then(filled);
        }
        Ok(track)
    }

    /// What the server said of a recording; `None` if it said nothing.
    fn recording(&self, cfg: &CorpusConfig, id: &str) -> Result<Option<Value>> {
        let folder = cfg.root.join(&self.recordings);
        let path = folder.join(format!("{id}.json"));
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                return Ok(None);
            }
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let wrong = |line: usize, expected: &str, got: String| Error::Annotation {
            place: format!("{}:{line}", path.display()),
            expected: expected.into(),
            got,
        };
        let value: Value = serde_json::from_slice(&text)
            .map_err(|e| wrong(e.line(), "a recording in JSON", e.to_string()))?;
        match &value["mbid"] {
            _ if value.is_null() => Ok(None),
            Value::String(mbid) if mbid == id => Ok(Some(value)),
            other => Err(wrong(1, &format!("the recording {id}"), other.to_string())),
        }
    }

    /// `word--name` for every name, in the order of the fields.
    fn labels(&self, recording: &Value) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut labels = Vec::new();
        for (field, keys, word) in self.tradition.fields() {
            for item in recording[*field].as_array().into_iter().flatten() {
                let name = keys.iter().fold(item, |value, key| &value[*key]);
                let Some(name) = name.as_str().map(str::trim).filter(|n| !n.is_empty()) else {
                    continue;
                };
                let label: String = format!("{word}--{name}").nfc().collect();
                if seen.insert(label.clone()) {
                    labels.push(label);
                }
            }
        }
        labels
    }

    fn vocab(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Vocab {
        let train = |t: &&Track| t.splits.get(&cfg.dataset) == Some(&Split::Train);
        top(&cfg.dataset, self.classes, tracks.iter().filter(train))
    }
}

/// The lead artist, or the first of the album.
fn lead(recording: &Value) -> &Value {
    let artists = recording["artists"].as_array();
    let lead = artists.and_then(|all| all.iter().find(|a| a["lead"] == Value::Bool(true)));
    match lead {
        Some(lead) => &lead["artist"],
        None => match &recording["album_artists"][0] {
            Value::Null => &recording["artists"][0],
            artist => artist,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn dunya(tradition: Tradition) -> Dunya {
        Dunya { tradition, ..Dunya::default() }
    }

    fn place(ids: [&[&str]; 3], recordings: &[(&str, &str)]) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        let cfg = CorpusConfig { dataset: "makam".into(), root: dir.path().to_path_buf() };
        for folder in ["split", "recordings"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for (path, ids) in Dunya::default().lists(&cfg).iter().zip(ids) {
            numpy::tests::write(path, ids);
        }
        for (id, json) in recordings {
            std::fs::write(dir.path().join(format!("recordings/{id}.json")), json).unwrap();
        }
        (dir, cfg)
    }

    const A: &str = r#"{"mbid": "a", "title": "T", "makamlist": [{"name": "U\u0073\u0327s\u0327ak"}, {"name": null}],
        "usullist": [{"name": "Aksak"}, {"name": "Aksak"}, null],
        "performers": [{"instrument": {"name": "Ney"}}, {"instrument": null}],
        "artists": [{"mbid": "x", "name": "X"}], "releases": [{"mbid": "r", "title": "R"}]}"#;

    #[test]
    fn labels_are_composed_and_once_and_never_null() {
        let (_dir, cfg) = place([&["a"], &["b"], &["c"]], &[("a", A), ("b", "null")]);
        let corpus = dunya(Tradition::Makam);
        let tracks = corpus.tracks(&cfg).unwrap();
        let tags = ["makam--U\u{15f}\u{15f}ak", "usul--Aksak", "instrument--Ney"];
        assert_eq!(tracks[0].tags.as_deref().unwrap(), tags);
        let ids = |t: &Track| (t.artist_id.clone().unwrap(), t.album_id.clone().unwrap());
        assert_eq!(
            (ids(&tracks[0]), tracks[0].path.as_str()),
            (("x".into(), "r".into()), "audio/a.mp3")
        );
        assert_eq!((&tracks[1].tags, &tracks[2].tags), (&None, &None)); // null, and no file
        let view = corpus.views(&cfg, &tracks).unwrap().remove(0);
        assert_eq!(view.examples.len(), 1);
        let lines = corpus.remarks(&cfg, &tracks).unwrap();
        let expected = "2 of 3 recordings have no annotation in recordings, the first is b";
        assert!(lines[0].ends_with(expected), "{lines:?}");
    }

    #[test]
    fn lists_and_recordings_that_contradict_each_other_are_errors_with_their_place() {
        let why = |ids, json: &str| {
            let (_dir, cfg) = place(ids, &[("a", json)]);
            dunya(Tradition::Makam).tracks(&cfg).unwrap_err().to_string()
        };
        let text = why([&["a"], &["a"], &[]], A);
        assert!(text.ends_with("valid.npy: expected every id once in the three lists, got a again, which is in train"), "{text}");
        let text = why([&["a"], &[], &[]], "{\"mbid\": \"b\"}");
        assert!(text.ends_with("a.json:1: expected the recording a, got \"b\""), "{text}");
        let text = why([&["a"], &[], &[]], "{\n\"mbid\": nope}");
        assert!(text.contains("a.json:2: expected a recording in JSON"), "{text}");
        let (dir, cfg) = place([&["a"], &[], &[]], &[]);
        std::fs::remove_dir(dir.path().join("recordings")).unwrap();
        let text = dunya(Tradition::Makam).tracks(&cfg).unwrap_err().to_string();
        assert!(text.contains("recordings/a.json: No such file"), "{text}");
    }
}
