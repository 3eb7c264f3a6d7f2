//! How long `inspect` takes on a manifest of a million tracks: writes one into a folder, then reports on it.
//!
//! `cargo run --release -p etude-manifests --features inspect --example million -- FOLDER [TRACKS]`

#![allow(clippy::unwrap_used, reason = "an example ends at the first error")]

use etude_manifests::inspect::{Options, inspect};
use etude_manifests::{
    Example, Split, Status, TableMeta, Target, Track, View, Vocab, Warning, write_tracks,
    write_view,
};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Clips of one artist, and of one recording.
const CLIPS: (usize, usize) = (20, 4);

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().expect("usage: million FOLDER [TRACKS]"));
    let n: usize = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let table = dir.join("big.tracks.parquet");
    if !table.exists() {
        let tracks: Vec<Track> = (0..n).map(track).collect();
        let meta = TableMeta { corpus: "big".into(), ..TableMeta::default() };
        let start = Instant::now();
        write_tracks(&table, &tracks, &meta).unwrap();
        println!("written in {:.1} s: {}", start.elapsed().as_secs_f64(), size(&table));
        write_view(&dir, &view(n)).unwrap();
    }
    for path in [table, dir.join("big_tags.parquet")] {
        let start = Instant::now();
        let report = inspect(&path, &Options::default()).unwrap();
        println!("{}\ninspected in {:.1} s\n", report.text, start.elapsed().as_secs_f64());
    }
}

fn size(path: &Path) -> String {
    etude_manifests::table::bytes(path.metadata().unwrap().len())
}

fn track(i: usize) -> Track {
    let digest = |salt: usize| {
        let mut digest = [0; 32];
        for (j, part) in digest.chunks_mut(8).enumerate() {
            let mixed = (i * 4 + j + salt) as u64;
            part.copy_from_slice(
                &mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).to_le_bytes(),
            );
        }
        digest
    };
    let mut track = Track {
        dataset: "big".into(),
        key: format!("big:{i:08}"),
        clip_id: format!("{i:08}"),
        track_id: Some(format!("recording {}", i / CLIPS.1)),
        artist_id: Some(format!("artist {}", i / CLIPS.0)),
        album_id: Some(format!("album {}", i / CLIPS.0)),
        artist: Some(format!("Artist {}", i / CLIPS.0)),
        title: Some(format!("Title {}", i / CLIPS.1)),
        path: format!("{:02}/{i:08}.mp3", i % 100),
        status: if i % 1000 == 7 { Status::Partial } else { Status::Ok },
        warnings: if i.is_multiple_of(10) { vec![Warning::Clipping] } else { vec![] },
        tags: Some((0..i % 4).map(|t| format!("tag {}", (i * 7 + t * 13) % 50)).collect()),
        splits: [("official".to_owned(), split(i)), ("random".to_owned(), Split::ALL[i % 3])]
            .into(),
        ..Track::default()
    };
    track.facts.sha256 = Some(digest(0));
    track.facts.pcm_sha256 = Some(digest(1 << 40));
    track.facts.duration_s = Some(200.0 + (i % 1000) as f64 / 10.0);
    track.facts.file_bytes = Some(5_000_000 + i as i64 % 1000);
    track.facts.codec = Some("mp3".into());
    track.facts.src_rate = Some(if i.is_multiple_of(5) { 48_000 } else { 44_100 });
    track.facts.src_channels = Some(2);
    track
}

/// By artist, but for one artist in fifty.
fn split(i: usize) -> Split {
    match i / CLIPS.0 % 50 {
        0..35 => Split::Train,
        35..40 => Split::Valid,
        40..49 => Split::Test,
        _ => Split::ALL[i % 3],
    }
}

fn view(n: usize) -> View {
    let classes = (0..50).map(|t| format!("tag {t:02}")).collect();
    let example = |i: usize| {
        let mut tags: Vec<u16> = (0..i % 4).map(|t| ((i * 7 + t * 13) % 50) as u16).collect();
        tags.sort_unstable();
        tags.dedup();
        Example {
            key: format!("big:{i:08}"),
            track: format!("big:{i:08}"),
            variant: "orig".into(),
            split: split(i),
            target: Target::Tags(tags),
        }
    };
    View {
        name: "big_tags".into(),
        corpus: "big".into(),
        vocab: Vocab::published("big50", classes).unwrap(),
        examples: (0..n).map(example).collect(),
        sources: vec![],
    }
}
