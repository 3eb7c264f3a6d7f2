//! Confidence intervals and paired tests of tagging scores, by the bootstrap over tracks or over whole groups of tracks
//! (all tracks of an artist come and go together).
//!
//! Every class is sorted once. A resample is a weight per item (how often it was drawn), and a score of a resample is one
//! pass over the sorted items: 1000 resamples of 5000 items and 50 classes take about a second. Resample r draws from
//! stream r of the seed, so the same seed gives the same resamples for every run over the same items (which makes them
//! pairs) and for any number of threads. Letters: N items, C classes, U groups, R resamples.

use crate::metrics::ranking::Ranking;
use crate::metrics::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::HashMap;

/// How often, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// R.
    pub resamples: usize,
    /// The same seed gives the same resamples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// A range that holds 95 % of the resampled values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5 % are below.
    pub low: f64,
    /// 2.5 % are above.
    pub high: f64,
}

/// Items that come and go together: `group[n]` of item n, numbered from 0 without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    of: Vec<u32>,
    count: usize,
}

impl Groups {
    /// Every item for itself.
    pub fn single(items: usize) -> Self {
        Self { of: (0..items as u32).collect(), count: items }
    }

    /// Items of one name together; `None` is nobody's, an item for itself.
    pub fn named<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut seen = HashMap::new();
        let mut count = 0;
        let mut fresh = || {
            count += 1;
            count - 1
        };
        let of = names
            .into_iter()
            .map(|name| match name {
                Some(name) => *seen.entry(name).or_insert_with(&mut fresh),
                None => fresh(),
            })
            .collect();
        Self { of, count: count as usize }
    }

    /// U.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Scores and labels, each class sorted by score.
#[derive(Debug, Clone)]
pub struct Sorted {
    /// `[C]` lists of N entries, highest score first: item * 4 + positive * 2 + last of its tie.
    classes: Vec<Vec<u32>>,
    items: usize,
}

impl Sorted {
    /// Of scores and labels `[N, C]`, row-major.
    ///
    /// # Errors
    /// A NaN, named by item and class; lengths that do not fit.
    pub fn new(scores: &[f32], labels: &[bool], classes: usize) -> Result<Self> {
        crate::metrics::rows("scores", scores.len(), classes)?;
        crate::metrics::same("labels", scores.len(), labels.len())?;
        if let Some(at) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::NotANumber { item: at / classes, class: at % classes });
        }
        let items = scores.len() / classes;
        let sorted = |class: usize| {
            let score = |item: u32| scores[item as usize * classes + class];
            let mut order: Vec<u32> = (0..items as u32).collect();
            order.sort_by(|&a, &b| (score(b) + 0.0).total_cmp(&(score(a) + 0.0)));
            let entry = |(at, &item): (usize, &u32)| {
                let positive = u32::from(labels[item as usize * classes + class]);
                let last = order.get(at + 1).is_none_or(|&next| score(next) != score(item));
                item << 2 | positive << 1 | u32::from(last)
            };
            order.iter().enumerate().map(entry).collect()
        };
        Ok(Self { classes: (0..classes).map(sorted).collect(), items })
    }

    /// N.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Means over the classes where they are defined, each item counted `weights[item]` times.
    /// Panics when there are fewer weights than items.
    pub fn score(&self, weights: &[u32]) -> Ranking {
        let (mut roc, mut ap) = ((0.0, 0u32), (0.0, 0u32));
        for class in &self.classes {
            let Ranking { roc_auc, average_precision } = weighted(class, weights);
            for (value, (sum, count)) in [(roc_auc, &mut roc), (average_precision, &mut ap)] {
                if let Some(value) = value {
                    *sum += value;
                    *count += 1;
                }
            }
        }
        let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
        Ranking { roc_auc: mean(roc), average_precision: mean(ap) }
    }

    /// Scores of R resamples of groups, drawn with replacement. Panics unless there is a group for every item.
    pub fn resampled(&self, groups: &Groups, how: Bootstrap) -> Vec<Ranking> {
        assert_eq!(groups.of.len(), self.items, "a group for every item");
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut scores = vec![Ranking { roc_auc: None, average_precision: None }; how.resamples];
        let share = how.resamples.div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (part, scores) in scores.chunks_mut(share).enumerate() {
                scope.spawn(move || {
                    let mut weights = Weights::new(groups);
                    for (r, score) in (part * share..).zip(scores) {
                        *score = self.score(weights.draw(groups, how.seed, r as u64));
                    }
                });
            }
        });
        scores
    }
}

/// Both values of one class; entries as in [`Sorted`].
fn weighted(class: &[u32], weights: &[u32]) -> Ranking {
    let (mut positives, mut above, mut beaten, mut precision) = (0u64, 0u64, 0u64, 0.0);
    let (mut here, mut all) = (0u64, 0u64); // of the tie
    for &entry in class {
        let weight = u64::from(weights[(entry >> 2) as usize]);
        all += weight;
        here += weight * u64::from(entry >> 1 & 1);
        if entry & 1 == 1 {
            // twice the pairs in the right order; ties are half a pair
            beaten += (all - here) * (2 * positives + here);
            positives += here;
            above += all;
            if here > 0 {
                precision += here as f64 * (positives as f64 / above as f64);
            }
            (here, all) = (0, 0);
        }
    }
    let negatives = above - positives;
    Ranking {
        roc_auc: (positives > 0 && negatives > 0)
            .then(|| beaten as f64 / (2.0 * positives as f64 * negatives as f64)),
        average_precision: (positives > 0).then(|| precision / positives as f64),
    }
}

/// Room for one resample.
struct Weights {
    groups: Vec<u32>,
    items: Vec<u32>,
}

impl Weights {
    fn new(groups: &Groups) -> Self {
        Self { groups: vec![0; groups.count], items: vec![0; groups.of.len()] }
    }

    /// U draws out of U groups; how often each item was drawn.
    fn draw(&mut self, groups: &Groups, seed: u64, resample: u64) -> &[u32] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(resample);
        self.groups.fill(0);
        for _ in 0..groups.count {
            let at = (u128::from(rng.next_u64()) * groups.count as u128) >> 64;
            self.groups[at as usize] += 1;
        }
        for (item, &group) in self.items.iter_mut().zip(&groups.of) {
            *item = self.groups[group as usize];
        }
        &self.items
    }
}

/// The range of the middle 95 % of the values; `None` when there are none.
pub fn interval(values: impl IntoIterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, 0.025)?, high: quantile(&values, 0.975)? })
}

/// Of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// Two-sided p of the paired bootstrap: how often resampled differences fall on the other side of 0, doubled, counting
/// one more of them than were seen. `None` without differences.
pub fn paired_p(differences: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut all, mut low, mut high) = (0u64, 0u64, 0u64);
    for difference in differences {
        all += 1;
        low += u64::from(difference <= 0.0);
        high += u64::from(difference >= 0.0);
    }
    (all > 0).then(|| (2.0 * (low.min(high) + 1) as f64 / (all + 1) as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ranking::tagging;

    const CLASSES: usize = 5;

    /// Scores with many ties, labels that lean on them, one class nobody has.
    fn sample(items: usize) -> (Vec<f32>, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let cells = items * CLASSES;
        let scores: Vec<f32> = (0..cells).map(|_| (rng.next_u32() % 40) as f32 - 20.0).collect();
        let noise = |rng: &mut ChaCha8Rng| (rng.next_u32() % 60) as f32 - 30.0;
        let labels = (0..cells).map(|i| i % CLASSES != 4 && scores[i] + noise(&mut rng) > 12.0);
        (scores.clone(), labels.collect())
    }

    #[test]
    fn a_resample_scores_as_a_table_with_its_rows_repeated() {
        let (scores, labels) = sample(60);
        let sorted = Sorted::new(&scores, &labels, CLASSES).unwrap();
        let artists: Vec<String> = (0..60).map(|i| (i * i % 17).to_string()).collect();
        let groups = Groups::named(artists.iter().map(|a| Some(a.as_str())));
        assert!(groups.count() < 17);
        for groups in [Groups::single(60), groups] {
            let how = Bootstrap { resamples: 50, seed: 3 };
            let mut weights = Weights::new(&groups);
            for (r, found) in sorted.resampled(&groups, how).into_iter().enumerate() {
                let weights = weights.draw(&groups, 3, r as u64);
                let rows = (0..60).flat_map(|i| std::iter::repeat_n(i, weights[i] as usize));
                let cells = rows.flat_map(|i| (0..CLASSES).map(move |c| i * CLASSES + c));
                let cells: Vec<usize> = cells.collect();
                let repeated: Vec<f32> = cells.iter().map(|&at| scores[at]).collect();
                let truth: Vec<bool> = cells.iter().map(|&at| labels[at]).collect();
                let want = tagging(&repeated, &truth, CLASSES).unwrap().macro_avg;
                assert!((found.roc_auc.unwrap() - want.roc_auc.unwrap()).abs() < 1e-12);
                let (found, want) = (found.average_precision, want.average_precision);
                assert!((found.unwrap() - want.unwrap()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn weights_of_one_give_the_score_itself() {
        let (scores, labels) = sample(300);
        let sorted = Sorted::new(&scores, &labels, CLASSES).unwrap();
        let (found, want) = (sorted.score(&[1; 300]), tagging(&scores, &labels, CLASSES).unwrap());
        assert!((found.roc_auc.unwrap() - want.macro_avg.roc_auc.unwrap()).abs() < 1e-12);
        let (a, b) = (found.average_precision, want.macro_avg.average_precision);
        assert!((a.unwrap() - b.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn the_seed_decides_the_resamples() {
        let (scores, labels) = sample(80);
        let sorted = Sorted::new(&scores, &labels, CLASSES).unwrap();
        let run = |seed| {
            sorted.resampled(&Groups::single(80), Bootstrap { resamples: 40, seed }).to_vec()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let more = sorted.resampled(&Groups::single(80), Bootstrap { resamples: 60, seed: 1 });
        assert_eq!(run(1)[..], more[..40], "a longer bootstrap begins with the shorter one");
    }

    #[test]
    fn a_resample_draws_as_many_groups_as_there_are() {
        let groups = Groups::named([Some("a"), Some("b"), Some("a"), None, None]);
        assert_eq!((groups.count(), groups.of.as_slice()), (4, [0, 1, 0, 2, 3].as_slice()));
        let mut weights = Weights::new(&groups);
        let mut drawn = [0u32; 4];
        for r in 0..2000 {
            let of = weights.draw(&groups, 9, r);
            assert_eq!(of[0], of[2], "tracks of one artist come and go together");
            assert_eq!(of[0] + of[1] + of[3] + of[4], 4);
            drawn.iter_mut().zip([of[0], of[1], of[3], of[4]]).for_each(|(d, w)| *d += w);
        }
        assert!(drawn.iter().all(|d| d.abs_diff(2000) < 200), "{drawn:?}");
    }

    #[test]
    fn intervals_and_tests_are_those_of_the_values() {
        let values = (0..=1000).map(|i| f64::from(i) / 1000.0);
        let found = interval(values.clone()).unwrap();
        assert!((found.low - 0.025).abs() < 1e-12 && (found.high - 0.975).abs() < 1e-12);
        assert_eq!(interval([]), None);
        assert_eq!(paired_p([1.0; 999]), Some(2.0 / 1000.0));
        assert_eq!(paired_p([0.0, 0.0]), Some(1.0));
        assert_eq!(paired_p(values.map(|v| v - 0.5)), Some(1.0));
        assert_eq!(paired_p([]), None);
    }

    #[test]
    fn the_spread_is_that_of_theory() {
        // one class, scores that say nothing: the deviation of ROC-AUC is sqrt((p + n + 1) / (12 p n))
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let scores: Vec<f32> = (0..800).map(|_| rng.next_u32() as f32).collect();
        let labels: Vec<bool> = (0..800).map(|i| i % 4 == 0).collect();
        let sorted = Sorted::new(&scores, &labels, 1).unwrap();
        let values = sorted.resampled(&Groups::single(800), Bootstrap::default());
        let found = interval(values.into_iter().filter_map(|v| v.roc_auc)).unwrap();
        let want = 2.0 * 1.96 * (801.0f64 / (12.0 * 200.0 * 600.0)).sqrt();
        let ratio = (found.high - found.low) / want;
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
    }
}
