//! A study's results as figures, one page, CSV and text.
//!
//! [`limited`] shows scores over amounts of training data, [`transfer`] scores over pairs of corpora; both beside what was
//! published. [`Drawn`] is everything they make, file by file.

mod heat;
mod limited;
mod lines;
mod published;
mod raw;
mod svg;
mod transfer;

pub use limited::{LIMITED_COLUMNS, Limited, LimitedCell, LimitedTask, limited};
pub use published::{Published, read_published};
pub use raw::metrics_text;
pub use transfer::{TRANSFER_COLUMNS, Transfer, TransferCell, evaluation_text, transfer};

use super::chart::html_text;
use crate::error::{Error, Result};
use crate::metrics::ranking::tagging;
use crate::predictions::Stored;
use std::fmt::Write;

/// What is drawn of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Figures by file name, `<name>.svg`, each whole on its own.
    pub figures: Vec<(String, String)>,
    /// One page with everything.
    pub page: String,
    /// Every number in full.
    pub csv: String,
    /// Tables for the terminal.
    pub text: String,
}

/// A figure of the page.
struct Shown {
    /// File name without its ending.
    name: String,
    /// Heading.
    title: String,
    /// What to know about it.
    caption: String,
    svg: String,
}

const PAGE: &str = "
:root { color-scheme: light dark; --ink: #1d1f24; --soft: #5c6270; --line: #e3e6ec; --paper: #ffffff; --panel: #f7f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ee; --soft: #a9b0c0; --line: #2c3040; --paper: #12141b;
  --panel: #191c25; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 2rem; letter-spacing: -0.02em; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .1rem; }
p { color: var(--soft); max-width: 52rem; margin: .2rem 0 1rem; }
svg { width: 100%; height: auto; display: block; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 1rem; overflow-x: auto;
  font-size: 12.5px; line-height: 1.45; }
";

/// Figures and tables on one page that needs nothing else.
fn page(name: &str, about: &str, figures: &[Shown], tables: &str) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0} · étude</title>\n<style>{PAGE}{1}</style>\n<main>\n<h1>{0}</h1>\n<p>{2}</p>\n",
        html_text(name),
        svg::STYLE,
        html_text(about)
    );
    for f in figures {
        let _ = write!(
            out,
            "<section>\n<h2>{}</h2>\n<p>{}</p>\n{}</section>\n",
            html_text(&f.title),
            html_text(&f.caption),
            f.svg
        );
    }
    let _ =
        write!(out, "<section>\n<h2>Tables</h2>\n<pre>{}</pre>\n</section>\n", html_text(tables));
    out + "</main>\n</html>\n"
}

fn drawn(name: &str, about: &str, figures: &[Shown], csv: String, text: String) -> Drawn {
    let alone = |f: &Shown| (format!("{}.svg", f.name), svg::standalone(&f.svg));
    Drawn {
        page: page(name, about, figures, &text),
        figures: figures.iter().map(alone).collect(),
        csv,
        text,
    }
}

/// A number with four decimals, `–` for none.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
}

/// Mean; `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Macro ROC-AUC and average precision as published: of every class, or not at all.
fn macro_scores(predictions: &Stored, place: &str) -> Result<(f64, f64)> {
    let Stored { scores, labels, classes, .. } = predictions;
    let found = tagging(scores, labels, classes.len())?;
    match (found.macro_avg.roc_auc, found.macro_avg.average_precision, &found.undefined[..]) {
        (Some(roc_auc), Some(average_precision), []) => Ok((roc_auc, average_precision)),
        (.., undefined) => {
            let names = undefined.iter().filter_map(|&c| classes.get(c));
            Err(Error::Misfit {
                place: place.to_owned(),
                expected: "every tag at least once, and not always".to_owned(),
                got: names.map(String::as_str).collect::<Vec<_>>().join(", "),
            })
        }
    }
}
