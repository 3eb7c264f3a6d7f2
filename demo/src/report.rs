//! What a run made, for people (`Display`), machines (`Serialize`) and the next run (the stamp).

use crate::bad::Bad;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Positives of one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// Positives in train.
    pub train: usize,
    /// Positives in valid.
    pub valid: usize,
    /// Positives in test.
    pub test: usize,
}

/// A file broken on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadFile {
    /// Relative to the corpus, `/` separators.
    pub path: String,
    /// In which way.
    pub kind: Bad,
}

/// The corpus in numbers; the same for the same configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Annotated clips, each with a file.
    pub clips: usize,
    /// Clips of train, valid and test.
    pub splits: [usize; 3],
    /// Performers.
    pub performers: usize,
    /// Performers with albums in more than one split.
    pub leaking: usize,
    /// Albums.
    pub albums: usize,
    /// Tracks.
    pub tracks: usize,
    /// Seconds of audio, broken files counted as if whole.
    pub audio_s: f64,
    /// Bytes of all audio files.
    pub bytes: u64,
    /// Positives by tag, in column order.
    pub tags: Vec<TagCount>,
    /// Broken files by path.
    pub bad: Vec<BadFile>,
}

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Folder of the corpus.
    pub dir: PathBuf,
    /// The corpus was there already and nothing was written.
    pub reused: bool,
    /// Seconds the run took.
    pub seconds: f64,
    /// The corpus in numbers.
    #[serde(flatten)]
    pub summary: Summary,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.summary;
        let [train, valid, test] = s.splits;
        let done = if self.reused {
            "already complete".to_string()
        } else {
            format!("{:.1} s", self.seconds)
        };
        writeln!(f, "{}  {done}", self.dir.display())?;
        writeln!(
            f,
            "  {} clips ({train} train, {valid} valid, {test} test), {:.0} s of audio, {:.1} MB",
            s.clips,
            s.audio_s,
            s.bytes as f64 / 1e6
        )?;
        writeln!(
            f,
            "  {} performers ({} in more than one split), {} albums, {} tracks, {} tags",
            s.performers,
            s.leaking,
            s.albums,
            s.tracks,
            s.tags.len()
        )?;
        write!(f, "  {} files broken on purpose, listed in README.txt", s.bad.len())
    }
}
