//! Aligned plain-text tables for the terminal, and the way numbers are written in them.
//!
//! A cell is one line: control characters (a title may hold anything) are shown as spaces, wide characters count double.

use std::fmt::{self, Display, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Which side of its column a cell leans on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: a header, a rule, rows; columns as wide as their widest cell, two spaces between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    align: Align,
    most: usize,
}

/// Cells are cut to this many terminal cells unless [`Table::most`] says otherwise.
const MOST: usize = 60;

impl Table {
    /// A table with these columns; names of numeric columns begin with `>`, which is not printed: `[">rows", "status"]`.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let column = |name: &str| match name.strip_prefix('>') {
            Some(name) => Column { name: name.into(), align: Align::Right, most: MOST },
            None => Column { name: name.into(), align: Align::Left, most: MOST },
        };
        Self { columns: columns.into_iter().map(column).collect(), rows: Vec::new(), indent: 0 }
    }

    /// Spaces before every line.
    pub fn indent(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Widest that one column may get; longer cells end in `…`.
    pub fn most(mut self, column: usize, width: usize) -> Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.most = width.max(1);
        }
        self
    }

    /// Adds a row; missing cells are empty, surplus cells are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        for (cell, column) in row.iter_mut().zip(&self.columns) {
            *cell = fit(cell, column.most);
        }
        self.rows.push(row);
        self
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Display for Table {
    /// Every line ends in a line feed, none in a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| self.rows.iter().map(|r| r[i].width()).fold(c.name.width(), usize::max))
            .collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = " ".repeat(self.indent);
            for (i, (cell, &width)) in cells.zip(&widths).enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                let pad = " ".repeat(width.saturating_sub(cell.width()));
                match self.columns[i].align {
                    Align::Left => write!(text, "{gap}{cell}{pad}")?,
                    Align::Right => write!(text, "{gap}{pad}{cell}")?,
                }
            }
            writeln!(f, "{}", text.trim_end())
        };
        if self.columns.iter().any(|c| !c.name.is_empty()) {
            line(&mut self.columns.iter().map(|c| c.name.as_str()))?;
            let rules: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
            line(&mut rules.iter().map(String::as_str))?;
        }
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
}

/// One line of at most `most` terminal cells.
fn fit(cell: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = cell.chars().map(clean).collect();
    if text.width() <= most {
        return text;
    }
    let mut short = String::new();
    let mut width = 1; // of the ellipsis
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width > most {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// A bar of at most `width` cells, in eighths of a cell; a value above 0 shows at least one eighth.
pub fn bar(value: f64, most: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    if !(value > 0.0 && most > 0.0) {
        return String::new();
    }
    let eighths = ((value / most).min(1.0) * width as f64 * 8.0).round().max(1.0) as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(EIGHTHS[eighths % 8 - 1]);
    }
    text
}

/// `25863` as `25,863`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in decimal units, three significant digits: `36.2 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 9.995 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A length of time in the largest unit that makes it at least 1: `209.21 h`, `3.5 min`, `29.124 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "–".into(),
        s if s >= 3600.0 => {
            let hundredths = (s / 36.0).round() as u64;
            format!("{}.{:02} h", count(hundredths / 100), hundredths % 100)
        }
        s if s >= 60.0 => format!("{:.1} min", s / 60.0),
        s => format!("{s:.3} s"),
    }
}

/// A share of a whole: `61.6 %`; nothing of nothing is `–`.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".into(),
        _ => format!("{:.1} %", part as f64 / whole as f64 * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lean_left_and_numbers_right() {
        let mut table = Table::new(["status", ">tracks"]);
        table.row(["ok", "25,860"]).row(["empty_file", "3"]);
        let expected = "status      tracks\n\
                        ──────────  ──────\n\
                        ok          25,860\n\
                        empty_file       3\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn wide_characters_count_double_and_control_characters_are_spaces() {
        let mut table = Table::new(["a", "b"]);
        table.row(["音楽", "x"]).row(["\u{1b}[2J\n", "y"]);
        assert_eq!(table.to_string(), "a      b\n─────  ─\n音楽   x\n [2J   y\n");
    }

    #[test]
    fn long_cells_end_in_an_ellipsis() {
        let mut table = Table::new(["a"]).most(0, 5);
        table.row(["abcdef"]).row(["abcde"]).row(["音楽音楽"]);
        assert_eq!(table.to_string(), "a\n─────\nabcd…\nabcde\n音楽…\n");
    }

    #[test]
    fn no_names_means_no_header_and_indent_is_on_every_line() {
        let mut table = Table::new(["", ">"]).indent(2);
        table.row(["a", "10"]).row(["bc", "5"]);
        assert_eq!(table.to_string(), "  a   10\n  bc   5\n");
    }

    #[test]
    fn bars_have_eighths_and_never_hide_a_value() {
        assert_eq!(bar(1.0, 1.0, 3), "███");
        assert_eq!(bar(0.5, 1.0, 3), "█▌");
        assert_eq!(bar(1e-9, 1.0, 3), "▏");
        assert_eq!(bar(0.0, 1.0, 3), "");
        assert_eq!(bar(9.0, 1.0, 2), "██");
    }

    #[test]
    fn numbers_have_separators_and_units() {
        assert_eq!(
            [0, 999, 1000, 25_863, 1_234_567].map(count).join(" "),
            "0 999 1,000 25,863 1,234,567"
        );
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(36_154_000_000), "36.2 GB");
        assert_eq!(bytes(999_600), "1.00 MB");
        assert_eq!(duration(29.124), "29.124 s");
        assert_eq!(duration(210.0), "3.5 min");
        assert_eq!(duration(209.21 * 3600.0), "209.21 h");
        assert_eq!(duration(3_688.4 * 3600.0), "3,688.40 h");
        assert_eq!(percent(3_284, 5_329), "61.6 %");
        assert_eq!(percent(0, 0), "–");
    }
}
