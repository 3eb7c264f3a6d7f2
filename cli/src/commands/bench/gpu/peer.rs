//! The same training step in Python: torch, transformers, peft.

use super::{Args, Case};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What the script said.
pub struct Peer {
    pub clips_s: f64,
    /// 2^20 bytes.
    pub memory_mib: Option<f64>,
    /// Its own lines.
    pub text: String,
}

/// Runs `train_peers.py` on the same device with the same batch.
pub fn run(args: &Args, python: &Path, case: &Case) -> Result<Peer> {
    let device = match etude_aten::device(&args.device)? {
        tch::Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    };
    let mut command = Command::new(python);
    command.arg(&args.peer_script).arg(case.peer).args(["--dtype", "bf16", "--device", &device]);
    for (flag, value) in
        [("--batch", args.batch), ("--steps", args.steps), ("--warm", args.warmup.max(1))]
    {
        command.arg(flag).arg(value.to_string());
    }
    if args.tiny {
        command.arg("--tiny");
    }
    let what = format!("{} {}", python.display(), args.peer_script.display());
    let out = command.output().with_context(|| what.clone())?;
    let (text, error) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        let last = error.trim().lines().next_back().unwrap_or_default();
        bail!("{what}: {}: {last}", out.status);
    }
    parse(&text).with_context(|| format!("{what}: expected a line `N clips/s, …`, got {text:?}"))
}

fn parse(text: &str) -> Option<Peer> {
    let before = |unit: &str| {
        let (head, _) = text.split_once(unit)?;
        head.split_whitespace().next_back()?.parse::<f64>().ok()
    };
    let memory_mib = text.split_once("peak GPU memory ").and_then(|(_, rest)| {
        rest.split_whitespace().next().and_then(|number| number.parse().ok())
    });
    Some(Peer { clips_s: before(" clips/s")?, memory_mib, text: text.trim().to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn speed_and_memory_are_read_from_what_the_script_prints() {
        let text = "# musicfm\nstep 0.211 s\n75.829 clips/s, 2208.4 s audio/s, peak RSS 3100 MB, peak GPU memory 20480 MiB\n";
        let peer = parse(text).unwrap();
        assert_eq!((peer.clips_s, peer.memory_mib), (75.829, Some(20_480.0)));
        assert_eq!(parse("2.5 clips/s, peak RSS 9 MB").unwrap().memory_mib, None);
        assert!(parse("Traceback").is_none());
    }
}
