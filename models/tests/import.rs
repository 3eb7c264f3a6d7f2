//! Published files into ours: PyTorch archives as published, safetensors, foreign and damaged files.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::fs;

use common::{fixture, open};
use etude_models::vggish::{self, Preset};
use etude_models::weights::{TensorFile, WeightFile, import};
use etude_models::{BackboneConfig, Error, musicfm};

fn musicfm(layers: Option<usize>) -> BackboneConfig {
    let json = fs::read_to_string(fixture("musicfm/config.json")).unwrap();
    let mut cfg = musicfm::Config::from_json(&json).unwrap();
    cfg.layers = layers.unwrap_or(cfg.layers);
    BackboneConfig::MusicFm(cfg)
}

#[test]
fn the_published_archive_becomes_the_same_weights_under_the_published_names() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("checkpoints/tiny");
    let archive = fixture("musicfm/pretrained_tiny.pt");
    let report = import(&musicfm(None), &archive, &out).unwrap();
    assert!(report.fits() && report.matched == 125 && report.skipped.is_empty(), "{report}");
    let (ours, want) = (
        TensorFile::open(&out.join("model.safetensors")).unwrap(),
        open("musicfm/weights.safetensors"),
    );
    assert_eq!(ours.names(), want.names());
    for name in ours.names() {
        // counts of batches are floats in the archive and whole numbers here
        let (got, want) = (ours.tensor(&name).unwrap(), want.tensor(&name).unwrap());
        assert_eq!(got.kind(), want.kind(), "{name}");
        assert!(got.equal(&want), "{name}");
    }
    assert_eq!(ours.metadata()["backbone"], "musicfm");
    assert_eq!(ours.metadata()["original_blake3"].len(), 64);
    let first = fs::read(out.join("model.safetensors")).unwrap();
    import(&musicfm(None), &archive, &out).unwrap();
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), first);
}

#[test]
fn a_published_classifier_stays_with_its_backbone() {
    let dir = tempfile::tempdir().unwrap();
    let vgg = vggish::Config { preset: Preset::Ccml, channels: 4, input: None };
    let report =
        import(&BackboneConfig::Vggish(vgg), &fixture("vggish/weights.safetensors"), dir.path())
            .unwrap();
    assert_eq!((report.matched, report.skipped.len()), (63, 2));
    let ours = TensorFile::open(&dir.path().join("model.safetensors")).unwrap();
    assert_eq!(ours.names(), open("vggish/weights.safetensors").names());
}

#[test]
fn another_size_is_refused_with_every_name_that_does_not_fit_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x");
    let archive = fixture("musicfm/pretrained_tiny.pt");
    let Error::Names(report) = import(&musicfm(Some(3)), &archive, &out).unwrap_err() else {
        panic!()
    };
    assert_eq!((report.missing.len(), report.extra.len()), (34, 0));
    let vgg = BackboneConfig::Vggish(vggish::Config::preset(Preset::Ccml));
    let Error::Names(report) = import(&vgg, &archive, &out).unwrap_err() else { panic!() };
    assert_eq!((report.missing.len(), report.extra.len()), (61, 125));
    assert!(!out.exists());
}

#[test]
fn damaged_and_foreign_files_are_errors_that_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pt");
    let whole = fs::read(fixture("musicfm/pretrained_tiny.pt")).unwrap();
    let texts = [
        &b""[..],
        b"PK",
        b"<html>not found</html>",
        &whole[..whole.len() / 2],
        &[0x80, 0x02, b'.'],
    ];
    for bytes in texts {
        fs::write(&path, bytes).unwrap();
        let text = WeightFile::open(&path).unwrap_err().to_string();
        assert!(text.contains("w.pt: "), "{text}");
    }
    let mut flipped = whole.clone();
    let at = whole.windows(4).position(|w| w == b"data").unwrap() + 400_000;
    flipped[at] ^= 0x10;
    fs::write(&path, &flipped).unwrap();
    let read = WeightFile::open(&path).and_then(|f| {
        f.names().iter().map(|n| f.tensor(n).map(|_| ())).collect::<Result<Vec<_>, _>>()
    });
    assert!(read.unwrap_err().to_string().contains("w.pt: "), "a flipped bit goes unseen");
}
