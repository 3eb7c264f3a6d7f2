//! MagnaTagATune's published layout: paths, `annotations_final.csv`, `clip_info_final.csv`.
//!
//! Both tables: tab separated, every field in double quotes, CRLF after every line, ASCII, rows by ascending clip id.

use crate::catalogue::{Catalogue, Clip};
use crate::names::title_case;

/// Name of the table of tags.
pub const ANNOTATIONS: &str = "annotations_final.csv";
/// Name of the table of clips.
pub const CLIP_INFO: &str = "clip_info_final.csv";
/// Where made-up links point to; the name is reserved, so nothing lies there.
const SITE: &str = "http://demo.invalid";

/// Seconds between the starts of neighbouring clips of a track, and the length their names state.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// From one start to the next.
    pub hop_s: u32,
    /// `segmentEnd - segmentStart`: whole seconds, the published 29 of 29.12 alike.
    pub stated_s: u32,
}

impl Grid {
    /// For clips of `seconds`.
    pub fn new(seconds: f64) -> Self {
        Self { hop_s: seconds.ceil().max(1.0) as u32, stated_s: seconds.floor().max(1.0) as u32 }
    }

    /// `segmentStart` and `segmentEnd` of a clip.
    pub fn segment(&self, clip: &Clip) -> (u32, u32) {
        let start = clip.slot * self.hop_s;
        (start, start + self.stated_s)
    }
}

/// `<hex>/<performer>-<album>-<nn>-<title>-<start>-<end>.<extension>`.
pub fn path(plan: &Catalogue, clip: &Clip, grid: &Grid) -> String {
    let track = &plan.tracks[clip.track];
    let album = &plan.albums[track.album];
    let (start, end) = grid.segment(clip);
    let format = clip.twin.map_or(album.format, |twin| {
        let source = &plan.clips[twin];
        plan.albums[plan.tracks[source.track].album].format
    });
    let extension = clip.bad.map_or(format.extension(), |bad| bad.extension(format));
    format!(
        "{:x}/{}-{}-{:02}-{}-{start}-{end}.{extension}",
        album.folder, plan.performers[album.performer].name, album.name, track.number, track.title
    )
}

/// The table of tags: one row an annotated clip. `rows` holds clip id, flags and path.
pub fn annotations(tags: &[&str], rows: &[(u32, Vec<bool>, String)]) -> String {
    let mut text = String::new();
    let header = ["clip_id"].into_iter().chain(tags.iter().copied()).chain(["mp3_path"]);
    line(&mut text, header);
    for (id, flags, path) in rows {
        let id = id.to_string();
        let values = flags.iter().map(|&flag| if flag { "1" } else { "0" });
        line(&mut text, std::iter::once(id.as_str()).chain(values).chain([path.as_str()]));
    }
    text
}

/// The table of clips, those without a file too.
pub fn clip_info(plan: &Catalogue, grid: &Grid) -> String {
    let mut text = String::new();
    let columns = [
        "clip_id",
        "track_number",
        "title",
        "artist",
        "album",
        "url",
        "segmentStart",
        "segmentEnd",
        "original_url",
        "mp3_path",
    ];
    line(&mut text, columns.into_iter());
    for clip in &plan.clips {
        let track = &plan.tracks[clip.track];
        let album = &plan.albums[track.album];
        let performer = &plan.performers[album.performer].name;
        let (start, end) = grid.segment(clip);
        let url = format!("{SITE}/artists/albums/{performer}-{}/", album.name);
        let (original, path) = if clip.annotated {
            let file = format!("{:02}-{}-{performer}", track.number, track.title);
            (format!("{SITE}/all/{file}.mp3"), path(plan, clip, grid))
        } else {
            (String::new(), String::new())
        };
        let fields = [
            clip.id.to_string(),
            track.number.to_string(),
            title_case(&track.title),
            title_case(performer),
            title_case(&album.name),
            url,
            start.to_string(),
            end.to_string(),
            original,
            path,
        ];
        line(&mut text, fields.iter().map(String::as_str));
    }
    text
}

/// One row; no field holds a quote, a tab or a line end.
fn line<'a>(text: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (index, field) in fields.enumerate() {
        text.push_str(if index == 0 { "\"" } else { "\t\"" });
        text.push_str(field);
        text.push('"');
    }
    text.push_str("\r\n");
}
