//! What the figures of a study share: scales, text, and the style that a figure carries when it stands alone.

use crate::paper::chart::html_text;
use std::fmt::Write;

/// Colours there are: classes `c0` to `c7`.
pub(super) const COLOURS: usize = 8;

/// Light by default, dark where the reader's theme is; plain colours, so that every renderer understands them.
pub(super) const STYLE: &str = "
.study { font: 12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
.study text { fill: #4d5361; } .study .strong { fill: #1d1f24; font-weight: 600; }
.study .mid { text-anchor: middle; } .study .end { text-anchor: end; }
.study .small { font-size: 10.5px; }
.study .grid { stroke: #e3e6ec; } .study .axis { stroke: #8b91a0; }
.study .line { fill: none; stroke-width: 1.9; stroke-linejoin: round; stroke-linecap: butt; }
.study .dotted { stroke-dasharray: 1.5 3; } .study .dashed { stroke-dasharray: 7 4; stroke-width: 1.3; }
.study .dashdot { stroke-dasharray: 7 3 1.5 3; stroke-width: 1.3; }
.study .c0 { stroke: #2f6fed; } .study .c1 { stroke: #e8590c; } .study .c2 { stroke: #2b8a3e; }
.study .c3 { stroke: #9c36b5; } .study .c4 { stroke: #c92a2a; } .study .c5 { stroke: #0c8599; }
.study .c6 { stroke: #a67c00; } .study .c7 { stroke: #5c677d; }
.study circle { fill: #ffffff; stroke-width: 1.6; } .study .range { stroke-width: 1.2; opacity: .55; }
.study .up { fill: #2f6fed; } .study .down { fill: #e8590c; } .study .none { fill: #8b91a0; fill-opacity: .1; }
.study .own { fill: none; stroke: #1d1f24; stroke-width: 1.4; }
@media (prefers-color-scheme: dark) {
.study text { fill: #a9b0c0; } .study .strong { fill: #e6e8ee; }
.study .grid { stroke: #2c3040; } .study .axis { stroke: #6b7284; }
.study .c0 { stroke: #7aa7ff; } .study .c1 { stroke: #ff922b; } .study .c2 { stroke: #69db7c; }
.study .c3 { stroke: #da77f2; } .study .c4 { stroke: #ff8787; } .study .c5 { stroke: #66d9e8; }
.study .c6 { stroke: #ffd43b; } .study .c7 { stroke: #adb5bd; }
.study circle { fill: #12141b; } .study .up { fill: #7aa7ff; } .study .down { fill: #ff922b; }
.study .own { stroke: #e6e8ee; } }
";

/// The opening tag; `label` tells those who cannot see it. A page scales it by a quarter at most.
pub(super) fn open(width: f64, height: f64, label: &str) -> String {
    let label = html_text(label);
    format!(
        "<svg class=\"study\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width: {:.0}px\" role=\"img\" \
         aria-label=\"{label}\">\n",
        width * 1.25
    )
}

/// A figure as a file of its own, with its style inside.
pub fn standalone(svg: &str) -> String {
    let body = svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    body.replacen(">\n", &format!(">\n<style>{STYLE}</style>\n"), 1)
}

pub(super) fn text(out: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = html_text(words);
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{words}</text>");
}

pub(super) fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
    );
}

/// About how wide words are at 12 px.
pub(super) fn width_of(words: &str) -> f64 {
    words.chars().count() as f64 * 6.7
}

/// A straight scale with round ticks.
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Around the values, ending on round numbers; never empty.
    pub(super) fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let (low, high) = if high - low < 0.02 { (low - 0.01, high + 0.01) } else { (low, high) };
        let step = step(low, high);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low, high, from, to }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers as values and words.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let step = step(self.low, self.high);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let count = ((self.high - self.low) / step).round() as i64;
        let tick = |i: i64| {
            let value = self.low + i as f64 * step;
            (value, format!("{value:.decimals$}"))
        };
        (0..=count).map(tick).collect()
    }
}

/// A round step that cuts a range into about five.
fn step(low: f64, high: f64) -> f64 {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let found = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
    found.unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_on_round_numbers_and_holds_its_values() {
        let scale = Scale::around([0.713, 0.902].into_iter(), 100.0, 0.0);
        let ticks = scale.ticks();
        assert_eq!(ticks.first().unwrap().1, "0.70");
        assert!(ticks.last().unwrap().0 >= 0.902 && (4..=7).contains(&ticks.len()), "{ticks:?}");
        assert!(scale.at(0.902) >= 0.0 && scale.at(0.713) <= 100.0);
        assert!(Scale::around([0.5].into_iter(), 0.0, 1.0).ticks().len() > 2);
        assert!(!Scale::around([].into_iter(), 0.0, 1.0).ticks().is_empty());
    }

    #[test]
    fn a_figure_alone_carries_its_style() {
        let svg = open(10.0, 10.0, "a < b") + "</svg>\n";
        let alone = standalone(&svg);
        assert!(alone.starts_with("<svg xmlns=") && alone.contains("<style>"));
        assert!(alone.contains("a &lt; b"));
    }
}
