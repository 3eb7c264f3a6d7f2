//! The seven published subsets of MagnaTagATune come out of the rule clip for clip, in order.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod shared;

use etude_ingest::{Corpus, CorpusConfig, Limited, corpus};
use etude_manifests::{Split, Status, Track, View};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Clips per genre, clips in all, first digits of the SHA-256 of the published list.
const PUBLISHED: [(usize, usize, &str); 7] = [
    (1, 10, "c43a42fd66b9e37f"),
    (2, 20, "5077cfb97b0d5619"),
    (5, 50, "fdeeb78ecea7d581"),
    (10, 100, "8bc5e6e32e1c8f7d"),
    (20, 200, "4bd69cbdfc12b89a"),
    (50, 500, "1656936f0f1644c6"),
    (100, 1000, "19eee72c756751b7"),
];

/// File names without folders, as `.wav`, in the order of the annotation file.
fn list(view: &View, tracks: &[Track]) -> Vec<String> {
    let path: HashMap<&str, &str> =
        tracks.iter().map(|t| (t.key.as_str(), t.path.as_str())).collect();
    let mut ids: Vec<u64> = view
        .only(Split::Train)
        .map(|e| e.key.strip_prefix("mtat:").unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    let file = |id: u64| {
        let path = path[format!("mtat:{id}").as_str()];
        let (_, name) = path.split_once('/').unwrap();
        format!("{}.wav", name.strip_suffix(".mp3").unwrap())
    };
    ids.into_iter().map(file).collect()
}

/// The whole published list of a size, in the order of the annotation file, from the table that says of each clip which is
/// the smallest size with it.
fn published(n: usize) -> Vec<String> {
    let table = shared::text("magnatagatune/splits_derived.tsv.gz").unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let at = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (id, path, smallest) = (at("clip_id"), at("mp3_path"), at("limited_subset_min"));
    let mut clips: Vec<(u64, String)> = lines
        .filter(|row| row[smallest].parse().is_ok_and(|size: usize| size <= n))
        .map(|row| {
            let (_, name) = row[path].split_once('/').unwrap();
            let name = format!("{}.wav", name.strip_suffix(".mp3").unwrap());
            (row[id].parse().unwrap(), name)
        })
        .collect();
    clips.sort_unstable();
    clips.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn the_seven_subsets_are_the_published_ones() {
    let files = ["annotations_final.csv", "clip_info_final.csv"];
    let Some(root) = shared::unpacked("magnatagatune", &files) else { return };
    let cfg = CorpusConfig { dataset: "mtat".into(), root: root.path().to_path_buf() };
    let corpus = corpus::Magnatagatune::default();
    let mut tracks = corpus.tracks(&cfg).unwrap();
    for track in &mut tracks {
        let empty = ["35644", "55753", "57881"].contains(&track.clip_id.as_str());
        track.status = if empty { Status::EmptyFile } else { Status::Ok };
    }
    let views = corpus.views(&cfg, &tracks).unwrap();
    for whole in &views[..2] {
        let (small, lines) = Limited::default().views(whole).unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(small.len(), 7);
        for (view, (n, clips, digest)) in small.iter().zip(PUBLISHED) {
            let list = list(view, &tracks);
            assert_eq!(
                (view.name.clone(), list.len()),
                (format!("{}_limited_{n}", whole.name), clips)
            );
            let end = if n < 5 { "" } else { "\n" }; // two of the seven files end without a line feed
            let text = format!("{}{end}", list.join("\n"));
            let sha256 = Sha256::digest(&text);
            let hex: String = sha256[..8].iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, digest, "{n} clips a genre");
            if n <= 10 {
                let published = shared::text(&format!("magnatagatune/limited_{n}.txt")).unwrap();
                assert_eq!(text, published);
            }
            assert_eq!(list, published(n), "{n} clips a genre");
            let rest = |view: &View| [Split::Valid, Split::Test].map(|s| view.counts().of(s));
            assert_eq!(rest(view), rest(whole));
        }
    }
}

#[test]
fn the_first_ten_clips_have_the_published_places_in_the_training_split() {
    let files = ["annotations_final.csv", "clip_info_final.csv"];
    let Some(root) = shared::unpacked("magnatagatune", &files) else { return };
    let cfg = CorpusConfig { dataset: "mtat".into(), root: root.path().to_path_buf() };
    let corpus = corpus::Magnatagatune::default();
    let tracks = corpus.tracks(&cfg).unwrap();
    let views = corpus.views(&cfg, &tracks).unwrap();
    let (small, _) = Limited { clips: vec![1], ..Limited::default() }.views(&views[1]).unwrap();
    let (all, ten) = (list(&views[1], &tracks), list(&small[0], &tracks));
    let empty = [
        "norine_braun-now_and_zen-08-gently",
        "jacob_heringman-josquin_des_prez_lute_settings-19",
        "american_baroque-dances_and_suites_of_rameau_and_couperin-25",
    ];
    let readable: Vec<&String> =
        all.iter().filter(|f| !empty.iter().any(|e| f.starts_with(e))).collect();
    let places: Vec<usize> =
        ten.iter().map(|file| readable.iter().position(|f| *f == file).unwrap()).collect();
    assert_eq!(places, [0, 2, 5, 32, 34, 69, 78, 95, 135, 285]);
}
