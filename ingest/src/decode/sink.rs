//! Where decoded planes go: trimmed, averaged, measured and digested while they are still in the cache.

use crate::digest::PcmDigest;
use crate::mono::Mono;
use crate::pcm::Pcm;
use crate::quality::{Quality, Summary};

/// Frames one track may have: 2^31, 12 hours at 48 kHz. A file that unpacks to more is refused, not swallowed.
const MAX_FRAMES: u64 = 1 << 31;
const ZEROS: [f32; 4096] = [0.0; 4096];

/// Collects one track.
#[derive(Debug)]
pub(super) struct Sink {
    /// Mono samples that were kept.
    pub samples: Vec<f32>,
    /// Frames that came in, zeros included, before trimming.
    pub decoded: u64,
    skip: u64,
    keep: u64,
    /// Samples that were measured and digested.
    measured: usize,
    mono: Mono,
    quality: Quality,
    digest: Option<PcmDigest>,
}

/// What the sink knows in the end.
#[derive(Debug)]
pub(super) struct Collected {
    pub samples: Vec<f32>,
    pub decoded: u64,
    pub summary: Summary,
    pub nonfinite: u64,
    pub channel_silent: bool,
    pub antiphase: bool,
    pub pcm_sha256: Option<[u8; 32]>,
}

/// The track is longer than any track may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

impl Sink {
    /// Leaves out the first `skip` frames and everything after `keep` more.
    pub fn new(rate: u32, skip: u64, keep: Option<u64>, digest: bool) -> Self {
        Self {
            samples: Pcm::spare(),
            decoded: 0,
            skip,
            keep: keep.unwrap_or(u64::MAX),
            measured: 0,
            mono: Mono::default(),
            quality: Quality::new(rate),
            digest: digest.then(PcmDigest::default),
        }
    }

    /// Adds planes, one slice a channel, equally long.
    pub fn push(&mut self, planes: &mut [&[f32]]) -> Result<(), TooLong> {
        let frames = planes.first().map_or(0, |p| p.len());
        let (from, to) = self.window(frames as u64)?;
        if from == to {
            return Ok(());
        }
        planes.iter_mut().for_each(|p| *p = &p[from as usize..to as usize]);
        self.mono.push(planes, &mut self.samples);
        self.measure(self.quality.block_len());
        Ok(())
    }

    /// Adds `frames` frames of silence.
    pub fn silence(&mut self, frames: u64) -> Result<(), TooLong> {
        let (from, to) = self.window(frames)?;
        let mut left = (to - from) as usize;
        while left > 0 {
            let now = left.min(ZEROS.len());
            self.samples.extend_from_slice(&ZEROS[..now]);
            self.measure(self.quality.block_len());
            left -= now;
        }
        Ok(())
    }

    /// Ends the track.
    pub fn finish(mut self) -> Collected {
        self.measure(1);
        let summary = self.quality.finish();
        Collected {
            decoded: self.decoded,
            summary,
            nonfinite: self.mono.nonfinite,
            channel_silent: self.mono.channel_silent(),
            antiphase: self.mono.antiphase(summary.rms),
            pcm_sha256: self.digest.map(PcmDigest::finish),
            samples: self.samples,
        }
    }

    /// The part of the next `frames` frames that is kept.
    fn window(&mut self, frames: u64) -> Result<(u64, u64), TooLong> {
        let from = self.skip.saturating_sub(self.decoded).min(frames);
        let room = self.keep.saturating_sub(self.samples.len() as u64);
        let to = from + (frames - from).min(room);
        self.decoded += frames;
        if self.decoded > MAX_FRAMES { Err(TooLong) } else { Ok((from, to)) }
    }

    /// Measures and digests what is new, in whole pieces of `unit` samples.
    fn measure(&mut self, unit: usize) {
        let new = self.samples.len() - self.measured;
        let (from, to) = (self.measured, self.measured + new - new % unit);
        if from < to {
            self.quality.push(&self.samples[from..to]);
            if let Some(digest) = &mut self.digest {
                digest.push(&self.samples[from..to]);
            }
            self.measured = to;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn trimming_cuts_across_packets_and_through_silence() {
        let ramp: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
        for step in [1, 7, 30, 100] {
            let mut sink = Sink::new(8_000, 25, Some(60), true);
            for piece in ramp.chunks(step) {
                sink.push(&mut [piece]).unwrap();
            }
            sink.silence(500).unwrap();
            assert_eq!(sink.samples, ramp[25..85]);
            assert_eq!(sink.finish().decoded, 600);
        }
    }

    #[test]
    fn a_track_that_unpacks_without_end_is_refused_before_it_is_stored() {
        let mut sink = Sink::new(8_000, 0, Some(10), false);
        assert_eq!(sink.silence(1 << 40), Err(TooLong));
        assert!(sink.samples.is_empty());
    }
}
