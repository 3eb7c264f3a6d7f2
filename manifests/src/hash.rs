//! Identities of manifests: digests over rows, independent of how a file stores them.

use crate::row::{Example, Target, Track};
use crate::view::View;
use crate::vocab::hex;
use sha2::{Digest, Sha256};

/// Lower-case hex blake3 over what identifies the audio of every track: key, path, SHA-256, frames, status.
///
/// Rows count in key order; strings carry their length, missing values a marker, so that no two tables collide by
/// moving a border.
pub fn tracks_hash(tracks: &[Track]) -> String {
    let mut rows: Vec<&Track> = tracks.iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let mut hash = Canonical::new("etude tracks 1");
    for t in rows {
        hash.text(&t.key);
        hash.text(&t.path);
        match &t.facts.sha256 {
            Some(digest) => hash.bytes(digest),
            None => hash.bytes(&[]),
        }
        match t.facts.frames {
            Some(frames) => hash.bytes(&frames.to_le_bytes()),
            None => hash.bytes(&[]),
        }
        hash.text(t.status.name());
    }
    hash.finish()
}

impl View {
    /// Lower-case hex SHA-256 over the sorted lines `key`, tab, split, line feed: who may be used for what.
    pub fn split_hash(&self) -> String {
        let mut lines: Vec<String> =
            self.examples.iter().map(|e| format!("{}\t{}\n", e.key, e.split)).collect();
        lines.sort_unstable();
        let mut hash = Sha256::new();
        for line in &lines {
            hash.update(line.as_bytes());
        }
        hex(&hash.finalize())
    }

    /// Lower-case hex blake3 over the vocabulary's hash and every row in key order, targets included.
    pub fn hash(&self) -> String {
        let mut rows: Vec<&Example> = self.examples.iter().collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let mut hash = Canonical::new("etude view 1");
        hash.text(&self.vocab.hash());
        for e in rows {
            hash.text(&e.key);
            hash.text(&e.track);
            hash.text(&e.variant);
            hash.text(e.split.name());
            hash.target(&e.target);
        }
        hash.finish()
    }
}

/// Length-prefixed fields into blake3.
struct Canonical(blake3::Hasher);

impl Canonical {
    fn new(what: &str) -> Self {
        let mut hash = Self(blake3::Hasher::new());
        hash.text(what);
        hash
    }

    fn bytes(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    fn text(&mut self, field: &str) {
        self.bytes(field.as_bytes());
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::None => self.text("none"),
            Target::Tags(tags) => {
                self.text("tags");
                self.bytes(&tags.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>());
            }
            Target::Class(class) => {
                self.text("class");
                self.bytes(&class.to_le_bytes());
            }
            Target::Values(values) => {
                self.text("values");
                self.floats(values);
            }
            Target::Times(times) => {
                self.text("times");
                self.floats(times);
            }
            Target::Spans(spans) => {
                self.text("spans");
                self.bytes(&(spans.len() as u64).to_le_bytes());
                for (start, end, label) in spans {
                    self.floats(&[*start, *end]);
                    self.bytes(&label.to_le_bytes());
                }
            }
            Target::Text(text) => {
                self.text("text");
                self.text(text);
            }
        }
    }

    fn floats(&mut self, values: &[f32]) {
        self.bytes(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }

    fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Split, Status};
    use crate::vocab::Vocab;

    fn example(key: &str, split: Split, target: Target) -> Example {
        Example { key: key.into(), track: key.into(), variant: "orig".into(), split, target }
    }

    fn view(examples: Vec<Example>) -> View {
        View {
            name: "v".into(),
            corpus: "c".into(),
            vocab: Vocab {
                id: "v2".into(),
                classes: vec!["a".into(), "b".into()],
                order: "published".into(),
            },
            examples,
            sources: vec![],
        }
    }

    #[test]
    fn the_split_hash_is_the_sha256_of_the_sorted_lines() {
        let a = example("c:1", Split::Train, Target::None);
        let b = example("c:2", Split::Test, Target::None);
        let expected = hex(&Sha256::digest(b"c:1\ttrain\nc:2\ttest\n"));
        assert_eq!(view(vec![a.clone(), b.clone()]).split_hash(), expected);
        assert_eq!(view(vec![b, a]).split_hash(), expected);
    }

    #[test]
    fn the_hash_of_a_view_sees_targets_and_the_order_of_the_vocabulary() {
        let one = view(vec![example("c:1", Split::Train, Target::Tags(vec![0]))]);
        let other = view(vec![example("c:1", Split::Train, Target::Tags(vec![1]))]);
        let mut swapped = one.clone();
        swapped.vocab.classes.reverse();
        assert_eq!(one.hash(), one.clone().hash());
        assert_ne!(one.hash(), other.hash());
        assert_ne!(one.hash(), swapped.hash());
        assert_eq!(one.split_hash(), other.split_hash());
    }

    #[test]
    fn the_hash_of_tracks_sees_the_audio_and_not_the_tags() {
        let track = Track { key: "c:1".into(), path: "1.mp3".into(), ..Track::default() };
        let base = tracks_hash(std::slice::from_ref(&track));
        let mut tagged = track.clone();
        tagged.tags = Some(vec!["rock".into()]);
        assert_eq!(tracks_hash(&[tagged]), base);
        let mut moved = track.clone();
        moved.path = "2.mp3".into();
        assert_ne!(tracks_hash(&[moved]), base);
        let mut cut = track.clone();
        cut.facts.frames = Some(7);
        assert_ne!(tracks_hash(&[cut]), base);
        let mut silent = track;
        silent.status = Status::Silent;
        assert_ne!(tracks_hash(&[silent]), base);
    }

    #[test]
    fn the_hash_of_tracks_does_not_depend_on_their_order() {
        let track = |key: &str| Track { key: key.into(), ..Track::default() };
        assert_eq!(tracks_hash(&[track("a"), track("b")]), tracks_hash(&[track("b"), track("a")]));
    }
}
