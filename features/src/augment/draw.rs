//! Numbers from a random stream, each from a fixed number of its words.

use rand_core::Rng;

/// Uniform in [0, 1), 53 bits.
pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in [low, high).
pub fn within([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    low + (high - low) * unit(rng)
}

/// A whole number from low to high, both included.
pub fn whole([low, high]: [i64; 2], rng: &mut impl Rng) -> i64 {
    let places = high.saturating_sub(low).saturating_add(1).max(1) as f64;
    low + (places * unit(rng)) as i64
}

/// True with probability `p`.
pub fn chance(p: f64, rng: &mut impl Rng) -> bool {
    unit(rng) < p
}

/// Two normal numbers of mean 0 and deviation 1 (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * unit(rng)).sin_cos();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn whole_numbers_reach_both_ends_and_nothing_beyond() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0; 5];
        for _ in 0..5_000 {
            counts[(whole([-2, 2], &mut rng) + 2) as usize] += 1;
        }
        assert!(counts.iter().all(|n| (850..1_150).contains(n)), "{counts:?}");
        assert_eq!(whole([3, 3], &mut rng), 3);
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let x: Vec<f64> = (0..20_000).flat_map(|_| normal(&mut rng)).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.03, "{mean} {var}");
    }
}
