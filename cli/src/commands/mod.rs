//! One file per command: read the arguments, run a stage, print its result.

#[cfg(feature = "data")]
mod audio;
mod bench;
mod check;
#[cfg(feature = "data")]
mod demo;
mod doctor;
#[cfg(all(feature = "data", feature = "torch"))]
mod embed;
#[cfg(feature = "torch")]
mod eval;
#[cfg(feature = "torch")]
mod export;
#[cfg(feature = "torch")]
mod import;
#[cfg(feature = "inspect")]
mod inspect;
#[cfg(feature = "data")]
mod mel;
#[cfg(feature = "torch")]
mod merge;
#[cfg(feature = "data")]
mod resample;
#[cfg(feature = "torch")]
mod score;
#[cfg(feature = "data")]
mod stage;
#[cfg(all(feature = "data", feature = "torch"))]
mod study;
#[cfg(feature = "torch")]
mod sweep;
#[cfg(feature = "torch")]
mod table;
#[cfg(all(feature = "data", feature = "torch"))]
mod tag;
#[cfg(feature = "torch")]
mod train;

use crate::ui::Ui;
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// What `etude` can do.
#[derive(Subcommand)]
pub enum Command {
    /// Synthesise a small tagged music corpus in MagnaTagATune's layout
    #[cfg(feature = "data")]
    Demo(demo::Args),
    /// Decode every file of a corpus once; write tracks, views and splits
    #[cfg(feature = "data")]
    Ingest(stage::Args),
    /// Decode, resample and write Parquet shards
    #[cfg(feature = "data")]
    Shards(stage::Args),
    /// Look into manifests, shards, runs: counts, label histograms, statuses, leaks, SQL
    #[cfg(feature = "inspect")]
    Inspect(inspect::Args),
    /// Verify manifests or shards: digests, schema, order, leaks
    Check(check::Args),
    /// Train an experiment
    #[cfg(feature = "torch")]
    Train(train::Args),
    /// Score a run
    #[cfg(feature = "torch")]
    Eval(eval::Args),
    /// Turn a published checkpoint into a model folder; nothing in the file is ever run
    #[cfg(feature = "torch")]
    Import(import::Args),
    /// What a trained model hears in audio files
    #[cfg(all(feature = "data", feature = "torch"))]
    Tag(tag::Args),
    /// Fold what a run tuned into its base weights
    #[cfg(feature = "torch")]
    Merge(merge::Args),
    /// What a run tuned, in the layout of another library
    #[cfg(feature = "torch")]
    Export(export::Args),
    /// Train and score many experiments, one after the other; what is done is left alone
    #[cfg(feature = "torch")]
    Sweep(sweep::Args),
    /// A published study in one go: everything it trains and scores, its figures beside the published ones
    #[cfg(all(feature = "data", feature = "torch"))]
    Study(study::Args),
    /// The rows of a paper beside the published ones, with confidence intervals
    #[cfg(feature = "torch")]
    Table(table::Args),
    /// Hidden states of an imported model: one file, many files, or a whole corpus into shards
    #[cfg(all(feature = "data", feature = "torch"))]
    Embed(embed::Args),
    /// Metrics from tensors `scores` and `labels`
    #[cfg(feature = "torch")]
    Score(score::Args),
    /// The front end of a published model on one file, as .npy
    #[cfg(feature = "data")]
    Mel(mel::Args),
    /// Resample one file the way the pipeline does, to a float32 WAV
    #[cfg(feature = "data")]
    Resample(resample::Args),
    /// What works on this machine, and what to do about what does not
    Doctor(doctor::Args),
    /// Measure speed on this machine and this data
    Bench(bench::Args),
}

/// What commands that compute with networks begin with.
#[cfg(feature = "torch")]
fn begin() {
    etude_aten::host_keep_freed();
    etude_aten::cuda_init();
}

impl Command {
    /// Runs the command; the exit code tells whether too many inputs were refused.
    pub fn run(self, ui: &Ui) -> Result<ExitCode> {
        match self {
            #[cfg(feature = "data")]
            Command::Demo(args) => demo::run(args, ui),
            #[cfg(feature = "data")]
            Command::Ingest(args) => stage::run(args, ui, etude_ingest::stage::tables::run),
            #[cfg(feature = "data")]
            Command::Shards(args) => stage::run(args, ui, etude_ingest::stage::pack::run),
            #[cfg(feature = "inspect")]
            Command::Inspect(args) => inspect::run(args, ui),
            Command::Check(args) => check::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Train(args) => train::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Eval(args) => eval::run(args, ui),
            #[cfg(all(feature = "data", feature = "torch"))]
            Command::Tag(args) => tag::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Merge(args) => merge::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Export(args) => export::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Import(args) => import::run(args, ui),
            #[cfg(all(feature = "data", feature = "torch"))]
            Command::Embed(args) => embed::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Sweep(args) => sweep::run(args, ui),
            #[cfg(all(feature = "data", feature = "torch"))]
            Command::Study(args) => study::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Table(args) => table::run(args, ui),
            #[cfg(feature = "torch")]
            Command::Score(args) => score::run(args, ui),
            #[cfg(feature = "data")]
            Command::Mel(args) => mel::run(args, ui),
            #[cfg(feature = "data")]
            Command::Resample(args) => resample::run(args, ui),
            Command::Doctor(args) => doctor::run(args, ui),
            Command::Bench(args) => bench::run(args, ui),
        }
    }
}
