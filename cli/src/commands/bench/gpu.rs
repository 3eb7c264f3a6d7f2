//! The training runs people rent a GPU for, at full size, from random weights and made-up audio: what it takes to decide
//! on a machine, in one command. Beside it the same work in Python where there is one with torch.

mod parity;
mod peer;
mod report;

use super::made_up;
use super::train::{Speed, measure};
use crate::ui::{Ui, exit};
use anyhow::{Context, Result};
use report::{Machine, Report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `etude bench gpu`.
#[derive(clap::Args)]
pub struct Args {
    /// Where gpu.md and gpu.json go
    #[arg(long, value_name = "DIR", default_value = "benches/results")]
    out: PathBuf,
    /// Device: auto, cuda, cuda:1, cpu
    #[arg(long, default_value = "auto")]
    device: String,
    /// Steps that count
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Steps before those
    #[arg(long, default_value_t = 5)]
    warmup: usize,
    /// Clips per batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Small networks and short clips: proves in seconds, on any machine, that the command works
    #[arg(long)]
    tiny: bool,
    /// Published tensors for the comparison of numbers
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    fixtures: PathBuf,
    /// Python with torch, torchaudio, transformers and peft: measures the same there
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
    /// What that Python runs
    #[arg(long, value_name = "FILE", default_value = "benches/peers/train_peers.py")]
    peer_script: PathBuf,
    /// Where the audio is made, and removed again
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// One network as it is tuned in the PEFT study.
struct Case {
    /// For people.
    name: &'static str,
    /// Name in `train_peers.py`.
    peer: &'static str,
    /// The experiment of the study.
    config: &'static str,
    /// The same network for `--tiny`.
    tiny: &'static str,
    /// Samples of a crop with `--tiny`; the whole clip otherwise where the study takes it.
    tiny_crop: Option<i64>,
    /// Operations per second of audio, 10^9: forward, and backward through the encoder for the gradients of its inputs.
    gflop: f64,
    /// Seconds of a training crop.
    crop_s: f64,
}

/// Seconds of a clip.
const CLIP_S: f64 = 29.124;
/// Seconds of a clip with `--tiny`.
const TINY_CLIP_S: f64 = 1.0;

/// Costs: 27.3 (convolutions) + 2 x 7.7 (six conformer layers) for MusicFM, 7.4 (convolutions) + 2 x 7.6 (six
/// transformer layers) for MERT, counted with two operations per multiply-add; gradients of the few tuned weights
/// are left out.
const CASES: [Case; 2] = [
    Case {
        name: "MusicFM, LoRA rank 2",
        peer: "musicfm",
        config: include_str!("../../../../configs/peft/mtat/musicfm_lora.toml"),
        tiny: "{ name = 'musicfm', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 4, codebook_size = 24 }",
        tiny_crop: None,
        gflop: 27.3 + 2.0 * 7.7,
        crop_s: CLIP_S,
    },
    Case {
        name: "MERT-95M, adapters of 16",
        peer: "mert",
        config: include_str!("../../../../configs/peft/mtat/mert95m_adapter.toml"),
        tiny: "{ name = 'mert', layers = 2, dim = 32, inner = 64, heads = 4, conv_channels = 16 }",
        tiny_crop: Some(12_000),
        gflop: 7.4 + 2.0 * 7.6,
        crop_s: 5.0,
    },
];

/// Measures, prints, and writes `gpu.md` and `gpu.json`.
pub fn run(args: &Args, ui: &Ui) -> Result<ExitCode> {
    crate::commands::begin();
    let device = etude_aten::device(&args.device)?;
    let machine = Machine::look(device)?;
    let dir = args.scratch.join(format!("etude-bench-gpu-{}", std::process::id()));
    let measured = cases(args, &dir);
    let _ = std::fs::remove_dir_all(&dir);
    let report = Report {
        machine,
        tiny: args.tiny,
        batch: args.batch,
        steps: args.steps,
        rows: measured?,
        parity: parity::compare(&args.fixtures, device)?,
    };
    let (text, value) = (report.markdown(), report.json());
    write(&args.out.join("gpu.md"), &text)?;
    write(&args.out.join("gpu.json"), &(serde_json::to_string_pretty(&value)? + "\n"))?;
    ui.result(&text, &value)?;
    Ok(exit(false))
}

fn cases(args: &Args, dir: &Path) -> Result<Vec<report::Row>> {
    let clip_s = if args.tiny { TINY_CLIP_S } else { CLIP_S };
    // an epoch is a few steps, and the next one begins with another order
    made_up::write(dir, 8 * args.batch.max(2), clip_s)?;
    CASES.iter().map(|case| row(args, dir, case)).collect()
}

fn row(args: &Args, dir: &Path, case: &Case) -> Result<report::Row> {
    let exp = experiment(args, dir, case).context(case.name)?;
    let Speed { times, stall, memory, losses, attention, .. } =
        measure(exp, args.warmup, args.steps).context(case.name)?;
    let peer = match &args.peers {
        Some(python) => Some(peer::run(args, python, case)?),
        None => None,
    };
    let crop_s = match (args.tiny, case.tiny_crop) {
        (false, _) => case.crop_s,
        (true, None) => TINY_CLIP_S,
        (true, Some(samples)) => samples as f64 / 24_000.0,
    };
    let gflop = (!args.tiny).then_some(case.gflop);
    let name = case.name;
    Ok(report::Row { name, crop_s, gflop, times, stall, memory, losses, attention, peer })
}

/// The study's experiment on made-up audio and from random weights.
fn experiment(args: &Args, dir: &Path, case: &Case) -> Result<etude_train::Experiment> {
    let mut sets =
        vec![format!("data.batch={}", args.batch), format!("run.device={}", args.device)];
    if args.tiny {
        sets.push(format!("model.backbone={}", case.tiny));
        if let Some(samples) = case.tiny_crop {
            sets.push(format!("data.crop.steps={samples}"));
        }
    }
    made_up::experiment((case.name, case.config), dir, args.warmup + args.steps + 1, &sets)
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    let done = std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(&part, text))
        .and_then(|()| std::fs::rename(&part, path));
    done.with_context(|| path.display().to_string())
}
