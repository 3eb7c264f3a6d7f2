//! `etude merge`: a tuned model as one plain network.

use crate::commands::train::RunArgs;
use crate::ui::{Ui, exit};
use anyhow::Result;
use etude_train::Trained;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `etude merge`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Where model.safetensors and config.json go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Folds the best state of a run into its base weights.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    etude_aten::cuda_init();
    let trained = Trained::open(&args.run.dir()?, &args.run.sets)?;
    let (model, exp) = (&trained.model, &trained.experiment);
    let count = etude_models::weights::merge(model, &exp.model, &exp.tuning, &args.out)?;
    let (out, method) = (args.out.display(), exp.tuning.name());
    let text = format!(
        "{out}: {count} tensors, {method} folded in, the state of step {}\n\
         next  in an experiment: model.weights = \"{out}\", and head_weights = true to keep its head",
        trained.step
    );
    let value = json!({
        "out": args.out, "tensors": count, "method": method, "step": trained.step,
        "classes": trained.task()?.classes(),
    });
    ui.result(&text, &value)?;
    Ok(exit(false))
}
