//! From one rate to another, at exactly `ceil(n * to / from)` samples and without delay.
//!
//! | name | what | for |
//! |---|---|---|
//! | `fft` | rubato's synchronous FFT, Blackman-Harris² | new work: images 140 dB down |
//! | `torchaudio-hann` | torchaudio's default filter, sample by sample | models that were trained behind it |
//! | `torchaudio-kaiser` | torchaudio's "kaiser_best" | the same |

use crate::error::{Error, Result};
use crate::pcm::Pcm;
use etude_features::{Sinc, SincResampler, resampled_len};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Input frames one FFT block holds at least; the block is the filter's length, so it shows in the samples.
const CHUNK: u32 = 4096;
/// Highest rate, Hz.
const MAX_RATE: u32 = 768_000;

/// How to resample. The choice is part of a shard set's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resampler {
    /// Band-limited, flat to 97 % of the lower Nyquist frequency, images 140 dB down.
    #[default]
    Fft,
    /// torchaudio's default, a Hann-windowed sinc of 6 crossings: images up to -7 dB near the lower Nyquist frequency.
    TorchaudioHann,
    /// torchaudio's "kaiser_best", 64 crossings.
    TorchaudioKaiser,
}

impl Resampler {
    /// Name and settings, as `index.json` records them: two shard sets with different ids hold different samples.
    pub fn id(self) -> String {
        match self {
            Resampler::Fft => format!("fft chunk={CHUNK} window=blackman-harris2 rubato=5"),
            Resampler::TorchaudioHann => "torchaudio-hann width=6 rolloff=0.99".to_owned(),
            Resampler::TorchaudioKaiser => {
                "torchaudio-kaiser width=64 rolloff=0.9475937167399596 beta=14.769656459379492"
                    .to_owned()
            }
        }
    }
}

/// A resampler with one plan a pair of rates, made when it is first needed.
#[derive(Debug)]
pub struct Resample {
    how: Resampler,
    plans: BTreeMap<(u32, u32), Plan>,
}

#[derive(Debug)]
enum Plan {
    Fft(Box<FftPlan>),
    Sinc(SincResampler),
}

impl Resample {
    /// Makes no plan yet.
    pub fn new(how: Resampler) -> Self {
        Self { how, plans: BTreeMap::new() }
    }

    /// `pcm` at `rate` Hz: `ceil(n * rate / pcm.rate)` samples, the first at the same instant as before. Equal rates
    /// change nothing.
    pub fn run(&mut self, pcm: Pcm, rate: u32) -> Result<Pcm> {
        let from = pcm.rate;
        if from == rate && rate > 0 {
            return Ok(pcm);
        }
        if !(1..=MAX_RATE).contains(&from) || !(1..=MAX_RATE).contains(&rate) {
            return Err(Error::Rate { from, to: rate });
        }
        let plan = match self.plans.entry((from, rate)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Plan::new(self.how, from, rate)?),
        };
        let samples = match plan {
            Plan::Fft(fft) => fft.run(&pcm.samples)?,
            Plan::Sinc(sinc) => sinc.run(&pcm.samples),
        };
        Ok(Pcm { samples, rate })
    }
}

impl Plan {
    fn new(how: Resampler, from: u32, to: u32) -> Result<Self> {
        let filter = match how {
            Resampler::Fft => return Ok(Plan::Fft(Box::new(FftPlan::new(from, to)?))),
            Resampler::TorchaudioHann => Sinc::torchaudio(),
            Resampler::TorchaudioKaiser => Sinc::kaiser_best(),
        };
        SincResampler::new(from, to, &filter).map(Plan::Sinc).map_err(|e| failed(how, from, to, &e))
    }
}

/// rubato's FFT resampler for one pair of rates.
struct FftPlan {
    from: u32,
    to: u32,
    inner: Fft<f32>,
    block: Vec<f32>,
}

impl std::fmt::Debug for FftPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FftPlan({} Hz to {} Hz)", self.from, self.to)
    }
}

impl FftPlan {
    fn new(from: u32, to: u32) -> Result<Self> {
        // Blocks come in whole periods of the two rates. An even number of periods keeps the delay, half a block, whole.
        let period = (from / gcd(from, to)) as usize;
        let periods = (CHUNK as usize).div_ceil(period).next_multiple_of(2);
        let inner = Fft::new_custom(
            from as usize,
            to as usize,
            periods * period,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
        let block = vec![0.0; inner.output_frames_max()];
        Ok(Self { from, to, inner, block })
    }

    fn run(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        let want = resampled_len(samples.len() as u64, self.from, self.to) as usize;
        let (from, to) = (self.from, self.to);
        self.inner.reset();
        let mut out = Vec::with_capacity(want);
        let mut skip = self.inner.output_delay();
        let block_in = self.inner.input_frames_max();
        let mut rest = samples;
        while out.len() < want {
            let (now, later) = rest.split_at(rest.len().min(block_in));
            rest = later;
            let at = Indexing::new().partial_len(now.len());
            let frames = self.block.len();
            let input = SequentialSlice::new(now, 1, now.len())
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            let mut output = SequentialSlice::new_mut(&mut self.block, 1, frames)
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            self.inner
                .process_into_buffer(&input, &mut output, Some(&at))
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            let late = skip.min(frames);
            skip -= late;
            let new = &self.block[late..];
            out.extend_from_slice(&new[..new.len().min(want - out.len())]);
        }
        Ok(out)
    }
}

fn failed(how: Resampler, from: u32, to: u32, reason: &dyn std::fmt::Display) -> Error {
    Error::Resample { from, to, how: how.id(), reason: reason.to_string() }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
