//! Charts of the page as inline SVG: scores with their ranges, learning curves, bars per class.
//!
//! Colours are classes (`c0` to `c7`) that the page's style sheet defines, so that they follow its light or dark theme.

use super::{Row, Table};
use crate::task::ClassScores;
use crate::tasks::tagging::MAP;
use std::fmt::Write;

/// Width of all charts, in units of the drawing.
const WIDTH: f64 = 720.0;
/// Colours there are.
const COLOURS: usize = 8;

/// Text in HTML.
pub(super) fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A straight map from values to the drawing.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Around the values, with a margin; never empty.
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let margin = ((high - low) * 0.08).max(0.005);
        Self { low: low - margin, high: high + margin, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About five round numbers, and how many decimals they have.
    fn ticks(&self) -> (Vec<f64>, usize) {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(power * 10.0);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        ((first..=last).map(|i| i as f64 * step).collect(), decimals)
    }
}

fn open(height: f64, label: &str) -> String {
    let label = html_text(label);
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n")
}

/// Our mAP with its range by track, and the published value as a diamond, a line per row.
pub(super) fn forest(table: &Table) -> String {
    let shown: Vec<&Row> = table
        .rows
        .iter()
        .filter(|r| r.score(MAP).is_some() || r.published.contains_key(MAP))
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    let (line, top) = (24.0, 6.0);
    let bottom = top + line * shown.len() as f64;
    let values = shown.iter().flat_map(|r| {
        let ours = r.score(MAP);
        let range = ours.and_then(|e| e.by_track).map(|i| [i.low, i.high]);
        let points = ours.map(|e| e.value).into_iter().chain(r.published.get(MAP).copied());
        points.chain(range.into_iter().flatten()).collect::<Vec<_>>()
    });
    let axis = Axis::around(values, 190.0, WIDTH - 16.0);
    let mut svg = open(bottom + 26.0, "mAP of every row with its confidence interval");
    vertical_grid(&mut svg, &axis, top, bottom);
    for (at, row) in shown.iter().enumerate() {
        let y = top + line * (at as f64 + 0.5);
        let name = html_text(&format!("{} {}", row.model, row.method));
        let _ = writeln!(svg, "<text x=\"180\" y=\"{:.1}\" class=\"name\">{name}</text>", y + 4.0);
        if let Some(published) = row.published.get(MAP) {
            let x = axis.at(*published);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\" class=\"published\"><title>{name}: \
                 published {published:.3}</title></path>",
                y - 5.0
            );
        }
        let Some(ours) = row.score(MAP) else { continue };
        let title = format!("<title>{name}: {:.4}</title>", ours.value);
        if let Some(i) = ours.by_track {
            let (a, b) = (axis.at(i.low), axis.at(i.high));
            let _ = writeln!(
                svg,
                "<line x1=\"{a:.1}\" x2=\"{b:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"range\"/>"
            );
        }
        let x = axis.at(ours.value);
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" class=\"ours\">{title}</circle>"
        );
    }
    svg + "</svg>\n"
}

/// Lines over steps: one per row, in the colours of [`legend`].
pub(super) fn curves(
    table: &Table,
    label: &str,
    of: impl for<'r> Fn(&'r Row) -> &'r [(u64, f64)],
) -> String {
    let (left, top, bottom) = (44.0, 10.0, 230.0);
    let drawn: Vec<(usize, &Row)> =
        learned(table).enumerate().filter(|(_, r)| of(r).len() > 1).collect();
    let points = || drawn.iter().flat_map(|(_, r)| of(r).iter());
    let most = points().map(|p| p.0).max().unwrap_or_default();
    if most == 0 {
        return String::new();
    }
    let x = Axis { low: 0.0, high: most as f64, from: left, to: WIDTH - 16.0 };
    let y = Axis::around(points().map(|p| p.1), bottom, top);
    let mut svg = open(bottom + 26.0, label);
    let (ticks, decimals) = y.ticks();
    for tick in ticks {
        let at = y.at(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"grid\"/>\
             <text x=\"{}\" y=\"{:.1}\" class=\"name\">{tick:.decimals$}</text>",
            WIDTH - 16.0,
            left - 8.0,
            at + 4.0
        );
    }
    for tick in x.ticks().0 {
        let at = x.at(tick);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" class=\"tick\">{tick:.0}</text>",
            bottom + 18.0
        );
    }
    for (at, row) in drawn {
        let line: Vec<String> = thin(of(row))
            .map(|(step, v)| format!("{:.1},{:.1}", x.at(*step as f64), y.at(*v)))
            .collect();
        let name = html_text(&format!("{} {}", row.model, row.method));
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" class=\"curve {}\"><title>{name}</title></polyline>",
            line.join(" "),
            colour(at)
        );
    }
    svg + "</svg>\n"
}

/// At most about 400 points of a curve, the last one always.
fn thin(points: &[(u64, f64)]) -> impl Iterator<Item = &(u64, f64)> {
    let every = points.len().div_ceil(400).max(1);
    let finite = points.iter().enumerate().filter(|(_, p)| p.1.is_finite());
    let last = points.len().saturating_sub(1);
    finite.filter(move |(at, _)| at % every == 0 || *at == last).map(|(_, p)| p)
}

/// Which colour is which row, for the curves of a table.
pub(super) fn legend(table: &Table) -> String {
    let mut out = "<p class=\"legend\">".to_owned();
    for (at, row) in learned(table).enumerate() {
        let name = html_text(&format!("{} {}", row.model, row.method));
        let _ = write!(out, "<span><i class=\"{}\"></i>{name}</span>", colour(at));
    }
    out + "</p>\n"
}

/// Rows with curves; their place among these is their colour.
fn learned(table: &Table) -> impl Iterator<Item = &Row> {
    table.rows.iter().filter(|r| r.curves.valid.len() > 1 || r.curves.loss.len() > 1)
}

/// Classes of a line; those beyond the colours there are begin again, dashed.
fn colour(at: usize) -> String {
    let dashed = if at < COLOURS { "" } else { " dashed" };
    format!("c{}{dashed}", at % COLOURS)
}

/// Average precision per class, highest first; the tick is chance.
pub(super) fn bars(classes: &[ClassScores]) -> String {
    let mut sorted: Vec<&ClassScores> = classes.iter().collect();
    let height = |c: &ClassScores| c.average_precision.unwrap_or(-1.0);
    sorted.sort_by(|a, b| height(b).total_cmp(&height(a)));
    let (line, left) = (20.0, 190.0);
    let axis = Axis { low: 0.0, high: 1.0, from: left, to: WIDTH - 60.0 };
    let mut svg = open(line * sorted.len() as f64 + 4.0, "average precision per class");
    for (at, class) in sorted.into_iter().enumerate() {
        let y = line * at as f64 + 3.0;
        let name = html_text(&class.class);
        let ap = class.average_precision;
        let shown = ap.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
        let (width, chance) = (axis.at(ap.unwrap_or(0.0)) - left, axis.at(class.chance));
        let _ = writeln!(
            svg,
            "<g><title>{name}: average precision {shown}, chance {:.3}, {} positives</title>\
             <text x=\"180\" y=\"{ty:.1}\" class=\"name\">{name}</text>\
             <rect x=\"{left}\" y=\"{y:.1}\" width=\"{}\" height=\"14\" class=\"rail\"/>\
             <rect x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"14\" class=\"bar\"/>\
             <line x1=\"{chance:.1}\" x2=\"{chance:.1}\" y1=\"{y:.1}\" y2=\"{:.1}\" class=\"chance\"/>\
             <text x=\"{}\" y=\"{ty:.1}\" class=\"value\">{shown}</text></g>",
            class.chance,
            class.positives,
            axis.to - left,
            y + 14.0,
            WIDTH - 50.0,
            ty = y + 11.5,
        );
    }
    svg + "</svg>\n"
}

fn vertical_grid(svg: &mut String, axis: &Axis, top: f64, bottom: f64) {
    let (ticks, decimals) = axis.ticks();
    for tick in ticks {
        let x = axis.at(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" class=\"grid\"/>\
             <text x=\"{x:.1}\" y=\"{}\" class=\"tick\">{tick:.decimals$}</text>",
            bottom + 18.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside_the_axis() {
        let axis = Axis::around([0.391, 0.41].into_iter(), 0.0, 100.0);
        let (ticks, decimals) = axis.ticks();
        assert_eq!(decimals, 2);
        assert!((3..=7).contains(&ticks.len()), "{ticks:?}");
        assert!(ticks.iter().all(|t| (axis.low..=axis.high).contains(t)));
        assert!(Axis::around([].into_iter(), 0.0, 1.0).ticks().0.len() > 2);
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_end() {
        let long: Vec<(u64, f64)> = (0..10_000).map(|i| (i, 0.5)).collect();
        let kept: Vec<_> = thin(&long).collect();
        assert!(kept.len() < 450);
        assert_eq!(kept.last().unwrap().0, 9_999);
    }
}
