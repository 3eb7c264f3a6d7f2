//! Randomness by name: every choice draws from its own stream, so adding a choice in one place moves no other.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Mixes a label and numbers into a seed; equal input, equal output, on every platform.
pub fn mix(seed: u64, label: &str, path: &[u64]) -> u64 {
    let mut state = scramble(seed ^ 0x6574_7564_6520_6465);
    for byte in label.bytes() {
        state = scramble(state ^ u64::from(byte));
    }
    for &number in path {
        state = scramble(state ^ number.wrapping_add(0x51));
    }
    state
}

/// One round of multiply and fold; a bijection of 64 bits.
fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xa3b1_9535_4a39_b70d);
    x ^ (x >> 31)
}

/// A seeded stream of choices.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream `label` with the numbers of `path`, e.g. `("melody", &[track, section])`.
    pub fn new(seed: u64, label: &str, path: &[u64]) -> Self {
        Self(ChaCha8Rng::seed_from_u64(mix(seed, label, path)))
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Roughly normal, mean 0, deviation 1, never beyond 3: the sum of twelve uniforms, less 6, clamped.
    pub fn normal(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        (sum - 6.0).clamp(-3.0, 3.0)
    }

    /// One of `items`, all equally likely; `items` must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// An index, likely in proportion to its weight.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            last = index;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// Cards drawn without replacement and shuffled anew when they run out, so that few draws already cover all.
#[derive(Debug, Clone)]
pub struct Deck {
    cards: Vec<usize>,
    left: Vec<usize>,
    rng: Rng,
}

impl Deck {
    /// Each index of `copies` lies in the deck that many times.
    pub fn new(copies: &[u32], rng: Rng) -> Self {
        let cards = copies.iter().enumerate().flat_map(|(card, &n)| vec![card; n as usize]);
        Self { cards: cards.collect(), left: Vec::new(), rng }
    }

    /// The next card.
    pub fn draw(&mut self) -> usize {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            self.rng.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_names_differ_and_equal_names_agree() {
        assert_eq!(Rng::new(1, "a", &[2]).unit(), Rng::new(1, "a", &[2]).unit());
        assert_ne!(Rng::new(1, "a", &[2]).unit(), Rng::new(1, "a", &[3]).unit());
        assert_ne!(Rng::new(1, "a", &[2]).unit(), Rng::new(1, "b", &[2]).unit());
        assert_ne!(Rng::new(1, "a", &[2]).unit(), Rng::new(2, "a", &[2]).unit());
    }

    #[test]
    fn a_deck_shows_every_card_before_any_comes_back() {
        let mut deck = Deck::new(&[1, 2, 1], Rng::new(5, "deck", &[]));
        for _ in 0..10 {
            let mut hand: Vec<_> = (0..4).map(|_| deck.draw()).collect();
            hand.sort_unstable();
            assert_eq!(hand, [0, 1, 1, 2]);
        }
    }
}
