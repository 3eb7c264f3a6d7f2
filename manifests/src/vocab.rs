//! Vocabularies: which class has which index.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
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
