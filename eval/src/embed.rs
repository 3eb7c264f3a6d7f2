//! Embeddings: hidden states of a pretrained model over whole recordings, window by window.
//!
//! A recording is cut into windows side by side, as long as the published protocols use; the hidden states of its
//! windows follow each other. Letters: B windows, T samples, T' hidden states, D width.

use crate::error::{Error, Result};
use etude_models::{Input, Layer, Pretrained, Spec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use tch::{Kind, Tensor};

mod corpus;
mod table;

pub use corpus::{Change, CorpusConfig, Deform, Pace, Report, run};
pub use table::TableFile;

/// What is kept of the hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// All of them, `[T', D]`.
    None,
    /// Their mean over the recording, `[1, D]`.
    Mean,
    /// Adaptive averages at this many per second, at least one a window.
    Rate(f64),
}

impl FromStr for Pool {
    type Err = String;

    /// `none`, `mean`, or a rate such as `10hz`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Pool::None),
            "mean" => Ok(Pool::Mean),
            _ => text
                .to_ascii_lowercase()
                .strip_suffix("hz")
                .and_then(|n| n.trim().parse().ok())
                .filter(|&hz: &f64| hz.is_finite() && hz > 0.0)
                .map(Pool::Rate)
                .ok_or_else(|| format!("expected none, mean or a rate such as 10hz, got {text}")),
        }
    }
}

/// How recordings become embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedConfig {
    /// Number of the hidden state; that of the published embedding, in most models the last, when left out.
    pub layer: Option<usize>,
    /// What is kept of the hidden states.
    pub pool: Pool,
    /// Length of a window, seconds; when left out that which the model was made for, or 30 where it takes any.
    pub window_s: Option<f64>,
    /// Windows that go through the model together, at most.
    pub batch: usize,
    /// Whether what is left at the end is a window too, filled up with zeros, as in the limited-data study.
    #[serde(default)]
    pub pad: bool,
}

impl Default for EmbedConfig {
    fn default() -> Self {
        Self { layer: None, pool: Pool::None, window_s: None, batch: 8, pad: false }
    }
}

/// Hidden states of one recording, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Row-major `[T', D]`.
    pub data: Vec<f32>,
    /// T'.
    pub frames: usize,
}

/// A model and how to use it.
#[derive(Debug)]
pub struct Embedder<'a> {
    model: &'a Pretrained,
    spec: Spec,
    rate: u32,
    layer: usize,
    pool: Pool,
    /// Samples.
    window: usize,
    batch: usize,
    pad: bool,
}

/// Seconds of a window of the published protocols.
const WINDOW_S: f64 = 30.0;
/// A rest shorter than this many seconds joins the window before it.
const REST_S: f64 = 1.0;
/// Recordings shorter than this many seconds have no hidden states worth the name.
const MIN_S: f64 = 0.1;

impl<'a> Embedder<'a> {
    /// # Errors
    /// [`Error::Misfit`] for a model that does not take waves, a layer that it does not have, a rate above its own.
    pub fn new(model: &'a Pretrained, cfg: &EmbedConfig) -> Result<Self> {
        let spec = model.spec();
        let misfit = |place: &str, expected: String, got: String| {
            Err(Error::Misfit { place: place.to_owned(), expected, got })
        };
        let Input::Wave { rate } = spec.input else {
            let got = format!("{} with {:?}", spec.name, spec.input);
            return misfit("model", "a model that takes waves".to_owned(), got);
        };
        let layer = Layer::At(cfg.layer.unwrap_or(spec.embedding)).number(spec.layers)?;
        if let Pool::Rate(hz) = cfg.pool {
            let most = spec.frame_rate.unwrap_or(0.0);
            if hz > most {
                let own = format!("none, mean or at most {most}hz: the rate of {}", spec.name);
                return misfit("pool", own, format!("{hz}hz"));
            }
        }
        let usual = spec.window.map_or(WINDOW_S, |samples| samples as f64 / f64::from(rate));
        let window_s = cfg.window_s.unwrap_or(usual);
        if !(window_s.is_finite() && window_s >= REST_S) {
            return misfit("window", format!("{REST_S} second or more"), window_s.to_string());
        }
        if cfg.batch == 0 {
            return misfit("batch", "at least 1".to_owned(), "0".to_owned());
        }
        let window = (window_s * f64::from(rate)).round() as usize;
        let EmbedConfig { pool, batch, pad, .. } = *cfg;
        Ok(Self { model, spec, rate, layer, pool, window, batch, pad })
    }

    /// Samples per second that the model takes, Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Number of the hidden state.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// D.
    pub fn dim(&self) -> usize {
        self.spec.dim as usize
    }

    /// Rows per second of an embedding; 0 for one row a recording.
    pub fn fps(&self) -> f64 {
        match (self.pool, self.spec.frame_rate) {
            (Pool::Mean, _) => 0.0,
            (Pool::Rate(hz), _) => hz,
            (Pool::None, Some(rate)) => rate,
            (Pool::None, None) => f64::from(self.rate) / self.window as f64,
        }
    }

    /// Whether a recording of so many samples is too short for any embedding.
    pub fn too_short(&self, samples: usize) -> bool {
        (samples as f64) < MIN_S * f64::from(self.rate)
    }

    /// How many windows a recording of so many samples has.
    pub fn windows(&self, samples: usize) -> usize {
        self.cuts(samples).len()
    }

    /// Windows side by side. What is left at the end is a window of its own from one second on, else part of the
    /// last one; models made for one length leave it out. With `pad` every window is whole and the last one may
    /// reach behind the end.
    fn cuts(&self, samples: usize) -> Vec<Range<usize>> {
        if self.pad {
            let count = samples.div_ceil(self.window).max(1);
            return (0..count).map(|n| n * self.window..(n + 1) * self.window).collect();
        }
        let full = samples / self.window;
        let mut cuts: Vec<_> = (0..full).map(|n| n * self.window..(n + 1) * self.window).collect();
        let rest = full * self.window..samples;
        match cuts.last_mut() {
            None => cuts.push(rest),
            Some(_) if rest.is_empty() || self.spec.window.is_some() => {}
            Some(last) if (rest.len() as f64) < REST_S * f64::from(self.rate) => {
                last.end = rest.end
            }
            Some(_) => cuts.push(rest),
        }
        cuts
    }

    /// Embeddings of waves at [`Embedder::rate`], one each. Windows of equal length share batches, in a fixed order. A wave
    /// shorter than the window of a model made for one length is filled up with zeros.
    ///
    /// # Errors
    /// When a wave is too short for the model, or libtorch refuses.
    pub fn run(&self, waves: &[&[f32]]) -> Result<Vec<Embedding>> {
        let mut by_length: BTreeMap<usize, Vec<(usize, usize, Range<usize>)>> = BTreeMap::new();
        let mut parts: Vec<Vec<Embedding>> = Vec::with_capacity(waves.len());
        for (w, wave) in waves.iter().enumerate() {
            let cuts = self.cuts(wave.len());
            parts.push(vec![Embedding { data: Vec::new(), frames: 0 }; cuts.len()]);
            for (n, cut) in cuts.into_iter().enumerate() {
                let length = match self.spec.window {
                    Some(_) => cut.len().max(self.window),
                    None => cut.len(),
                };
                by_length.entry(length).or_default().push((w, n, cut));
            }
        }
        for (length, jobs) in by_length {
            for jobs in jobs.chunks(self.batch) {
                let mut x = Vec::with_capacity(jobs.len() * length);
                for (i, (w, _, cut)) in jobs.iter().enumerate() {
                    let heard = cut.start..cut.end.min(waves[*w].len());
                    x.extend_from_slice(&waves[*w][heard]);
                    x.resize((i + 1) * length, 0.0);
                }
                let x = Tensor::f_from_slice(&x)?.f_view([jobs.len() as i64, length as i64])?;
                let hidden = self.hidden(&x, length)?; // [B, T', D]
                let frames = hidden.size()[1] as usize;
                let flat = Vec::<f32>::try_from(hidden.f_contiguous()?.f_view(-1)?)?;
                for ((w, n, _), rows) in jobs.iter().zip(flat.chunks(frames * self.dim())) {
                    parts[*w][*n] = Embedding { data: rows.to_vec(), frames };
                }
            }
        }
        Ok(parts.into_iter().map(|parts| self.join(parts)).collect())
    }

    /// waves `[B, T]` -> hidden states `[B, T', D]` at the rate asked for, on the CPU
    fn hidden(&self, x: &Tensor, length: usize) -> Result<Tensor> {
        let x = x.f_to(self.model.device())?;
        let hidden = self.model.hidden(&x, Layer::At(self.layer))?;
        let kept = match self.pool {
            Pool::Rate(hz) => {
                let seconds = length as f64 / f64::from(self.rate);
                let frames = ((seconds * hz).round() as i64).max(1);
                let turned = hidden.f_transpose(1, 2)?; // [B, D, T']
                turned.f_adaptive_avg_pool1d(frames)?.f_transpose(1, 2)?
            }
            Pool::None | Pool::Mean => hidden,
        };
        Ok(kept.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?)
    }

    fn join(&self, parts: Vec<Embedding>) -> Embedding {
        let frames = parts.iter().map(|p| p.frames).sum();
        if self.pool != Pool::Mean {
            let data = parts.into_iter().flat_map(|p| p.data).collect();
            return Embedding { data, frames };
        }
        let mut sums = vec![0.0f64; self.dim()];
        for row in parts.iter().flat_map(|p| p.data.chunks(self.dim())) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let data = sums.into_iter().map(|sum| (sum / frames as f64) as f32).collect();
        Embedding { data, frames: 1 }
    }
}
