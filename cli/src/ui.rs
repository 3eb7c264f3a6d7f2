//! What the user sees: progress on stderr, results on stdout, errors as a chain, and a clean end on Ctrl-C.

use anyhow::{Context, Result};
use std::io::Write;
use std::process::ExitCode;
#[cfg(any(feature = "data", feature = "torch"))]
use std::sync::{Arc, atomic::AtomicBool};

/// Exit code: done.
pub const DONE: u8 = 0;
/// Exit code: done, with refused inputs above the allowed share.
pub const REFUSED: u8 = 1;
/// Exit code: failed.
pub const FAILED: u8 = 2;

/// How to talk to the user.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Results as JSON on stdout.
    pub json: bool,
    /// No progress.
    #[cfg_attr(
        not(any(feature = "data", feature = "torch")),
        allow(dead_code, reason = "what is left then shows no progress")
    )]
    pub quiet: bool,
}

impl Ui {
    /// Prints a result: `text` for people, `value` for programs.
    pub fn result(&self, text: &str, value: &serde_json::Value) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)
        } else {
            writeln!(out, "{}", text.trim_end())
        };
        match written.and_then(|()| out.flush()) {
            // `etude … | head` is no error.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write the result to stdout"),
        }
    }
}

/// `ExitCode` of a finished command.
pub fn exit(refused_above_limit: bool) -> ExitCode {
    ExitCode::from(if refused_above_limit { REFUSED } else { DONE })
}

/// Prints an error and what caused it, one cause a line, none of them twice.
pub fn print_error(error: &anyhow::Error) {
    let mut said = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        if said.contains(&text) {
            continue; // some errors carry their source in their own text
        }
        eprintln!("{}{text}", if depth == 0 { "error: " } else { "  because: " });
        said.push_str(&text);
    }
}

/// A flag that Ctrl-C and SIGTERM raise. The second signal ends the process at once.
#[cfg(any(feature = "data", feature = "torch"))]
pub fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}
