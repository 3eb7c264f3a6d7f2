//! A view: which tracks of a corpus belong to which split, and what a model should say about them.

use crate::error::{Error, Result};
use crate::row::{Example, Split, Target};
use crate::vocab::Vocab;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A label list or task on a corpus, with its splits: `<view>.parquet` plus `<view>.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// e.g. `mtat_clean`; corpus plus protocol.
    pub name: String,
    /// Corpus id, e.g. `mtat`.
    pub corpus: String,
    /// Classes of the targets; empty for targets without classes.
    pub vocab: Vocab,
    /// Sorted by key.
    pub examples: Vec<Example>,
    /// Metadata files this view was made from.
    pub sources: Vec<Source>,
}

/// A metadata file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// File name without folders.
    pub name: String,
    /// Lower-case hex SHA-256 of the file as published (unpacked if it is compressed).
    pub sha256: String,
}

/// Examples per split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Examples that give gradients.
    pub train: u64,
    /// Examples for model selection.
    pub valid: u64,
    /// Examples behind reported scores.
    pub test: u64,
}

impl Counts {
    /// Examples of one split.
    pub fn of(&self, split: Split) -> u64 {
        match split {
            Split::Train => self.train,
            Split::Valid => self.valid,
            Split::Test => self.test,
        }
    }

    /// Adds one example.
    pub fn add(&mut self, split: Split) {
        match split {
            Split::Train => self.train += 1,
            Split::Valid => self.valid += 1,
            Split::Test => self.test += 1,
        }
    }

    /// Examples of all splits.
    pub fn total(&self) -> u64 {
        self.train + self.valid + self.test
    }
}

impl View {
    /// Examples of one split, in key order.
    pub fn only(&self, split: Split) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(move |e| e.split == split)
    }

    /// Examples per split.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.examples.iter().for_each(|e| counts.add(e.split));
        counts
    }

    /// Checks what every view promises: a name that can be a file name; classes without repeats, at most 65 536; unique
    /// keys that are the track or begin with the track and `#`; one kind of target; label indices in the vocabulary,
    /// tags strictly ascending; finite numbers, times ascending from 0, spans that do not end before they start.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first example that breaks a rule.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::Invalid { path: format!("view {}", self.name), what });
        if self.name.is_empty() || self.name.starts_with('.') || self.name.contains(['/', '\\']) {
            return fail(format!("expected a name that can be a file name, got `{}`", self.name));
        }
        if let Err(why) = self.vocab.validate() {
            return fail(why.to_string());
        }
        let mut keys = HashSet::with_capacity(self.examples.len());
        let mut kind = None;
        for e in &self.examples {
            if !keys.insert(e.key.as_str()) {
                return fail(format!("expected unique keys, got `{}` twice", e.key));
            }
            let rest = e.key.strip_prefix(e.track.as_str());
            if e.track.is_empty() || !rest.is_some_and(|r| r.is_empty() || r.starts_with('#')) {
                let (key, track) = (&e.key, &e.track);
                return fail(format!(
                    "expected a key of track `{track}` (or `{track}#…`), got `{key}`"
                ));
            }
            if let Some(name) = kind_name(&e.target) {
                let first = *kind.get_or_insert(name);
                if first != name {
                    return fail(format!(
                        "{}: expected {first} as in the rows before, got {name}",
                        e.key
                    ));
                }
            }
            if let Err(what) = check_target(&e.target, self.vocab.len()) {
                return fail(format!("{}: {what}", e.key));
            }
        }
        Ok(())
    }
}

/// `None` for [`Target::None`], which goes with every kind.
fn kind_name(target: &Target) -> Option<&'static str> {
    Some(match target {
        Target::None => return None,
        Target::Tags(_) => "tags",
        Target::Class(_) => "a class",
        Target::Values(_) => "values",
        Target::Times(_) => "times",
        Target::Spans(_) => "spans",
        Target::Text(_) => "text",
    })
}

fn check_target(target: &Target, classes: usize) -> Result<(), String> {
    let known = |label: u16| match usize::from(label) < classes {
        true => Ok(()),
        false => Err(format!("expected labels below {classes}, got {label}")),
    };
    match target {
        Target::Tags(tags) => {
            if let Some(pair) = tags.windows(2).find(|w| w[0] >= w[1]) {
                return Err(format!("expected ascending tags, got {} before {}", pair[0], pair[1]));
            }
            tags.last().map_or(Ok(()), |&last| known(last))
        }
        Target::Class(class) => known(*class),
        Target::Values(values) => match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(format!("expected finite values, got {v}")),
            None => Ok(()),
        },
        Target::Times(times) => {
            if let Some(t) = times.iter().find(|t| !(t.is_finite() && **t >= 0.0)) {
                return Err(format!("expected times from 0 s on, got {t}"));
            }
            match times.windows(2).find(|w| w[0] > w[1]) {
                Some(pair) => {
                    Err(format!("expected ascending times, got {} before {}", pair[0], pair[1]))
                }
                None => Ok(()),
            }
        }
        Target::Spans(spans) => spans.iter().try_for_each(|&(start, end, label)| {
            if !(start.is_finite() && end.is_finite() && start >= 0.0 && start <= end) {
                return Err(format!("expected spans with 0 <= start <= end, got {start} to {end}"));
            }
            known(label)
        }),
        Target::Text(_) | Target::None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn view(targets: Vec<Target>) -> View {
        let vocab = Vocab::published("ab", vec!["a".into(), "b".into()]).unwrap();
        let examples = targets.into_iter().enumerate().map(|(i, target)| Example {
            key: format!("c:{i}"),
            track: format!("c:{i}"),
            variant: "orig".into(),
            split: Split::Train,
            target,
        });
        View {
            name: "v".into(),
            corpus: "c".into(),
            vocab,
            examples: examples.collect(),
            sources: vec![],
        }
    }

    fn why(view: &View) -> String {
        view.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_label_beyond_the_vocabulary_is_refused() {
        assert!(view(vec![Target::Tags(vec![0, 1])]).validate().is_ok());
        assert_eq!(
            why(&view(vec![Target::Tags(vec![0, 2])])),
            "view v: c:0: expected labels below 2, got 2"
        );
        assert!(view(vec![Target::Class(2)]).validate().is_err());
        assert!(view(vec![Target::Spans(vec![(0.0, 1.0, 2)])]).validate().is_err());
    }

    #[test]
    fn tags_and_times_ascend() {
        assert!(view(vec![Target::Tags(vec![1, 0])]).validate().is_err());
        assert!(view(vec![Target::Tags(vec![1, 1])]).validate().is_err());
        assert!(view(vec![Target::Times(vec![0.5, 0.25])]).validate().is_err());
        assert!(view(vec![Target::Times(vec![-0.5])]).validate().is_err());
        assert!(view(vec![Target::Values(vec![f32::NAN])]).validate().is_err());
        assert!(view(vec![Target::Spans(vec![(1.0, 0.5, 0)])]).validate().is_err());
    }

    #[test]
    fn one_view_has_one_kind_of_target() {
        assert!(view(vec![Target::Class(0), Target::None]).validate().is_ok());
        assert_eq!(
            why(&view(vec![Target::Class(0), Target::Tags(vec![0])])),
            "view v: c:1: expected a class as in the rows before, got tags"
        );
    }

    #[test]
    fn keys_are_unique_and_begin_with_their_track() {
        let mut v = view(vec![Target::None, Target::None]);
        v.examples[1].track = "c:0".into();
        v.examples[1].key = "c:0#key-3".into();
        assert!(v.validate().is_ok());
        v.examples[1].key = "c:0".into();
        assert_eq!(why(&v), "view v: expected unique keys, got `c:0` twice");
        v.examples[1].key = "c:01".into();
        assert!(v.validate().is_err());
    }

    #[test]
    fn counts_add_up() {
        let mut v = view(vec![Target::None, Target::None, Target::None]);
        v.examples[2].split = Split::Test;
        assert_eq!(v.counts(), Counts { train: 2, valid: 0, test: 1 });
        assert_eq!(v.counts().total(), 3);
        assert_eq!(v.only(Split::Test).count(), 1);
    }
}
