//! How far this device is from the published numbers, in float32 and in bfloat16, on the small networks of the fixtures.

use anyhow::{Context, Result};
use etude_aten::Autocast;
use etude_models::weights::TensorFile;
use etude_models::{BackboneConfig, Layer, Pretrained, import};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Largest distance to the published last hidden state, as a share of its largest value.
pub struct Parity {
    pub model: &'static str,
    pub f32: f64,
    pub bf16: f64,
}

/// Name in a configuration, folder, file with input, name of the last hidden state.
const MODELS: [(&str, &str, &str, &str); 3] = [
    ("musicfm", "musicfm", "musicfm/input.safetensors", "hidden_2"),
    ("mert", "mert/base", "mert/input.safetensors", "last_hidden"),
    ("mert", "mert/large", "mert/input.safetensors", "last_hidden"),
];

/// `None` where the fixtures are not.
pub fn compare(fixtures: &Path, device: Device) -> Result<Option<Vec<Parity>>> {
    if !fixtures.join("musicfm/config.json").is_file() {
        return Ok(None);
    }
    let one = |(name, folder, input, key): (&str, &'static str, &str, &str)| {
        let dir = fixtures.join(folder);
        let tensor = |file: &Path, name: &str| -> Result<Tensor> {
            Ok(TensorFile::open(file)?.tensor(name)?)
        };
        let want = tensor(&dir.join("expected.safetensors"), key)?;
        let wave = tensor(&fixtures.join(input), "wav")?.to_device(device);
        let model = open(name, &dir, device)?;
        let gap = || -> Result<f64> {
            let got = model.hidden(&wave, Layer::Last)?.to_device(Device::Cpu);
            let gap = (got.to_kind(Kind::Float) - &want).abs().max().double_value(&[]);
            Ok(gap / want.abs().max().double_value(&[]))
        };
        let exact = gap()?;
        let _mixed = Autocast::bf16(device)?;
        Ok(Parity { model: folder, f32: exact, bf16: gap()? })
    };
    MODELS.into_iter().map(one).collect::<Result<_>>().map(Some)
}

/// The network of a fixture, through a model folder as `etude import` makes it.
fn open(name: &str, dir: &Path, device: Device) -> Result<Pretrained> {
    let config = dir.join("config.json");
    let text = std::fs::read_to_string(&config).with_context(|| config.display().to_string())?;
    let out = std::env::temp_dir().join(format!("etude-bench-model-{}", std::process::id()));
    let backbone = BackboneConfig::from_json(name, &text)?;
    let model = import(&backbone, &dir.join("weights.safetensors"), None, &out)
        .and_then(|_| Pretrained::open(&out, device));
    let _ = std::fs::remove_dir_all(&out);
    Ok(model?)
}
