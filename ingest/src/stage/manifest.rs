//! The tables on disk: tracks, views, the list of quarantined files, and a note of what they were made from.

use super::journal::Stamp;
use super::{DECODER, digest, hidden, remove, write};
use crate::config::{Bad, Config};
use crate::corpus::{self, Corpus};
use crate::error::{Error, Result};
use crate::limited;
use crate::policy::{described, mark_duplicates, name};
use etude_manifests::{
    Level, Source, TableMeta, Track, View, check_view, write_tracks, write_view,
};
use serde::{Deserialize, Serialize};
use std::fs;

/// Version of the note; a manifest of another one is made again.
const VERSION: u32 = 1;

/// What tables were made from, written after them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    version: u32,
    /// Digest of the part of the config that shows in the tables.
    pub config: String,
    /// Annotation files.
    inputs: Vec<Source>,
    /// Digest over path, size and time of every audio file.
    files: String,
    /// Names of the tables.
    pub outputs: Vec<String>,
}

impl Note {
    /// What tables of this config would be made from now.
    pub fn now(
        cfg: &Config,
        corpus: &dyn Corpus,
        tracks: &[Track],
        stamps: &[Option<Stamp>],
    ) -> Result<Self> {
        let inputs = corpus::sources(&corpus.files(&cfg.place())?)?;
        let paths: Vec<&str> = tracks.iter().map(|t| t.path.as_str()).collect();
        let files = digest(&(paths, stamps));
        Ok(Self { version: VERSION, config: config_digest(cfg), inputs, files, outputs: vec![] })
    }

    /// As an earlier run left it; `None` if there is none that can be read.
    pub fn read(cfg: &Config) -> Option<Self> {
        serde_json::from_slice(&fs::read(hidden(cfg, "state.json")).ok()?).ok()
    }

    /// Whether tables with this note are the ones that would be made now, and are still there.
    pub fn holds(&self, now: &Note, cfg: &Config) -> bool {
        let same = Note { outputs: Vec::new(), ..self.clone() } == *now;
        let folder = cfg.manifests_dir();
        same && !self.outputs.is_empty() && self.outputs.iter().all(|o| folder.join(o).is_file())
    }
}

/// The part of the config that shows in the tables.
pub(super) fn config_digest(cfg: &Config) -> String {
    let ingest = crate::config::Ingest { max_bad: 0.0, ..cfg.ingest.clone() };
    digest(&(DECODER, &cfg.dataset, ingest, (cfg.corpus, cfg.options()), &cfg.limited))
}

/// What was written, and what the checks over it found.
pub(super) struct Saved {
    pub outputs: Vec<String>,
    pub findings: Vec<String>,
}

/// Completes the table of tracks, writes it with its views, and notes what they were made from.
pub(super) fn save(
    cfg: &Config,
    corpus: &dyn Corpus,
    tracks: &mut [Track],
    mut note: Note,
) -> Result<Saved> {
    mark_duplicates(tracks);
    let (place, folder) = (cfg.place(), cfg.manifests_dir());
    let mut views = corpus.views(&place, tracks)?;
    let (smaller, remarks) = limited::views(cfg, &views)?;
    views.extend(smaller);
    let vocabs = corpus.vocabs(&place, tracks)?;
    let meta = TableMeta {
        corpus: cfg.dataset.clone(),
        decoder: DECODER.into(),
        inputs: note.inputs.clone(),
        vocabs: vocabs.iter().map(|v| (v.id.clone(), v.hash())).collect(),
    };
    let before = Note::read(cfg).map(|n| n.outputs).unwrap_or_default();
    remove(&hidden(cfg, "state.json"))?; // from here until the end nothing claims that the tables are whole
    write_tracks(&cfg.tracks_path(), tracks, &meta)?;
    note.outputs = vec![format!("{}.tracks.parquet", cfg.dataset)];
    for view in &views {
        write_view(&folder, view)?;
        note.outputs.extend([format!("{}.parquet", view.name), format!("{}.json", view.name)]);
    }
    if cfg.ingest.bad == Bad::Quarantine {
        let list = format!("{}.quarantine.tsv", cfg.dataset);
        write(&folder.join(&list), quarantine(tracks).as_bytes())?;
        note.outputs.push(list);
    }
    for old in before.iter().filter(|o| !note.outputs.contains(o)) {
        remove(&folder.join(old))?;
    }
    let path = hidden(cfg, "state.json");
    let text = serde_json::to_vec(&note).map_err(|e| Error::io(&path)(e.into()))?;
    write(&path, &text)?;
    let mut findings = findings(&views, tracks, corpus.artist_disjoint());
    findings.extend(remarks);
    findings.extend(corpus.remarks(&place, tracks)?);
    Ok(Saved { outputs: note.outputs, findings })
}

/// Doubts about scores: leaks between splits, classes without a positive. Refused files are in the report anyway.
fn findings(views: &[View], tracks: &[Track], artist_disjoint: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for view in views {
        for found in check_view(view, tracks, artist_disjoint).iter() {
            if found.level > Level::Note {
                let (level, name, n) = (found.level.name(), &view.name, found.count);
                lines.push(format!("{level} in view {name}: {n} {}", found.text));
            }
        }
    }
    lines
}

/// Key, path, status and message of every file that is not used.
fn quarantine(tracks: &[Track]) -> String {
    let mut text = String::from("key\tpath\tstatus\ttext\n");
    for track in tracks.iter().filter(|t| !t.status.usable()) {
        let why = track.status_text.as_deref().unwrap_or_default();
        let plain = why.replace(['\t', '\n', '\r'], " ");
        text.push_str(&format!(
            "{}\t{}\t{}\t{plain}\n",
            track.key,
            track.path,
            name(&track.status)
        ));
    }
    text
}

/// The error of a data set without one usable track.
pub(super) fn nothing_left(tracks: &[Track]) -> Error {
    let first = tracks.first().map(|t| {
        format!("{} ({}): {}", t.key, t.path, described(t.status, t.status_text.as_deref()))
    });
    Error::NothingLeft { tracks: tracks.len() as u64, first: first.unwrap_or_default() }
}
