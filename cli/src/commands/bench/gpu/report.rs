//! The page and the numbers.

use super::super::Row as Rate;
use super::super::train::mib;
use super::parity::Parity;
use super::peer::Peer;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;
use tch::Device;

/// What it ran on.
pub struct Machine {
    pub device: String,
    pub driver: Option<String>,
    pub libtorch: String,
    pub gpu: bool,
    pub cores: usize,
}

impl Machine {
    /// Name and driver of a GPU come from `nvidia-smi`, where there is one.
    pub fn look(device: Device) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let libtorch = etude_aten::facts()?.version;
        let Device::Cuda(index) = device else {
            return Ok(Self { device: processor(), driver: None, libtorch, gpu: false, cores });
        };
        let asked = Command::new("nvidia-smi")
            .args(["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
            .args(["-i", &index.to_string()])
            .output();
        let line = asked.ok().filter(|out| out.status.success());
        let line = line.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
        let (name, driver) = match line.as_deref().and_then(|l| l.rsplit_once(", ")) {
            Some((name, driver)) => (name.to_owned(), Some(driver.to_owned())),
            None => (format!("CUDA device {index}"), None),
        };
        Ok(Self { device: name, driver, libtorch, gpu: true, cores })
    }

    fn text(&self) -> String {
        let driver = self.driver.as_ref().map_or(String::new(), |d| format!(", driver {d}"));
        format!(
            "{}{driver}, {} cores, libtorch {}, étude {}",
            self.device,
            self.cores,
            self.libtorch,
            env!("CARGO_PKG_VERSION")
        )
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    format!("CPU{}", name.map_or(String::new(), |(_, name)| format!(" {name}")))
}

/// One network.
pub struct Row {
    pub name: &'static str,
    pub crop_s: f64,
    /// Operations per second of audio, 10^9.
    pub gflop: Option<f64>,
    pub times: Vec<Duration>,
    pub stall: f64,
    pub memory: Option<u64>,
    pub losses: Vec<f64>,
    /// What computed the attention.
    pub attention: Option<String>,
    pub peer: Option<Peer>,
}

/// Everything that was measured.
pub struct Report {
    pub machine: Machine,
    pub tiny: bool,
    pub batch: usize,
    pub steps: usize,
    pub rows: Vec<Row>,
    /// `None` where the fixtures are not.
    pub parity: Option<Vec<Parity>>,
}

impl Row {
    fn speed(&self, batch: usize) -> Rate {
        Rate::rate(self.name, batch as f64, "clips/s", self.times.clone())
    }

    /// 10^12 operations per second.
    fn tflops(&self, clips_s: f64) -> Option<f64> {
        self.gflop.map(|gflop| clips_s * self.crop_s * gflop / 1e3)
    }
}

impl Report {
    /// A page in Markdown.
    pub fn markdown(&self) -> String {
        let sizes = if self.tiny { "; tiny networks: these numbers say nothing" } else { "" };
        let mut text = format!(
            "# Training on one GPU\n\n`make gpu-bench`: batches of {}, bfloat16, {} steps that count, random weights, \
             audio from shards{sizes}.\n\n{}.\n\n",
            self.batch,
            self.steps,
            self.machine.text()
        );
        let memory = if self.machine.gpu { "peak GPU memory" } else { "peak memory" };
        let _ = writeln!(
            text,
            "| network and method | crop, s | clips/s, median [worst..best] | ms a step | waiting for the loader | {memory} | attention | TFLOP/s | torch in Python: clips/s | its peak GPU memory | ratio |\n\
             |---|---|---|---|---|---|---|---|---|---|---|"
        );
        let number =
            |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
        for row in &self.rows {
            let speed = row.speed(self.batch);
            let peer = row.peer.as_ref();
            let _ = writeln!(
                text,
                "| {} | {:.1} | {:.2} [{:.2}..{:.2}] | {:.1} | {:.1} % | {} | {} | {} | {} | {} | {} |",
                row.name,
                row.crop_s,
                speed.median,
                speed.worst,
                speed.best,
                1e3 * self.batch as f64 / speed.median,
                row.stall * 100.0,
                row.memory.map_or("-".to_owned(), mib),
                row.attention.as_deref().unwrap_or("-"),
                number(row.tflops(speed.median), 1),
                number(peer.map(|p| p.clips_s), 2),
                peer.and_then(|p| p.memory_mib).map_or("-".to_owned(), |m| format!("{m:.0} MiB")),
                number(peer.map(|p| speed.median / p.clips_s), 2),
            );
        }
        text += "\nTFLOP/s: forward, and backward to the inputs of the encoder, two operations per multiply-add.\n";
        text += match self.rows.iter().any(|r| r.peer.is_some()) {
            true => {
                "The Python step has its audio on the device already; ours reads it from shards.\n"
            }
            false => "Beside Python: `make gpu-bench PEERS_PYTHON=python3`.\n",
        };
        match &self.parity {
            None => text += "\nNo fixtures beside the command: numbers were not compared.\n",
            Some(parity) => {
                text += "\n| small network of the fixtures | float32 from published | bfloat16 from published |\n|---|---|---|\n";
                for Parity { model, f32, bf16 } in parity {
                    let _ = writeln!(text, "| {model} | {f32:.1e} | {bf16:.1e} |");
                }
                text += "\nLargest difference of the last hidden state, as a share of its largest value.\n";
            }
        }
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let speed = row.speed(self.batch);
            json!({
                "name": row.name, "crop_s": row.crop_s, "clips_s": speed.median, "worst": speed.worst,
                "best": speed.best, "stall": row.stall, "peak_memory_bytes": row.memory,
                "tflops": row.tflops(speed.median), "losses": row.losses,
                "attention": row.attention,
                "peer": row.peer.as_ref().map(|p| json!({
                    "clips_s": p.clips_s, "peak_memory_mib": p.memory_mib, "text": p.text,
                })),
            })
        });
        let parity = self.parity.as_ref().map(|parity| {
            let one = |p: &Parity| json!({ "model": p.model, "f32": p.f32, "bf16": p.bf16 });
            parity.iter().map(one).collect::<Vec<_>>()
        });
        json!({
            "device": self.machine.device, "driver": self.machine.driver, "gpu": self.machine.gpu,
            "cores": self.machine.cores, "libtorch": self.machine.libtorch,
            "etude": env!("CARGO_PKG_VERSION"), "tiny": self.tiny, "batch": self.batch,
            "steps": self.steps, "rows": rows.collect::<Vec<_>>(), "parity": parity,
        })
    }
}
