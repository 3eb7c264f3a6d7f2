//! `etude export`: what a run tuned, in the layout of another library.

use crate::commands::train::RunArgs;
use crate::ui::{Ui, exit};
use anyhow::Result;
use etude_train::Trained;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude export`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// peft: adapter_config.json and adapter_model.safetensors as huggingface/peft reads them
    #[arg(long)]
    format: Format,
    /// Where the files go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The layouts there are.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Peft,
}

/// Writes the best state of a run.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    etude_aten::cuda_init();
    let trained = Trained::open(&args.run.dir()?, &args.run.sets)?;
    let (model, tuning) = (&trained.model, &trained.experiment.tuning);
    let layers = match args.format {
        Format::Peft => etude_models::weights::peft::write(model, tuning, &args.out)?,
    };
    let text = format!(
        "{}: {} on {layers} layers, the state of step {}\n\
         next  peft.PeftModel.from_pretrained(base, {:?}); the head is in head.safetensors",
        args.out.display(),
        tuning.name(),
        trained.step,
        args.out
    );
    let value = json!({
        "out": args.out, "layers": layers, "method": tuning.name(), "step": trained.step,
        "classes": trained.task()?.classes(),
    });
    ui.result(&text, &value)?;
    Ok(exit(false))
}
