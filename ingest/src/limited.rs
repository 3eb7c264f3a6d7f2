//! Views for limited-data studies: `n` train clips per genre, beside any view of tags.
//!
//! The rule and its defaults are those of chrispla/limited-music-representations: walk the train split in the order of the
//! annotation file, take a clip that has exactly one of the genres while that genre has fewer than `n`. Nothing is drawn,
//! so the seven published lists of MagnaTagATune come out clip for clip. Validation and test stay as they are.

use crate::config::Config;
use crate::error::{Error, Result};
use etude_manifests::{Example, Short, Split, View};
use serde::{Deserialize, Serialize};

/// Which subsets, section `[limited]` of a config; without it there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limited {
    /// The view to thin; empty = the one with the name of the data set.
    pub view: String,
    /// Clips per genre, one view `<view>_limited_<n>` each.
    pub clips: Vec<usize>,
    /// Tags that are classes of the view.
    pub genres: Vec<String>,
}

/// As published, for MagnaTagATune.
const CLIPS: [usize; 7] = [1, 2, 5, 10, 20, 50, 100];
const GENRES: [&str; 10] = [
    "classical",
    "techno",
    "electronic",
    "rock",
    "indian",
    "opera",
    "pop",
    "new age",
    "country",
    "choral",
];

impl Default for Limited {
    fn default() -> Self {
        let genres = GENRES.map(str::to_owned).to_vec();
        Self { view: String::new(), clips: CLIPS.to_vec(), genres }
    }
}

/// The limited views of a config, and a line for each that is smaller than its name.
pub(crate) fn views(cfg: &Config, views: &[View]) -> Result<(Vec<View>, Vec<String>)> {
    let Some(limited) = &cfg.limited else { return Ok(Default::default()) };
    let name = if limited.view.is_empty() { &cfg.dataset } else { &limited.view };
    match views.iter().find(|view| view.name == *name) {
        Some(whole) => limited.views(whole),
        None => {
            let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
            let text = format!("expected one of {}, got {name}", names.join(", "));
            Err(Error::Config { place: "limited.view".into(), text })
        }
    }
}

impl Limited {
    /// One view per number of clips, and a line for each that is smaller than its name says.
    ///
    /// # Errors
    /// Genres that are no classes of `whole`, or targets that are no tags.
    pub fn views(&self, whole: &View) -> Result<(Vec<View>, Vec<String>)> {
        let genres: Vec<&str> = self.genres.iter().map(String::as_str).collect();
        let (mut views, mut lines) = (Vec::new(), Vec::new());
        for &n in &self.clips {
            let name = format!("{}_limited_{n}", whole.name);
            let (view, short) = whole.balanced(&name, Split::Train, &genres, n, place)?;
            if !short.is_empty() {
                lines.push(remark(&name, &short));
            }
            views.push(view);
        }
        Ok((views, lines))
    }

    /// What is wrong with the options, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut clips = self.clips.clone();
        clips.sort_unstable();
        clips.dedup();
        match clips.len() == self.clips.len() && clips.first().is_none_or(|&n| n > 0) {
            true => Ok(()),
            false => Err(format!(
                "limited.clips: expected numbers above 0, each once, got {:?}",
                self.clips
            )),
        }
    }
}

/// Annotation files are sorted by id, and ids that are numbers by number; keys are sorted as text.
fn place(example: &&Example) -> (Option<u64>, String) {
    let id = example.key.split_once(':').and_then(|(_, id)| id.parse().ok());
    (id, example.key.clone())
}

fn remark(view: &str, short: &[Short]) -> String {
    let of = |s: &Short| format!("{} of {} clips of \"{}\"", s.got, s.expected, s.genre);
    let genres: Vec<String> = short.iter().map(of).collect();
    format!("warning in view {view}: the train split has only {}", genres.join(", "))
}
