//! Arbitrary tracks and views: every column null and not null, any text.

use etude_manifests::{Example, Facts, Source, Split, Status, Target, Track, View, Vocab, Warning};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

/// Up to twelve tracks with unique keys in any order.
pub fn tracks() -> impl Strategy<Value = Vec<Track>> {
    btree_set("[a-z0-9é☃ ]{1,6}", 0..12)
        .prop_flat_map(|ids| ids.into_iter().map(track).collect::<Vec<_>>())
        .prop_shuffle()
}

/// A valid view of any kind, sorted by key.
pub fn views() -> impl Strategy<Value = View> {
    let rows = btree_set("[a-z0-9é☃ ]{1,6}", 0..12);
    (vec("[a-z/ é-]{1,8}", 2..6), rows, 0..7_usize, "[a-z_]{1,8}").prop_flat_map(
        |(mut classes, ids, kind, name)| {
            classes.sort();
            classes.dedup();
            let count = classes.len() as u16;
            let vocab = Vocab::published("vocab", classes).unwrap();
            let examples: Vec<_> = ids.into_iter().map(|id| example(id, kind, count)).collect();
            (examples, vec(source(), 0..3)).prop_map(move |(mut examples, sources)| {
                examples.sort_by(|a, b| a.key.cmp(&b.key));
                View {
                    name: name.clone(),
                    corpus: "c".into(),
                    vocab: vocab.clone(),
                    examples,
                    sources,
                }
            })
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    ("[a-z]{1,8}\\.csv", "[0-9a-f]{64}").prop_map(|(name, sha256)| Source { name, sha256 })
}

fn split() -> impl Strategy<Value = Split> {
    proptest::sample::select(&Split::ALL[..])
}

fn example(id: String, kind: usize, classes: u16) -> impl Strategy<Value = Example> {
    (proptest::sample::select(vec!["orig", "key-3"]), split(), target(kind, classes)).prop_map(
        move |(variant, split, target)| {
            let track = format!("c:{id}");
            let key = match variant {
                "orig" => track.clone(),
                other => format!("{track}#{other}"),
            };
            Example { key, track, variant: variant.into(), split, target }
        },
    )
}

fn target(kind: usize, classes: u16) -> BoxedStrategy<Target> {
    let float = -1e6..1e6_f32;
    let some = match kind {
        0 => btree_set(0..classes, 0..=usize::from(classes))
            .prop_map(|tags| Target::Tags(tags.into_iter().collect()))
            .boxed(),
        1 => (0..classes).prop_map(Target::Class).boxed(),
        2 => vec(float, 0..4).prop_map(Target::Values).boxed(),
        3 => vec(0.0..600.0_f32, 0..6)
            .prop_map(|mut times| {
                times.sort_by(f32::total_cmp);
                Target::Times(times)
            })
            .boxed(),
        4 => vec((0.0..300.0_f32, 0.0..300.0_f32, 0..classes), 0..5)
            .prop_map(|spans| {
                Target::Spans(spans.into_iter().map(|(s, l, c)| (s, s + l, c)).collect())
            })
            .boxed(),
        5 => ".{0,20}".prop_map(Target::Text).boxed(),
        _ => Just(Target::None).boxed(),
    };
    prop_oneof![4 => some, 1 => Just(Target::None)].boxed()
}

fn text() -> impl Strategy<Value = Option<String>> {
    of(".{0,12}")
}

fn track(id: String) -> impl Strategy<Value = Track> {
    let names = (text(), text(), text(), text(), text(), text());
    let notes = (text(), text(), text(), text(), text(), text());
    let status = proptest::sample::select(&Status::ALL[..]);
    let warnings = vec(proptest::sample::select(&Warning::ALL[..]), 0..4);
    let tags = of(vec("[a-z☃ ]{0,8}", 0..4));
    let labels = btree_map("[a-z0-9]{1,3}", of(vec(0..50_i32, 0..4)), 0..3);
    let splits = btree_map("[a-z0-9:]{1,3}", split(), 0..3);
    (names, notes, facts(), status, warnings, tags, labels, splits, of(0.0..1e5_f64)).prop_map(
        move |(names, notes, facts, status, warnings, tags, labels, splits, clip_start_s)| Track {
            dataset: "c".into(),
            key: format!("c:{id}"),
            clip_id: id.clone(),
            track_id: names.0,
            artist_id: names.1,
            album_id: names.2,
            artist: names.3,
            album: names.4,
            title: names.5,
            path: format!("{id}.mp3"),
            clip_start_s,
            published_digest: notes.0,
            facts,
            status,
            status_text: notes.1,
            warnings,
            licence: notes.2,
            licence_url: notes.3,
            tags,
            labels,
            splits,
            aug: notes.4,
            source_key: notes.5,
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let words = (of("[a-z]{1,2}"), of("[a-z]{1,2}"), of("none|lame"));
    let digests = (of(any::<[u8; 32]>()), of(any::<[u8; 32]>()), of(any::<bool>()));
    let longs =
        (of(any::<i64>()), of(any::<i64>()), of(any::<i64>()), of(any::<i64>()), of(any::<i64>()));
    let ints = (
        of(any::<i32>()),
        of(any::<i32>()),
        of(any::<i32>()),
        of(any::<i32>()),
        of(any::<i32>()),
        of(any::<i16>()),
        of(any::<i16>()),
    );
    let float = || of(-1e9..1e9_f32);
    let floats = (float(), float(), float(), float(), float(), of(0.0..1e9_f64));
    (words, digests, longs, ints, floats).prop_map(|(words, digests, longs, ints, floats)| Facts {
        container: words.0,
        codec: words.1,
        trim_policy: words.2,
        sha256: digests.0,
        pcm_sha256: digests.1,
        digest_ok: digests.2,
        file_bytes: longs.0,
        header_frames: longs.1,
        frames: longs.2,
        decoded_frames: longs.3,
        nonfinite: longs.4,
        bit_rate: ints.0,
        src_rate: ints.1,
        delay: ints.2,
        padding: ints.3,
        decode_errors: ints.4,
        src_channels: ints.5,
        src_bits: ints.6,
        peak: floats.0,
        rms: floats.1,
        dc: floats.2,
        silence_ratio: floats.3,
        clip_ratio: floats.4,
        duration_s: floats.5,
    })
}
