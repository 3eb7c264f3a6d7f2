//! From one rate to another, at exactly `ceil(n * to / from)` samples and without delay.
//!
//! | name | what | for |
//! |---|---|---|
//! | `fir` | our Kaiser filter, 140 dB, flat to 97.5 % of the lower Nyquist frequency | new work |
//! | `fft` | rubato's synchronous FFT, Blackman-Harris² | new work, by a library; sets made with it |
//! | `torchaudio-hann` | torchaudio's default filter, sample by sample | models that were trained behind it |
//! | `torchaudio-kaiser` | torchaudio's "kaiser_best" | the same |

use crate::error::{Error, Result};
use crate::pcm::Pcm;
use etude_features::{FirResampler, Sinc, SincResampler, resampled_len};
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
    /// A Kaiser-windowed sinc: within 0.01 dB to 97.5 % of the lower Nyquist frequency, images 130 dB down.
    #[default]
    Fir,
    /// Band-limited, within 0.1 dB to 97 % of the lower Nyquist frequency, images 140 dB down.
    Fft,
    /// torchaudio's default, a Hann-windowed sinc of 6 crossings: images up to -7 dB near the lower Nyquist frequency.
    TorchaudioHann,
    /// torchaudio's "kaiser_best", 64 crossings.
    TorchaudioKaiser,
}

impl Resampler {
    /// Every one of them.
    pub const ALL: [Resampler; 4] =
        [Resampler::Fir, Resampler::Fft, Resampler::TorchaudioHann, Resampler::TorchaudioKaiser];

    /// Name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Resampler::Fir => "fir",
            Resampler::Fft => "fft",
            Resampler::TorchaudioHann => "torchaudio-hann",
            Resampler::TorchaudioKaiser => "torchaudio-kaiser",
        }
    }

    /// The one with this [`Resampler::id`], whatever its settings were; `None` for rates left alone.
    pub fn of_id(id: &str) -> Option<Self> {
        let name = id.split(' ').next()?;
        Self::ALL.into_iter().find(|how| how.name() == name)
    }

    /// Name and settings, as `index.json` records them: two shard sets with different ids hold different samples.
    pub fn id(self) -> String {
        match self {
            Resampler::Fir => "fir kaiser pass=0.975 stop=-140dB rustfft=6".to_owned(),
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
    Fir(Box<FirResampler>),
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
            Plan::Fir(fir) => fir.run(&pcm.samples),
            Plan::Fft(fft) => fft.run(&pcm.samples)?,
            Plan::Sinc(sinc) => sinc.run(&pcm.samples),
        };
        pcm.recycle();
        Ok(Pcm { samples, rate })
    }
}

impl Plan {
    fn new(how: Resampler, from: u32, to: u32) -> Result<Self> {
        let filter = match how {
            Resampler::Fir => {
                let plan = FirResampler::new(from, to).map_err(|e| failed(how, from, to, &e))?;
                return Ok(Plan::Fir(Box::new(plan)));
            }
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
    late: Vec<f32>,
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
        let late = vec![0.0; inner.output_frames_max()];
        Ok(Self { from, to, inner, late })
    }

    fn run(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        let want = resampled_len(samples.len() as u64, self.from, self.to) as usize;
        let (from, to) = (self.from, self.to);
        self.inner.reset();
        let (block_in, block_out) = (self.inner.input_frames_max(), self.late.len());
        // The first `delay` samples are what the filter gives before the wave begins: blocks that hold some of them go
        // through `late`, the others straight to their place.
        let mut delay = self.inner.output_delay();
        let mut out = vec![0.0; want + block_out];
        let mut at = 0;
        let mut rest = samples;
        while at < want {
            let (now, later) = rest.split_at(rest.len().min(block_in));
            rest = later;
            let cut = delay.min(block_out);
            let place = if cut > 0 { &mut self.late[..] } else { &mut out[at..at + block_out] };
            let input = SequentialSlice::new(now, 1, now.len())
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            let mut output = SequentialSlice::new_mut(place, 1, block_out)
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            let partial = Indexing::new().partial_len(now.len());
            self.inner
                .process_into_buffer(&input, &mut output, Some(&partial))
                .map_err(|e| failed(Resampler::Fft, from, to, &e))?;
            if cut > 0 {
                out[at..at + block_out - cut].copy_from_slice(&self.late[cut..]);
            }
            delay -= cut;
            at += block_out - cut;
        }
        out.truncate(want);
        Ok(out)
    }
}

fn failed(how: Resampler, from: u32, to: u32, reason: &dyn std::fmt::Display) -> Error {
    Error::Resample { from, to, how: how.id(), reason: reason.to_string() }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::TAU;

    const ALL: [Resampler; 4] = Resampler::ALL;
    const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

    fn tone(hz: f64, rate: u32, n: usize) -> Vec<f32> {
        (0..n).map(|i| (0.5 * (TAU * hz * i as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    fn run(how: Resampler, samples: Vec<f32>, from: u32, to: u32) -> Vec<f32> {
        Resample::new(how).run(Pcm { samples, rate: from }, to).unwrap().samples
    }

    fn energy(x: &[f32]) -> f64 {
        x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    /// The middle of a wave, away from where it begins and ends.
    fn middle(x: &[f32]) -> &[f32] {
        &x[x.len() / 4..x.len() * 3 / 4]
    }

    fn db(ratio: f64) -> f64 {
        10.0 * ratio.log10()
    }

    /// Signal to error of a tone against the same tone sampled at the new rate, dB.
    fn snr(how: Resampler, hz: f64, from: u32, to: u32) -> f64 {
        let got = run(how, tone(hz, from, from as usize * 2), from, to);
        let want = tone(hz, to, got.len());
        let error: Vec<f32> = want.iter().zip(&got).map(|(a, b)| a - b).collect();
        db(energy(middle(&want)) / energy(middle(&error)))
    }

    #[test]
    fn lengths_are_the_rounded_up_ratio_for_every_pair_and_method() {
        for how in ALL {
            let mut resample = Resample::new(how);
            for from in RATES {
                for to in RATES {
                    for n in [0usize, 1, 2, 146, 147, 1_000, 4_410, 20_001] {
                        let pcm = Pcm { samples: vec![0.1; n], rate: from };
                        let got = resample.run(pcm, to).unwrap();
                        let want = (n as u64 * u64::from(to)).div_ceil(u64::from(from));
                        assert_eq!(
                            (got.samples.len() as u64, got.rate),
                            (want, to),
                            "{from} {to} {n}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_length_at_which_a_float_ratio_is_one_sample_off_is_exact() {
        for how in [Resampler::Fir, Resampler::Fft] {
            assert_eq!(run(how, vec![0.0; 1_499_400], 44_100, 24_000).len(), 816_000);
        }
    }

    #[test]
    fn a_tone_comes_out_as_the_same_tone_without_delay() {
        for (from, to) in [
            (44_100, 24_000),
            (44_100, 16_000),
            (16_000, 24_000),
            (48_000, 22_050),
            (96_000, 22_050),
        ] {
            let fir = snr(Resampler::Fir, 1_000.0, from, to);
            let fft = snr(Resampler::Fft, 1_000.0, from, to);
            let kaiser = snr(Resampler::TorchaudioKaiser, 1_000.0, from, to);
            let hann = snr(Resampler::TorchaudioHann, 1_000.0, from, to);
            assert!(fir > 110.0, "fir {from} to {to}: {fir} dB");
            assert!(fft > 110.0, "fft {from} to {to}: {fft} dB");
            assert!(kaiser > 100.0, "kaiser {from} to {to}: {kaiser} dB");
            assert!(hann > 45.0, "hann {from} to {to}: {hann} dB");
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let samples = tone(440.0, 24_000, 1_000);
        for how in ALL {
            assert_eq!(run(how, samples.clone(), 24_000, 24_000), samples);
        }
    }

    #[test]
    fn a_plan_keeps_nothing_of_the_wave_before() {
        for how in ALL {
            let mut used = Resample::new(how);
            let noise = Pcm { samples: vec![0.7; 30_000], rate: 44_100 };
            used.run(noise, 16_000).unwrap();
            let wave = tone(300.0, 44_100, 10_000);
            let again = used.run(Pcm { samples: wave.clone(), rate: 44_100 }, 16_000).unwrap();
            assert_eq!(again.samples, run(how, wave, 44_100, 16_000));
        }
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for (from, to) in [(0, 24_000), (24_000, 0), (0, 0), (44_100, 800_000)] {
            let got =
                Resample::new(Resampler::Fft).run(Pcm { samples: vec![0.0; 10], rate: from }, to);
            assert!(matches!(got, Err(Error::Rate { .. })), "{from} {to}");
        }
    }

    #[test]
    fn names_in_configs_are_the_published_ones_and_ids_differ() {
        #[derive(Deserialize)]
        struct Config {
            resampler: Resampler,
        }
        for how in ALL {
            let text = format!("resampler = \"{}\"", how.name());
            assert_eq!(toml::from_str::<Config>(&text).unwrap().resampler, how);
            assert_eq!(Resampler::of_id(&how.id()), Some(how));
        }
        assert_eq!(Resampler::of_id("none"), None);
        let wrong = toml::from_str::<Config>("resampler = \"sinc\"").err().unwrap().to_string();
        assert!(wrong.contains("`fir`, `fft`, `torchaudio-hann`, `torchaudio-kaiser`"), "{wrong}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_pair_of_rates_gives_the_exact_length(from in 4_000u32..100_000, to in 4_000u32..50_000, n in 0usize..3_000) {
            // rates without a common divisor have long transforms, slow to plan
            let rounded = (from / 25 * 25, to / 25 * 25);
            for (how, (from, to)) in [(Resampler::Fir, rounded), (Resampler::Fft, (from, to))] {
                let got = run(how, vec![0.5; n], from, to);
                prop_assert_eq!(got.len() as u64, (n as u64 * u64::from(to)).div_ceil(u64::from(from)));
                prop_assert!(got.iter().all(|x| x.abs() < 1.0));
            }
        }
    }
}
