//! A paper's tables as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

use super::chart::{bars, curves, forest, html_text, legend};
use super::text::{columns, notes, title};
use super::{Paper, Row, RowScores, Table};
use etude_manifests::table::duration;
use std::fmt::Write;

/// Follows the reader's light or dark theme.
const STYLE: &str = "
:root { --ink: #1d1f24; --soft: #6a7080; --line: #e3e6ec; --paper: #ffffff; --panel: #f7f8fa; --accent: #2f6fed;
  --mark: #d9480f; --c0: #2f6fed; --c1: #e8590c; --c2: #2b8a3e; --c3: #9c36b5; --c4: #c92a2a; --c5: #0c8599;
  --c6: #a67c00; --c7: #5c677d; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ee; --soft: #9aa1b2; --line: #2c3040; --paper: #12141b;
  --panel: #191c25; --accent: #7aa7ff; --mark: #ff922b; --c0: #7aa7ff; --c1: #ff922b; --c2: #69db7c; --c3: #da77f2;
  --c4: #ff8787; --c5: #66d9e8; --c6: #ffd43b; --c7: #adb5bd; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 75rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 2rem; letter-spacing: -0.02em; margin: 0 0 .3rem; }
h2 { font-size: 1.35rem; margin: 3.2rem 0 .1rem; } h3 { font-size: 1rem; margin: 2rem 0 .4rem; }
p, .soft { color: var(--soft); max-width: 52rem; margin: .2rem 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; }
th, td { padding: .38rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: .4rem; } .n { text-align: right; }
tbody tr:hover { background: var(--panel); } tr.ref td { font-weight: 600; } tr.waiting td { color: var(--soft); }
svg { width: 100%; max-width: 46rem; height: auto; display: block; font-size: 11.5px; }
svg text { fill: var(--soft); } svg .name { text-anchor: end; } svg .tick { text-anchor: middle; }
svg .value { fill: var(--ink); } .grid { stroke: var(--line); } .range { stroke: var(--accent); stroke-width: 2.5;
  stroke-linecap: round; opacity: .55; } .ours { fill: var(--accent); } .published { fill: none;
  stroke: var(--mark); stroke-width: 1.6; }
.rail { fill: var(--panel); } .bar { fill: var(--accent); opacity: .85; } .chance { stroke: var(--mark);
  stroke-width: 1.6; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.c0 { stroke: var(--c0); background: var(--c0); } .c1 { stroke: var(--c1); background: var(--c1); }
.c2 { stroke: var(--c2); background: var(--c2); } .c3 { stroke: var(--c3); background: var(--c3); }
.c4 { stroke: var(--c4); background: var(--c4); } .c5 { stroke: var(--c5); background: var(--c5); }
.c6 { stroke: var(--c6); background: var(--c6); } .c7 { stroke: var(--c7); background: var(--c7); }
.dashed { stroke-dasharray: 5 4; } i.dashed { opacity: .55; }
.legend span { margin-right: 1.1rem; white-space: nowrap; } .legend i { display: inline-block; width: .8rem;
  height: .8rem; border-radius: 3px; margin-right: .35rem; vertical-align: -1px; }
small { display: block; color: var(--soft); font-size: .78rem; font-weight: 400; }
details { border-bottom: 1px solid var(--line); padding: .45rem 0; } summary { cursor: pointer; }
details svg { margin: .6rem 0; }
";

/// The page: per view a table, scores with their ranges, learning curves, and bars per class.
pub fn html(paper: &Paper) -> String {
    let name = html_text(&paper.name);
    let rows: usize = paper.tables.iter().map(|t| t.rows.len()).sum();
    let done = paper.tables.iter().flat_map(|t| &t.rows).filter(|r| r.scores.is_some()).count();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name} · étude</title>\n<style>{STYLE}</style>\n<main>\n<h1>{name}</h1>\n\
         <p>{done} of {rows} rows run. {}</p>\n",
        html_text(notes(paper).trim_end())
    );
    for table in &paper.tables {
        section(&mut out, table);
    }
    out + "</main>\n</html>\n"
}

fn section(out: &mut String, table: &Table) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", html_text(&title(table)));
    rows(out, table);
    let forest = forest(table);
    if !forest.is_empty() {
        let _ = write!(
            out,
            "<h3>mAP with 95 % range</h3>\n<p>Dots are ours, diamonds published.</p>\n{forest}"
        );
    }
    let valid = curves(table, "mAP on the validation split over steps", |r| &r.curves.valid);
    let loss = curves(table, "training loss over steps", |r| &r.curves.loss);
    if !(valid.is_empty() && loss.is_empty()) {
        let _ = write!(out, "<h3>Learning</h3>\n{}", legend(table));
        for (what, chart) in [("mAP on the validation split", valid), ("Training loss", loss)] {
            if !chart.is_empty() {
                let _ = write!(out, "<p>{what}, by steps</p>\n{chart}");
            }
        }
    }
    let scored = || table.rows.iter().enumerate().filter_map(|(at, r)| Some((at, r, scores(r)?)));
    if scored().next().is_some() {
        out.push_str("<h3>Tags</h3>\n<p>Average precision per tag; the tick is chance.</p>\n");
    }
    for (at, row, scores) in scored() {
        let open = if table.reference == Some(at) { " open" } else { "" };
        let name = html_text(&format!("{} {}", row.model, row.method));
        let time = row.minutes.map(|m| format!(", trained in {}", duration(m * 60.0)));
        let _ = write!(
            out,
            "<details{open}><summary>{name} <span class=\"soft\">{}, seed {}{}</span></summary>\n{}</details>\n",
            html_text(&row.name),
            row.seed,
            time.unwrap_or_default(),
            bars(&scores.per_class)
        );
    }
    out.push_str("</section>\n");
}

/// Scores with anything to draw.
fn scores(row: &Row) -> Option<&RowScores> {
    row.scores.as_ref().filter(|s| !s.per_class.is_empty())
}

fn rows(out: &mut String, table: &Table) {
    let columns = columns(table);
    let class = |number: bool| if number { " class=\"n\"" } else { "" };
    out.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in &columns {
        let _ = write!(out, "<th{}>{}</th>", class(column.is_number()), html_text(&column.name()));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (at, row) in table.rows.iter().enumerate() {
        let kind = match &row.scores {
            None => " class=\"waiting\"",
            Some(_) if table.reference == Some(at) => " class=\"ref\"",
            Some(_) => "",
        };
        let _ = write!(out, "<tr{kind}>");
        for column in &columns {
            let cell = html_text(&column.cell(table, at, row));
            // ranges under the score they belong to
            let cell = match cell.split_once(" [") {
                Some((value, ranges)) => format!("{value}<small>[{ranges}</small>"),
                None => cell,
            };
            let _ = write!(out, "<td{}>{cell}</td>", class(column.is_number()));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::tests::paper;

    #[test]
    fn the_page_has_every_row_and_needs_nothing_from_elsewhere() {
        let page = html(&paper());
        assert!(page.contains("3 of 4 rows run"), "{page}");
        assert_eq!(page.matches("<section>").count(), 2);
        assert_eq!(page.matches("<tr class=\"waiting\">").count(), 1);
        assert_eq!(page.matches("<details").count(), 3);
        assert_eq!(page.matches("<details open").count(), 2, "the best row of each table");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("slow &lt;&amp;&gt;") && !page.contains("slow <&>"));
        for outside in ["http", "src=", "url(", "<script", "NaN", "inf,"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
