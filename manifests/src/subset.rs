//! Smaller views for limited-data studies: by list, by share, by minutes of audio, by clips per genre.
//!
//! Only one split shrinks, usually train; the others stay, so that scores compare. Shares and minutes take the first
//! examples of one seeded order: with the same seed, 1 % is part of 2 %, and 5 minutes are part of 10. Clips per genre
//! follow the published rule of the limited-data study (chrispla/limited-music-representations), which draws nothing.

use crate::error::{Error, Result};
use crate::row::{Example, Split, Target, Track};
use crate::split::shuffled;
use crate::view::View;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A genre with fewer clips than a balanced subset asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// The genre.
    pub genre: String,
    /// Clips there are.
    pub got: usize,
    /// Clips that were asked for.
    pub expected: usize,
}

impl View {
    /// Keeps `n` clips per genre of `split`: walks its examples in the order of `place`, and takes one if exactly one of its
    /// tags is among the `genres` and that genre has fewer than `n` clips yet.
    ///
    /// What is taken for a smaller `n` is taken for a larger one too. Genres with fewer than `n` such clips give what they
    /// have and are named in the answer, in the order of `genres`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `n` = 0, no genre, a genre named twice or not a class of this view, targets that are no tags.
    pub fn balanced<K: Ord>(
        &self,
        name: &str,
        split: Split,
        genres: &[&str],
        n: usize,
        place: impl FnMut(&&Example) -> K,
    ) -> Result<(View, Vec<Short>)> {
        if n == 0 || genres.is_empty() {
            let what =
                format!("expected clips and genres, got {n} clips of {} genres", genres.len());
            return Err(self.refuse(what));
        }
        let mut taken: BTreeMap<u16, usize> = BTreeMap::new();
        for genre in genres {
            let Some(class) = self.vocab.index(genre) else {
                let classes = self.vocab.classes.join(", ");
                let what = format!("expected genres among its classes ({classes}), got `{genre}`");
                return Err(self.refuse(what));
            };
            if taken.insert(class, 0).is_some() {
                return Err(self.refuse(format!("expected every genre once, got `{genre}` twice")));
            }
        }
        let mut walk: Vec<&Example> = self.only(split).collect();
        walk.sort_by_cached_key(place);
        let mut keep: HashSet<&str> = HashSet::new();
        for example in walk {
            let Target::Tags(tags) = &example.target else {
                return Err(self.refuse(format!("expected tags for {}, got none", example.key)));
            };
            let mut of_interest = tags.iter().filter(|tag| taken.contains_key(tag));
            let (Some(genre), None) = (of_interest.next(), of_interest.next()) else { continue };
            if let Some(clips) = taken.get_mut(genre).filter(|clips| **clips < n) {
                *clips += 1;
                keep.insert(&example.key);
            }
        }
        let got = |genre: &str| self.vocab.index(genre).and_then(|c| taken.get(&c).copied());
        let counted = genres.iter().map(|&genre| (genre, got(genre).unwrap_or(0)));
        let short = counted
            .filter(|(_, got)| *got < n)
            .map(|(genre, got)| Short { genre: genre.to_owned(), got, expected: n })
            .collect();
        Ok((self.thinned(name, split, |e| keep.contains(e.key.as_str())), short))
    }

    /// Keeps those examples of `split` whose key or track `keep` names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names that no example of the split has, with the first of them.
    pub fn listed(&self, name: &str, split: Split, keep: &HashSet<&str>) -> Result<View> {
        let known: HashSet<&str> =
            self.only(split).flat_map(|e| [e.key.as_str(), e.track.as_str()]).collect();
        let mut unknown: Vec<&str> = keep.difference(&known).copied().collect();
        unknown.sort_unstable();
        if let Some(first) = unknown.first() {
            let more = unknown.len() - 1;
            return Err(self.refuse(format!(
                "expected a list of keys or tracks of its {split} split, got `{first}` and {more} more that it has not"
            )));
        }
        Ok(self.thinned(name, split, |e| {
            keep.contains(e.key.as_str()) || keep.contains(e.track.as_str())
        }))
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
    /// [`Error::Invalid`] for minutes that are not above 0 or more than the split lasts, or an example whose track has no
    /// known duration in `tracks`.
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
        let (mut all_s, mut kept_s, mut full) = (0.0, 0.0, false);
        for example in self.drawn(split, seed) {
            let Some(duration_s) = seconds.get(example.track.as_str()) else {
                let what =
                    format!("expected the duration of {}, got none: decode first", example.track);
                return Err(self.refuse(what));
            };
            all_s += duration_s;
            full = full || (!keep.is_empty() && kept_s + duration_s > minutes * 60.0);
            if !full {
                kept_s += duration_s;
                keep.insert(example.key.as_str());
            }
        }
        if minutes * 60.0 > all_s {
            let lasts = all_s / 60.0;
            return Err(self.refuse(format!(
                "expected at most the {lasts:.2} minutes that its {split} split lasts, got {minutes}"
            )));
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

    /// Classes a, b, c; one train example per list of tags, one test example.
    fn tagged(tags: &[&[u16]]) -> View {
        let mut view = view(tags.len(), 1);
        view.vocab = Vocab::published("abc", ["a", "b", "c"].map(str::to_owned).to_vec()).unwrap();
        let all = tags.iter().copied().chain([&[0, 1][..]]);
        for (example, tags) in view.examples.iter_mut().zip(all) {
            example.target = Target::Tags(tags.to_vec());
        }
        view
    }

    fn balanced(view: &View, genres: &[&str], n: usize) -> (Vec<String>, Vec<Short>) {
        let (small, short) =
            view.balanced("small", Split::Train, genres, n, |e| e.key.clone()).unwrap();
        assert_eq!(small.counts().test, view.counts().test);
        (small.only(Split::Train).map(|e| e.key.clone()).collect(), short)
    }

    #[test]
    fn a_balanced_subset_takes_the_first_clips_with_one_genre_only() {
        let view = tagged(&[&[0, 1], &[1, 2], &[0], &[1], &[0, 2], &[1]]); // c is no genre
        assert_eq!(balanced(&view, &["a", "b"], 1).0, ["c:0001", "c:0002"]);
        assert_eq!(balanced(&view, &["a", "b"], 2).0, ["c:0001", "c:0002", "c:0003", "c:0004"]);
        let backwards = |e: &&Example| std::cmp::Reverse(e.key.clone());
        let last = view.balanced("last", Split::Train, &["a", "b"], 1, backwards).unwrap().0;
        let keys: Vec<&str> = last.only(Split::Train).map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["c:0004", "c:0005"]);
    }

    #[test]
    fn a_genre_with_too_few_clips_gives_what_it_has_and_is_named() {
        let view = tagged(&[&[0], &[0, 1], &[0]]);
        let (keys, short) = balanced(&view, &["b", "a"], 3);
        assert_eq!(keys, ["c:0000", "c:0002"]);
        let of = |genre: &str, got| Short { genre: genre.into(), got, expected: 3 };
        assert_eq!(short, [of("b", 0), of("a", 2)]);
    }

    #[test]
    fn genres_the_view_lacks_are_refused_by_name() {
        let view = tagged(&[&[0]]);
        let why = |genres: &[&str], n| {
            view.balanced("s", Split::Train, genres, n, |e| e.key.clone()).unwrap_err().to_string()
        };
        let text = why(&["a", "d"], 1);
        assert_eq!(text, "view v: expected genres among its classes (a, b, c), got `d`");
        assert!(why(&["a", "a"], 1).ends_with("got `a` twice"));
        assert!(why(&["a"], 0).ends_with("got 0 clips of 1 genres"));
        assert!(why(&[], 1).ends_with("got 1 clips of 0 genres"));
    }

    #[test]
    fn only_the_named_split_shrinks() {
        let small = view(100, 10).fraction("small", Split::Train, 0.05, 1).unwrap();
        assert_eq!((small.counts().train, small.counts().test), (5, 10));
        assert_eq!(small.name, "small");
    }

    #[test]
    fn a_list_keeps_what_it_names() {
        let listed = |keys: &[&'static str]| {
            view(5, 2).listed("small", Split::Train, &keys.iter().copied().collect())
        };
        let small = listed(&["c:0001", "c:0003"]).unwrap();
        let keys: Vec<&str> = small.examples.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["c:0001", "c:0003", "c:0005", "c:0006"]);
        let text = listed(&["c:0001", "c:0009", "c:0006"]).unwrap_err().to_string();
        assert!(text.ends_with("train split, got `c:0006` and 1 more that it has not"), "{text}");
    }

    #[test]
    fn minutes_are_not_exceeded() {
        let view = view(100, 10);
        let tracks = tracks(&view, 29.0);
        let small = view.minutes("small", Split::Train, 5.0, 1, &tracks).unwrap();
        assert_eq!(small.counts().train, 10); // 290 s; one more would be 319 s
        let one = view.minutes("one", Split::Train, 0.1, 1, &tracks).unwrap();
        assert_eq!(one.counts().train, 1);
        let all = view.minutes("all", Split::Train, 2900.0 / 60.0, 1, &tracks).unwrap();
        assert_eq!(all.counts().train, 100);
        let text = view.minutes("more", Split::Train, 60.0, 1, &tracks).unwrap_err().to_string();
        let expected = "expected at most the 48.33 minutes that its train split lasts, got 60";
        assert!(text.ends_with(expected), "{text}");
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
        fn balanced_subsets_are_nested_and_never_exceed_a_genre(
            tags in proptest::collection::vec(
                proptest::collection::btree_set(0..3_u16, 0..3), 0..60),
            a in 1..6_usize, b in 1..6_usize,
        ) {
            let tags: Vec<Vec<u16>> = tags.into_iter().map(|t| t.into_iter().collect()).collect();
            let tags: Vec<&[u16]> = tags.iter().map(Vec::as_slice).collect();
            let view = tagged(&tags);
            let (small, large) = (balanced(&view, &["a", "b"], a.min(b)), balanced(&view, &["a", "b"], a.max(b)));
            prop_assert!(small.0.iter().all(|key| large.0.contains(key)));
            let missing: usize = small.1.iter().map(|s| s.expected - s.got).sum();
            prop_assert_eq!(small.0.len() + missing, 2 * a.min(b));
        }

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
