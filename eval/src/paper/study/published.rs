//! Published scores of a study: a CSV file whose lines begin with the same names as ours.
//!
//! Lines that begin with `#` say where the numbers come from. The first other line names the columns; the last two are
//! `score` and `value`, the ones before are the row's names.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Published scores by names and score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    scores: BTreeMap<Vec<String>, f64>,
}

impl Published {
    /// The score of a row, its names in the order of the columns.
    pub fn get(&self, names: &[&str], score: &str) -> Option<f64> {
        let key = names.iter().chain([&score]).map(|&s| s.to_owned()).collect::<Vec<_>>();
        self.scores.get(&key).copied()
    }

    /// Rows there are: names and score.
    pub fn rows(&self) -> impl Iterator<Item = (&[String], f64)> {
        self.scores.iter().map(|(key, value)| (key.as_slice(), *value))
    }
}

/// Reads published scores with these columns before `score` and `value`.
///
/// # Errors
/// [`Error::Format`] for another header, a line with another number of cells, a value that is no number or is there twice.
pub fn read_published(path: &Path, columns: &[&str]) -> Result<Published> {
    let bad =
        |expected: String, got: String| Error::Format { path: path.to_path_buf(), expected, got };
    let text = std::fs::read_to_string(path)
        .map_err(|e| bad("a CSV file of published scores".to_owned(), e.to_string()))?;
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    let head = columns.iter().chain(&["score", "value"]).copied().collect::<Vec<_>>().join(",");
    match lines.next() {
        Some((_, line)) if line == head => {}
        other => {
            let got = other.map_or("nothing", |(_, line)| line);
            return Err(bad(format!("the columns {head}"), got.to_owned()));
        }
    }
    let mut scores = BTreeMap::new();
    for (n, line) in lines {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let value = cells.pop().and_then(|v| v.parse::<f64>().ok());
        let fits = cells.len() == columns.len() + 1;
        let Some(value) = value.filter(|v| fits && v.is_finite()) else {
            let expected = format!("line {}: {} names and a number", n + 1, columns.len() + 1);
            return Err(bad(expected, line.to_owned()));
        };
        if scores.insert(cells, value).is_some() {
            return Err(bad(format!("line {}: every row once", n + 1), line.to_owned()));
        }
    }
    Ok(Published { scores })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_scores_are_found_by_their_names() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("p.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_published(&path, &["model", "size"])
        };
        let p = read("# from a paper\nmodel,size,score,value\nvggish,0,mAP,0.206\n").unwrap();
        assert_eq!(p.get(&["vggish", "0"], "mAP"), Some(0.206));
        assert_eq!(p.get(&["vggish", "1"], "mAP"), None);
        for (text, want) in [
            ("model,score,value\n", "the columns model,size,score,value"),
            ("model,size,score,value\na,1,mAP,x\n", "line 2: 3 names and a number"),
            ("model,size,score,value\na,1,0.5\n", "line 2: 3 names and a number"),
            ("model,size,score,value\na,1,m,0\na,1,m,1\n", "line 3: every row once"),
        ] {
            let text = read(text).unwrap_err().to_string();
            assert!(text.contains(want), "{text}");
        }
    }
}
