//! Vocabularies: which class has which index, and how an order comes about.
//!
//! The order is part of a vocabulary's identity. Three orders of the MTAT top 50 are in circulation; they differ only
//! where counts tie: the order most results use is a published list ([`Vocab::from_order_file`]), a stable sort by count
//! with ties in column order ([`Vocab::top_in`]) is the second.

use crate::error::{Error, Result};
use crate::row::Track;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Classes in order. The order is part of the vocabulary's identity: three orders of the MTAT top 50 are in circulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocab {
    /// e.g. `mtat50`.
    pub id: String,
    /// Class names; the position is the index.
    pub classes: Vec<String>,
    /// Where the order comes from: `published`, `count_desc_csv`, `count_desc`, `alphabetical`.
    pub order: String,
}

/// Labels are stored as `u16`.
const MOST_CLASSES: usize = 1 << 16;

impl Vocab {
    /// Classes in the order of a publication.
    ///
    /// # Errors
    /// As [`Vocab::validate`].
    pub fn published(id: &str, classes: Vec<String>) -> Result<Self> {
        let vocab = Self { id: id.to_owned(), classes, order: "published".into() };
        vocab.validate()?;
        Ok(vocab)
    }

    /// Classes from a text file, one a line, in the order of the lines; empty lines are skipped.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`Vocab::validate`].
    pub fn from_order_file(id: &str, path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        Self::published(id, lines.map(str::to_owned).collect())
    }

    /// The `n` tags with most tracks, count descending; ties in the order in which the tags first appear when the tracks
    /// are read in key order. Order: `count_desc`.
    ///
    /// A track counts once per tag, whatever its status.
    pub fn top(id: &str, tracks: &[Track], n: usize) -> Self {
        Self::ranked(id, tracks, n, &[], "count_desc")
    }

    /// As [`Vocab::top`], with ties in the order of `columns`, the columns of the annotation file. Order:
    /// `count_desc_csv`.
    pub fn top_in(id: &str, tracks: &[Track], n: usize, columns: &[String]) -> Self {
        Self::ranked(id, tracks, n, columns, "count_desc_csv")
    }

    /// Every tag of the tracks in the order of its bytes. Order: `alphabetical`.
    pub fn alphabetical(id: &str, tracks: &[Track]) -> Self {
        let mut classes: Vec<String> = counts(tracks).into_iter().map(|(tag, _)| tag).collect();
        classes.sort_unstable();
        Self { id: id.to_owned(), classes, order: "alphabetical".into() }
    }

    fn ranked(id: &str, tracks: &[Track], n: usize, columns: &[String], order: &str) -> Self {
        let mut ranked = counts(tracks);
        if !columns.is_empty() {
            let place: HashMap<&str, usize> =
                columns.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
            let unknown = columns.len();
            ranked.sort_by_key(|(tag, _)| *place.get(tag.as_str()).unwrap_or(&unknown));
        }
        ranked.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let classes = ranked.into_iter().take(n).map(|(tag, _)| tag).collect();
        Self { id: id.to_owned(), classes, order: order.into() }
    }

    /// Checks that no class is empty or repeated and that labels fit 16 bits.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the class.
    pub fn validate(&self) -> Result<()> {
        let fail = |what| Err(Error::Invalid { path: format!("vocabulary {}", self.id), what });
        if self.classes.len() > MOST_CLASSES {
            return fail(format!("expected at most 65,536 classes, got {}", self.classes.len()));
        }
        let mut seen = HashSet::new();
        for (i, class) in self.classes.iter().enumerate() {
            if class.is_empty() || class.contains('\n') {
                return fail(format!("expected a class on one line at index {i}, got {class:?}"));
            }
            if !seen.insert(class) {
                return fail(format!(
                    "expected every class once, got `{class}` again at index {i}"
                ));
            }
        }
        Ok(())
    }

    /// Lower-case hex SHA-256 over the classes joined with `\n`.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.classes.join("\n").as_bytes()))
    }

    /// The same classes without the ones that `synonyms` replaces by another class or merges into one, order kept.
    pub fn merged(&self, id: &str, synonyms: &Synonyms) -> Self {
        let classes = synonyms.merge(&self.classes);
        Self { id: id.to_owned(), classes, order: self.order.clone() }
    }

    /// Sorted indices of those tags that are classes.
    pub fn labels<S: AsRef<str>>(&self, tags: &[S]) -> Vec<u16> {
        let mut labels: Vec<u16> = tags.iter().filter_map(|t| self.index(t.as_ref())).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Index of a class.
    pub fn index(&self, class: &str) -> Option<u16> {
        self.classes.iter().position(|c| c == class).and_then(|i| u16::try_from(i).ok())
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }
}

/// Tags that mean another tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synonyms(BTreeMap<String, String>);

impl Synonyms {
    /// Groups of tags that mean the same; the first of a group stands for all.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a tag in two groups.
    pub fn from_groups(groups: &[Vec<String>]) -> Result<Self> {
        let mut seen = HashSet::new();
        let mut map = BTreeMap::new();
        for group in groups {
            for tag in group {
                if !seen.insert(tag) {
                    let what = format!("expected every tag in one group, got `{tag}` in two");
                    return Err(Error::Invalid { path: "synonyms".into(), what });
                }
                if tag != &group[0] {
                    map.insert(tag.clone(), group[0].clone());
                }
            }
        }
        Ok(Self(map))
    }

    /// Old tag to new tag, applied once: a new tag is final even if it is also an old one.
    pub fn from_map(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }

    /// The tag that stands for `tag`.
    pub fn canonical<'a>(&'a self, tag: &'a str) -> &'a str {
        self.0.get(tag).map_or(tag, String::as_str)
    }

    /// Replaces, then drops repeats; the first place of a tag counts.
    pub fn merge(&self, tags: &[String]) -> Vec<String> {
        let mut seen = HashSet::new();
        let merged = tags.iter().map(|tag| self.canonical(tag));
        merged.filter(|tag| seen.insert(*tag)).map(str::to_owned).collect()
    }
}

/// Tracks per tag, tags in the order in which they first appear when the tracks are read in key order.
fn counts(tracks: &[Track]) -> Vec<(String, u64)> {
    let mut rows: Vec<&Track> = tracks.iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut counted: Vec<(&str, u64, usize)> = Vec::new();
    for (row, track) in rows.into_iter().enumerate() {
        for tag in track.tags.as_deref().unwrap_or_default() {
            let place = *places.entry(tag).or_insert(counted.len());
            match counted.get_mut(place) {
                None => counted.push((tag, 1, row)),
                Some((_, count, last)) if *last != row => (*count, *last) = (*count + 1, row),
                Some(_) => {}
            }
        }
    }
    counted.into_iter().map(|(tag, count, _)| (tag.to_owned(), count)).collect()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn track(key: &str, tags: &[&str]) -> Track {
        let tags = tags.iter().map(|t| (*t).to_owned()).collect();
        Track { key: key.into(), tags: Some(tags), ..Track::default() }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn more_tracks_come_first_and_ties_as_first_seen_in_key_order() {
        let tracks = [
            track("c:2", &["b", "a", "rock"]),
            track("c:1", &["c", "rock", "rock"]),
            track("c:3", &["a", "b", "c"]),
        ];
        let top = Vocab::top("t", &tracks, 3);
        assert_eq!(top.classes, ["c", "rock", "b"]);
        assert_eq!(top.order, "count_desc");
        assert_eq!(Vocab::top("t", &tracks, 9).len(), 4);
    }

    #[test]
    fn ties_follow_the_columns_when_they_are_known() {
        let tracks = [track("c:1", &["b", "a"]), track("c:2", &["b", "c", "a"])];
        let top = Vocab::top_in("t", &tracks, 3, &words(&["c", "a", "b"]));
        assert_eq!(top.classes, ["a", "b", "c"]);
        assert_eq!(top.order, "count_desc_csv");
    }

    #[test]
    fn alphabetical_is_by_bytes() {
        let tracks = [track("c:1", &["b", "Z", "a"])];
        assert_eq!(Vocab::alphabetical("t", &tracks).classes, ["Z", "a", "b"]);
    }

    #[test]
    fn labels_are_sorted_known_and_unique() {
        let vocab = Vocab::published("t", words(&["x", "y", "z"])).unwrap();
        assert_eq!(vocab.labels(&["z", "no", "x", "z"]), [0, 2]);
    }

    #[test]
    fn a_repeated_class_is_refused() {
        let err = Vocab::published("t", words(&["x", "y", "x"])).unwrap_err();
        let expected = "vocabulary t: expected every class once, got `x` again at index 2";
        assert_eq!(err.to_string(), expected);
        assert!(Vocab::published("t", words(&["x", ""])).is_err());
    }

    #[test]
    fn an_order_file_may_have_empty_lines_and_crlf() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("order.txt");
        fs::write(&path, "no vocals\r\n\r\nnew age\r\n").unwrap();
        let vocab = Vocab::from_order_file("t", &path).unwrap();
        assert_eq!(vocab.classes, ["no vocals", "new age"]);
    }

    #[test]
    fn synonyms_replace_and_drop_repeats() {
        let groups = [words(&["beat", "beats"]), words(&["vocal", "vocals", "voice"])];
        let synonyms = Synonyms::from_groups(&groups).unwrap();
        assert_eq!(
            synonyms.merge(&words(&["voice", "rock", "beats", "vocals"])),
            ["vocal", "rock", "beat"]
        );
        let vocab = Vocab::published("t", words(&["beats", "rock", "beat"])).unwrap();
        assert_eq!(vocab.merged("m", &synonyms).classes, ["beat", "rock"]);
        assert!(Synonyms::from_groups(&[words(&["a", "b"]), words(&["c", "b"])]).is_err());
    }

    #[test]
    fn a_map_of_synonyms_is_applied_once() {
        let map = [("a", "b"), ("b", "c")].map(|(old, new)| (old.to_owned(), new.to_owned()));
        let synonyms = Synonyms::from_map(map.into());
        assert_eq!(synonyms.merge(&words(&["a", "b"])), ["b", "c"]);
    }
}
