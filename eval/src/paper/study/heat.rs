//! Maps of one score over targets (rows) and sources (columns), ours beside the published one.
//!
//! The colour of a cell is its difference to the network that began on the target itself, which stands on the diagonal.

use super::svg::{open, text};
use crate::paper::chart::html_text;
use std::fmt::Write;

/// A map.
pub(super) struct Map {
    pub(super) title: String,
    /// Row by row; `None` where there is no value.
    pub(super) cells: Vec<Vec<Option<f64>>>,
}

const LABEL: f64 = 108.0;
const TOP: f64 = 92.0;
const HIGH: f64 = 30.0;
/// Difference at which a colour is full.
const FULL: f64 = 0.08;
/// Width of a figure, if it can be.
const WIDTH: f64 = 960.0;
/// Room for the words below.
const WORDS: f64 = 26.0;

fn letters(text: &str) -> f64 {
    text.chars().count() as f64
}

/// Maps over the same names, at most `columns` in a row, with `words` below; nothing when no cell has a value.
pub(super) fn draw(words: &str, names: &[String], maps: &[Map], columns: usize) -> Option<String> {
    maps.iter().flat_map(|m| m.cells.iter().flatten()).find(|c| c.is_some())?;
    let columns = columns.clamp(1, maps.len());
    let rows = maps.len().div_ceil(columns);
    let words =
        format!("{words}; colour: difference to the target alone (diagonal), blue is better");
    let wide = ((WIDTH / columns as f64 - LABEL - 14.0) / names.len() as f64).clamp(40.0, 62.0);
    // a title, or the last name, which leans to the right, may be longer than the cells are wide
    let title_wide = maps.iter().map(|m| letters(&m.title) * 7.2).fold(0.0, f64::max);
    let lean = names.last().map_or(0.0, |name| letters(name) * 5.0 - wide * 0.5);
    let cells_wide = wide * names.len() as f64 + lean.max(0.0);
    let across = LABEL + cells_wide.max(title_wide) + 14.0;
    let down = TOP + HIGH * names.len() as f64 + 18.0;
    let width = (across * columns as f64).max(LABEL + letters(&words) * 5.6);
    let height = down * rows as f64 + WORDS;
    let mut svg = open(width, height, &words);
    for (m, map) in maps.iter().enumerate() {
        let left = across * (m % columns) as f64 + LABEL;
        let top = down * (m / columns) as f64;
        text(&mut svg, left, top + 16.0, "strong", &map.title);
        let top = top + TOP;
        text(&mut svg, left - 8.0, top - 8.0, "small end", "target ↓  source →");
        for (i, name) in names.iter().enumerate() {
            let (x, y) = (left + wide * (i as f64 + 0.5), top + HIGH * (i as f64 + 0.5));
            let _ = writeln!(
                svg,
                "<text transform=\"translate({:.1} {:.1}) rotate(-35)\" class=\"small\">{}</text>",
                x - 6.0,
                top - 8.0,
                html_text(name)
            );
            text(&mut svg, left - 8.0, y + 4.0, "end", name);
        }
        for (row, cells) in map.cells.iter().enumerate() {
            for (column, value) in cells.iter().enumerate() {
                let corner = (left + wide * column as f64, top + HIGH * row as f64);
                cell(
                    &mut svg,
                    corner,
                    wide,
                    (*value, cells[row], row == column),
                    names,
                    (row, column),
                );
            }
        }
    }
    text(&mut svg, LABEL, height - 8.0, "small", &words);
    Some(svg + "</svg>\n")
}

fn cell(
    svg: &mut String,
    (x, y): (f64, f64),
    wide: f64,
    (value, own, diagonal): (Option<f64>, Option<f64>, bool),
    names: &[String],
    (row, column): (usize, usize),
) {
    let difference = value.zip(own).map(|(v, o)| v - o);
    let (class, opacity) = match difference {
        Some(d) if !diagonal && d > 0.0 => ("up", (d / FULL).min(1.0) * 0.55 + 0.06),
        Some(d) if !diagonal && d < 0.0 => ("down", (-d / FULL).min(1.0) * 0.55 + 0.06),
        _ => ("none", 0.1),
    };
    let (w, h) = (wide - 2.0, HIGH - 2.0);
    let words = match (value, diagonal) {
        (Some(v), true) => format!("{} alone: {v:.4}", names[row]),
        (Some(v), false) => format!(
            "{} from {}: {v:.4}{}",
            names[row],
            names[column],
            difference.map_or(String::new(), |d| format!(" ({d:+.4})"))
        ),
        (None, _) => format!("{} from {}: none", names[row], names[column]),
    };
    let _ = write!(
        svg,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" \
         rx=\"3\" class=\"{class}\" fill-opacity=\"{opacity:.2}\"/>",
        html_text(&words)
    );
    if diagonal && value.is_some() {
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"3\" class=\"own\"/>"
        );
    }
    let shown = value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let weight = if value.is_some() { "strong mid" } else { "mid" };
    text(svg, x + w / 2.0, y + h / 2.0 + 4.0, weight, &shown);
    svg.push_str("</g>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_tells_its_score_and_its_difference_to_the_target_alone() {
        let names = ["fma".to_owned(), "lyra".to_owned()];
        let cells = vec![vec![Some(0.88), Some(0.92)], vec![None, Some(0.8)]];
        let map = |cells| Map { title: "ours".into(), cells };
        let svg = draw("ROC-AUC", &names, &[map(cells.clone())], 3).unwrap();
        assert!(svg.contains(">ROC-AUC; colour: difference"), "{svg}");
        assert!(svg.contains("fma from lyra: 0.9200 (+0.0400)"), "{svg}");
        assert!(svg.contains("lyra from fma: none") && svg.contains("lyra alone: 0.8000"));
        assert_eq!(svg.matches("class=\"own\"").count(), 2);
        let height = |svg: &str| svg.split_once("viewBox=\"0 0 ").unwrap().1[4..7].to_owned();
        let maps = [map(cells.clone()), map(cells.clone()), map(cells)];
        let (row, column) = (draw("t", &names, &maps, 3), draw("t", &names, &maps, 2));
        assert!(height(&row.unwrap()) < height(&column.unwrap()), "a third map begins a row");
        assert!(draw("t", &names, &[map(vec![vec![None; 2]; 2])], 3).is_none());
    }
}
