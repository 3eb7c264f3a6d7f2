//! `etude import`: a published checkpoint becomes a folder that experiments and `etude embed` use.

use crate::ui::{FAILED, Ui, exit};
use anyhow::{Context, Result};
use clap::ValueEnum;
use etude_models::{BackboneConfig, Error, LoadReport};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Names shown of each kind; `--json` has all of them.
const SHOWN: usize = 12;

/// Published models.
#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// 25 Hz conformer, 330 million parameters
    #[value(name = "musicfm")]
    MusicFm,
    /// 75 Hz transformer, 95 or 330 million parameters
    Mert,
    /// Short-chunk CNN
    Vggish,
    /// Wide and tall convolutions on a mel image
    Musicnn,
    /// Convolutions on the wave; a CLMR checkpoint
    #[value(name = "samplecnn")]
    SampleCnn,
    /// Transformer on patches of a mel image: AST under its own or Hugging Face's names, or DeiT on ImageNet
    Ast,
    /// Masked autoencoder on mel frames
    Tmae,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Name::MusicFm => "musicfm",
            Name::Mert => "mert",
            Name::Vggish => "vggish",
            Name::Musicnn => "musicnn",
            Name::SampleCnn => "samplecnn",
            Name::Ast => "ast",
            Name::Tmae => "tmae",
        }
    }
}

/// Arguments of `etude import`.
#[derive(clap::Args)]
pub struct Args {
    /// What the file is
    model: Name,
    /// Published checkpoint: .pt, .pth, .bin or .safetensors. It is read, nothing in it is ever run
    file: PathBuf,
    /// Folder for model.safetensors and config.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// MusicFM: mean and deviation of its training set; a stats.json beside FILE is found by itself
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// Sizes, in the JSON published beside the checkpoint; the published model's when left out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which of the published models: 95m or 330m (mert), limited or ccml (vggish, musicnn; also ccml_fixed, sota), ccml
    /// or limited_fixed (ast)
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    preset: Option<String>,
    /// Keep the first N encoder layers
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// AST: mel frames of an input; positions are fitted to them
    #[arg(long, value_name = "N")]
    frames: Option<i64>,
}

/// Compares every name and shape, then writes; a file that does not fit is told name by name, and nothing is written.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let config = config(&args)?;
    let (report, error) =
        match etude_models::import(&config, &args.file, args.stats.as_deref(), &args.out) {
            Ok(report) => (report, None),
            Err(Error::Names(report)) => {
                let text = format!("{} is not this {}", args.file.display(), args.model.text());
                (*report, Some(text))
            }
            Err(e) => return Err(e.into()),
        };
    let mut value = serde_json::to_value(&report)?;
    value["model"] = json!(args.model.text());
    value["fits"] = json!(report.fits());
    value["out"] = json!(args.out);
    let mut text = table(&report);
    let Some(error) = error else {
        if let Name::MusicFm = args.model {
            let own = args.out.join("stats.json").exists();
            value["own_statistics"] = json!(own);
            text += match own {
                true => "\nstatistics    stats.json\n",
                false => {
                    "\nstatistics    the Million Song Dataset's; for another checkpoint give its own with --stats\n"
                }
            };
        }
        let out = args.out.display();
        let _ = write!(
            text,
            "\nmodel folder  {out}\nnext          etude embed --model {out} --out song.npy SONG\n\
             \u{20}             model.weights = \"{out}\" in an experiment"
        );
        ui.result(&text, &value)?;
        return Ok(exit(false));
    };
    ui.result(&text, &value)?;
    eprintln!("error: {error}: {}", hint(&args));
    Ok(ExitCode::from(FAILED))
}

fn config(args: &Args) -> Result<BackboneConfig> {
    let name = args.model.text();
    let config = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            BackboneConfig::from_json(name, &text).with_context(|| path.display().to_string())?
        }
        None => BackboneConfig::published(name, args.preset.as_deref())?,
    };
    let config = match args.frames {
        Some(frames) => config.with_frames(frames)?,
        None => config,
    };
    Ok(match args.layers {
        Some(layers) => config.with_layers(layers)?,
        None => config,
    })
}

fn hint(args: &Args) -> &'static str {
    match (&args.config, args.model) {
        (Some(_), _) => "the names above do not fit the sizes given with --config",
        (None, Name::Mert) => {
            "the names above do not fit the published model; try --preset 330m, or give its sizes with --config"
        }
        (None, _) => {
            "the names above do not fit the published model; give its sizes with --config, or import it as another model"
        }
    }
}

/// Counts, aligned, and below each the first of its names.
fn table(report: &LoadReport) -> String {
    let misshapen: Vec<String> = report
        .misshapen
        .iter()
        .map(|m| format!("{}  expected {:?}, got {:?}", m.name, m.expected, m.got))
        .collect();
    let mut text = format!("{}\n", report.source.display());
    let _ = writeln!(text, "  {:<10}{:>6}", "matched", report.matched);
    for (kind, names) in [
        ("missing", &report.missing),
        ("extra", &report.extra),
        ("misshapen", &misshapen),
        ("left out", &report.skipped),
    ] {
        let _ = writeln!(text, "  {kind:<10}{:>6}", names.len());
        for name in names.iter().take(SHOWN) {
            let _ = writeln!(text, "  {:<18}{name}", "");
        }
        if names.len() > SHOWN {
            let _ = writeln!(text, "  {:<18}and {} more", "", names.len() - SHOWN);
        }
    }
    text
}
