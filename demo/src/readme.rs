//! `README.txt` of the corpus: what it is, what it is good for, and which files are broken on purpose.

use crate::Config;
use crate::culture::Culture;
use crate::report::Summary;
use std::fmt::Write as _;

/// The text.
pub fn text(cfg: &Config, culture: &Culture, summary: &Summary) -> String {
    let styles: Vec<&str> = culture.styles.iter().map(|style| style.name).collect();
    let mut text = format!(
        "A small tagged music corpus\n\
         ===========================\n\n\
         {} clips of {} s by {} performers on {} albums, {} tracks. Every sound was synthesised by `etude demo` from\n\
         the seed {}: no recording, no composition and no person stands behind it. Public domain (CC0 1.0).\n\n\
         The layout is that of MagnaTagATune as published: annotations_final.csv, clip_info_final.csv, and sixteen\n\
         folders that decide the split (0 to b train, c valid, d to f test). Column `mp3_path` holds the path whatever\n\
         the format is. Rows of clip_info_final.csv without a path are stretches of a track nobody annotated.\n\n\
         Styles ({}): {}.\n\
         Tags follow what is audible in the clip: instruments by their share of the mix, tempo from the beats played,\n\
         loudness from the samples. Then annotators missed some (about 6 of 100 positives, more where a sound is hard\n\
         to hear; `no vocals`, `waltz`, `minor` and `major` are rarely said) and imagined a few (1 of 200). No model\n\
         can reach a perfect score. Albums never cross splits; most performers do not; {} do, as in the original.\n\n",
        summary.clips,
        cfg.seconds,
        summary.performers,
        summary.albums,
        summary.tracks,
        cfg.seed,
        culture.name,
        styles.join(", "),
        summary.leaking,
    );
    let _ = writeln!(text, "tag               train  valid   test");
    for tag in &summary.tags {
        let _ = writeln!(text, "{:<16} {:>6} {:>6} {:>6}", tag.tag, tag.train, tag.valid, tag.test);
    }
    let _ = writeln!(text, "\nBroken on purpose, as every downloaded corpus has some:");
    for bad in &summary.bad {
        let _ = writeln!(text, "  {}: {}", bad.path, bad.kind.text());
    }
    text
}
