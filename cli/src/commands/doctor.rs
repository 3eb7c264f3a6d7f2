//! `etude doctor`: what works on this machine, and what to do about what does not.

use crate::ui::{Ui, exit};
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Below this much free space a shard set of a real corpus will not fit, bytes.
const LITTLE_DISK: u64 = 50 << 30;

/// Arguments of `etude doctor`.
#[derive(clap::Args)]
pub struct Args {}

/// One line of the report.
struct Check {
    name: &'static str,
    works: bool,
    found: String,
    /// What to do when it does not work.
    advice: Option<String>,
}

/// Looks at the machine; nothing here is a failure of the command itself.
pub fn run(_: Args, ui: &Ui) -> Result<ExitCode> {
    let checks = checks();
    let mut text = format!("étude {}\n\n", env!("CARGO_PKG_VERSION"));
    for c in &checks {
        let _ = writeln!(text, "{} {:<10} {}", if c.works { "✓" } else { "!" }, c.name, c.found);
        if let Some(advice) = &c.advice {
            let _ = writeln!(text, "  {:<10} {advice}", "");
        }
    }
    let values: Vec<Value> = checks
        .iter()
        .map(|c| json!({"name": c.name, "works": c.works, "found": c.found, "advice": c.advice}))
        .collect();
    ui.result(&text, &json!({"version": env!("CARGO_PKG_VERSION"), "checks": values}))?;
    Ok(exit(false))
}

fn checks() -> Vec<Check> {
    let mut checks = vec![processor(), memory()];
    #[cfg(feature = "torch")]
    checks.extend(torch());
    #[cfg(not(feature = "torch"))]
    checks.push(Check {
        name: "libtorch",
        works: false,
        found: "not built in".into(),
        advice: Some("training and models need the feature `torch`: make build".into()),
    });
    checks.push(codecs());
    checks.push(tables());
    checks.push(disk(Path::new("data")));
    checks
}

fn processor() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_arch = "x86_64")]
    let simd: Vec<&str> = [
        ("AVX2", std::is_x86_feature_detected!("avx2")),
        ("FMA", std::is_x86_feature_detected!("fma")),
        ("AVX-512", std::is_x86_feature_detected!("avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect();
    #[cfg(not(target_arch = "x86_64"))]
    let simd: Vec<&str> = Vec::new();
    let found = format!("{cores} cores, {} {}", std::env::consts::ARCH, simd.join(" "));
    Check { name: "processor", works: true, found, advice: None }
}

fn memory() -> Check {
    let bytes = meminfo("MemAvailable:");
    let works = bytes.is_none_or(|b| b >= 4 << 30);
    Check {
        name: "memory",
        works,
        found: bytes.map_or("unknown".into(), |b| format!("{} available", gib(b))),
        advice: (!works).then(|| "below 4 GiB: lower `batch` and `threads` in the configs".into()),
    }
}

/// One figure of /proc/meminfo, bytes.
fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(feature = "torch")]
fn torch() -> Vec<Check> {
    let facts = match etude_aten::facts() {
        Ok(facts) => facts,
        Err(e) => {
            let advice = "set LIBTORCH to a libtorch 2.11 and build again, or run `make build`";
            return vec![Check {
                name: "libtorch",
                works: false,
                found: e.to_string(),
                advice: Some(advice.into()),
            }];
        }
    };
    let found = format!(
        "{} in {}, {} threads{}",
        facts.version,
        facts.directory.display(),
        facts.threads,
        if facts.onednn { ", oneDNN" } else { "" }
    );
    let libtorch = Check { name: "libtorch", works: true, found, advice: None };
    let cuda = match facts.cuda.why_not {
        None => Check {
            name: "CUDA",
            works: true,
            found: format!(
                "{} device(s){}{}",
                facts.cuda.devices,
                if facts.cuda.cudnn { ", cuDNN" } else { ", no cuDNN" },
                match etude_aten::Staging::new(1).is_ok_and(|memory| memory.refused().is_none()) {
                    true => ", pinned memory",
                    false => ", no pinned memory: batches are copied from ordinary memory",
                }
            ),
            advice: None,
        },
        Some(why) => Check {
            name: "CUDA",
            works: false,
            found: why,
            advice: Some(
                "training runs on the CPU; on a GPU machine: ETUDE_DEVICE=cuda make build".into(),
            ),
        },
    };
    vec![libtorch, cuda]
}

fn codecs() -> Check {
    let mut found = String::new();
    if cfg!(feature = "data") {
        found.push_str("MP3 MP2 MP1 FLAC Vorbis PCM ADPCM");
    }
    if cfg!(feature = "more-codecs") {
        found.push_str(" AAC ALAC (MP4, AIFF)");
    }
    let works = !found.is_empty();
    let advice = if cfg!(feature = "more-codecs") {
        None
    } else {
        Some("AAC, ALAC, MP4 and AIFF: build with `--features more-codecs`".into())
    };
    Check { name: "codecs", works, found, advice }
}

fn tables() -> Check {
    let works = cfg!(feature = "inspect");
    Check {
        name: "inspect",
        works,
        found: if works { "polars" } else { "not built in" }.into(),
        advice: (!works).then(|| "build with the feature `inspect`: make build".into()),
    }
}

fn disk(wanted: &Path) -> Check {
    let here = std::path::absolute(wanted).unwrap_or_else(|_| wanted.to_path_buf());
    let there = here.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let works = free >= LITTLE_DISK;
            Check {
                name: "disk",
                works,
                found: format!("{} free in {}", gib(free), there.display()),
                advice: (!works).then(|| {
                    "MTAT takes 36 GB at 24 kHz, MTG-Jamendo 637 GB; set `data` in the config"
                        .into()
                }),
            }
        }
        Err(e) => Check {
            name: "disk",
            works: false,
            found: format!("{}: {e}", there.display()),
            advice: None,
        },
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
