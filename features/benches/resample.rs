//! One minute of noise resampled on one thread; the throughput is samples of the input, so 44.1 M/s is 1000 x real time.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etude_features::{FirResampler, Sinc, SincResampler};

fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

fn resample(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample");
    for (from, to) in [(44_100, 24_000), (44_100, 16_000), (48_000, 24_000)] {
        let wave = noise(60 * from as usize);
        group.throughput(Throughput::Elements(wave.len() as u64));
        for (name, cfg) in [("hann", Sinc::torchaudio()), ("kaiser_best", Sinc::kaiser_best())] {
            let plan = SincResampler::new(from, to, &cfg).expect("rates in range");
            group.bench_function(format!("{name}/{from}-{to}"), |b| b.iter(|| plan.run(&wave)));
        }
        let mut plan = FirResampler::new(from, to).expect("rates in range");
        group.bench_function(format!("fir/{from}-{to}"), |b| b.iter(|| plan.run(&wave)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(300));
    targets = resample
}
criterion_main!(benches);
