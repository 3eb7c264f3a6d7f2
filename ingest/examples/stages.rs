//! Both data stages from a config: `cargo run --example stages -- ingest|shards CONFIG.toml [KEY=VALUE…]`.
//!
//! Prints the report, or the error. The tests kill this process at random moments.

use etude_ingest::{Config, Result, stage};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [stage, config, sets @ ..] = args.as_slice() else {
        eprintln!("stages ingest|shards CONFIG.toml [KEY=VALUE…]");
        return ExitCode::from(2);
    };
    match run(stage, Path::new(config), sets) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run(stage: &str, config: &Path, sets: &[String]) -> Result<etude_ingest::Report> {
    let config = Config::read(config, sets)?;
    let stop = AtomicBool::new(false);
    match stage {
        "ingest" => stage::tables::run(&config, &(), &stop),
        _ => stage::pack::run(&config, &(), &stop),
    }
}
