//! Lyra (Papaioannou et al. 2022): Greek traditional and folk music, 80 hours with instruments, genres and places.
//!
//! `training.tsv` and `test.tsv`: one row per piece; several values of a cell are separated by `|`, and `None` is a value
//! like any other. The audio is not distributed: the data of a piece is `<mels>/<id>.npy`, a published mel spectrogram, so
//! the paths of these tracks end in `.npy`.
//!
//! View `<dataset>`: the most frequent tags of `training.tsv`, ties in alphabetical order. A tenth of the rows of
//! `training.tsv` is the validation split, drawn as published (pxaris/ccml): numpy's shuffle of the rows, seed 10.

use super::table::{Form, Table};
use super::{Corpus, CorpusConfig, Durations, fill_labels, filled, numpy, sorted, top};
use crate::error::Result;
use etude_manifests::{Split, Track, Vocab};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

const FORM: Form = Form { delimiter: b'\t', quotes: false, open_ended: false };

/// Columns of tags; their names are the words before the values.
const TAGS: [&str; 3] = ["instruments", "genres", "place"];

/// Starts and ends are published in whole seconds.
const TOLERANCE_S: f64 = 2.0;

/// The layout, section `[lyra]` of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lyra {
    /// Folder below the root that holds the two tables; empty if the root itself does.
    pub metadata: String,
    /// Folder below the root that holds `<id>.npy`.
    pub mels: String,
    /// Most frequent tags that are classes.
    pub classes: usize,
    /// Seed of the validation rows.
    pub seed: u32,
}

impl Default for Lyra {
    fn default() -> Self {
        Self { metadata: "split".into(), mels: "mel-spectrograms".into(), classes: 30, seed: 10 }
    }
}

impl Corpus for Lyra {
    fn files(&self, cfg: &CorpusConfig) -> Result<Vec<PathBuf>> {
        let folder = cfg.root.join(&self.metadata);
        Ok(vec![folder.join("training.tsv"), folder.join("test.tsv")])
    }

    fn tracks(&self, cfg: &CorpusConfig) -> Result<Vec<Track>> {
        let mut tracks: Vec<Track> = self.read(cfg)?.into_iter().map(|piece| piece.track).collect();
        let vocab = self.vocab(cfg, &tracks);
        fill_labels(&mut tracks, &vocab);
        sorted(tracks, &cfg.root.join(&self.metadata))
    }

    fn vocabs(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Result<Vec<Vocab>> {
        Ok(vec![self.vocab(cfg, tracks)])
    }

    fn durations(&self, cfg: &CorpusConfig) -> Result<Durations> {
        let pieces = self.read(cfg)?.into_iter();
        let seconds: HashMap<String, f64> =
            pieces.map(|piece| (piece.track.clip_id, piece.seconds)).collect();
        Ok(Durations::Each { seconds, tolerance: TOLERANCE_S })
    }

    fn artist_disjoint(&self) -> bool {
        false // artists are not published
    }

    fn check(&self) -> Result<(), String> {
        match self.classes {
            0 => Err("lyra.classes: expected at least 1, got 0".into()),
            _ => Ok(()),
        }
    }
}

struct Piece {
    track: Track,
    seconds: f64,
}

impl Lyra {
    /// Both tables in their order, with splits.
    fn read(&self, cfg: &CorpusConfig) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for (path, split) in self.files(cfg)?.into_iter().zip([Split::Train, Split::Test]) {
            let first = pieces.len();
            let mut table = Table::open(&path, FORM)?;
            let [id, youtube, start, end] =
                table.columns(["id", "youtube-id", "start-ts", "end-ts"])?;
            let tags = table.columns(TAGS)?;
            while let Some(row) = table.next()? {
                let clip_id = row.name(id)?.to_owned();
                let (start_s, end_s) = (row.number(start)?, row.number(end)?);
                if end_s <= start_s {
                    return Err(
                        row.wrong("an end after the start", &format!("{start_s} to {end_s}"))
                    );
                }
                let values = tags.iter().zip(TAGS).flat_map(|(&column, word)| {
                    let values = row.get(column).split('|').filter(|v| !v.is_empty());
                    values.map(move |value| format!("{word}--{value}"))
                });
                let mut seen = HashSet::new();
                let values: Vec<String> = values.filter(|v| seen.insert(v.clone())).collect();
                let track = Track {
                    dataset: cfg.dataset.clone(),
                    key: format!("{}:{clip_id}", cfg.dataset),
                    path: format!("{}/{clip_id}.npy", self.mels.trim_end_matches('/')),
                    track_id: Some(clip_id.clone()),
                    clip_id,
                    album_id: filled(row.get(youtube)),
                    clip_start_s: Some(start_s),
                    licence: Some("CC BY-NC-SA 4.0".into()),
                    tags: Some(values),
                    splits: BTreeMap::from([(cfg.dataset.clone(), split)]),
                    ..Track::default()
                };
                pieces.push(Piece { track, seconds: end_s - start_s });
            }
            if split == Split::Train {
                let rows = pieces.len() - first;
                for row in numpy::shuffled(rows, self.seed).into_iter().take(rows / 10) {
                    pieces[first + row].track.splits.insert(cfg.dataset.clone(), Split::Valid);
                }
            }
        }
        Ok(pieces)
    }

    /// The published vocabulary counts `training.tsv` with its validation rows.
    fn vocab(&self, cfg: &CorpusConfig, tracks: &[Track]) -> Vocab {
        let training = |t: &&Track| t.splits.get(&cfg.dataset).is_some_and(|s| *s != Split::Test);
        top(&cfg.dataset, self.classes, tracks.iter().filter(training))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const HEADER: &str =
        "id\tinstruments\tgenres\tplace\tcoordinates\tis-danced\tyoutube-id\tstart-ts\tend-ts\n";
    const ROW: &str = "a-1\tVoice|Oud\tLaiko\tNone\tNone\t0\tcK_\t60\t120\n";

    fn place(training: &str) -> (tempfile::TempDir, CorpusConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("split")).unwrap();
        std::fs::write(dir.path().join("split/training.tsv"), format!("{HEADER}{training}"))
            .unwrap();
        let test = format!("{HEADER}{}", ROW.replace("a-1", "t-1"));
        std::fs::write(dir.path().join("split/test.tsv"), test).unwrap();
        let cfg = CorpusConfig { dataset: "lyra".into(), root: dir.path().to_path_buf() };
        (dir, cfg)
    }

    #[test]
    fn none_is_a_value_and_the_data_of_a_piece_is_a_mel_spectrogram() {
        let (_dir, cfg) = place(ROW);
        let tracks = Lyra::default().tracks(&cfg).unwrap();
        assert_eq!(tracks[0].path, "mel-spectrograms/a-1.npy");
        let tags = ["instruments--Voice", "instruments--Oud", "genres--Laiko", "place--None"];
        assert_eq!(tracks[0].tags.as_deref().unwrap(), tags);
        let vocab = &Lyra::default().vocabs(&cfg, &tracks).unwrap()[0];
        let expected = ["genres--Laiko", "instruments--Oud", "instruments--Voice", "place--None"];
        assert_eq!(vocab.classes, expected); // all tie at one: alphabetical
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let cases = [
            (ROW.replace("\t60\t", "\tx\t"), "training.tsv:2: expected a number in start-ts"),
            (
                ROW.replace("120", "60"),
                "training.tsv:2: expected an end after the start, got 60 to 60",
            ),
            (ROW.replace("\tLaiko", ""), "training.tsv:2: expected 9 columns, got 8"),
            (ROW.replace("a-1", "../a"), "training.tsv:2: expected an id that can be a file name"),
            (ROW.replace("a-1", "t-1"), "expected every id once, got t-1 twice"),
        ];
        for (training, expected) in cases {
            let text = Lyra::default().tracks(&place(&training).1).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}\n{expected}");
        }
    }
}
