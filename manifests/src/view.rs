//! A view: which tracks of a corpus belong to which split, and what a model should say about them.

use crate::row::{Example, Split};
use crate::vocab::Vocab;
use serde::{Deserialize, Serialize};

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

impl View {
    /// Examples of one split, in key order.
    pub fn only(&self, split: Split) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(move |e| e.split == split)
    }
}
