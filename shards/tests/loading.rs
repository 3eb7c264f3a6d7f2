//! The loader: a fixed order whatever the threads, exact resume, bounded memory, honest errors.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{key, spec, value, view, wave, write_file, write_set};
use etude_manifests::{Split, Status, Target};
use etude_shards::{
    Batch, Crop, Error, Index, Kind, Loader, LoaderConfig, LoaderState, Number, Refused, ShardFile,
    Spec, Tail, TrackRow, Window, epoch_order, windows,
};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const STEPS: [usize; 11] = [2500, 1000, 1, 3999, 12_345, 800, 801, 5000, 2000, 3000, 999];

fn toy() -> (tempfile::TempDir, Index) {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &STEPS, 3);
    (dir, index)
}

fn cfg(batch: usize, crop: Crop) -> LoaderConfig {
    LoaderConfig { batch, crop, ..LoaderConfig::default() }
}

fn train(index: &Index, cfg: &LoaderConfig) -> Loader {
    Loader::train(index, &view(STEPS.len(), |_| Split::Train), cfg, 42).unwrap()
}

/// Key, start, length and numbers of every sample.
type Row = (String, u64, usize, Vec<f32>);

fn rows(batch: &Batch) -> Vec<Row> {
    let per = batch.data.len() / batch.keys.len();
    let one = |i: usize| {
        let data = batch.data[i * per..(i + 1) * per].to_vec();
        (batch.keys[i].clone(), batch.starts[i], batch.lengths[i], data)
    };
    (0..batch.keys.len()).map(one).collect()
}

fn take(loader: &mut Loader, batches: usize) -> Vec<Batch> {
    loader.by_ref().take(batches).map(Result::unwrap).collect()
}

#[test]
fn an_epoch_holds_every_example_once_and_each_epoch_has_its_own_order() {
    let (_dir, index) = toy();
    let mut loader = train(&index, &cfg(4, Crop::Random { steps: 900 }));
    assert_eq!((loader.batches_per_epoch(), loader.samples_per_epoch()), (3, 11));
    let epochs: Vec<Vec<String>> = (0..4)
        .map(|_| take(&mut loader, 3).iter().flat_map(|b| b.keys.clone()).collect())
        .collect();
    for (e, keys) in epochs.iter().enumerate() {
        let order = epoch_order("m0", 42, e as u64, 11);
        assert!(keys.iter().cloned().eq(order.iter().map(|t| key(*t as usize))));
    }
    assert_eq!(epochs.iter().collect::<HashSet<_>>().len(), 4);
}

#[test]
fn crops_hold_the_right_numbers_targets_and_padding() {
    let (_dir, index) = toy();
    let mut loader = train(&index, &cfg(4, Crop::Random { steps: 900 }));
    for batch in take(&mut loader, 12) {
        assert_eq!(batch.shape, [batch.keys.len(), 900]);
        for (i, (key, start, length, data)) in rows(&batch).into_iter().enumerate() {
            let track: usize = key[4..].parse().unwrap();
            assert_eq!(batch.targets[i], Target::Tags(vec![track as u16]));
            assert_eq!(length, STEPS[track].min(900));
            assert!((0..length).all(|s| data[s] == value(track, start as usize + s)));
            assert!(data[length..].iter().all(|x| *x == 0.0));
        }
        loader.recycle(batch);
    }
}

#[test]
fn whole_tracks_come_once_in_key_order_padded_to_the_longest_of_the_batch() {
    let (_dir, index) = toy();
    let v = view(11, |t| if t % 2 == 0 { Split::Test } else { Split::Train });
    let drop = LoaderConfig { drop_last: true, shuffle: true, ..cfg(4, Crop::Whole) };
    let loader = Loader::tracks(&index, &v, Split::Test, &drop).unwrap();
    let batches: Vec<Batch> = loader.map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(|b| b.shape.clone()).collect::<Vec<_>>(),
        [[4, 12_345], [2, 2000]]
    );
    let keys: Vec<_> = batches.iter().flat_map(|b| b.keys.clone()).collect();
    assert_eq!(keys, [0, 2, 4, 6, 8, 10].map(key));
    for (key, _, length, data) in batches.iter().flat_map(rows) {
        let track: usize = key[4..].parse().unwrap();
        assert_eq!(length, STEPS[track]);
        assert!(data[..length] == wave(track, length) && data[length..].iter().all(|x| *x == 0.0));
    }
}

#[test]
fn sliding_pieces_are_samples_of_their_own_in_order() {
    let (_dir, index) = toy();
    let crop = Crop::Sliding { steps: 1000, hop: 700, tail: Tail::Pad };
    let loader =
        Loader::tracks(&index, &view(11, |_| Split::Valid), Split::Valid, &cfg(5, crop)).unwrap();
    let expect: Vec<(String, u64, usize)> = (0..11)
        .flat_map(|t| {
            let steps = STEPS[t] as u64;
            (0..crop.windows(steps))
                .map(move |w| (key(t), w * 700, (steps - w * 700).min(1000) as usize))
        })
        .collect();
    assert_eq!(loader.samples_per_epoch(), expect.len() as u64);
    let batches: Vec<Batch> = loader.map(Result::unwrap).collect();
    let got: Vec<_> = batches.iter().flat_map(rows).map(|(k, s, l, _)| (k, s, l)).collect();
    assert_eq!(got, expect);
}

#[test]
fn the_number_of_threads_and_the_bytes_ahead_change_nothing() {
    let (_dir, index) = toy();
    for crop in [
        Crop::Whole,
        Crop::Random { steps: 900 },
        Crop::Centre { steps: 1500 },
        Crop::Sliding { steps: 700, hop: 400, tail: Tail::Drop },
    ] {
        let run = |threads, prefetch_bytes| {
            take(&mut train(&index, &LoaderConfig { threads, prefetch_bytes, ..cfg(4, crop) }), 40)
        };
        let one = run(1, 0);
        assert_eq!(one.len(), 40);
        for (threads, bytes) in [(1, 1 << 30), (2, 40_000), (3, 1 << 20), (8, 1 << 30)] {
            assert!(run(threads, bytes) == one, "{crop:?} with {threads} threads");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_resumed_loader_goes_on_at_exactly_the_next_sample_twice_in_a_row(
        epoch in 0u64..5, sample in 0u64..=11, again in 0usize..4, threads in 1usize..4,
        batch in 1usize..6, drop_last: bool, whole: bool,
    ) {
        let (_dir, index) = toy();
        let crop = if whole { Crop::Whole } else { Crop::Random { steps: 900 } };
        let cfg = LoaderConfig { threads, drop_last, ..cfg(batch, crop) };
        let per_epoch = train(&index, &cfg).samples_per_epoch();
        let seen = (epoch * per_epoch + sample.min(per_epoch)) as usize;
        let cut = |rows: Vec<Row>| rows.into_iter().map(|(k, s, l, d)| (k, s, l, d[..l].to_vec()));
        let all: Vec<Row> = take(&mut train(&index, &cfg), (5 * 11 + 60) / batch + 10)
            .iter().flat_map(|b| cut(rows(b))).collect();
        let mut loader = train(&index, &cfg).resume(LoaderState { epoch, sample }).unwrap();
        let mut got: Vec<Row> = take(&mut loader, again).iter().flat_map(|b| cut(rows(b))).collect();
        let state = loader.state();
        let mut loader = loader.resume(state).unwrap();
        got.extend(take(&mut loader, 5).iter().flat_map(|b| cut(rows(b))));
        prop_assert!(!got.is_empty());
        prop_assert!(got[..] == all[seen..seen + got.len()]);
    }
}

#[test]
fn every_batch_says_where_to_go_on() {
    let (_dir, index) = toy();
    let cfg = cfg(4, Crop::Random { steps: 900 });
    let mut loader = train(&index, &cfg);
    assert_eq!(loader.state(), LoaderState { epoch: 0, sample: 0 });
    let after: Vec<_> =
        take(&mut loader, 4).iter().map(|b| (b.after.epoch, b.after.sample)).collect();
    assert_eq!(after, [(0, 4), (0, 8), (1, 0), (1, 4)]);
    assert_eq!(loader.state(), LoaderState { epoch: 1, sample: 4 });
    let far = LoaderState { epoch: 1 << 40, sample: 3 };
    assert_eq!(train(&index, &cfg).resume(far).unwrap().next().unwrap().unwrap().keys.len(), 1);
    for sample in [12, u64::MAX] {
        let error = train(&index, &cfg).resume(LoaderState { epoch: 0, sample }).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }
    assert!(train(&index, &cfg).resume(LoaderState { epoch: u64::MAX, sample: 0 }).is_err());
}

#[test]
fn a_finished_pass_stays_finished_when_resumed() {
    let (_dir, index) = toy();
    let v = view(11, |_| Split::Test);
    let new = || Loader::tracks(&index, &v, Split::Test, &cfg(4, Crop::Whole)).unwrap();
    let mut loader = new();
    assert_eq!(loader.by_ref().count(), 3);
    assert!(loader.next().is_none());
    assert_eq!(loader.state(), LoaderState { epoch: 1, sample: 0 });
    assert_eq!(new().resume(loader.state()).unwrap().count(), 0);
    assert_eq!(new().resume(LoaderState { epoch: 0, sample: 9 }).unwrap().count(), 1);
    assert!(new().resume(LoaderState { epoch: 1, sample: 1 }).is_err());
}

#[test]
fn only_full_batches_with_drop_last_and_the_dropped_samples_change_from_epoch_to_epoch() {
    let (_dir, index) = toy();
    let cfg = LoaderConfig { drop_last: true, ..cfg(4, Crop::Random { steps: 10 }) };
    let mut loader = train(&index, &cfg);
    assert_eq!((loader.batches_per_epoch(), loader.samples_per_epoch()), (2, 8));
    let batches = take(&mut loader, 20);
    assert!(batches.iter().all(|b| b.keys.len() == 4));
    let seen: HashSet<_> = batches.iter().flat_map(|b| b.keys.clone()).collect();
    assert_eq!(seen.len(), 11);
    let big = LoaderConfig { batch: 12, ..cfg };
    let error = Loader::train(&index, &view(11, |_| Split::Train), &big, 0).unwrap_err();
    assert!(error.to_string().contains("11 samples in batches of 12"), "{error}");
}

#[test]
fn without_shuffling_every_epoch_is_in_key_order() {
    let (_dir, index) = toy();
    let cfg = LoaderConfig { shuffle: false, ..cfg(11, Crop::Centre { steps: 10 }) };
    for batch in take(&mut train(&index, &cfg), 3) {
        assert!(batch.keys.iter().cloned().eq((0..11).map(key)));
    }
}

#[test]
fn no_more_is_read_ahead_than_allowed() {
    let (_dir, index) = toy();
    let batch_bytes = 4 * 900 * 4;
    for (allowed, batches) in
        [(0, 1), (batch_bytes - 1, 1), (batch_bytes, 1), (3 * batch_bytes + 5, 3)]
    {
        // Epochs of 12 samples: every batch is full.
        let dir = tempfile::tempdir().unwrap();
        let index = write_set(dir.path(), &spec(), &[1000; 12], 3);
        let cfg = LoaderConfig {
            threads: 4,
            prefetch_bytes: allowed,
            ..cfg(4, Crop::Random { steps: 900 })
        };
        let mut loader = Loader::train(&index, &view(12, |_| Split::Train), &cfg, 1).unwrap();
        take(&mut loader, 5);
        std::thread::sleep(Duration::from_millis(50)); // time to overdo it
        let stats = loader.stats();
        assert_eq!(stats.prefetch_peak, batches * batch_bytes);
        assert!(stats.samples <= (5 + batches) * 4, "{} samples filled", stats.samples);
    }
    // Whole tracks: batches of different sizes, and one that is larger than allowed.
    let cfg = LoaderConfig { prefetch_bytes: 60_000, ..cfg(2, Crop::Whole) };
    let mut loader = train(&index, &cfg);
    take(&mut loader, 30);
    let largest = 2 * 12_345 * 4;
    assert!(loader.stats().prefetch_peak <= largest, "{}", loader.stats().prefetch_peak);
}

#[test]
fn recycled_batches_need_no_new_memory() {
    let (_dir, index) = toy();
    let cfg = LoaderConfig { prefetch_bytes: 50_000, ..cfg(4, Crop::Random { steps: 900 }) };
    let mut loader = train(&index, &cfg);
    for _ in 0..200 {
        let batch = loader.next().unwrap().unwrap();
        loader.recycle(batch);
    }
    let stats = loader.stats();
    assert!(stats.allocations <= 6, "{} allocations for 200 batches", stats.allocations);
    assert_eq!(stats.batches, 200);
    assert!(stats.bytes_used > 0 && stats.read_overhead() >= 1.0);
    assert!((0.0..=1.0).contains(&stats.stall_share()));
}

#[test]
fn a_loader_dropped_at_any_time_ends_its_threads_at_once() {
    let (_dir, index) = toy();
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        for taken in [0, 1, 2, 7] {
            for threads in [1, 2, 8] {
                let mut loader = train(&index, &LoaderConfig { threads, ..cfg(4, Crop::Whole) });
                take(&mut loader, taken);
                drop(loader);
            }
        }
        done.send(()).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(20)).expect("the loaders end");
}

#[test]
fn reading_ahead_goes_on_across_the_end_of_an_epoch() {
    let (_dir, index) = toy();
    let mut loader = train(&index, &cfg(4, Crop::Random { steps: 900 }));
    take(&mut loader, 1);
    let begin = Instant::now();
    while loader.stats().samples < 3 * 11 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", loader.stats());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(loader.state(), LoaderState { epoch: 0, sample: 4 });
}

#[test]
fn a_damaged_file_ends_the_loader_with_its_name_and_the_place_to_go_on() {
    let (dir, index) = toy();
    let path = dir.path().join("shard-00001.parquet");
    std::fs::remove_file(&path).unwrap();
    let v = view(11, |_| Split::Test);
    let mut loader = Loader::tracks(&index, &v, Split::Test, &cfg(2, Crop::Whole)).unwrap();
    loader.next().unwrap().unwrap();
    let error = loader.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("shard-00001.parquet"), "{error}");
    assert!(loader.next().is_none());
    assert_eq!(loader.state(), LoaderState { epoch: 0, sample: 2 });
}

#[test]
fn view_and_shards_must_belong_together() {
    let (_dir, index) = toy();
    let open = |v| Loader::train(&index, &v, &cfg(4, Crop::Whole), 0).unwrap_err();
    let mut other = view(11, |_| Split::Train);
    other.corpus = "mtat".into();
    let error = open(other);
    assert!(matches!(&error, Error::Mismatch { what, .. } if what == "corpus"), "{error}");
    assert!(error.to_string().contains("mtat") && error.to_string().contains("toy"), "{error}");

    let text = open(view(14, |_| Split::Train)).to_string();
    assert!(
        text.contains("3 of 14 examples") && text.contains("toy:0011, toy:0012, toy:0013"),
        "{text}"
    );
    let mut variant = view(11, |_| Split::Train);
    variant.examples[4].variant = "key-3".into();
    assert!(open(variant).to_string().contains("toy:0004#key-3"));

    let error = open(view(11, |_| Split::Test));
    assert!(matches!(error, Error::NoExamples { split: "train", .. }), "{error}");
}

#[test]
fn refused_tracks_are_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_file(dir.path(), 0, &spec(), 0, &[1000, 2000]);
    let mut file = ShardFile::create(dir.path(), 1, &spec()).unwrap();
    let refused = Refused {
        key: key(2),
        variant: "orig".into(),
        status: Status::Truncated,
        text: "93 %".into(),
    };
    file.refuse(refused.clone());
    let row = TrackRow { key: &key(3), variant: "orig", tags: &[], split: None };
    file.push(&row, &wave(3, 500)).unwrap();
    let files = vec![first, file.finish().unwrap()];
    let index = Index::assemble(dir.path(), &spec(), files).unwrap();
    let loader =
        Loader::train(&index, &view(4, |_| Split::Train), &cfg(2, Crop::Whole), 0).unwrap();
    assert_eq!(loader.skipped(), [refused]);
    assert_eq!(loader.samples_per_epoch(), 3);
    let only = view(4, |t| if t == 2 { Split::Train } else { Split::Test });
    let text = Loader::train(&index, &only, &cfg(2, Crop::Whole), 0).unwrap_err().to_string();
    assert!(text.contains("1 refused"), "{text}");
}

#[test]
fn frames_and_embeddings_have_a_width() {
    for (kind, steps) in
        [(Kind::Frames { fps: 43.066, bands: 8 }, 90), (Kind::Embedding { fps: 0.0, dim: 8 }, 1)]
    {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec { kind, number: Number::F32, ..spec() };
        let index = write_set(dir.path(), &spec, &[steps, steps, steps], 2);
        let v = view(3, |_| Split::Test);
        let mut loader = Loader::tracks(&index, &v, Split::Test, &cfg(2, Crop::Whole)).unwrap();
        let batch = loader.next().unwrap().unwrap();
        assert_eq!(batch.shape, [2, steps, 8]);
        assert!(batch.data[steps * 8..] == wave(1, steps * 8));
    }
}

#[test]
fn the_first_batch_opens_only_the_files_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &[2000; 40], 1);
    for t in 4..40 {
        std::fs::remove_file(dir.path().join(format!("shard-{t:05}.parquet"))).unwrap();
    }
    let v = view(40, |_| Split::Test);
    let cfg = LoaderConfig { prefetch_bytes: 0, ..cfg(4, Crop::Whole) };
    let mut loader = Loader::tracks(&index, &v, Split::Test, &cfg).unwrap();
    assert_eq!(loader.next().unwrap().unwrap().keys.len(), 4);
}

#[test]
fn batches_of_kept_windows_have_the_order_targets_and_states_of_those_they_stand_for() {
    let (tmp, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = write_set(tmp.path(), &spec(), &[1500, 900, 2400, 3100, 700, 2000, 1000], 3);
    let v = view(7, |_| Split::Train);
    let crop = Crop::Grid { steps: 900, windows: 3 };
    // of each window, its place and its first number
    let kind = Kind::Embedding { fps: 2.0, dim: 2 };
    let made = Spec { kind, number: Number::F32, ..spec() };
    let all = windows(&index, &v, Split::Train, &crop).unwrap();
    assert_eq!(all.len(), 3 * 5 + 2, "two tracks are too short for more than one place");
    let write = |windows: &[Window]| {
        let mut file = ShardFile::create(kept.path(), 0, &made).unwrap();
        for w in windows {
            let (key, variant) = (key(w.track), w.variant("orig"));
            let row = TrackRow { key: &key, variant: &variant, tags: &[], split: None };
            file.push(&row, &[w.start as f32, value(w.track, w.start as usize)]).unwrap();
        }
        Index::assemble(kept.path(), &made, vec![file.finish().unwrap()]).unwrap()
    };
    let set = write(&all);
    let cfg = LoaderConfig { crop, batch: 3, threads: 3, ..LoaderConfig::default() };
    let waves = Loader::train(&index, &v, &cfg, 5).unwrap();
    let stand_in = Loader::train(&index, &v, &cfg, 5).unwrap().instead(&index, &set).unwrap();
    let known = Loader::train(&index, &v, &cfg, 5).unwrap();
    let mut places = std::collections::BTreeSet::new();
    for (n, (wave, stand_in)) in waves.zip(stand_in).take(30).enumerate() {
        let (wave, stand_in) = (wave.unwrap(), stand_in.unwrap());
        let window = |w: Window| (key(w.track), w.start, w.steps);
        let drawn: Vec<_> = known.batch_windows(n as u64).into_iter().map(window).collect();
        let rows = wave.keys.iter().zip(&wave.starts).map(|(k, start)| (k.clone(), *start, 900));
        assert!(rows.eq(drawn), "known before anything is read");
        assert_eq!((&wave.keys, &wave.starts), (&stand_in.keys, &stand_in.starts));
        assert_eq!((&wave.targets, wave.after), (&stand_in.targets, stand_in.after));
        assert_eq!(stand_in.shape, [wave.keys.len(), 1, 2]);
        for (i, row) in stand_in.data.chunks(2).enumerate() {
            assert_eq!(row, [wave.starts[i] as f32, wave.data[i * 900]]);
            places.insert((wave.keys[i].clone(), wave.starts[i]));
        }
    }
    assert_eq!(places.len(), all.len(), "every place is drawn sooner or later");
    let set = write(&all[1..]);
    let error = Loader::train(&index, &v, &cfg, 5).unwrap().instead(&index, &set).unwrap_err();
    assert!(error.to_string().contains("toy:0000#orig@0+900"), "{error}");
    let random = Crop::Random { steps: 900 };
    let error = windows(&index, &v, Split::Train, &random).unwrap_err().to_string();
    assert!(error.contains("grid, centre, sliding or whole"), "{error}");
    let error = windows(&index, &v, Split::Train, &Crop::Whole).unwrap_err().to_string();
    assert!(error.contains("whole tracks of 700 to 3100 time steps"), "{error}");
}
