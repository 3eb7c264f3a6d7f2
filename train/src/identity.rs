//! What a run was trained on, as hashes, so that it is never resumed or scored on something else unnoticed.

use crate::error::{Error, Result};
use crate::run_dir::RunDir;
use etude_manifests::{View, Vocab, atomic};
use etude_shards::Index;
use serde::{Deserialize, Serialize};
use std::fs;

/// `identity.json` of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Name of the view.
    pub view: String,
    /// Hash of the whole view.
    pub view_hash: String,
    /// Hash of who is in which split.
    pub split_hash: String,
    /// Hash of the class names in order.
    pub vocab_hash: String,
    /// Name of the shard set.
    pub shards: String,
    /// Hash over the digests of all shard files.
    pub shards_hash: String,
    /// Resampler that made them and its settings, as `index.json` has it; empty in a run that did not record it.
    #[serde(default)]
    pub resampler: String,
    /// The classes, in output order.
    pub vocab: Vocab,
    /// blake3 of the weight file that the model started from, hex; without one it started from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl Identity {
    /// Of a view and the shards beside it.
    pub fn of(view: &View, shards: &str, index: &Index) -> Self {
        let mut hash = blake3::Hasher::new();
        for file in index.files() {
            hash.update(format!("{} {}\n", file.name, file.blake3).as_bytes());
        }
        Self {
            view: view.name.clone(),
            view_hash: view.hash(),
            split_hash: view.split_hash(),
            vocab_hash: view.vocab.hash(),
            shards: shards.to_owned(),
            shards_hash: hash.finalize().to_hex().to_string(),
            resampler: index.spec().resampler.clone(),
            vocab: view.vocab.clone(),
            base: None,
        }
    }

    /// The one a run was started with.
    ///
    /// # Errors
    /// [`Error::NoRun`] without one, [`Error::Damaged`] for garbage.
    pub fn read(dir: &RunDir) -> Result<Self> {
        let path = dir.identity();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoRun { dir: dir.path().to_owned(), missing: "identity.json" });
            }
            Err(e) => return Err(Error::io(&path)(e)),
        };
        serde_json::from_slice(&text).map_err(|e| Error::Damaged {
            path,
            expected: "the identity of a run".to_owned(),
            got: e.to_string(),
        })
    }

    pub(crate) fn write(&self, dir: &RunDir) -> Result<()> {
        let path = dir.identity();
        atomic::write_json(&path, self).map_err(Error::io(&path))
    }

    /// Whether a run with this identity may use what `now` describes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the first difference, the most telling one first.
    pub fn check(&self, now: &Self) -> Result<()> {
        let view = format!("view {}", now.view);
        let shards = format!("shard set {}", now.shards);
        let facts = [
            ("vocabulary hash", &self.vocab_hash, &now.vocab_hash, &view),
            ("split hash", &self.split_hash, &now.split_hash, &view),
            ("view hash", &self.view_hash, &now.view_hash, &view),
            ("hash of the shard files", &self.shards_hash, &now.shards_hash, &shards),
        ];
        match facts.into_iter().find(|(_, then, now, _)| then != now) {
            None => self.check_base(now.base.as_deref()),
            Some((what, then, now, place)) => Err(Error::Mismatch {
                what: what.to_owned(),
                left: format!("the run was trained on {}", short(then)),
                right: format!("{place} has {}", short(now)),
                hint: "put back the data of the run, or train a new run on the new data".to_owned(),
            }),
        }
    }
}

impl Identity {
    /// Whether a run with this identity may use a base with this digest: its states hold only what was trained. `None`
    /// stands for a model that needs no base.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with both digests.
    pub fn check_base(&self, now: Option<&str>) -> Result<()> {
        if now.is_none() || self.base.as_deref() == now {
            return Ok(());
        }
        let show = |base: Option<&str>| base.map_or("none", short).to_owned();
        Err(Error::Mismatch {
            what: "digest of the base weights".to_owned(),
            left: format!("the run started from {}", show(self.base.as_deref())),
            right: format!("model.weights is now {}", show(now)),
            hint: "put back the weights that the run started from".to_owned(),
        })
    }
}

/// The beginning of a hash: enough to tell two apart.
fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_vocabulary_is_named_with_both_hashes() {
        let classes = vec!["guitar".to_owned()];
        let vocab = Vocab { id: "t".into(), classes, order: "published".into() };
        let then = Identity {
            view: "demo".into(),
            view_hash: "a".repeat(64),
            split_hash: "b".repeat(64),
            vocab_hash: "c".repeat(64),
            shards: "demo-16k".into(),
            shards_hash: "d".repeat(64),
            resampler: "fir".into(),
            vocab,
            base: Some("1".repeat(64)),
        };
        then.check(&then.clone()).unwrap();
        let now =
            Identity { vocab_hash: "e".repeat(64), view_hash: "f".repeat(64), ..then.clone() };
        let text = then.check(&now).unwrap_err().to_string();
        assert!(
            text.starts_with("vocabulary hash: the run was trained on cccccccccccccccc,"),
            "{text}"
        );
        assert!(text.contains("view demo has eeeeeeeeeeeeeeee;"), "{text}");
        then.check(&Identity { base: None, ..then.clone() }).unwrap();
        let now = Identity { base: Some("2".repeat(64)), ..then.clone() };
        let text = then.check(&now).unwrap_err().to_string();
        assert!(
            text.contains("started from 1111111111111111, model.weights is now 2222222222222222"),
            "{text}"
        );
    }
}
