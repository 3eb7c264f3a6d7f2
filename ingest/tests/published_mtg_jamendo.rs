//! The published split files of MTG-Jamendo give the published numbers (specification of the data sets, sizes of the
//! splits, table of the top 50).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod shared;

use etude_ingest::corpus::{Durations, MtgJamendo, Quality, Subset, sources};
use etude_ingest::{Corpus, CorpusConfig};
use etude_manifests::{Split, Status, Target, Track, View};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;

const PARTS: [&str; 3] = ["train", "validation", "test"];
const SPLITS: [Split; 3] = [Split::Train, Split::Valid, Split::Test];
const FOUR: [Subset; 4] = [Subset::Top50, Subset::Genre, Subset::Instrument, Subset::Moodtheme];

struct Jamendo {
    corpus: MtgJamendo,
    cfg: CorpusConfig,
    tracks: Vec<Track>,
    views: Vec<View>,
    _root: tempfile::TempDir,
}

fn load(root: tempfile::TempDir, corpus: MtgJamendo) -> Jamendo {
    let cfg = CorpusConfig { dataset: "mtg_jamendo".into(), root: root.path().to_path_buf() };
    let mut tracks = corpus.tracks(&cfg).unwrap();
    tracks.iter_mut().for_each(|t| t.status = Status::Ok);
    let views = corpus.views(&cfg, &tracks).unwrap();
    Jamendo { corpus, cfg, tracks, views, _root: root }
}

/// Split 0 as published, four label lists.
fn split_0() -> Option<&'static Jamendo> {
    static SPLIT_0: OnceLock<Option<Jamendo>> = OnceLock::new();
    SPLIT_0
        .get_or_init(|| {
            let lists = ["top50tags", "genre", "instrument", "moodtheme"];
            let mut names: Vec<String> = lists
                .iter()
                .flat_map(|l| PARTS.map(|p| format!("splits/split-0/autotagging_{l}-{p}.tsv")))
                .collect();
            for list in ["audio", "audio-low"] {
                names.push(format!("download/autotagging_moodtheme_{list}_sha256_tracks.txt"));
            }
            names.extend(["tags/top50.txt", "tags/moodtheme_split.txt"].map(Into::into));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let root = shared::unpacked("mtg-jamendo", &names)?;
            Some(load(root, MtgJamendo { metadata: String::new(), ..MtgJamendo::default() }))
        })
        .as_ref()
}

fn counts(view: &View) -> [usize; 3] {
    SPLITS.map(|s| view.only(s).count())
}

#[test]
fn split_0_has_the_published_sizes_and_classes() {
    let Some(jamendo) = split_0() else { return };
    let got: Vec<_> = jamendo
        .views
        .iter()
        .map(|v| (v.name.as_str(), v.vocab.id.as_str(), v.vocab.len(), counts(v)))
        .collect();
    let expected = [
        ("mtg_top50", "jam50", 50, [32_136, 10_888, 11_356]),
        ("mtg_genre", "jam_genre87", 87, [32_572, 11_043, 11_479]),
        ("mtg_instrument", "jam_instr40", 40, [14_395, 5466, 5115]),
        ("mtg_moodtheme", "jam_mood56", 56, [9949, 3802, 4231]),
    ];
    assert_eq!(got, expected);
    // the lists of the three categories together are the full list
    assert_eq!(jamendo.tracks.len(), 55_525);
    let of = |split| jamendo.tracks.iter().filter(|t| t.splits["mtg_split0"] == split).count();
    assert_eq!(SPLITS.map(of), [32_859, 11_101, 11_565]);
}

#[test]
fn artists_albums_and_durations_are_as_published() {
    let Some(jamendo) = split_0() else { return };
    let artists: HashSet<_> = jamendo.tracks.iter().map(|t| &t.artist_id).collect();
    let albums: HashSet<_> = jamendo.tracks.iter().map(|t| &t.album_id).collect();
    assert_eq!((artists.len(), albums.len()), (3565, 11_256));
    let Durations::Each { seconds, .. } = jamendo.corpus.durations(&jamendo.cfg).unwrap() else {
        panic!("durations are published");
    };
    let mut sorted: Vec<f64> = seconds.values().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let hours = sorted.iter().sum::<f64>() / 3600.0;
    assert_eq!((hours * 10.0).round() / 10.0, 3764.3);
    assert_eq!(
        (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]),
        (30.0, 224.0, 4140.3)
    );
    assert_eq!(sorted.iter().filter(|&&s| s < 30.05).count(), 47);
    assert_eq!(sorted.iter().filter(|&&s| s > 600.0).count(), 1100);
    let top50 = &jamendo.views[0];
    let hours = |split| top50.only(split).map(|e| seconds[clip(&e.track)]).sum::<f64>() / 3600.0;
    let rounded = SPLITS.map(|s| (hours(s) * 10.0).round() / 10.0);
    assert_eq!(rounded, [2183.8, 703.6, 801.0]);
}

fn clip(key: &str) -> &str {
    key.split_once(':').unwrap().1
}

#[test]
fn no_artist_is_in_two_splits() {
    let Some(jamendo) = split_0() else { return };
    let artist: HashMap<&str, &str> =
        jamendo.tracks.iter().map(|t| (t.key.as_str(), t.artist_id.as_deref().unwrap())).collect();
    for view in &jamendo.views {
        let sets =
            SPLITS.map(|s| view.only(s).map(|e| artist[e.track.as_str()]).collect::<HashSet<_>>());
        if view.name == "mtg_top50" {
            assert_eq!([sets[0].len(), sets[1].len(), sets[2].len()], [2110, 705, 702]);
        }
        assert!(
            sets[0].is_disjoint(&sets[1])
                && sets[0].is_disjoint(&sets[2])
                && sets[1].is_disjoint(&sets[2])
        );
    }
}

#[test]
fn the_top_50_is_alphabetical_with_the_published_counts() {
    let Some(jamendo) = split_0() else { return };
    let top50 = &jamendo.views[0];
    assert!(top50.vocab.classes.is_sorted());
    let published = include_str!("mtg_top50.tsv");
    assert_eq!(published.lines().count(), 50);
    for line in published.lines() {
        let (tag, numbers) = line.split_once('\t').unwrap();
        let numbers: Vec<usize> = numbers.split('\t').map(|n| n.parse().unwrap()).collect();
        let class = top50.vocab.index(tag).unwrap();
        let tagged = |split| {
            top50
                .only(split)
                .filter(|e| matches!(&e.target, Target::Tags(t) if t.contains(&class)))
                .count()
        };
        assert_eq!(SPLITS.map(tagged), numbers[1..], "{tag}");
        // the published total is over a list that is a few tracks longer than the splits
        let total: usize = numbers[1..].iter().sum();
        assert!(total <= numbers[0] && total + 10 > numbers[0], "{tag}: {total} of {}", numbers[0]);
    }
}

#[test]
fn tags_per_track_are_distributed_as_published() {
    let Some(jamendo) = split_0() else { return };
    let stats = |view: &View| {
        let of = |e: &etude_manifests::Example| match &e.target {
            Target::Tags(tags) => tags.clone(),
            other => panic!("{other:?}"),
        };
        let tags: Vec<Vec<u16>> = view.examples.iter().map(of).collect();
        let total: usize = tags.iter().map(Vec::len).sum();
        let mean = (total as f64 / tags.len() as f64 * 100.0).round() / 100.0;
        let mut per_class: BTreeMap<u16, usize> = BTreeMap::new();
        tags.iter().flatten().for_each(|&t| *per_class.entry(t).or_default() += 1);
        (mean, tags.iter().map(Vec::len).max().unwrap(), *per_class.values().min().unwrap())
    };
    let [top50, genre, instrument, mood] = [0, 1, 2, 3].map(|i| stats(&jamendo.views[i]));
    assert_eq!(top50, (3.07, 16, 1245));
    assert_eq!((genre.0, genre.2), (2.44, 135));
    assert_eq!(instrument, (2.57, 30, 157));
    assert_eq!((mood.0, mood.2), (1.77, 119));
}

#[test]
fn published_digests_belong_to_the_tree_that_was_downloaded() {
    let Some(jamendo) = split_0() else { return };
    let text = |tree| {
        shared::text(&format!(
            "mtg-jamendo/download/autotagging_moodtheme_{tree}_sha256_tracks.txt.gz"
        ))
    };
    for (quality, tree, name) in [
        (Quality::Full, "audio", "audio/48/948.mp3"),
        (Quality::Low, "audio-low", "audio/48/948.low.mp3"),
    ] {
        let corpus = MtgJamendo { quality, ..jamendo.corpus.clone() };
        let tracks = corpus.tracks(&jamendo.cfg).unwrap();
        let track = tracks.iter().find(|t| t.clip_id == "948").unwrap();
        assert_eq!(track.path, name);
        let listed: HashMap<String, String> = text(tree)
            .unwrap()
            .lines()
            .filter_map(|l| l.split_once(' '))
            .map(|(d, p)| (format!("audio/{p}"), format!("sha256:{d}")))
            .collect();
        let with: Vec<&Track> = tracks.iter().filter(|t| t.published_digest.is_some()).collect();
        assert!(with.len() > 17_000, "{}", with.len());
        assert!(tracks.iter().all(|t| t.published_digest.as_ref() == listed.get(&t.path)));
    }
    assert_eq!(sources(&jamendo.corpus.files(&jamendo.cfg).unwrap()).unwrap().len(), 12 + 2 + 1);
}

/// Split files in the published form, from the table of all five splits.
fn write_splits(root: &Path, splits: &[u8]) -> Option<()> {
    let union = shared::text("mtg-jamendo/union_all_splits_derived.tsv.gz")?;
    let top50 = shared::text("mtg-jamendo/tags/top50.txt")?;
    let top50: BTreeSet<&str> = top50.lines().map(str::trim).collect();
    let in_list = |list: &str, tag: &str| match list {
        "" => true,
        "_top50tags" => top50.contains(tag),
        "_genre" => tag.starts_with("genre---"),
        "_instrument" => tag.starts_with("instrument---"),
        _ => tag.starts_with("mood/theme---"),
    };
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for row in union.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()) {
        for list in ["", "_top50tags", "_genre", "_instrument", "_moodtheme"] {
            let tags: Vec<&str> = row[10].split(',').filter(|t| in_list(list, t)).collect();
            for n in splits.iter().filter(|_| !tags.is_empty()) {
                let part = row[5 + usize::from(*n)];
                let file = files
                    .entry(format!("data/splits/split-{n}/autotagging{list}-{part}.tsv"))
                    .or_insert_with(|| {
                        "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n".into()
                    });
                write!(file, "{}\t{}\r\n", row[..5].join("\t"), tags.join("\t")).unwrap();
            }
        }
    }
    for (name, text) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Some(())
}

#[test]
fn all_five_splits_have_the_published_sizes_and_keep_artists_apart() {
    let published = [
        [
            [32_136, 10_888, 11_356],
            [32_572, 11_043, 11_479],
            [14_395, 5466, 5115],
            [9949, 3802, 4231],
        ],
        [
            [32_395, 10_619, 11_366],
            [32_746, 10_833, 11_515],
            [14_943, 4960, 5073],
            [10_190, 3594, 4198],
        ],
        [
            [32_010, 11_961, 10_409],
            [32_360, 12_185, 10_549],
            [14_702, 5066, 5208],
            [10_484, 4085, 3413],
        ],
        [
            [33_173, 10_468, 10_739],
            [33_515, 10_656, 10_923],
            [14_875, 5068, 5033],
            [10_920, 3500, 3562],
        ],
        [
            [30_868, 11_593, 11_919],
            [31_305, 11_804, 11_985],
            [14_829, 5159, 4988],
            [10_241, 3706, 4035],
        ],
    ];
    let root = tempfile::tempdir().unwrap();
    let splits = vec![0, 1, 2, 3, 4];
    let Some(()) = write_splits(root.path(), &splits) else { return };
    let subsets = [FOUR.as_slice(), &[Subset::All]].concat();
    let jamendo = load(root, MtgJamendo { splits, subsets, ..MtgJamendo::default() });
    assert_eq!((jamendo.tracks.len(), jamendo.views.len()), (55_525, 25));
    let artist: HashMap<&str, &str> =
        jamendo.tracks.iter().map(|t| (t.key.as_str(), t.artist_id.as_deref().unwrap())).collect();
    for (s, view) in
        jamendo.views.chunks(5).enumerate().flat_map(|(s, v)| v.iter().map(move |v| (s, v)))
    {
        let n: usize = view.name.split_once("_split").map_or(0, |(_, n)| n.parse().unwrap());
        match s {
            4 => assert_eq!((view.vocab.id.as_str(), view.examples.len()), ("jam183", 55_525)),
            _ => assert_eq!(counts(view), published[n][s], "{}", view.name),
        }
        let mut of: HashMap<&str, Split> = HashMap::new();
        for example in &view.examples {
            let first = *of.entry(artist[example.track.as_str()]).or_insert(example.split);
            assert_eq!(first, example.split, "{}: {}", view.name, example.track);
        }
    }
}
