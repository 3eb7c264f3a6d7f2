//! A clip of 29.124 s through the front ends, one thread; the throughput is samples, so 24 M/s is 1000 x real time at
//! 24 kHz. `rfft` is the transform alone: what no front end can be faster than.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etude_features::{MelConfig, MelSpec};
use realfft::RealFftPlanner;

fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

fn mel(c: &mut Criterion) {
    let mut group = c.benchmark_group("mel");
    for name in ["musicfm_24k_db", "vgg_16k_db", "librosa_musicnn_16k_log10", "kaldi_fbank_ast"] {
        let cfg = MelConfig::preset(name).expect("a published front end");
        let wave = noise((29.124 * f64::from(cfg.rate)) as usize);
        let mut plan = MelSpec::new(&cfg).expect("a published front end can be planned");
        let mut out = Vec::new();
        group.throughput(Throughput::Elements(wave.len() as u64));
        group.bench_function(name, |b| b.iter(|| plan.run(&wave, &mut out)));
    }
    let wave = noise((29.124 * 24_000.0) as usize);
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(2048);
    let (mut frame, mut bins) = (plan.make_input_vec(), plan.make_output_vec());
    let mut scratch = plan.make_scratch_vec();
    group.throughput(Throughput::Elements(wave.len() as u64));
    group.bench_function("rfft 2048/240", |b| {
        b.iter(|| {
            for part in wave.windows(2048).step_by(240) {
                frame.copy_from_slice(part);
                plan.process_with_scratch(&mut frame, &mut bins, &mut scratch)
                    .expect("its own buffers");
            }
        })
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(300));
    targets = mel
}
criterion_main!(benches);
