//! `etude`: from a folder of music to a scored model. Parses the command line, runs one command, prints the error chain.

mod commands;
#[cfg(feature = "data")]
mod progress;
#[cfg(feature = "torch")]
mod train_log;
mod ui;

use clap::Parser;
use std::process::ExitCode;

/// From a folder of music as downloaded to a scored, parameter-efficiently tuned music foundation model.
#[derive(Parser)]
#[command(name = "etude", version, max_term_width = 100)]
struct Cli {
    /// Print the result as JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Draw no progress
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Libraries speak only when asked: what matters of their complaints is in the reports.
    let filter = std::env::var("ETUDE_LOG").unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .init();
    let ui = ui::Ui { json: cli.json, quiet: cli.quiet };
    match cli.command.run(&ui) {
        Ok(code) => code,
        Err(error) => {
            ui::print_error(&error);
            ExitCode::from(ui::FAILED)
        }
    }
}
