//! Seeded splits for corpora without an official one: at random, with equal shares of every class, or by artist.
//!
//! All three are pure functions of keys, shares and seed; the order in which the keys come does not matter.

use crate::error::{Error, Result};
use crate::row::Split;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shares of validation and test; the rest trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Share of the validation split, 0.1 unless told.
    pub valid: f64,
    /// Share of the test split, 0.2 unless told.
    pub test: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { valid: 0.1, test: 0.2 }
    }
}

impl Shares {
    /// Examples per split of `n`: validation and test rounded down, the rest trains.
    ///
    /// The published 0.7 / 0.1 / 0.2 splits of Turkish makam, Hindustani, Carnatic and FMA have exactly these counts.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless both shares are at least 0 and together at most 1.
    pub fn counts(&self, n: usize) -> Result<[usize; 3]> {
        if !(self.valid >= 0.0 && self.test >= 0.0 && self.valid + self.test <= 1.0) {
            return Err(Error::Invalid {
                path: "shares of the splits".into(),
                what: format!(
                    "expected two shares of at least 0, at most 1 together, got {} and {}",
                    self.valid, self.test
                ),
            });
        }
        // A share that is a whole number of examples must not lose one to binary fractions.
        let part = |share: f64| (share * n as f64 + 1e-6).floor() as usize;
        let (valid, test) = (part(self.valid), part(self.test));
        Ok([n - valid - test, valid, test])
    }
}

/// One split per key, at random.
///
/// # Errors
/// As [`Shares::counts`].
pub fn random(keys: &[&str], shares: &Shares, seed: u64) -> Result<Vec<Split>> {
    let [_, valid, test] = shares.counts(keys.len())?;
    let mut splits = vec![Split::Train; keys.len()];
    for (place, row) in shuffled(keys, seed).into_iter().enumerate() {
        if place < valid {
            splits[row] = Split::Valid;
        } else if place < valid + test {
            splits[row] = Split::Test;
        }
    }
    Ok(splits)
}

/// One split per key with the counts of [`random`], every class in about the same shares (iterative stratification,
/// Sechidis et al. 2011).
///
/// `labels` are the classes of each key, any number of them. Classes are served from the rarest to the most frequent;
/// each example goes to the split with room that lacks most of its class. What has no class fills the rest.
///
/// # Errors
/// As [`Shares::counts`]; [`Error::Invalid`] if there are not as many `labels` as `keys`.
pub fn stratified(
    keys: &[&str],
    labels: &[Vec<u16>],
    shares: &Shares,
    seed: u64,
) -> Result<Vec<Split>> {
    same_length("label lists", keys.len(), labels.len())?;
    let mut room = shares.counts(keys.len())?;
    let order = shuffled(keys, seed);
    let mut rows: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for &row in &order {
        for &class in &labels[row] {
            rows.entry(class).or_default().push(row);
        }
    }
    let parts = [1.0 - shares.valid - shares.test, shares.valid, shares.test];
    let mut left: BTreeMap<u16, usize> = rows.iter().map(|(c, rows)| (*c, rows.len())).collect();
    let mut lack: BTreeMap<u16, [f64; 3]> =
        left.iter().map(|(c, n)| (*c, parts.map(|p| p * *n as f64))).collect();
    let mut splits: Vec<Option<Split>> = vec![None; keys.len()];
    while let Some(class) = rarest(&left) {
        for row in rows.remove(&class).unwrap_or_default() {
            if splits[row].is_some() {
                continue;
            }
            let split = neediest(&room, lack.get(&class));
            splits[row] = Some(split);
            room[split as usize] -= 1;
            for class in &labels[row] {
                lack.entry(*class).or_default()[split as usize] -= 1.0;
                *left.entry(*class).or_default() -= 1;
            }
        }
        left.remove(&class);
    }
    for row in order {
        splits[row].get_or_insert_with(|| {
            let split = neediest(&room, None);
            room[split as usize] -= 1;
            split
        });
    }
    Ok(splits.into_iter().flatten().collect())
}

/// One split per key such that keys of one group (an artist, an album) stay together.
///
/// Groups are placed from the largest to the smallest, equal sizes at random, each where most examples are lacking: the
/// counts come as close to the shares as the sizes allow. A key without a group is a group of its own.
///
/// # Errors
/// As [`Shares::counts`]; [`Error::Invalid`] if there are not as many `groups` as `keys`.
pub fn grouped(
    keys: &[&str],
    groups: &[Option<&str>],
    shares: &Shares,
    seed: u64,
) -> Result<Vec<Split>> {
    same_length("groups", keys.len(), groups.len())?;
    let mut lack = shares.counts(keys.len())?.map(|n| n as i64);
    let mut members: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
    for (row, key) in keys.iter().enumerate() {
        let name = groups[row].map_or((false, *key), |group| (true, group));
        members.entry(name).or_default().push(row);
    }
    let members: Vec<Vec<usize>> = members.into_values().collect();
    let mut order: Vec<usize> = (0..members.len()).collect();
    shuffle(&mut order, &mut ChaCha8Rng::seed_from_u64(seed));
    order.sort_by_key(|&group| std::cmp::Reverse(members[group].len()));
    let mut splits = vec![Split::Train; keys.len()];
    for group in order {
        let split = Split::ALL.into_iter().rev().max_by_key(|s| lack[*s as usize]);
        let split = split.unwrap_or(Split::Train);
        lack[split as usize] -= members[group].len() as i64;
        members[group].iter().for_each(|&row| splits[row] = split);
    }
    Ok(splits)
}

/// The class with the fewest examples to place; the lower index if two have as many.
fn rarest(left: &BTreeMap<u16, usize>) -> Option<u16> {
    left.iter().min_by_key(|(class, n)| (**n, **class)).map(|(class, _)| *class)
}

/// The split with room that lacks most of a class, then the one with most room.
fn neediest(room: &[usize; 3], lack: Option<&[f64; 3]>) -> Split {
    let need = |s: &Split| lack.map_or(0.0, |lack| lack[*s as usize]);
    let open = Split::ALL.into_iter().rev().filter(|s| room[*s as usize] > 0);
    let best = open
        .max_by(|a, b| need(a).total_cmp(&need(b)).then(room[*a as usize].cmp(&room[*b as usize])));
    best.unwrap_or(Split::Train)
}

/// Rows in an order that depends on keys and seed only.
pub(crate) fn shuffled(keys: &[&str], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&row| keys[row]);
    shuffle(&mut order, &mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// Fisher-Yates.
fn shuffle(order: &mut [usize], random: &mut ChaCha8Rng) {
    for i in (1..order.len()).rev() {
        // The high half of a product is below `i + 1`; its bias, at most i / 2^64, is immeasurable.
        let draw = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        order.swap(i, draw as usize);
    }
}

fn same_length(what: &str, keys: usize, got: usize) -> Result<()> {
    match keys == got {
        true => Ok(()),
        false => Err(Error::Invalid {
            path: "split".into(),
            what: format!("expected {keys} {what}, one per key, got {got}"),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("c:{i:05}")).collect()
    }

    fn refs(keys: &[String]) -> Vec<&str> {
        keys.iter().map(String::as_str).collect()
    }

    fn tally(splits: &[Split]) -> [usize; 3] {
        Split::ALL.map(|s| splits.iter().filter(|t| **t == s).count())
    }

    #[test]
    fn published_counts_of_the_random_splits_are_met() {
        let shares = Shares::default();
        for counts in
            [[17_486, 2_498, 4_996], [3_709, 529, 1_059], [844, 120, 240], [1_829, 261, 522]]
        {
            assert_eq!(shares.counts(counts.iter().sum()).unwrap(), counts);
        }
    }

    #[test]
    fn impossible_shares_are_refused() {
        assert!(Shares { valid: 0.6, test: 0.5 }.counts(10).is_err());
        assert!(Shares { valid: -0.1, test: 0.5 }.counts(10).is_err());
        assert!(Shares { valid: f64::NAN, test: 0.5 }.counts(10).is_err());
        assert_eq!(Shares { valid: 0.29, test: 0.0 }.counts(100).unwrap(), [71, 29, 0]);
    }

    #[test]
    fn rare_classes_reach_every_split() {
        let keys = keys(1000);
        let labels: Vec<Vec<u16>> = (0..1000)
            .map(|i| {
                if i < 10 {
                    vec![0, 1]
                } else if i < 400 {
                    vec![1]
                } else {
                    vec![]
                }
            })
            .collect();
        let splits = stratified(&refs(&keys), &labels, &Shares::default(), 7).unwrap();
        assert_eq!(tally(&splits), [700, 100, 200]);
        assert_eq!(tally(&splits[..10]), [7, 1, 2]);
        assert_eq!(tally(&splits[..400]), [280, 40, 80]);
    }

    proptest! {
        #[test]
        fn random_splits_have_their_counts_and_ignore_the_order_of_the_keys(
            n in 0..200_usize, seed in any::<u64>(), turn in 0..200_usize,
        ) {
            let keys = keys(n);
            let splits = random(&refs(&keys), &Shares::default(), seed).unwrap();
            prop_assert_eq!(tally(&splits), Shares::default().counts(n).unwrap());
            let mut turned = refs(&keys);
            turned.rotate_left(turn % n.max(1));
            let other = random(&turned, &Shares::default(), seed).unwrap();
            for (key, split) in turned.iter().zip(other) {
                let row = keys.iter().position(|k| k == key).unwrap();
                prop_assert_eq!(splits[row], split);
            }
        }

        #[test]
        fn stratified_splits_have_the_counts_of_random_ones(
            labels in proptest::collection::vec(
                proptest::collection::btree_set(0..6_u16, 0..4), 0..120),
            seed in any::<u64>(),
        ) {
            let keys = keys(labels.len());
            let labels: Vec<Vec<u16>> = labels.into_iter().map(|l| l.into_iter().collect()).collect();
            let splits = stratified(&refs(&keys), &labels, &Shares::default(), seed).unwrap();
            prop_assert_eq!(tally(&splits), Shares::default().counts(keys.len()).unwrap());
            prop_assert_eq!(&splits, &stratified(&refs(&keys), &labels, &Shares::default(), seed).unwrap());
        }

        #[test]
        fn a_group_never_crosses_splits(
            groups in proptest::collection::vec(proptest::option::of("[a-f]"), 0..120),
            seed in any::<u64>(),
        ) {
            let keys = keys(groups.len());
            let groups: Vec<Option<&str>> = groups.iter().map(Option::as_deref).collect();
            let splits = grouped(&refs(&keys), &groups, &Shares::default(), seed).unwrap();
            for (i, a) in groups.iter().enumerate().filter(|(_, g)| g.is_some()) {
                for (j, b) in groups.iter().enumerate() {
                    prop_assert!(a != b || splits[i] == splits[j]);
                }
            }
        }
    }

    #[test]
    fn small_groups_come_close_to_the_shares() {
        let keys = keys(1000);
        let names: Vec<String> = (0..1000).map(|i| format!("artist {}", i / 7)).collect();
        let groups: Vec<Option<&str>> = names.iter().map(|n| Some(n.as_str())).collect();
        let counts = tally(&grouped(&refs(&keys), &groups, &Shares::default(), 3).unwrap());
        for (got, wanted) in counts.into_iter().zip([700, 100, 200]) {
            assert!(i64::abs(got as i64 - wanted) <= 7, "{counts:?}");
        }
    }

    #[test]
    fn another_seed_is_another_split() {
        let keys = keys(100);
        let split = |seed| random(&refs(&keys), &Shares::default(), seed).unwrap();
        assert_ne!(split(1), split(2));
        assert_eq!(split(1), split(1));
    }
}
