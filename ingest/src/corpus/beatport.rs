//! Beatport EDM key (Faraldo et al. 2017): 1 486 previews of two minutes with their keys.
//!
//! `keys/<name>.txt` holds a key such as `D minor`, or several with `|` between them; `audio/<name>.mp3` is the audio and
//! `meta/<name>.json` what the shop said, in which numbers that are not known are bare `NaN`. A name begins with the id.
//!
//! View `<dataset>_key`: tracks with one key of a tonic and a mode, tonics with sharps (`Db` is `C#`), classes in
//! alphabetical order. The split has equal shares of every key, drawn by étude from a seed: 80, 10 and 10 %. The split of
//! chrispla/mir_ref, drawn with another generator from the same seed, was never published as a list.

use super::{Corpus, CorpusConfig, class_view, filled, sorted, sources};
use crate::error::{Error, Result};
use etude_manifests::split::{Shares, stratified};
use etude_manifests::{Track, View, Vocab};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The layout, section `[beatport]` of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Beatport {
    /// Folder below the root with `<name>.txt`.
    pub keys: String,
    /// Folder below the root with `<name>.json`; empty = nothing but keys is read.
    pub meta: String,
    /// Folder below the root with `<name>.mp3`.
    pub audio: String,
    /// Seed of the split.
    pub seed: u64,
    /// Share of the tracks in the validation split.
    pub valid: f64,
    /// Share of the tracks in the test split.
    pub test: f64,
}

impl Default for Beatport {
    fn default() -> Self {
        Self {
            keys: "keys".into(),
            meta: "meta".into(),
            audio: "audio".into(),
            seed: 42,
            valid: 0.1,
            test: 0.1,
        }
    }
}

impl Corpus for Beatport {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let mut files = vec![cfg.root.join(&self.keys)];
        let meta = cfg.root.join(&self.meta);
        files.extend(Some(meta).filter(|folder| !self.meta.is_empty() && folder.is_dir()));
        Ok(files)
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let folder = cfg.root.join(&self.keys);
        let names = names(&folder)?;
        let tracks = names.iter().map(|name| self.track(cfg, &folder, name));
        let mut tracks = sorted(tracks.collect::<Result<_>>()?, &folder)?;
        let vocab = vocab(cfg, &tracks);
        let classes: Vec<Option<u16>> =
            tracks.iter().map(|t| key(t).and_then(|key| vocab.index(&key))).collect();
        for (track, class) in tracks.iter_mut().zip(&classes) {
            track.labels.insert(vocab.id.clone(), class.map(|class| vec![class.into()]));
        }
        let keyed: Vec<usize> = (0..tracks.len()).filter(|&i| classes[i].is_some()).collect();
        let keys: Vec<&str> = keyed.iter().map(|&i| tracks[i].key.as_str()).collect();
        let labels: Vec<Vec<u16>> =
            keyed.iter().map(|&i| classes[i].into_iter().collect()).collect();
        let shares = Shares { valid: self.valid, test: self.test };
        let splits = stratified(&keys, &labels, &shares, self.seed)?;
        for (i, split) in keyed.into_iter().zip(splits) {
            tracks[i].splits.insert(scheme(cfg), split);
        }
        Ok(tracks)
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let sources = sources(&self.files(cfg)?)?;
        let name = scheme(cfg);
        Ok(vec![class_view(cfg, &name, &name, &vocab(cfg, tracks), tracks, &sources)])
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vec![vocab(cfg, tracks)])
    }

    fn scheme(&self, cfg: &CorpusConfig) -> String {
        scheme(cfg)
    }

    fn artist_disjoint(&self) -> bool {
        false
    }

    fn remarks(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<String>> {
        let without: Vec<&Track> = tracks.iter().filter(|t| key(t).is_none()).collect();
        let Some(first) = without.first() else { return Ok(Vec::new()) };
        let (view, n, all) = (scheme(cfg), without.len(), tracks.len());
        let got = first.tags.iter().flatten().cloned().collect::<Vec<_>>().join(" | ");
        Ok(vec![format!(
            "note on view {view}: {n} of {all} tracks have no single key and are not in it, the first is {} with {got:?}",
            first.clip_id
        )])
    }

    fn check(&self) -> Result<(), String> {
        let shares = Shares { valid: self.valid, test: self.test };
        shares.counts(0).map(|_| ()).map_err(|e| format!("beatport.valid and beatport.test: {e}"))
    }
}

impl Beatport {
    fn track(&self, cfg: &CorpusConfig, folder: &Path, name: &str) -> Result<Track> {
        let path = folder.join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let id = name.split(' ').next().unwrap_or(name);
        let meta = match self.meta.as_str() {
            "" => Value::Null,
            folder => meta(&cfg.root.join(folder).join(format!("{name}.json")))?,
        };
        let artist = &meta["artists"][0];
        let number = |value: &Value| value.as_u64().map(|n| n.to_string());
        let keys = text.split('|').map(|key| key.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(Track {
            dataset: cfg.dataset.clone(),
            key: format!("{}:{id}", cfg.dataset),
            clip_id: id.to_owned(),
            track_id: Some(id.to_owned()),
            path: format!("{}/{name}.mp3", self.audio.trim_end_matches('/')),
            artist_id: number(&artist["id"]),
            artist: artist["name"].as_str().and_then(filled),
            album_id: number(&meta["release"]["id"]),
            album: meta["release"]["name"].as_str().and_then(filled),
            title: meta["title"].as_str().and_then(filled),
            licence: Some("CC BY-SA 4.0".into()),
            tags: Some(keys.filter(|key| !key.is_empty()).collect()),
            ..Track::default()
        })
    }
}

/// Names of the key files without their extension, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".txt").filter(|n| !n.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    match names.is_empty() {
        false => Ok(names),
        true => Err(Error::Annotation {
            place: folder.display().to_string(),
            expected: "files <id> <title>.txt with one key each".into(),
            got: "none".into(),
        }),
    }
}

/// What the shop said; null if there is no such file.
fn meta(path: &Path) -> Result<Value> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(e) => return Err(Error::io(path)(e)),
    };
    serde_json::from_str(&without_nan(&text)).map_err(|e| Error::Annotation {
        place: format!("{}:{}", path.display(), e.line()),
        expected: "JSON, or JSON with bare NaN".into(),
        got: e.to_string(),
    })
}

/// `nan` outside of texts, in either case, as `null`. Python writes it, JSON has no such number.
fn without_nan(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let nan = rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("nan"));
        if nan && !quoted {
            plain.push_str("null");
            rest = &rest[3..];
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        plain.push(c);
        rest = &rest[c.len_utf8()..];
    }
    plain
}

/// The key of a track that has one: tonic with a sharp if any, and mode.
fn key(track: &Track) -> Option<String> {
    let [key] = track.tags.as_deref()? else { return None };
    let (tonic, mode) = key.split_once(' ')?;
    let tonic = match tonic {
        "Db" => "C#",
        "Eb" => "D#",
        "Gb" | "F#_" => "F#",
        "Ab" => "G#",
        "Bb" => "A#",
        "C" | "C#" | "D" | "D#" | "E" | "F" | "F#" | "G" | "G#" | "A" | "A#" | "B" => tonic,
        _ => return None,
    };
    matches!(mode, "major" | "minor").then(|| format!("{tonic} {mode}"))
}

fn vocab(cfg: &CorpusConfig, tracks: &[Track]) -> Vocab {
    let classes: BTreeSet<String> = tracks.iter().filter_map(key).collect();
    let id = format!("{}_key{}", cfg.dataset, classes.len());
    Vocab { id, classes: classes.into_iter().collect(), order: "alphabetical".into() }
}

fn scheme(cfg: &CorpusConfig) -> String {
    format!("{}_key", cfg.dataset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::{Split, Target};

    fn place(keys: &[(&str, &str)], meta: &[(&str, &str)]) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        for (folder, files, end) in [("keys", keys, "txt"), ("meta", meta, "json")] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            for (name, text) in files {
                std::fs::write(dir.path().join(format!("{folder}/{name}.{end}")), text).unwrap();
            }
        }
        let cfg = CorpusConfig { dataset: "beatport".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    #[test]
    fn flats_are_sharps_and_what_is_not_one_key_is_in_no_split() {
        let keys = [
            ("1 A", "Db minor"),
            ("2 B", "D minor | F major"),
            ("3 C", "F#_ major\n"),
            ("4 D", "D other"),
            ("5 E", "-"),
            ("6 F", "C#  minor"),
        ];
        let (_dir, cfg) = place(
            &keys,
            &[("1 A", "{\"bpm\": nan, \"title\": \"nan, \\\"NaN\", \"artists\": [{\"id\": 7}]}")],
        );
        let tracks = Beatport::default().tracks(&cfg).unwrap();
        assert_eq!(
            (tracks[0].title.as_deref(), tracks[0].artist_id.as_deref()),
            (Some("nan, \"NaN"), Some("7"))
        );
        let view = Beatport::default().views(&cfg, &tracks).unwrap().remove(0);
        assert_eq!(view.vocab.classes, ["C# minor", "F# major"]);
        let targets: Vec<(&str, &Target)> =
            view.examples.iter().map(|e| (e.key.as_str(), &e.target)).collect();
        let class = [Target::Class(0), Target::Class(1)];
        assert_eq!(
            targets,
            [("beatport:1", &class[0]), ("beatport:3", &class[1]), ("beatport:6", &class[0])]
        );
        let lines = Beatport::default().remarks(&cfg, &tracks).unwrap();
        assert!(
            lines[0].contains("3 of 6 tracks have no single key")
                && lines[0].ends_with("2 with \"D minor | F major\""),
            "{lines:?}"
        );
    }

    #[test]
    fn every_key_has_its_share_of_every_split() {
        let names: Vec<String> = (0..300).map(|i| format!("{i} x")).collect();
        let key = |i: usize| if i.is_multiple_of(3) { "A major" } else { "B minor" };
        let keys: Vec<(&str, &str)> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), key(i))).collect();
        let (_dir, cfg) = place(&keys, &[]);
        let tracks = Beatport::default().tracks(&cfg).unwrap();
        for (key, n) in [("A major", 100), ("B minor", 200)] {
            let of = |split| {
                let of_key = tracks.iter().filter(|t| t.tags.as_ref().unwrap()[0] == key);
                of_key.filter(|t| t.splits["beatport_key"] == split).count()
            };
            assert_eq!(
                [Split::Train, Split::Valid, Split::Test].map(of),
                [n * 8 / 10, n / 10, n / 10]
            );
        }
        let other = Beatport { seed: 1, ..Beatport::default() };
        assert_ne!(other.tracks(&cfg).unwrap(), tracks);
    }

    #[test]
    fn mistakes_name_the_place() {
        let why = |keys: &[_], meta: &[_]| {
            Beatport::default().tracks(&place(keys, meta).1).unwrap_err().to_string()
        };
        let text = why(&[], &[]);
        assert!(
            text.ends_with("keys: expected files <id> <title>.txt with one key each, got none"),
            "{text}"
        );
        let text = why(&[("1 A", "C major")], &[("1 A", "{\n\"a\": }")]);
        assert!(text.contains("1 A.json:2: expected JSON, or JSON with bare NaN"), "{text}");
        let text = why(&[("1 A", "C major"), ("1 B", "C major")], &[]);
        assert!(text.ends_with("expected every id once, got 1 twice"), "{text}");
    }
}
