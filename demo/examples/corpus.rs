//! Makes a demo corpus: `cargo run --release -p etude-demo --example corpus -- DIR [CLIPS] [SEED] [SECONDS]`.

use std::sync::atomic::AtomicBool;

fn main() -> etude_demo::Result<()> {
    let mut args = std::env::args().skip(1);
    let out = args.next().unwrap_or_else(|| "demo".to_string());
    let mut number = |usual: f64| args.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let usual = etude_demo::Config::default();
    let cfg = etude_demo::Config {
        clips: number(usual.clips as f64) as usize,
        seed: number(usual.seed as f64) as u64,
        seconds: number(usual.seconds),
        ..usual
    };
    let report = etude_demo::run(&cfg, out.as_ref(), &|_, _| {}, &AtomicBool::new(false))?;
    println!("{report}");
    Ok(())
}
