//! The order of an epoch: a bijection on `0..n`, computed place by place.
//!
//! A Feistel network (Luby and Rackoff 1988) permutes the smallest domain of 2h bits that holds n; places that land
//! outside `0..n` walk on until they land inside (Black and Rogaway 2002), fewer than four steps on average. Nothing is
//! stored and nothing has to be replayed: a loader resumes at any sample at once.

use crate::mix::{key, mix};

const ROUNDS: u64 = 8;

/// The order of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    key: u64,
    n: u64,
    /// Bits of half the domain.
    half: u32,
}

impl Order {
    /// The order of `n` things in `epoch`; another manifest, seed or epoch gives an unrelated one.
    pub fn new(manifest_hash: &str, seed: u64, epoch: u64, n: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Self {
            key: key("etude shards order v1", manifest_hash, &[seed, epoch, n]),
            n,
            half: bits.div_ceil(2),
        }
    }

    /// What comes at place `i`: every number below n exactly once over all places.
    ///
    /// # Panics
    /// If `i` is not below n.
    pub fn at(&self, i: u64) -> u64 {
        assert!(i < self.n, "place {i} of an order of {}", self.n);
        let mut x = self.permute(i);
        while x >= self.n {
            x = self.permute(x);
        }
        x
    }

    /// How many things are ordered.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there is nothing to order.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// A bijection on `0..2^(2 * half)`.
    fn permute(&self, x: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (x >> self.half, x & mask);
        for round in 0..ROUNDS {
            let f = mix(mix(self.key ^ round).wrapping_add(right)) & mask;
            (left, right) = (right, left ^ f);
        }
        (left << self.half) | right
    }
}

/// The whole order of an epoch at once, for inspection and small sets.
pub fn epoch_order(manifest_hash: &str, seed: u64, epoch: u64, n: u64) -> Vec<u64> {
    let order = Order::new(manifest_hash, seed, epoch, n);
    (0..n).map(|i| order.at(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_bijection(n: u64, seed: u64, epoch: u64) -> bool {
        let mut seen = vec![false; n as usize];
        epoch_order("m", seed, epoch, n)
            .iter()
            .all(|&x| !std::mem::replace(&mut seen[x as usize], true))
    }

    #[test]
    fn every_small_and_prime_count_is_permuted() {
        let sizes =
            (0..70).chain([127, 128, 129, 251, 255, 256, 257, 1021, 4096, 4097, 65_537, 99_991]);
        for n in sizes {
            assert!(is_bijection(n, 7, 3), "{n}");
        }
    }

    proptest! {
        #[test]
        fn any_count_seed_and_epoch_is_permuted(n in 0u64..3000, seed: u64, epoch: u64) {
            prop_assert!(is_bijection(n, seed, epoch));
        }

        #[test]
        fn places_of_huge_orders_stay_inside(n in 1u64.., place: u64, seed: u64) {
            let order = Order::new("m", seed, 0, n);
            prop_assert!(order.at(place % n) < n);
        }
    }

    #[test]
    fn manifest_seed_and_epoch_all_matter() {
        let base = epoch_order("m", 1, 0, 500);
        for other in
            [epoch_order("n", 1, 0, 500), epoch_order("m", 2, 0, 500), epoch_order("m", 1, 1, 500)]
        {
            let same = base.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 10, "{same} of 500 places are the same");
        }
    }

    #[test]
    fn orders_are_pinned() {
        assert_eq!(epoch_order("m", 1, 0, 10), PINNED_10);
        let order = Order::new("25863 tracks", 321, 7, 25_863);
        assert_eq!([0, 1, 2, 25_862].map(|i| order.at(i)), PINNED_MTAT);
    }

    const PINNED_10: [u64; 10] = [5, 6, 2, 1, 8, 0, 4, 9, 3, 7];
    const PINNED_MTAT: [u64; 4] = [16_117, 4_362, 17_404, 23_941];

    #[test]
    fn every_thing_comes_first_equally_often() {
        // 5 things, 20 000 epochs: each first 4000 times, standard deviation 57.
        let mut first = [0i32; 5];
        (0..20_000).for_each(|e| first[Order::new("m", 9, e, 5).at(0) as usize] += 1);
        assert!(first.iter().all(|c| (c - 4000).abs() < 300), "{first:?}");
    }

    #[test]
    fn neighbours_are_torn_apart() {
        let order = epoch_order("m", 5, 0, 10_000);
        let near = order.windows(2).filter(|w| w[0].abs_diff(w[1]) < 100).count();
        assert!(near < 300, "{near} of 9999 neighbours stayed within 100, about 200 expected");
    }
}
