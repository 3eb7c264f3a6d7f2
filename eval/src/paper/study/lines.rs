//! Panels of lines over amounts of training data, side by side, with one scale and one legend.
//!
//! The amount is on a logarithmic axis; an untrained network stands apart at its left end.

use super::svg::{COLOURS, Scale, line, open, text, width_of};
use crate::paper::chart::html_text;
use std::fmt::Write;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Solid,
    Dotted,
    Dashed,
    DashDot,
}

/// A line: places on the axis of amounts, values, and their least and greatest over seeds.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) stroke: Stroke,
    pub(super) points: Vec<Point>,
}

/// A value whatever the amount: a horizontal line with its name.
pub(super) struct Level {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) stroke: Stroke,
    pub(super) value: f64,
}

/// A value at an amount (its place in [`Figure::amounts`]).
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) amount: usize,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A part of a figure.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
    pub(super) levels: Vec<Level>,
}

/// Panels that share their scales.
pub(super) struct Figure {
    pub(super) title: String,
    /// What is measured.
    pub(super) score: String,
    /// Minutes, ascending; 0 stands for no training.
    pub(super) amounts: Vec<f64>,
    pub(super) panels: Vec<Panel>,
}

/// Width of the figure.
const WIDTH: f64 = 960.0;
/// Height of a panel's plot.
const PLOT: f64 = 170.0;
/// Room around a plot: for values, for the title, for amounts.
const LEFT: f64 = 46.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 24.0;
/// Room for the words below the last row.
const WORDS: f64 = 26.0;
/// Height of a line of the legend.
const LEGEND: f64 = 20.0;
/// Height of a level's name.
const NAME: f64 = 11.0;

/// Nothing for a figure without a single point.
pub(super) fn draw(figure: &Figure) -> Option<String> {
    let points = || figure.panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.points);
    let levels = || figure.panels.iter().flat_map(|p| &p.levels).map(|l| l.value);
    let values = || points().flat_map(|p| [p.low, p.high]).chain(levels());
    values().next()?;
    let columns = match figure.panels.len() {
        4 => 2,
        n => n.clamp(1, 3),
    };
    let rows = figure.panels.len().div_ceil(columns);
    let (legend, legend_height) = legend(figure);
    let (cell, pitch) = (WIDTH / columns as f64, TOP + PLOT + BOTTOM);
    let height = legend_height + pitch * rows as f64 + WORDS;
    let mut svg = open(WIDTH, height, &figure.title) + &legend;
    for (n, panel) in figure.panels.iter().enumerate() {
        let (left, top) = (
            (n % columns) as f64 * cell + LEFT,
            legend_height + (n / columns) as f64 * pitch + TOP,
        );
        let right = left + cell - LEFT - 22.0;
        let y = Scale::around(values(), top + PLOT, top);
        text(&mut svg, left, top - 10.0, "strong", &panel.title);
        for (value, words) in y.ticks() {
            let at = y.at(value);
            line(&mut svg, (left, at), (right, at), "grid");
            text(&mut svg, left - 7.0, at + 4.0, "small end", &words);
        }
        amounts(&mut svg, figure, (left, right), top + PLOT);
        draw_levels(&mut svg, &panel.levels, (left, right), &y);
        for l in &panel.lines {
            draw_line(&mut svg, l, &figure.amounts, (left, right), &y);
        }
    }
    let words = format!("{} over minutes of music in pre-training (logarithmic)", figure.score);
    text(&mut svg, WIDTH / 2.0, height - 8.0, "mid", &words);
    Some(svg + "</svg>\n")
}

/// Where an amount stands between `left` and `right`.
fn place(amounts: &[f64], amount: f64, (left, right): (f64, f64)) -> f64 {
    let inner = (left + 12.0, right - 12.0);
    let positive: Vec<f64> = amounts.iter().copied().filter(|a| *a > 0.0).collect();
    let apart = if positive.len() < amounts.len() { (inner.1 - inner.0) * 0.13 } else { 0.0 };
    if amount <= 0.0 {
        return inner.0;
    }
    let from = inner.0 + apart;
    match (positive.first(), positive.last()) {
        (Some(first), Some(last)) if last > first => {
            from + (amount / first).ln() / (last / first).ln() * (inner.1 - from)
        }
        _ => (from + inner.1) / 2.0,
    }
}

/// The axis with its amounts; one that would touch the one before stays without words.
fn amounts(svg: &mut String, figure: &Figure, span: (f64, f64), y: f64) {
    line(svg, (span.0, y), (span.1, y), "axis");
    let mut free = f64::MIN;
    for &amount in &figure.amounts {
        let x = place(&figure.amounts, amount, span);
        line(svg, (x, y), (x, y + 4.0), "axis");
        let words = minutes(amount);
        let half = width_of(&words) * 0.45;
        if x - half > free {
            text(svg, x, y + 17.0, "small mid", &words);
            free = x + half + 3.0;
        }
    }
}

/// `0`, `4.9`, `243`.
pub(super) fn minutes(amount: f64) -> String {
    match amount {
        a if a <= 0.0 => "0".to_owned(),
        a if a < 9.95 => format!("{a:.1}"),
        a => format!("{a:.0}"),
    }
}

fn draw_line(svg: &mut String, l: &Line, amounts: &[f64], span: (f64, f64), y: &Scale) {
    let colour = format!("c{}", l.colour % COLOURS);
    let at = |p: &Point| (place(amounts, amounts[p.amount], span), y.at(p.value));
    let name = html_text(&l.name);
    let path: Vec<String> =
        l.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if path.len() > 1 {
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" class=\"line {colour}{}\"><title>{name}</title></polyline>",
            path.join(" "),
            class(l.stroke)
        );
    }
    if matches!(l.stroke, Stroke::Dashed | Stroke::DashDot) && path.len() > 1 {
        return; // published lines carry no marks
    }
    for p in &l.points {
        let (x, at) = at(p);
        if p.high > p.low {
            line(svg, (x, y.at(p.low)), (x, y.at(p.high)), &format!("range {colour}"));
        }
        let words = format!("{name}, {} minutes: {:.4}", minutes(amounts[p.amount]), p.value);
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"2.6\" class=\"{colour}\"><title>{words}</title></circle>"
        );
    }
}

/// Levels with their names above their right ends; a name that would touch the one below it moves up.
fn draw_levels(svg: &mut String, levels: &[Level], span: (f64, f64), y: &Scale) {
    let mut levels: Vec<&Level> = levels.iter().collect();
    levels.sort_by(|a, b| a.value.total_cmp(&b.value));
    let mut free = f64::MAX;
    for l in levels {
        let at = y.at(l.value);
        line(
            svg,
            (span.0, at),
            (span.1, at),
            &format!("line c{}{}", l.colour % COLOURS, class(l.stroke)),
        );
        let above = (at - 3.0).min(free);
        text(svg, span.1, above, "small end", &format!("{} {:.3}", l.name, l.value));
        free = above - NAME;
    }
}

fn class(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Solid => "",
        Stroke::Dotted => " dotted",
        Stroke::Dashed => " dashed",
        Stroke::DashDot => " dashdot",
    }
}

/// Every line that occurs, once, in rows as wide as the figure; and the height of that.
fn legend(figure: &Figure) -> (String, f64) {
    let mut seen: Vec<(&str, usize, Stroke)> = Vec::new();
    for l in figure.panels.iter().flat_map(|p| &p.lines) {
        let entry = (l.name.as_str(), l.colour, l.stroke);
        if !seen.contains(&entry) {
            seen.push(entry);
        }
    }
    let (mut out, mut x, mut y) = (String::new(), LEFT, 16.0);
    for (name, colour, stroke) in seen {
        let width = 30.0 + width_of(name) + 22.0;
        if x + width > WIDTH && x > LEFT {
            (x, y) = (LEFT, y + LEGEND);
        }
        let style = format!("line c{}{}", colour % COLOURS, class(stroke));
        line(&mut out, (x, y - 4.0), (x + 24.0, y - 4.0), &style);
        text(&mut out, x + 30.0, y, "", name);
        x += width;
    }
    (out, y + 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_logarithmic_and_the_untrained_stands_apart() {
        let amounts = [0.0, 5.0, 50.0, 500.0];
        let x: Vec<f64> = amounts.iter().map(|&a| place(&amounts, a, (0.0, 224.0))).collect();
        assert_eq!((x[0], x[3]), (12.0, 212.0));
        assert!((x[1] - 38.0).abs() < 1e-9);
        assert!(((x[2] - x[1]) - (x[3] - x[2])).abs() < 1e-9);
        assert_eq!([0.0, 4.854, 9.96, 7400.9].map(minutes), ["0", "4.9", "10", "7401"]);
    }

    #[test]
    fn a_figure_without_points_is_none() {
        let panel = Panel { title: "a".into(), lines: Vec::new(), levels: Vec::new() };
        let figure = Figure {
            title: "t".into(),
            score: "mAP".into(),
            amounts: vec![0.0],
            panels: vec![panel],
        };
        assert!(draw(&figure).is_none());
    }

    #[test]
    fn a_level_is_horizontal_within_the_scale_and_names_do_not_touch() {
        let level = |name: &str, value| Level {
            name: name.into(),
            colour: 1,
            stroke: Stroke::Dashed,
            value,
        };
        let levels = vec![level("mfcc slp", 0.9), level("chroma slp", 0.3), level("x", 0.301)];
        let mut out = String::new();
        draw_levels(
            &mut out,
            &levels,
            (0.0, 100.0),
            &Scale::around([0.0, 1.0].into_iter(), 100.0, 0.0),
        );
        let lines: Vec<&str> = out.lines().filter(|l| l.starts_with("<line")).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("y1=\"70.0\"") && lines[0].contains("y2=\"70.0\""), "{out}");
        let names: Vec<&str> = out.lines().filter(|l| l.starts_with("<text")).collect();
        assert!(names[0].contains("y=\"67.0\"") && names[0].contains("chroma slp 0.300"), "{out}");
        assert!(names[1].contains("y=\"56.0\"") && names[2].contains("y=\"7.0\""), "{out}");
    }
}
