//! Vocabularies: which class has which index.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Classes in order. The order is part of the vocabulary's identity: three orders of the MTAT top 50 are in circulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocab {
    /// e.g. `mtat50`.
    pub id: String,
    /// Class names; the position is the index.
    pub classes: Vec<String>,
    /// Where the order comes from: `published`, `count_desc_csv`, `alphabetical`, …
    pub order: String,
}

impl Vocab {
    /// Lower-case hex SHA-256 over the classes joined with `\n`.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.classes.join("\n").as_bytes()))
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

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
