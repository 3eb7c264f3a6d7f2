//! A corpus of waves becomes a shard set of embeddings.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_eval::Error;
use etude_eval::embed::{CorpusConfig, Deform, EmbedConfig, Embedder, Pool, Report, run};
use etude_manifests::{Example, Split, Target, View, Vocab};
use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, Pretrained, import};
use etude_shards::{Index, Kind, Labels, Number, Reader, ShardFile, Spec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use tch::Device;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn model(dir: &Path) -> Pretrained {
    static THREADS: Once = Once::new();
    THREADS.call_once(|| tch::set_num_threads(1));
    let text = std::fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    let config = BackboneConfig::from_json("musicfm", &text).unwrap();
    import(&config, &fixture("musicfm/weights.safetensors"), None, &dir.join("model")).unwrap();
    Pretrained::open(&dir.join("model"), Device::Cpu).unwrap()
}

/// Seconds of each track; two files.
const FILES: [&[f32]; 2] = [&[0.5, 2.0, 0.05, 0.5], &[1.0, 0.7]];

fn waves(dir: &Path) -> Vec<Labels> {
    let spec = Spec {
        corpus: "c".into(),
        kind: Kind::Wave { rate: 24_000 },
        number: Number::S16,
        block_s: 1.0,
        row_group_bytes: 1 << 20,
        resampler: "fft-4096".into(),
        config_digest: "c".into(),
        manifest_hash: "m".into(),
    };
    let (mut entries, mut all) = (Vec::new(), Vec::new());
    for (n, lengths) in FILES.iter().enumerate() {
        let mut file = ShardFile::create(dir, n, &spec).unwrap();
        for (i, seconds) in lengths.iter().enumerate() {
            let wave = (0..(seconds * 24_000.0) as u64)
                .map(|t| (t as f32 * (0.01 + 0.02 * i as f32) + n as f32).sin() * 0.3);
            let labels = Labels {
                key: format!("c:{n}{i}"),
                variant: "orig".into(),
                tags: vec![format!("tag{i}")],
                split: Some(if i == 0 { Split::Train } else { Split::Test }),
            };
            file.push(&labels.row(), &wave.collect::<Vec<_>>()).unwrap();
            all.push(labels);
        }
        entries.push(file.finish().unwrap());
    }
    Index::assemble(dir, &spec, entries).unwrap();
    all
}

fn config(dir: &Path, out: &str) -> CorpusConfig {
    CorpusConfig {
        source: dir.join("waves"),
        out: dir.join(out),
        view: None,
        number: Number::F32,
        embed: EmbedConfig { window_s: Some(1.0), batch: 3, ..EmbedConfig::default() },
        deform: None,
    }
}

fn whole(cfg: &CorpusConfig, model: &Pretrained) -> Report {
    run(cfg, model, &mut |_| (), &AtomicBool::new(false)).unwrap()
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    found
        .map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap()))
        .collect()
}

#[test]
fn every_track_has_the_hidden_states_of_its_own_wave_with_its_labels() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, model) = (dir.path(), model(dir.path()));
    let labels = waves(&dir.join("waves"));
    let cfg = config(dir, "emb");
    let report = whole(&cfg, &model);
    assert_eq!((report.stored, report.reused, report.refused.len()), (5, 0, 1));
    assert_eq!(report.refused[0].key, "c:02");
    let (source, made) = (Index::open(&cfg.source).unwrap(), Index::open(&cfg.out).unwrap());
    made.verify().unwrap();
    assert_eq!(made.spec().kind, Kind::Embedding { fps: 25.0, dim: 32 });
    let kept: Vec<_> = made.files().iter().flat_map(|f| made.labels(f).unwrap()).collect();
    assert_eq!(kept, labels.into_iter().filter(|l| l.key != "c:02").collect::<Vec<_>>());
    let embedder = Embedder::new(&model, &cfg.embed).unwrap();
    let (waves, vectors) = (Reader::new(&source), Reader::new(&made));
    let of: Vec<usize> =
        source.tracks().enumerate().filter(|(_, t)| t.key != "c:02").map(|(i, _)| i).collect();
    for (n, track) in made.tracks().enumerate() {
        let mut wave = vec![0.0; waves.steps(of[n]) as usize];
        waves.read(of[n], 0, &mut wave).unwrap();
        let want = embedder.run(&[&wave]).unwrap().remove(0);
        assert_eq!(want.frames as u64, track.steps, "{}", track.key);
        let mut got = vec![0.0; want.data.len()];
        vectors.read(n, 0, &mut got).unwrap();
        let gap = got.iter().zip(&want.data).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(gap < 1e-5, "{}: {gap}", track.key); // batches differ, so last digits may
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bytes_and_a_finished_one_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, model) = (dir.path(), model(dir.path()));
    waves(&dir.join("waves"));
    let (calm, wild) = (config(dir, "calm"), config(dir, "wild"));
    whole(&calm, &model);
    let stop = AtomicBool::new(false);
    let mut progress = |pace: &etude_eval::embed::Pace| {
        if pace.done > 4 {
            stop.store(true, Ordering::Relaxed); // in the second file
        }
    };
    let stopped = run(&wild, &model, &mut progress, &stop).unwrap_err();
    assert!(matches!(stopped, Error::Stopped { total: 6, .. }), "{stopped}");
    assert!(!wild.out.join("index.json").exists());
    let report = whole(&wild, &model);
    assert_eq!((report.reused, report.nothing_to_do), (3, false));
    assert_eq!(files(&calm.out), files(&wild.out));
    let report = whole(&wild, &model);
    assert!(report.nothing_to_do && report.reused == 5 && report.audio_s == 0.0, "{report}");
    // another layer is another set
    let other = EmbedConfig { layer: Some(1), ..wild.embed };
    let report = whole(&CorpusConfig { embed: other, ..wild.clone() }, &model);
    assert_eq!((report.reused, report.layer), (0, 1));
    assert_ne!(files(&calm.out), files(&wild.out));
}

#[test]
fn a_view_picks_its_tracks_and_a_mean_is_one_vector_each() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, model) = (dir.path(), model(dir.path()));
    waves(&dir.join("waves"));
    let example = |key: &str| Example {
        key: key.to_owned(),
        track: key.to_owned(),
        variant: "orig".into(),
        split: Split::Train,
        target: Target::None,
    };
    let view = View {
        name: "v".into(),
        corpus: "c".into(),
        vocab: Vocab { id: "v".into(), classes: Vec::new(), order: "published".into() },
        examples: vec![example("c:11")],
        sources: Vec::new(),
    };
    let embed = EmbedConfig { pool: Pool::Mean, ..EmbedConfig::default() };
    let cfg = CorpusConfig { view: Some(view), embed, ..config(dir, "mean") };
    let report = whole(&cfg, &model);
    assert_eq!((report.stored, report.fps), (1, 0.0));
    let made = Index::open(&cfg.out).unwrap();
    let tracks: Vec<_> = made.tracks().map(|t| (t.key.as_str(), t.steps)).collect();
    assert_eq!(tracks, [("c:11", 1)]);
}

#[test]
fn shards_that_do_not_fit_the_model_and_folders_of_waves_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, model) = (dir.path(), model(dir.path()));
    waves(&dir.join("waves"));
    let fails = |cfg: &CorpusConfig| {
        run(cfg, &model, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string()
    };
    let text = fails(&CorpusConfig { out: dir.join("waves"), ..config(dir, "x") });
    assert!(text.contains("a new folder, or one of embeddings"), "{text}");
    let cfg = config(dir, "emb");
    whole(&cfg, &model);
    let text = fails(&CorpusConfig { source: cfg.out.clone(), ..config(dir, "y") });
    assert!(text.contains("waves at 24000 Hz"), "{text}");
}

/// Vectors of every track of a set, in order.
fn vectors(dir: &Path) -> Vec<Vec<f32>> {
    let index = Index::open(dir).unwrap();
    let reader = Reader::new(&index);
    let read = |n: usize| {
        let mut out = vec![0.0; (reader.steps(n) * 32) as usize];
        reader.read(n, 0, &mut out).unwrap();
        out
    };
    (0..index.tracks().count()).map(read).collect()
}

#[test]
fn a_padded_end_is_a_window_of_its_own_filled_with_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path());
    let cfg = EmbedConfig { window_s: Some(1.0), pad: true, ..EmbedConfig::default() };
    let embedder = Embedder::new(&model, &cfg).unwrap();
    let wave: Vec<f32> = (0..36_000).map(|t| (t as f32 * 0.02).sin() * 0.3).collect();
    let mut padded = wave.clone();
    padded.resize(48_000, 0.0);
    assert_eq!([1, 24_000, 24_001, 36_000].map(|n| embedder.windows(n)), [1, 1, 2, 2]);
    let made = embedder.run(&[&wave, &padded]).unwrap();
    assert_eq!(made[0], made[1]);
}

#[test]
fn a_deformed_corpus_has_embeddings_of_its_deformed_waves_and_another_identity() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, model) = (dir.path(), model(dir.path()));
    waves(&dir.join("waves"));
    let deform = |id: &str, by: f32| {
        let apply = move |_: &str, _: u32, wave: &mut [f32]| wave.iter_mut().for_each(|x| *x *= by);
        Some(Deform { id: id.to_owned(), apply: Arc::new(apply) })
    };
    let clean = config(dir, "clean");
    whole(&clean, &model);
    let one = CorpusConfig { deform: deform("gain 1", 1.0), ..config(dir, "one") };
    whole(&one, &model);
    assert_eq!(vectors(&clean.out), vectors(&one.out));
    let digest = |dir: &Path| Index::open(dir).unwrap().spec().config_digest.clone();
    assert_ne!(digest(&clean.out), digest(&one.out));
    let tenth = CorpusConfig { deform: deform("gain 0.1", 0.1), ..config(dir, "one") };
    assert_eq!(whole(&tenth, &model).reused, 0);
    assert_ne!(vectors(&clean.out), vectors(&one.out));
}

/// Tolerances are those of the fixtures' READMEs.
#[test]
fn models_made_for_one_length_get_windows_of_it_and_give_the_published_embedding() {
    let cases = [
        ("samplecnn", r#"{"channels": 16}"#, "clmr/weights", "clmr/encoder", 59_049, 8e-6),
        (
            "ast",
            r#"{"preset": "limited", "dim": 48, "layers": 2, "heads": 4, "image_classes": 7}"#,
            "ast/seed2_weights",
            "ast/seed2_wave",
            81_866,
            3e-5,
        ),
    ];
    for (name, sizes, weights, file, window, atol) in cases {
        let dir = tempfile::tempdir().unwrap();
        let config = BackboneConfig::from_json(name, sizes).unwrap();
        let weights = fixture(&format!("{weights}.safetensors"));
        import(&config, &weights, None, &dir.path().join("model")).unwrap();
        let model = Pretrained::open(&dir.path().join("model"), Device::Cpu).unwrap();
        let embedder = Embedder::new(&model, &EmbedConfig::default()).unwrap();
        let file = TensorFile::open(&fixture(&format!("{file}.safetensors"))).unwrap();
        let wave = Vec::<f32>::try_from(file.tensor("in.wav").unwrap().flatten(0, -1)).unwrap();
        let want = Vec::<f32>::try_from(file.tensor("out.embedding").unwrap().get(0)).unwrap();
        assert_eq!(wave.len(), window, "{name}");
        // a rest is left out, and a short wave is filled up with zeros
        let longer = [wave.as_slice(), &wave[..30_000]].concat();
        let mut filled = wave[..40_000].to_vec();
        filled.resize(window, 0.0);
        let made = embedder.run(&[&longer, &wave[..40_000], &filled]).unwrap();
        assert_eq!((made[0].frames, made[1].frames), (1, 1), "{name}");
        let gap =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let off = gap(&made[0].data, &want);
        assert!(off <= atol, "{name}: off by {off:e}, tolerance {atol:e}");
        assert!(gap(&made[1].data, &made[2].data) <= 1e-6, "{name}");
    }
}
