//! What a check found: a list with levels, printed as a table, serialised as JSON.

use crate::table::{Table, count};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::ops::Deref;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Scores may not mean what they seem to mean.
    Warning,
    /// The manifest breaks a promise; do not train on it.
    Error,
}

impl Level {
    /// The word that tables and JSON use.
    pub fn name(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// Stable word for programs, e.g. `artist_leak`.
    pub kind: &'static str,
    /// For people: what, where, how much.
    pub text: String,
    /// How many times it was found; of what is in `text`.
    pub count: u64,
    /// The first few, in key order.
    pub examples: Vec<String>,
}

/// Findings in the order in which the checks ran.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

/// Examples that one finding keeps.
const EXAMPLES: usize = 5;

impl Findings {
    /// Adds a finding unless `count` is 0; keeps the first few examples.
    pub fn push(
        &mut self,
        level: Level,
        kind: &'static str,
        count: u64,
        text: String,
        examples: impl IntoIterator<Item = String>,
    ) {
        if count > 0 {
            let examples = examples.into_iter().take(EXAMPLES).collect();
            self.0.push(Finding { level, kind, text, count, examples });
        }
    }

    /// Adds the findings of another check.
    pub fn extend(&mut self, other: Findings) {
        self.0.extend(other.0);
    }

    /// The highest level; `None` if nothing was found.
    pub fn worst(&self) -> Option<Level> {
        self.0.iter().map(|f| f.level).max()
    }

    /// The finding of a kind, if there is one.
    pub fn get(&self, kind: &str) -> Option<&Finding> {
        self.0.iter().find(|f| f.kind == kind)
    }
}

impl Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.0
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Display for Findings {
    /// A table, worst first; one line when nothing was found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "nothing found");
        }
        let mut table = Table::new(["level", ">count", "finding", "e.g."]).most(2, 120);
        let mut sorted: Vec<&Finding> = self.0.iter().collect();
        sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        for finding in sorted {
            table.row([
                finding.level.name().to_owned(),
                count(finding.count),
                finding.text.clone(),
                finding.examples.first().cloned().unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_zero_is_no_finding() {
        let mut findings = Findings::default();
        assert_eq!(findings.to_string(), "nothing found\n");
        findings.push(Level::Note, "a", 1, "one".into(), []);
        findings.push(Level::Error, "b", 2000, "two".into(), ["x".into()]);
        findings.push(Level::Error, "c", 0, "none".into(), []);
        assert_eq!(findings.len(), 2);
        assert_eq!(findings.worst(), Some(Level::Error));
        let expected = "level  count  finding  e.g.\n\
                        ─────  ─────  ───────  ────\n\
                        error  2,000  two      x\n\
                        note       1  one\n";
        assert_eq!(findings.to_string(), expected);
    }

    #[test]
    fn json_has_levels_as_words() {
        let mut findings = Findings::default();
        findings.push(Level::Warning, "leak", 1, "t".into(), (0..9).map(|i| i.to_string()));
        let json = serde_json::to_value(&findings).unwrap();
        assert_eq!(json[0]["level"], "warning");
        assert_eq!(json[0]["examples"].as_array().unwrap().len(), EXAMPLES);
    }
}
