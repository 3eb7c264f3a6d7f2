//! The published files of the transfer study (pxaris/ccml) give its splits, its vocabularies and the number of test
//! recordings per class that its reports state.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod shared;

use etude_ingest::corpus::{Dunya, Fma, Lyra, Tradition};
use etude_ingest::{Corpus, CorpusConfig};
use etude_manifests::{Split, Target, View};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;

fn counts(view: &View) -> [usize; 3] {
    [Split::Train, Split::Valid, Split::Test].map(|s| view.only(s).count())
}

/// Classes in order and their positives in the test split, as the study's report on `dataset` has them.
fn published(dataset: &str) -> Vec<(String, usize)> {
    let all = shared::text("ccml/vocabularies_with_test_support.json").unwrap();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let rows = all[dataset].as_array().unwrap().iter();
    let tag = |row: &serde_json::Value| row["tag"].as_str().unwrap().to_owned();
    rows.map(|row| (tag(row), row["test_support"].as_u64().unwrap() as usize)).collect()
}

fn support(view: &View) -> Vec<(String, usize)> {
    let positives = |class: u16| {
        let has = |target: &Target| matches!(target, Target::Tags(tags) if tags.contains(&class));
        view.only(Split::Test).filter(|e| has(&e.target)).count()
    };
    let classes = view.vocab.classes.iter().zip(0..);
    classes.map(|(name, class)| (name.clone(), positives(class))).collect()
}

fn views(corpus: &dyn Corpus, dataset: &str, root: &Path) -> Vec<View> {
    let cfg = CorpusConfig { dataset: dataset.into(), root: root.to_path_buf() };
    let tracks = corpus.tracks(&cfg).unwrap();
    let views = corpus.views(&cfg, &tracks).unwrap();
    views.iter().for_each(|view| view.validate().unwrap());
    views
}

#[test]
fn lyra_has_its_published_split_and_test_support() {
    let Some(data) = shared::data() else { return };
    let corpus = Lyra { metadata: "lyra".into(), ..Lyra::default() };
    let views = views(&corpus, "lyra", &data.join("ccml"));
    let [view] = views.as_slice() else { panic!("one view") };
    assert_eq!(counts(view), [1116, 124, 330]);
    assert_eq!(support(view), published("lyra"));
    assert_eq!(view.vocab.classes[8], "place--None");
}

#[test]
fn lyra_has_133_labels_and_the_published_hours_and_validation_rows() {
    let Some(data) = shared::data() else { return };
    let corpus = Lyra { metadata: "lyra".into(), classes: 1000, ..Lyra::default() };
    let cfg = CorpusConfig { dataset: "lyra".into(), root: data.join("ccml") };
    let tracks = corpus.tracks(&cfg).unwrap();
    assert_eq!(corpus.vocabs(&cfg, &tracks).unwrap()[0].len(), 133);
    let etude_ingest::corpus::Durations::Each { seconds, .. } = corpus.durations(&cfg).unwrap()
    else {
        panic!("one duration per piece")
    };
    let hours = seconds.values().sum::<f64>() / 3600.0;
    assert!((hours - 79.96).abs() < 0.01, "{hours}");
    let mut seconds: Vec<f64> = seconds.into_values().collect();
    seconds.sort_by(f64::total_cmp);
    assert_eq!((seconds[0], seconds[1570 / 2], seconds[1569]), (18.0, 185.0, 474.0));
    let text = shared::text("ccml/lyra/training.tsv").unwrap();
    let ids: Vec<&str> = text.lines().skip(1).map(|l| l.split('\t').next().unwrap()).collect();
    for row in [123, 416, 326, 229, 307, 501, 74, 871, 898, 190, 234, 267, 970] {
        let track = tracks.iter().find(|t| t.clip_id == ids[row]).unwrap();
        assert_eq!(track.splits["lyra"], Split::Valid, "row {row}");
    }
}

/// How many pieces of the training table have each class, most frequent first; names without a word before them are
/// instruments.
const LYRA_TRAINING: &str = "Voice 945, genres--Traditional 943, Violin 711, Percussion 666, Laouto 641, Guitar 463, \
     Klarino 385, genres--Nisiotiko 333, place--None 312, Bass 307, Accordion 300, Santouri 264, genres--Aegean 247, \
     place--Aegean-sea 247, genres--Epirotic 185, place--Epirus 185, Bouzouki 179, genres--Mikrasiatiko 122, \
     place--Asia-minor 122, genres--Rebetiko 108, genres--Laiko 95, Piano 88, Lyra 81, Oud 81, genres--Macedonian 69, \
     place--Macedonia 69, genres--Peloponnesian 64, place--Peloponnese 64, Mandolin 61, Kanonaki 60";

#[test]
fn lyras_classes_have_their_published_numbers_of_training_pieces() {
    let Some(data) = shared::data() else { return };
    let corpus = Lyra { metadata: "lyra".into(), ..Lyra::default() };
    let cfg = CorpusConfig { dataset: "lyra".into(), root: data.join("ccml") };
    let tracks = corpus.tracks(&cfg).unwrap();
    let training: Vec<_> = tracks.iter().filter(|t| t.splits["lyra"] != Split::Test).collect();
    assert_eq!((training.len(), tracks.len() - training.len()), (1240, 330));
    let count = |class: &String| {
        let has = training.iter().filter(|t| t.tags.as_ref().unwrap().contains(class)).count();
        format!("{} {has}", class.strip_prefix("instruments--").unwrap_or(class))
    };
    let vocab = corpus.vocabs(&cfg, &tracks).unwrap().remove(0);
    assert_eq!(vocab.classes.iter().map(count).collect::<Vec<_>>().join(", "), LYRA_TRAINING);
}

/// A metadata folder of FMA with the published labels and invented everything else.
fn fma(data: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let labels = shared::text("ccml/fma/fma_medium_labels_derived.tsv.gz").unwrap();
    let mut titles: BTreeMap<&str, usize> = BTreeMap::new();
    let mut csv = String::from(
        ",album,album,artist,artist,set,set,track,track,track,track\n,id,title,id,name,split,subset,genre_top,genres_all,license,title\n\
         track_id,,,,,,,,,,\n",
    );
    for row in labels.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()) {
        let mut genres = Vec::new();
        for title in row[2].split('|') {
            let next = titles.len() + 1;
            genres.push(titles.entry(title).or_insert(next).to_string());
        }
        let id: u32 = row[0].parse().unwrap();
        let genres = genres.join(", ");
        let line = format!(
            "{id},1,\"a \"\"b\"\"\nc\",1,x,training,medium,Rock,\"[{genres}]\",by,\"t, u\"\n"
        );
        csv.push_str(&line);
    }
    let mut genres = String::from("genre_id,#tracks,parent,title,top_level\n");
    titles.iter().for_each(|(title, id)| genres.push_str(&format!("{id},0,0,{title},0\n")));
    for folder in ["fma_metadata", "ccml"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("fma_metadata/tracks.csv"), csv).unwrap();
    fs::write(dir.path().join("fma_metadata/genres.csv"), genres).unwrap();
    for list in ["train.npy", "valid.npy", "test.npy"] {
        fs::copy(data.join("ccml/fma").join(list), dir.path().join("ccml").join(list)).unwrap();
    }
    dir
}

#[test]
fn fma_has_its_published_split_vocabulary_and_test_support() {
    let Some(data) = shared::data() else { return };
    let root = fma(&data);
    let corpus = Fma { ccml: "ccml".into(), ..Fma::default() };
    let views = views(&corpus, "fma", root.path());
    let view = views.iter().find(|v| v.name == "fma_ccml").unwrap();
    assert_eq!(counts(view), [17_486, 2498, 4996]);
    assert_eq!(support(view), published("fma"));
    let without = |split| {
        let none = |target: &Target| matches!(target, Target::Tags(tags) if tags.is_empty());
        view.only(split).filter(|e| none(&e.target)).count()
    };
    assert_eq!([Split::Train, Split::Valid, Split::Test].map(without), [1478, 197, 383]);
    let all = corpus.tracks(&CorpusConfig { dataset: "fma".into(), root: root.path().into() });
    let all = all.unwrap();
    let titles: BTreeSet<&String> = all.iter().flat_map(|t| t.tags.iter().flatten()).collect();
    let sizes = || all.iter().map(|t| t.tags.as_ref().unwrap().len());
    assert_eq!(
        (all.len(), titles.len(), sizes().min(), sizes().max()),
        (25_000, 151, Some(1), Some(8))
    );
    let known_bad = shared::text("fma/known_bad.tsv").unwrap();
    let bad = |id: &str| known_bad.lines().skip(1).any(|l| l.split('\t').next() == Some(id));
    let dropped: Vec<&str> = all
        .iter()
        .filter(|t| !t.splits.contains_key("fma_ccml"))
        .map(|t| t.clip_id.as_str())
        .collect();
    assert_eq!(dropped.len(), 20);
    assert!(dropped.iter().all(|id| bad(id)) && bad("108924") && !dropped.contains(&"108924"));
    let medium = views.iter().find(|v| v.name == "fma_medium").unwrap();
    assert_eq!(medium.examples.len(), 25_000 - 21); // less the known bad
}

#[test]
fn a_list_of_the_study_that_names_clips_the_corpus_lacks_is_an_error() {
    let Some(data) = shared::data() else { return };
    let root = fma(&data);
    let csv = root.path().join("fma_metadata/tracks.csv");
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(&csv, text.replace("\n2,1,", "\n200000,1,")).unwrap();
    let corpus = Fma { ccml: "ccml".into(), ..Fma::default() };
    let cfg = CorpusConfig { dataset: "fma".into(), root: root.path().to_path_buf() };
    let text = corpus.tracks(&cfg).unwrap_err().to_string();
    let expected = "ccml: expected ids that tracks.csv has in subset medium, got 000002 and 0 more that it has not";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn fmas_own_files_are_read_with_their_header_rows_and_line_breaks() {
    let Some(data) = shared::data() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::copy(data.join("fma/tracks_fixture.csv"), dir.path().join("tracks.csv")).unwrap();
    fs::copy(data.join("fma/genres_fixture.csv"), dir.path().join("genres.csv")).unwrap();
    let cfg = CorpusConfig { dataset: "fma".into(), root: dir.path().to_path_buf() };
    let corpus = Fma { metadata: String::new(), ..Fma::default() };
    let tracks = corpus.tracks(&cfg).unwrap();
    let rows: Vec<_> = tracks
        .iter()
        .map(|t| {
            (
                t.path.as_str(),
                t.artist.as_deref().unwrap(),
                t.title.as_deref().unwrap(),
                t.tags.as_ref().unwrap(),
            )
        })
        .collect();
    let (hip, pop) = (vec!["Hip-Hop".to_owned()], vec!["Pop".to_owned()]);
    assert_eq!(
        rows,
        [
            ("fma_medium/000/000010.mp3", "Kurt Vile", "Freeway", &pop),
            ("fma_medium/000/000002.mp3", "AWOL", "Food", &hip),
            ("fma_medium/000/000003.mp3", "AWOL", "Electric Ave", &hip),
            ("fma_medium/000/000005.mp3", "AWOL", "This World", &hip),
        ]
    );
    let views = corpus.views(&cfg, &tracks).unwrap();
    let small = views.iter().find(|v| v.name == "fma_small").unwrap();
    assert_eq!(small.vocab.classes, ["Hip-Hop", "Pop"]);
    let targets: Vec<&Target> = small.examples.iter().map(|e| &e.target).collect();
    assert_eq!(targets, [&Target::Class(1), &Target::Class(0), &Target::Class(0)]);
}

/// Recordings that say which labels they have only as far as the real examples do.
#[test]
fn the_dunya_collections_have_their_published_splits() {
    let Some(data) = shared::data() else { return };
    let published = [
        (Tradition::Makam, "makam", [3709, 529, 1059]),
        (Tradition::Hindustani, "hindustani", [844, 120, 240]),
        (Tradition::Carnatic, "carnatic", [1829, 261, 522]),
    ];
    for (tradition, name, expected) in published {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("recordings")).unwrap();
        fs::create_dir(dir.path().join("split")).unwrap();
        for list in ["train.npy", "valid.npy", "test.npy"] {
            let to = dir.path().join("split").join(list);
            fs::copy(data.join("ccml").join(name).join(list), to).unwrap();
        }
        let corpus = Dunya { tradition, ..Dunya::default() };
        let cfg = CorpusConfig { dataset: name.into(), root: dir.path().to_path_buf() };
        let tracks = corpus.tracks(&cfg).unwrap();
        let of = |split| tracks.iter().filter(|t| t.splits[name] == split).count();
        assert_eq!([Split::Train, Split::Valid, Split::Test].map(of), expected);
        assert!(tracks.iter().all(|t| t.clip_id.len() == 36 && t.tags.is_none()));
        let remarks = corpus.remarks(&cfg, &tracks).unwrap().join("\n");
        let all: usize = expected.iter().sum();
        assert!(
            remarks.contains(&format!("{all} of {all} recordings have no annotation")),
            "{remarks}"
        );
    }
}

#[test]
fn real_recordings_of_dunya_give_their_labels_once() {
    let Some(data) = shared::data() else { return };
    let cases: [(Tradition, &str, &[&str], &str, f64); 2] = [
        (
            Tradition::Hindustani,
            "hindustani",
            &[
                "raga--Bairagi",
                "tala--Ektaal",
                "instrument--Voice",
                "instrument--Harmonium",
                "instrument--Tabla",
                "form--Khayal",
            ],
            "Ajoy Chakrabarty",
            899.469,
        ),
        (
            Tradition::Carnatic,
            "carnatic",
            &[
                "raga--shri ranjani",
                "tala--adi",
                "instrument--Ghatam",
                "instrument--Mridangam",
                "instrument--Violin",
                "instrument--Voice",
                "form--Kriti",
            ],
            "Cherthala Ranganatha Sharma",
            309.0,
        ),
    ];
    for (tradition, name, tags, artist, seconds) in cases {
        let json =
            fs::read_to_string(data.join(format!("dunya/{name}_recording_example.json"))).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let id = value["mbid"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        shared::write_texts(&dir.path().join("train.npy"), &[id]);
        shared::write_texts(&dir.path().join("valid.npy"), &[]);
        shared::write_texts(&dir.path().join("test.npy"), &[]);
        fs::write(dir.path().join(format!("{id}.json")), json).unwrap();
        let corpus = Dunya {
            tradition,
            lists: String::new(),
            recordings: String::new(),
            ..Dunya::default()
        };
        let cfg = CorpusConfig { dataset: name.into(), root: dir.path().to_path_buf() };
        let tracks = corpus.tracks(&cfg).unwrap();
        assert_eq!(tracks[0].tags.as_deref().unwrap(), tags);
        assert_eq!(tracks[0].artist.as_deref(), Some(artist));
        let durations = corpus.durations(&cfg).unwrap();
        assert!(durations.fits(id, seconds) && !durations.fits(id, seconds + 10.0));
    }
}

/// A recording as the server would give it with these labels, its names in decomposed form.
fn recording(tradition: Tradition, id: &str, labels: &[&str]) -> serde_json::Value {
    let mut value = serde_json::json!({ "mbid": id });
    for label in labels {
        let (word, name) = label.split_once("--").unwrap();
        let name: String = name.nfd().collect();
        let (field, item) = match (tradition, word) {
            (Tradition::Makam, "makam") => ("makamlist", serde_json::json!({ "name": name })),
            (Tradition::Makam, "usul") => ("usullist", serde_json::json!({ "name": name })),
            (Tradition::Makam, _) => {
                ("performers", serde_json::json!({ "instrument": { "name": name } }))
            }
            (_, "instrument") => ("artists", serde_json::json!({ "instrument": { "name": name } })),
            (Tradition::Hindustani, "raga") => {
                ("raags", serde_json::json!({ "common_name": name }))
            }
            (Tradition::Hindustani, "tala") => {
                ("taals", serde_json::json!({ "common_name": name }))
            }
            (Tradition::Hindustani, _) => ("forms", serde_json::json!({ "common_name": name })),
            (Tradition::Carnatic, "raga") => ("raaga", serde_json::json!({ "common_name": name })),
            (Tradition::Carnatic, "tala") => ("taala", serde_json::json!({ "common_name": name })),
            (Tradition::Carnatic, _) => ("form", serde_json::json!({ "name": name })),
        };
        let list =
            value.as_object_mut().unwrap().entry(field).or_insert_with(|| serde_json::json!([]));
        list.as_array_mut().unwrap().push(item);
    }
    value
}

/// The labels of the recordings are not public; recordings with the published labels in the published order of frequency
/// take their place.
#[test]
fn the_published_vocabularies_come_out_of_recordings_with_such_labels() {
    if shared::data().is_none() {
        return;
    }
    let collections = [
        (Tradition::Makam, "makam", 30),
        (Tradition::Hindustani, "hindustani", 20),
        (Tradition::Carnatic, "carnatic", 20),
    ];
    for (tradition, name, classes) in collections {
        let published: Vec<String> = published(name).into_iter().map(|(class, _)| class).collect();
        assert_eq!(published.len(), classes, "{name}");
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..=classes).map(|i| format!("r{i}")).collect();
        let train: Vec<&str> = ids[..classes].iter().map(String::as_str).collect();
        shared::write_texts(&dir.path().join("train.npy"), &train);
        shared::write_texts(&dir.path().join("valid.npy"), &[]);
        shared::write_texts(&dir.path().join("test.npy"), &[&ids[classes]]);
        for (i, id) in ids.iter().enumerate() {
            let labels: Vec<&str> =
                published.iter().take(classes - i).map(String::as_str).collect();
            let json = recording(tradition, id, &labels).to_string();
            fs::write(dir.path().join(format!("{id}.json")), json).unwrap();
        }
        let corpus = Dunya {
            tradition,
            lists: String::new(),
            recordings: String::new(),
            classes,
            ..Dunya::default()
        };
        let views = views(&corpus, name, dir.path());
        assert_eq!(views[0].vocab.classes, published);
        assert_eq!(counts(&views[0]), [classes, 0, 1]);
    }
}
