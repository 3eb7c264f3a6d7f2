//! Starting values. Each variable has a random stream of its own, made of the seed and the variable's name: adding a
//! variable, or building in another order, changes no other, and libtorch's generator is never touched.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The distribution a variable starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Every element the same.
    Const(f64),
    /// Uniform in [-bound, bound).
    Uniform(f64),
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
}

impl Init {
    /// Uniform in +-1 / sqrt(inputs): what PyTorch gives the weight and the bias of a layer by default.
    pub fn fan_in(inputs: i64) -> Self {
        Init::Uniform(1.0 / (inputs.max(1) as f64).sqrt())
    }

    /// Uniform in +-sqrt(6 / (inputs + outputs)), the inputs and outputs of one element times the taps of a kernel
    /// (Glorot and Bengio 2010).
    pub fn xavier(inputs: i64, outputs: i64) -> Self {
        Init::Uniform((6.0 / (inputs + outputs).max(1) as f64).sqrt())
    }

    /// `n` values for the variable `name`.
    pub(crate) fn values(self, n: usize, seed: u64, name: &str) -> Vec<f32> {
        match self {
            Init::Const(c) => vec![c as f32; n],
            Init::Uniform(bound) => {
                let mut rng = stream(seed, name);
                (0..n).map(|_| ((2.0 * unit(&mut rng) - 1.0) * bound) as f32).collect()
            }
            Init::Normal { mean, std } => {
                let mut rng = stream(seed, name);
                let mut out = Vec::with_capacity(n + 1);
                while out.len() < n {
                    // Box and Muller: two uniform numbers make two normal ones
                    let radius = (-2.0 * (1.0 - unit(&mut rng)).ln()).sqrt();
                    let (sin, cos) = (std::f64::consts::TAU * unit(&mut rng)).sin_cos();
                    out.extend([
                        (mean + std * radius * cos) as f32,
                        (mean + std * radius * sin) as f32,
                    ]);
                }
                out.truncate(n);
                out
            }
        }
    }
}

fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hash = blake3::Hasher::new();
    hash.update(&seed.to_le_bytes()).update(name.as_bytes());
    ChaCha8Rng::from_seed(*hash.finalize().as_bytes())
}

/// Uniform in [0, 1), 24 bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32() >> 8) / f64::from(1u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(x: &[f32]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        (mean, var.sqrt())
    }

    #[test]
    fn values_follow_the_distribution_asked_for() {
        let x = Init::fan_in(16).values(100_000, 1, "w");
        let (mean, std) = moments(&x);
        assert!(x.iter().all(|v| v.abs() <= 0.25));
        assert!(mean.abs() < 2e-3 && (std - 0.25 / 3f64.sqrt()).abs() < 1e-3, "{mean} {std}");
        let x = Init::Normal { mean: 1.0, std: 0.02 }.values(100_001, 1, "w");
        let (mean, std) = moments(&x);
        assert_eq!(x.len(), 100_001);
        assert!((mean - 1.0).abs() < 3e-4 && (std - 0.02).abs() < 2e-4, "{mean} {std}");
        assert!(x.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn a_stream_depends_on_seed_and_name_only() {
        let init = Init::Uniform(1.0);
        assert_eq!(init.values(8, 7, "a"), init.values(8, 7, "a"));
        assert_ne!(init.values(8, 7, "a"), init.values(8, 7, "b"));
        assert_ne!(init.values(8, 7, "a"), init.values(8, 8, "a"));
        assert_eq!(init.values(8, 7, "a"), init.values(16, 7, "a")[..8]);
    }
}
