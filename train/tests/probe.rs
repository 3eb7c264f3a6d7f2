//! A probe on stored embeddings learns through the same trainer as everything else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use etude_eval::embed::{self, CorpusConfig, EmbedConfig, Pool};
use etude_models::{BackboneConfig, Pretrained, import};
use etude_shards::Number;
use etude_train::{Ending, Row, RunDir, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;

struct Losses(Vec<f64>);

impl etude_train::Log for Losses {
    fn row(&mut self, row: &Row) {
        if let Row::Step { loss, .. } = row {
            self.0.push(*loss);
        }
    }

    fn pace(&mut self, _: &etude_train::Pace) {}
}

#[test]
fn the_loss_of_a_linear_probe_on_embeddings_of_musicfm_falls() {
    let _turn = common::turn();
    tch::set_num_threads(1);
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    common::corpus_at(dir, [48, 16, 16], "tones-24k", 24_000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/musicfm");
    let text = std::fs::read_to_string(fixtures.join("config.json")).unwrap();
    let config = BackboneConfig::from_json("musicfm", &text).unwrap();
    import(&config, &fixtures.join("weights.safetensors"), None, &dir.join("model")).unwrap();
    let model = Pretrained::open(&dir.join("model"), tch::Device::Cpu).unwrap();
    for (name, pool) in [("tones-mfm.mean", Pool::Mean), ("tones-mfm.5hz", Pool::Rate(5.0))] {
        let cfg = CorpusConfig {
            source: dir.join("shards/tones-24k"),
            out: dir.join("shards").join(name),
            view: None,
            number: Number::F32,
            embed: EmbedConfig { pool, ..EmbedConfig::default() },
            deform: None,
        };
        embed::run(&cfg, &model, &mut |_| (), &AtomicBool::new(false)).unwrap();
        let exp = common::experiment(
            dir,
            &[
                &format!("data.shards={name}"),
                "data.crop={ kind = 'whole' }",
                "model.backbone={ name = 'identity', dim = 32 }",
                "model.head={ kind = 'linear' }",
                "tuning={ method = 'probe' }",
                "optim.lr=0.02",
                "trainer.epochs=10",
            ],
        );
        let run_dir = RunDir::create(&dir.join(format!("run-{name}"))).unwrap();
        let mut log = Losses(Vec::new());
        let outcome = run(&exp, &run_dir, &mut log, &AtomicBool::new(false)).unwrap();
        assert_eq!(outcome.ending, Ending::Done);
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&log.0[..6]), mean(&log.0[log.0.len() - 6..]));
        println!("{name}: {first} -> {last}");
        assert!(last < 0.9 * first, "{name}: {first} became {last}");
        assert!(outcome.kept[0].scores["ROC-AUC"] > 0.6, "{:?}", outcome.kept[0].scores);
    }
    // the shards must hold what the backbone takes
    let wrong = common::experiment(
        dir,
        &[
            "data.shards=tones-mfm.mean",
            "model.backbone={ name = 'identity', dim = 31 }",
            "model.head={ kind = 'linear' }",
            "data.crop={ kind = 'whole' }",
        ],
    );
    let run_dir = RunDir::create(&dir.join("run-wrong")).unwrap();
    let text = run(&wrong, &run_dir, &mut (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(text.contains("31") && text.contains("32"), "{text}");
}
