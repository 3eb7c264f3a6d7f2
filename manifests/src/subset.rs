//! Smaller views for limited-data studies: by list, by share, by minutes of audio.
//!
//! Only one split shrinks, usually train; the others stay, so that scores compare. Shares and minutes take the first
//! examples of one seeded order: with the same seed, 1 % is part of 2 %, and 5 minutes are part of 10.

use crate::error::{Error, Result};
use crate::row::{Example, Split, Track};
use crate::split::shuffled;
use crate::view::View;
use std::collections::{HashMap, HashSet};

impl View {
    /// Keeps those examples of `split` whose key or track `keep` names.
    pub fn listed(&self, name: &str, split: Split, keep: &HashSet<&str>) -> View {
        self.thinned(name, split, |e| {
            keep.contains(e.key.as_str()) || keep.contains(e.track.as_str())
        })
    }

    /// Keeps a share of `split`, drawn by `seed`: the share of the examples, rounded, at least one.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless the share is above 0 and at most 1.
    pub fn fraction(&self, name: &str, split: Split, share: f64, seed: u64) -> Result<View> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(self.refuse(format!("expected a share above 0, at most 1, got {share}")));
        }
        let order = self.drawn(split, seed);
        let n = (share * order.len() as f64).round().max(1.0) as usize;
        let keep: HashSet<&str> = order.into_iter().take(n).map(|e| e.key.as_str()).collect();
        Ok(self.thinned(name, split, |e| keep.contains(e.key.as_str())))
    }

    /// Keeps `minutes` of audio of `split`, drawn by `seed`: examples in drawn order until the next would exceed it, at
    /// least one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for minutes that are not above 0, or an example whose track has no known duration in `tracks`.
    pub fn minutes(
        &self,
        name: &str,
        split: Split,
        minutes: f64,
        seed: u64,
        tracks: &[Track],
    ) -> Result<View> {
        if !(minutes > 0.0 && minutes.is_finite()) {
            return Err(self.refuse(format!("expected minutes above 0, got {minutes}")));
        }
        let seconds: HashMap<&str, f64> =
            tracks.iter().filter_map(|t| Some((t.key.as_str(), t.facts.duration_s?))).collect();
        let mut keep: HashSet<&str> = HashSet::new();
        let mut total_s = 0.0;
        for example in self.drawn(split, seed) {
            let Some(duration_s) = seconds.get(example.track.as_str()) else {
                let what =
                    format!("expected the duration of {}, got none: decode first", example.track);
                return Err(self.refuse(what));
            };
            total_s += duration_s;
            if !keep.is_empty() && total_s > minutes * 60.0 {
                break;
            }
            keep.insert(example.key.as_str());
        }
        Ok(self.thinned(name, split, |e| keep.contains(e.key.as_str())))
    }

    /// The examples of a split in the order of a seed.
    fn drawn(&self, split: Split, seed: u64) -> Vec<&Example> {
        let examples: Vec<&Example> = self.only(split).collect();
        let keys: Vec<&str> = examples.iter().map(|e| e.key.as_str()).collect();
        shuffled(&keys, seed).into_iter().map(|row| examples[row]).collect()
    }

    /// A copy with another name and only those examples of `split` that `keep` wants.
    fn thinned(&self, name: &str, split: Split, keep: impl Fn(&Example) -> bool) -> View {
        let examples = self.examples.iter().filter(|e| e.split != split || keep(e)).cloned();
        View {
            name: name.into(),
            corpus: self.corpus.clone(),
            vocab: self.vocab.clone(),
            examples: examples.collect(),
            sources: self.sources.clone(),
        }
    }

    fn refuse(&self, what: String) -> Error {
        Error::Invalid { path: format!("view {}", self.name), what }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::row::Target;
    use crate::vocab::Vocab;
    use proptest::prelude::*;

    fn view(train: usize, test: usize) -> View {
        let row = |i: usize| Example {
            key: format!("c:{i:04}"),
            track: format!("c:{i:04}"),
            variant: "orig".into(),
            split: if i < train { Split::Train } else { Split::Test },
            target: Target::None,
        };
        View {
            name: "v".into(),
            corpus: "c".into(),
            vocab: Vocab::published("none", vec![]).unwrap(),
            examples: (0..train + test).map(row).collect(),
            sources: vec![],
        }
    }

    fn tracks(view: &View, seconds: f64) -> Vec<Track> {
        let track = |e: &Example| {
            let mut track = Track { key: e.track.clone(), ..Track::default() };
            track.facts.duration_s = Some(seconds);
            track
        };
        view.examples.iter().map(track).collect()
    }

    #[test]
    fn only_the_named_split_shrinks() {
        let small = view(100, 10).fraction("small", Split::Train, 0.05, 1).unwrap();
        assert_eq!((small.counts().train, small.counts().test), (5, 10));
        assert_eq!(small.name, "small");
    }

    #[test]
    fn a_list_keeps_what_it_names() {
        let small = view(5, 2).listed("small", Split::Train, &HashSet::from(["c:0001", "c:0003"]));
        let keys: Vec<&str> = small.examples.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["c:0001", "c:0003", "c:0005", "c:0006"]);
    }

    #[test]
    fn minutes_are_not_exceeded() {
        let view = view(100, 10);
        let tracks = tracks(&view, 29.0);
        let small = view.minutes("small", Split::Train, 5.0, 1, &tracks).unwrap();
        assert_eq!(small.counts().train, 10); // 290 s; one more would be 319 s
        let one = view.minutes("one", Split::Train, 0.1, 1, &tracks).unwrap();
        assert_eq!(one.counts().train, 1);
    }

    #[test]
    fn minutes_need_durations() {
        let view = view(3, 0);
        let err = view.minutes("small", Split::Train, 5.0, 1, &[]).unwrap_err().to_string();
        assert!(err.contains("expected the duration of c:000"), "{err}");
        assert!(view.fraction("small", Split::Train, 0.0, 1).is_err());
    }

    proptest! {
        #[test]
        fn the_smaller_subset_is_part_of_the_larger(
            n in 1..120_usize, a in 0.01..1.0_f64, b in 0.01..1.0_f64, seed in any::<u64>(),
        ) {
            let view = view(n, 3);
            let keys = |share| -> HashSet<String> {
                let small = view.fraction("s", Split::Train, share, seed).unwrap();
                small.examples.into_iter().map(|e| e.key).collect()
            };
            let (small, large) = (keys(a.min(b)), keys(a.max(b)));
            prop_assert!(small.is_subset(&large));
        }
    }
}
