//! What a stage did: what was stored, what was refused and why. Nothing is lost without a line here.

use crate::policy::name;
use etude_manifests::{Status, Track};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The answer of a stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// `ingest` or `shards`.
    pub stage: String,
    /// Id of the data set.
    pub dataset: String,
    /// Folder that was written to.
    pub dir: PathBuf,
    /// Files of the result, whether written now or before, in `dir`.
    pub files: Vec<String>,
    /// Everything was there already and nothing had changed.
    pub nothing_to_do: bool,
    /// Tracks the stage had to deal with.
    pub tracks: u64,
    /// Tracks that are usable (`ingest`) or in the shards (`shards`).
    pub stored: u64,
    /// Tracks whose facts (`ingest`) or shards (`shards`) an earlier run had left.
    pub reused: u64,
    /// Tracks that were refused, by key.
    pub refused: Vec<Refused>,
    /// Tracks per warning.
    pub warnings: BTreeMap<String, u64>,
    /// Tracks with values beyond full scale that 16 bits cannot hold, and how many values were saturated.
    pub overs: Vec<Overs>,
    /// What the checks over the whole table found.
    pub findings: Vec<String>,
    /// Seconds of audio in the stored tracks.
    pub audio_s: f64,
    /// Wall time.
    pub seconds: f64,
    /// `refused / tracks`.
    pub refused_share: f64,
    /// Allowed share.
    pub max_bad: f64,
    /// Whether more was refused than allowed.
    pub above_max_bad: bool,
}

/// A track that cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// Key in the manifest.
    pub key: String,
    /// Below the corpus root.
    pub path: String,
    /// Status code.
    pub status: String,
    /// Message of the decoder or checker.
    pub text: String,
}

/// Saturated values of one track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overs {
    /// Key in the manifest.
    pub key: String,
    /// How many values.
    pub values: u64,
}

impl Refused {
    pub(crate) fn new(track: &Track, status: Status, text: Option<&str>) -> Self {
        Self {
            key: track.key.clone(),
            path: track.path.clone(),
            status: name(&status),
            text: text.unwrap_or_default().to_owned(),
        }
    }
}

impl Report {
    /// Sorts what was refused, counts shares.
    pub(crate) fn closed(mut self, max_bad: f64, seconds: f64) -> Self {
        self.refused.sort_by(|a, b| a.key.cmp(&b.key));
        self.overs.sort_by(|a, b| a.key.cmp(&b.key));
        self.max_bad = max_bad;
        self.seconds = seconds;
        if self.tracks > 0 {
            self.refused_share = self.refused.len() as f64 / self.tracks as f64;
        }
        self.above_max_bad = self.refused_share > max_bad;
        self
    }

    /// Counts the warnings of usable tracks and their audio.
    pub(crate) fn count<'a>(&mut self, tracks: impl IntoIterator<Item = &'a Track>) {
        for track in tracks {
            self.audio_s += track.facts.duration_s.unwrap_or(0.0);
            for warning in &track.warnings {
                *self.warnings.entry(name(warning)).or_default() += 1;
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let nothing = if self.nothing_to_do { ", nothing to do" } else { "" };
        writeln!(
            f,
            "{} {}: {} tracks, {} stored, {} refused, {:.2} h of audio, {:.1} s{nothing}",
            self.stage,
            self.dataset,
            self.tracks,
            self.stored,
            self.refused.len(),
            self.audio_s / 3600.0,
            self.seconds
        )?;
        if self.reused > 0 && !self.nothing_to_do {
            writeln!(f, "{} tracks reused from an earlier run", self.reused)?;
        }
        self.causes(f)?;
        let warnings = self.warnings.iter().map(|(name, n)| [name.clone(), n.to_string()]);
        aligned(f, ["warning", "tracks"], &warnings.collect::<Vec<_>>())?;
        if !self.overs.is_empty() {
            let (values, tracks) =
                (self.overs.iter().map(|o| o.values).sum::<u64>(), self.overs.len());
            writeln!(f, "{values} values of {tracks} tracks were beyond full scale and saturated")?;
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        if self.above_max_bad {
            writeln!(
                f,
                "{:.2} % refused, ingest.max_bad allows {:.2} %",
                self.refused_share * 100.0,
                self.max_bad * 100.0
            )?;
        }
        write!(f, "{}", self.dir.display())
    }
}

impl Report {
    /// One line per status: how many, and the first as an example.
    fn causes(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut causes: BTreeMap<&str, (u64, &Refused)> = BTreeMap::new();
        for refused in &self.refused {
            causes.entry(&refused.status).or_insert((0, refused)).0 += 1;
        }
        let rows: Vec<_> = causes
            .iter()
            .map(|(status, (n, first))| {
                let text = if first.text.is_empty() { "" } else { ": " };
                let example = format!("{} ({}){text}{}", first.key, first.path, first.text);
                [(*status).to_owned(), n.to_string(), example]
            })
            .collect();
        aligned(f, ["refused", "tracks", "first"], &rows)
    }
}

/// Columns as wide as their widest cell; nothing if there are no rows.
fn aligned<const N: usize>(
    f: &mut fmt::Formatter,
    header: [&str; N],
    rows: &[[String; N]],
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let width = |c: usize| {
        let cells = rows.iter().map(|r| r[c].chars().count());
        cells.chain([header[c].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = [header.map(str::to_owned)];
    for line in lines.iter().chain(rows) {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| match cell.parse::<u64>() {
                Ok(_) => format!("{cell:>width$}"),
                Err(_) => format!("{cell:<width$}"),
            })
            .collect();
        writeln!(f, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_counted_and_aligned_with_the_first_as_an_example() {
        let refused = |key: &str, status: &str| Refused {
            key: key.into(),
            path: format!("{key}.mp3"),
            status: status.into(),
            text: "why".into(),
        };
        let report = Report {
            stage: "ingest".into(),
            dataset: "x".into(),
            tracks: 30,
            stored: 27,
            refused: vec![
                refused("x:3", "silent"),
                refused("x:1", "empty_file"),
                refused("x:2", "silent"),
            ],
            warnings: BTreeMap::from([("clipping".to_owned(), 12)]),
            dir: "data/manifests".into(),
            ..Report::default()
        };
        let report = report.closed(0.05, 1.0);
        assert!(report.above_max_bad);
        let lines = [
            "ingest x: 30 tracks, 27 stored, 3 refused, 0.00 h of audio, 1.0 s",
            "refused     tracks  first",
            "empty_file       1  x:1 (x:1.mp3): why",
            "silent           2  x:2 (x:2.mp3): why",
            "warning   tracks",
            "clipping      12",
            "10.00 % refused, ingest.max_bad allows 5.00 %",
            "data/manifests",
        ];
        assert_eq!(report.to_string(), lines.join("\n"));
        assert!(!report.closed(0.1, 1.0).above_max_bad);
    }
}
