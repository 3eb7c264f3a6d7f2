//! `etude embed`: hidden states of an imported model, for files or for a whole corpus.

use crate::commands::audio;
use crate::progress::StageBar;
use crate::ui::{Ui, exit, stop_on_signal};
use anyhow::{Context, Result, bail};
use etude_eval::embed::{self, CorpusConfig, EmbedConfig, Embedder, Embedding, Pool, TableFile};
use etude_ingest::{Progress, Resample, Resampler, Step};
use etude_manifests::read_view;
use etude_models::{Input, Pretrained};
use etude_shards::Number;
use npyz::WriterBuilder;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Arguments of `etude embed`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["audio", "view", "shards"])))]
pub struct Args {
    /// Model folder, from `etude import`
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Number of the hidden state, 0 is what enters the first layer; the published embedding when left out
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// What is kept: none (every hidden state), mean, or averages at a rate such as 10hz
    #[arg(long, default_value = "none")]
    pool: Pool,
    /// Length of a window, seconds; what the model was made for when left out, 30 where it takes any
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// Windows that go through the model together
    #[arg(long, default_value_t = EmbedConfig::default().batch)]
    batch: usize,
    /// auto, cpu, cuda, cuda:1
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads inside one operation; all cores when left out
    #[arg(long)]
    threads: Option<usize>,
    /// Resampler to the model's rate, for audio files
    #[arg(long, default_value = "fir", value_parser = audio::resampler)]
    resampler: Resampler,
    /// One audio file: FILE.npy, float32 [T', D]. Any number: FILE.parquet. A corpus: the folder of the new shard set
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Embed the tracks of this view, from its corpus's wave shards at the model's rate
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// Embed these wave shards; with --view, its tracks in them
    #[arg(long, value_name = "DIR")]
    shards: Option<PathBuf>,
    /// Where manifests and shards are
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Store a corpus's embeddings as bfloat16, half the size
    #[arg(long)]
    bf16: bool,
    /// Audio files
    audio: Vec<PathBuf>,
}

/// Opens the model once, then embeds what is asked for.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    if !args.audio.is_empty() && (args.view.is_some() || args.shards.is_some()) {
        bail!(
            "audio files and a corpus: expected one of them; leave out --view and --shards, or the files"
        );
    }
    super::begin();
    if let Some(threads) = args.threads {
        etude_aten::set_threads(threads);
    }
    let begun = Instant::now();
    let model = Pretrained::open(&args.model, etude_aten::device(&args.device)?)?;
    let opened = begun.elapsed();
    let Args { layer, pool, window, batch, .. } = args;
    let cfg = EmbedConfig { layer, pool, window_s: window, batch, pad: false };
    if args.audio.is_empty() {
        corpus(&args, cfg, &model, ui)
    } else {
        files(&args, cfg, (&model, opened), ui)
    }
}

fn corpus(args: &Args, embed: EmbedConfig, model: &Pretrained, ui: &Ui) -> Result<ExitCode> {
    let stop = stop_on_signal()?;
    let view = match &args.view {
        Some(name) => {
            Some(read_view(&args.data.join("manifests").join(format!("{name}.parquet")))?)
        }
        None => None,
    };
    let source = match (&args.shards, &view, model.spec().input) {
        (Some(dir), ..) => dir.clone(),
        (None, Some(view), Input::Wave { rate }) => {
            let rate = etude_ingest::rate_name(rate);
            args.data.join("shards").join(format!("{}-{rate}", view.corpus))
        }
        _ => bail!("{}: expected a model that takes waves", args.model.display()),
    };
    let number = if args.bf16 { Number::Bf16 } else { Number::F32 };
    let cfg = CorpusConfig { source, out: args.out.clone(), view, number, embed, deform: None };
    let bar = StageBar::new(ui);
    let mut done = None;
    let mut progress = |pace: &embed::Pace| {
        let before = *done.get_or_insert_with(|| {
            bar.start("embed", pace.total);
            0
        });
        let tracks = pace.done - before;
        for n in 0..tracks {
            let audio_s = if n == 0 { pace.audio_s } else { 0.0 };
            bar.done(&Step { audio_s, bytes: 0, ok: true });
        }
        done = Some(pace.done);
    };
    let report = embed::run(&cfg, model, &mut progress, &stop);
    bar.finish();
    let report = report?;
    let mut text = report.to_string();
    if let Some(name) = args.out.file_name().and_then(|n| n.to_str()) {
        text += &format!(
            "\nin an experiment: data.shards = \"{name}\", \
             model.backbone = {{ name = \"identity\", dim = {} }}",
            report.dim
        );
    }
    ui.result(&text, &serde_json::to_value(&report)?)?;
    Ok(exit(false))
}

/// Embeds audio files with a model, and how long that took to open.
fn files(
    args: &Args,
    cfg: EmbedConfig,
    (model, opened): (&Pretrained, Duration),
    ui: &Ui,
) -> Result<ExitCode> {
    let embedder = Embedder::new(model, &cfg)?;
    let mut resample = Resample::new(args.resampler);
    let (mut listened, mut computed) = (Duration::ZERO, Duration::ZERO);
    let mut one = |path: &Path| -> Result<Embedding> {
        let begun = Instant::now();
        let pcm = resample.run(audio::read(path)?, embedder.rate())?;
        if embedder.too_short(pcm.samples.len()) {
            bail!(
                "{}: {} samples are too short for an embedding",
                path.display(),
                pcm.samples.len()
            );
        }
        listened += begun.elapsed();
        let begun = Instant::now();
        let mut made = embedder.run(&[&pcm.samples]).with_context(|| path.display().to_string())?;
        computed += begun.elapsed();
        let made = made.pop().context("one wave has one embedding")?;
        if made.data.iter().any(|x| !x.is_finite()) {
            bail!("{}: the embedding is not finite; the weights are damaged", path.display());
        }
        Ok(made)
    };
    let about = json!({
        "out": args.out, "model": model.spec().name, "layer": embedder.layer(), "dim": embedder.dim(),
        "fps": embedder.fps(),
    });
    let what = format!("{}, hidden state {}", model.spec().name, embedder.layer());
    match (args.out.extension().and_then(|e| e.to_str()), args.audio.as_slice()) {
        (Some("npy"), [path]) => {
            let made = one(path)?;
            write_npy(&args.out, &made, embedder.dim())?;
            let text = format!(
                "{}: {} x {} numbers ({what})",
                args.out.display(),
                made.frames,
                embedder.dim()
            );
            let mut value = about;
            value["shape"] = json!([made.frames, embedder.dim()]);
            value["seconds"] = seconds(opened, listened, computed);
            ui.result(&text, &value)?;
            Ok(exit(false))
        }
        (Some("npy"), files) => bail!(
            "{}: a .npy file holds one embedding, got {} audio files; use --out FILE.parquet",
            args.out.display(),
            files.len()
        ),
        (Some("parquet"), files) => {
            let stop = stop_on_signal()?;
            let facts = [
                ("model", model.spec().name.to_owned()),
                ("layer", embedder.layer().to_string()),
                ("fps", embedder.fps().to_string()),
                ("digest", model.digest()?),
            ];
            let mut table = TableFile::create(&args.out, embedder.dim(), &facts)?;
            let bar = StageBar::new(ui);
            bar.start("embed", files.len() as u64);
            let mut refused = Vec::new();
            for path in files {
                if stop.load(Ordering::Relaxed) {
                    bail!("stopped; nothing was written");
                }
                let made = one(path);
                bar.done(&Step { audio_s: 0.0, bytes: 0, ok: made.is_ok() });
                match made {
                    Ok(made) => table.push(&path.display().to_string(), &made)?,
                    Err(e) => refused.push(format!("{e:#}")),
                }
            }
            bar.finish();
            if refused.len() == files.len() {
                bail!("no file could be embedded; the first: {}", refused[0]);
            }
            table.finish()?;
            let stored = files.len() - refused.len();
            let mut text = format!("{}: {stored} files ({what})", args.out.display());
            refused.iter().for_each(|r| text += &format!("\n  refused  {r}"));
            let mut value = about;
            (value["stored"], value["refused"]) = (json!(stored), json!(refused));
            value["seconds"] = seconds(opened, listened, computed);
            ui.result(&text, &value)?;
            Ok(exit(!refused.is_empty()))
        }
        _ => bail!("{}: expected a name ending in .npy or .parquet", args.out.display()),
    }
}

/// Where the time went: opening the model, decoding and resampling, computing.
fn seconds(opened: Duration, listened: Duration, computed: Duration) -> serde_json::Value {
    let [open, audio, compute] = [opened, listened, computed].map(|t| t.as_secs_f64());
    json!({ "open": open, "audio": audio, "compute": compute })
}

fn write_npy(path: &Path, embedding: &Embedding, dim: usize) -> Result<()> {
    audio::write_whole(path, |part| {
        let mut file = BufWriter::new(File::create(part)?);
        let mut npy = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[embedding.frames as u64, dim as u64])
            .writer(&mut file)
            .begin_nd()?;
        npy.extend(embedding.data.iter().copied())?;
        npy.finish()?;
        Ok(file.flush()?)
    })
}
