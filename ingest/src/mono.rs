//! From the planes of a decoder to mono: the mean of all channels, sanitised and measured on the way.
//!
//! NaN and infinite samples are counted and become zeros before they can reach the mean.

use crate::quality::{Moments, SILENT_PEAK, all_finite, moments};
use crate::simd::dispatch;

/// Below this share of the channels' RMS the mean counts as cancelled: -20 dB.
const CANCELLED: f64 = 0.1;

/// Averages channels and remembers how each of them measured.
#[derive(Debug, Default)]
pub(crate) struct Mono {
    channels: Vec<Moments>,
    latest: Vec<Moments>,
    frames: u64,
    /// NaN and infinite samples so far, over all channels.
    pub nonfinite: u64,
    clean: Vec<Vec<f32>>,
}

impl Mono {
    /// Appends the mean of `planes` (one slice a channel, equally long) to `out`.
    pub fn push(&mut self, planes: &[&[f32]], out: &mut Vec<f32>) {
        if self.measure(planes) {
            return mean(planes, out);
        }
        let mut clean = std::mem::take(&mut self.clean);
        clean.resize_with(planes.len(), Vec::new);
        for (to, from) in clean.iter_mut().zip(planes) {
            to.clear();
            to.extend(from.iter().map(|&x| if x.is_finite() { x } else { 0.0 }));
            self.nonfinite += from.iter().filter(|x| !x.is_finite()).count() as u64;
        }
        let views: Vec<&[f32]> = clean.iter().map(Vec::as_slice).collect();
        self.measure(&views);
        mean(&views, out);
        self.clean = clean;
    }

    /// Adds what each channel measures. With a NaN or infinite sample in one of them: adds nothing, returns false.
    fn measure(&mut self, planes: &[&[f32]]) -> bool {
        if let [only] = planes {
            return all_finite(only); // one channel is its own mean, and its facts are the track's
        }
        self.latest.clear();
        self.latest.extend(planes.iter().map(|plane| moments(plane)));
        // a sum over a NaN or an infinity is neither
        if !self.latest.iter().all(|m| m.energy.is_finite()) {
            return false;
        }
        self.channels.resize(planes.len(), Moments::default());
        self.channels.iter_mut().zip(&self.latest).for_each(|(sums, now)| sums.add(*now));
        self.frames += planes.first().map_or(0, |plane| plane.len() as u64);
        true
    }

    /// Whether one channel is silent while another is not.
    pub fn channel_silent(&self) -> bool {
        let silent = self.channels.iter().filter(|c| c.peak < SILENT_PEAK).count();
        silent > 0 && silent < self.channels.len()
    }

    /// Whether the channels cancel: the mean's RMS is 20 dB or more below that of the channels.
    pub fn antiphase(&self, mean_rms: f32) -> bool {
        let loudest = self.channels.iter().fold(0f32, |a, c| a.max(c.peak));
        let energy: f64 = self.channels.iter().map(|c| c.energy).sum();
        let rms = (energy / (self.frames.max(1) as f64 * self.channels.len().max(1) as f64)).sqrt();
        loudest >= SILENT_PEAK && f64::from(mean_rms) < CANCELLED * rms
    }
}

fn mean(planes: &[&[f32]], out: &mut Vec<f32>) {
    match planes {
        [] => {}
        [only] => out.extend_from_slice(only),
        [one, two] => out.extend(one.iter().zip(*two).map(|(x, y)| (x + y) * 0.5)),
        [first, others @ ..] => {
            let start = out.len();
            out.extend_from_slice(first);
            let mean = &mut out[start..];
            others.iter().for_each(|plane| add(mean, plane));
            divide(mean, planes.len() as f32);
        }
    }
}

dispatch! {
    fn add(mean: &mut [f32], other: &[f32]) {
        for (m, &x) in mean.iter_mut().zip(other) {
            *m += x;
        }
    }
}

dispatch! {
    fn divide(mean: &mut [f32], by: f32) {
        for m in mean {
            *m /= by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_any_number_of_channels_is_their_sum_over_their_count() {
        for n in 1..=8usize {
            let planes: Vec<Vec<f32>> =
                (0..n).map(|c| (0..37).map(|i| (c * 37 + i) as f32).collect()).collect();
            let views: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
            let mut out = vec![9.0];
            Mono::default().push(&views, &mut out);
            assert_eq!(out.len(), 38);
            for i in 0..37 {
                let want = (0..n).map(|c| (c * 37 + i) as f32).sum::<f32>() / n as f32;
                assert_eq!(out[1 + i], want);
            }
        }
    }

    #[test]
    fn nan_and_infinity_are_counted_and_become_zeros() {
        let mut mono = Mono::default();
        let mut out = Vec::new();
        mono.push(&[&[1.0, f32::NAN, 1.0], &[1.0, 1.0, f32::INFINITY]], &mut out);
        assert_eq!(out, [1.0, 0.5, 0.5]);
        assert_eq!(mono.nonfinite, 2);
    }

    #[test]
    fn a_silent_channel_beside_a_loud_one_is_noticed() {
        let mut mono = Mono::default();
        mono.push(&[&[0.5, -0.5], &[0.0, 0.0]], &mut Vec::new());
        assert!(mono.channel_silent());
        assert!(!mono.antiphase(0.25));
    }

    #[test]
    fn opposite_channels_cancel() {
        let mut mono = Mono::default();
        mono.push(&[&[0.5, -0.5], &[-0.5, 0.5]], &mut Vec::new());
        assert!(mono.antiphase(0.0) && !mono.channel_silent());
    }
}
