//! A piece of a wave at a random place. The published "random resized crop" resizes nothing.

use super::draw::whole;
use rand_core::Rng;

/// Where a piece of `samples` samples of a wave of `length` samples begins: any place where it fits, 0 where none.
pub fn crop_start(length: usize, samples: usize, rng: &mut impl Rng) -> usize {
    whole([0, length.saturating_sub(samples) as i64], rng) as usize
}

/// `samples` samples of `wave` from `start` on, zeros where it has ended.
pub fn crop(wave: &[f32], start: usize, samples: usize) -> Vec<f32> {
    let from = start.min(wave.len());
    let mut piece = wave[from..wave.len().min(from.saturating_add(samples))].to_vec();
    piece.resize(samples, 0.0);
    piece
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn every_place_is_drawn_and_a_short_wave_begins_at_its_start() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut seen = [false; 4];
        (0..200).for_each(|_| seen[crop_start(13, 10, &mut rng)] = true);
        assert_eq!(seen, [true; 4]);
        assert_eq!(crop_start(5, 10, &mut rng), 0);
        assert_eq!(crop(&[1.0, 2.0, 3.0], 1, 4), [2.0, 3.0, 0.0, 0.0]);
        assert_eq!(crop(&[1.0], 7, 2), [0.0, 0.0]);
    }
}
