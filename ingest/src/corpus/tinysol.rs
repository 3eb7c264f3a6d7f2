//! TinySOL (Cella et al. 2020): 2 913 single notes of 14 instruments, and every set of notes in its layout.
//!
//! `TinySOL_metadata.csv` has one row per note: `Path` below `audio/`, `Fold` 0 to 4, the instrument in full, the pitch as
//! a name and octave (`F#1`). The id of a note is its path without the extension, with `s` for a sharp.
//!
//! Views of one class per note, classes in alphabetical order: `<dataset>_instrument`, `<dataset>_pitch_class` (the name
//! of the pitch), `<dataset>_register` (its octave). One fold is the validation split, the next one the test split.

use super::table::{Form, Row, Table};
use super::{Corpus, CorpusConfig, class_view, filled, sorted, sources};
use crate::error::Result;
use etude_manifests::{Split, Track, View, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const FORM: Form = Form { delimiter: b',', quotes: true, open_ended: false };

/// What is asked of a note, in the order of its tags.
const TASKS: [&str; 3] = ["instrument", "pitch_class", "register"];

/// Number of published folds.
const FOLDS: u32 = 5;

/// The layout, section `[tinysol]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tinysol {
    /// The table, below the root.
    pub table: String,
    /// Folder below the root that the paths of the table start at.
    pub audio: String,
    /// Fold of the validation split, 0 to 4; the next one is the test split.
    pub fold: u32,
}

impl Default for Tinysol {
    fn default() -> Self {
        Self { table: "TinySOL_metadata.csv".into(), audio: "audio".into(), fold: 0 }
    }
}

impl Corpus for Tinysol {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        Ok(vec![cfg.root.join(&self.table)])
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let path = cfg.root.join(&self.table);
        let mut table = Table::open(&path, FORM)?;
        let [file, fold, short, instrument, pitch, instance] = table.columns([
            "Path",
            "Fold",
            "Instrument (abbr.)",
            "Instrument (in full)",
            "Pitch",
            "Instance ID",
        ])?;
        let mut tracks = Vec::new();
        while let Some(row) = table.next()? {
            let file = row.path(file)?;
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            let clip_id = stem.replace('#', "s"); // in keys, `#` comes before a variant
            let Some(name) = filled(row.get(instrument)) else {
                return Err(row.wrong("an instrument", "nothing"));
            };
            let (class, octave) = halves(&row, pitch)?;
            let split = self.split(&row, row.whole(fold)?)?;
            tracks.push(Track {
                dataset: cfg.dataset.clone(),
                key: format!("{}:{clip_id}", cfg.dataset),
                track_id: Some(clip_id.clone()),
                clip_id,
                artist_id: Some(format!("{}{}", row.get(short), row.get(instance))),
                path: match self.audio.trim_end_matches('/') {
                    "" => file.to_owned(),
                    folder => format!("{folder}/{file}"),
                },
                licence: Some("CC BY 4.0".into()),
                tags: Some(vec![name, class, octave]),
                splits: BTreeMap::from([(cfg.dataset.clone(), split)]),
                ..Track::default()
            });
        }
        for (task, vocab) in vocabs(cfg, &tracks).into_iter().enumerate() {
            for track in &mut tracks {
                let tag = track.tags.as_ref().and_then(|tags| tags.get(task));
                let label = tag.and_then(|tag| vocab.index(tag)).map(|label| vec![label.into()]);
                track.labels.insert(vocab.id.clone(), label);
            }
        }
        sorted(tracks, &path)
    }

    fn views(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<View>> {
        let sources = sources(&self.files(cfg)?)?;
        let of = |(task, vocab): (&str, Vocab)| {
            let name = format!("{}_{task}", cfg.dataset);
            class_view(cfg, &name, &cfg.dataset, &vocab, tracks, &sources)
        };
        Ok(TASKS.into_iter().zip(vocabs(cfg, tracks)).map(of).collect())
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vocabs(cfg, tracks))
    }

    fn artist_disjoint(&self) -> bool {
        false // every instrument is in every fold
    }

    fn check(&self) -> Result<(), String> {
        match self.fold < FOLDS {
            true => Ok(()),
            false => Err(format!("tinysol.fold: expected 0 to 4, got {}", self.fold)),
        }
    }
}

impl Tinysol {
    fn split(&self, row: &Row, fold: u32) -> Result<Split> {
        match fold {
            _ if fold >= FOLDS => Err(row.wrong("a fold from 0 to 4", &fold.to_string())),
            _ if fold == self.fold => Ok(Split::Valid),
            _ if fold == (self.fold + 1) % FOLDS => Ok(Split::Test),
            _ => Ok(Split::Train),
        }
    }
}

/// `F#1` as `F#` and `1`.
fn halves(row: &Row, column: usize) -> Result<(String, String)> {
    let pitch = row.get(column);
    let digits = pitch.find(|c: char| c.is_ascii_digit()).unwrap_or(pitch.len());
    let (class, octave) = pitch.split_at(digits);
    let named = matches!(class.as_bytes(), [b'A'..=b'G'] | [b'A'..=b'G', b'#' | b'b']);
    match named && octave.parse::<u8>().is_ok() {
        true => Ok((class.to_owned(), octave.to_owned())),
        false => Err(row.wrong("a pitch such as F#1", &format!("{pitch:?}"))),
    }
}

/// One vocabulary per task, over all notes whatever their status.
fn vocabs(cfg: &CorpusConfig, tracks: &[Track]) -> Vec<Vocab> {
    let of = |(place, task): (usize, &str)| {
        let tags = tracks.iter().filter_map(|t| t.tags.as_ref()?.get(place));
        let classes: BTreeSet<&String> = tags.collect();
        Vocab {
            id: format!("{}_{task}{}", cfg.dataset, classes.len()),
            classes: classes.into_iter().cloned().collect(),
            order: "alphabetical".into(),
        }
    };
    TASKS.into_iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use etude_manifests::Target;

    const CSV: &str = "Path,Fold,Instrument (abbr.),Instrument (in full),Pitch,Instance ID\r\n\
        W/a-F#1.wav,0,Fl,Flute,F#1,0\r\nW/b.wav,1,Ob,Oboe,C4,1\r\nW/c.wav,4,Fl,Flute,C5,0\r\n";

    fn place(csv: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("TinySOL_metadata.csv"), csv).unwrap();
        let cfg = CorpusConfig { dataset: "notes".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    #[test]
    fn one_fold_validates_the_next_one_tests_and_the_others_train() {
        let (_dir, cfg) = place(CSV);
        let splits = |fold| -> Vec<Split> {
            let corpus = Tinysol { fold, ..Tinysol::default() };
            corpus.tracks(&cfg).unwrap().iter().map(|t| t.splits["notes"]).collect()
        };
        assert_eq!(splits(0), [Split::Valid, Split::Test, Split::Train]);
        assert_eq!(splits(4), [Split::Test, Split::Train, Split::Valid]);
    }

    #[test]
    fn a_note_has_one_class_in_each_of_three_views() {
        let (_dir, cfg) = place(CSV);
        let tracks = Tinysol::default().tracks(&cfg).unwrap();
        assert_eq!(
            (tracks[0].key.as_str(), tracks[0].path.as_str()),
            ("notes:W/a-Fs1", "audio/W/a-F#1.wav")
        );
        let views = Tinysol::default().views(&cfg, &tracks).unwrap();
        let names: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["notes_instrument", "notes_pitch_class", "notes_register"]);
        let classes = [vec!["Flute", "Oboe"], vec!["C", "F#"], vec!["1", "4", "5"]];
        let targets = [[0, 1, 0], [1, 0, 0], [0, 1, 2]];
        for ((view, classes), targets) in views.iter().zip(classes).zip(targets) {
            assert_eq!(view.vocab.classes, classes);
            let found: Vec<&Target> = view.examples.iter().map(|e| &e.target).collect();
            assert_eq!(found, targets.map(Target::Class).iter().collect::<Vec<_>>());
            view.validate().unwrap();
        }
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let cases = [
            (
                CSV.replace("b.wav,1", "b.wav,5"),
                "metadata.csv:3: expected a fold from 0 to 4, got 5",
            ),
            (CSV.replace("b.wav,1", "b.wav,x"), ":3: expected a whole number in Fold, got \"x\""),
            (CSV.replace("C4", "H4"), ":3: expected a pitch such as F#1, got \"H4\""),
            (CSV.replace("Oboe", ""), ":3: expected an instrument, got nothing"),
            (CSV.replace(",C4", ""), ":3: expected 6 columns, got 5"),
            (CSV.replace("W/b.wav", "../b.wav"), ":3: expected a path below the corpus folder"),
            (CSV.replace("W/b", "W/c"), "expected every id once, got W/c twice"),
            (CSV.replace("Fold", "fold"), ":1: expected a column \"Fold\""),
        ];
        for (csv, expected) in cases {
            let text = Tinysol::default().tracks(&place(&csv).1).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}\n{expected}");
        }
    }
}
