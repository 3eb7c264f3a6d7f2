//! SampleCNN: eleven short convolutions on the wave itself, each of which keeps a third of its length.
//!
//! Lee et al. 2017, arXiv:1703.01789, as CLMR (Spijkervet and Burgoyne 2021, arXiv:2103.09410) trains it without
//! labels. Letters: B batch, T = 59 049 = 3^10 samples, C channels, D = 4 C width.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::backbone::{Backbone, Input, Layer, Settings, Spec};
use crate::error::{At, Error, Result};
use crate::nn::{Activation, BatchNorm, Conv1d, Conv1dSizes, Scope, check_size};
use crate::peft::{Linear, Role};
use crate::weights::{NameMap, WeightFile};

/// Name in a configuration.
pub(crate) const NAME: &str = "samplecnn";
/// The published classifier and the dropout before it.
const HEAD: (&str, f64) = ("encoder.fc", 0.5);
/// Samples per second, Hz.
const RATE: u32 = 22_050;
/// T, samples.
const SAMPLES: i64 = 59_049;
/// Channels out of each stage, in units of C.
const WIDTHS: [i64; 11] = [1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4];

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// C, channels of the first stage; default 128, as published.
    #[serde(default = "published_channels")]
    pub channels: i64,
}

fn published_channels() -> i64 {
    128
}

impl Default for Config {
    fn default() -> Self {
        Self { channels: published_channels() }
    }
}

/// Convolution, batch norm, ReLU, and in all but the first and the last stage the maximum over 3.
#[derive(Debug)]
pub struct Stage {
    conv: Conv1d,
    norm: BatchNorm,
    pools: bool,
}

impl Stage {
    /// x `[B, C, T]` -> `[B, C', T / 3]`, or the same length in the last stage
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.norm.forward(&self.conv.forward(x)?, train)?;
        let x = Activation::Relu.forward(&x)?;
        match self.pools {
            true => Ok(x.f_max_pool1d([3], [3], [0], [1], false)?),
            false => Ok(x),
        }
    }
}

/// The network. It has one hidden state, what the last stage gives.
#[derive(Debug)]
pub struct SampleCnn {
    cfg: Config,
    stages: Vec<Stage>,
}

impl SampleCnn {
    /// Builds the network with variables under the published names.
    ///
    /// # Errors
    /// When `channels` is below 1.
    pub fn new(vs: &Scope, cfg: &Config) -> Result<Self> {
        check_size("backbone.channels", cfg.channels)?;
        let vs = vs / "encoder" / "sequential";
        let mut stages = Vec::with_capacity(WIDTHS.len());
        let mut inp = 1;
        for (i, width) in WIDTHS.into_iter().enumerate() {
            let out = width * cfg.channels;
            let sizes = match i {
                0 => Conv1dSizes { stride: 3, padding: 0, ..Conv1dSizes::same(inp, out, 3) },
                _ => Conv1dSizes::same(inp, out, 3),
            };
            stages.push(Stage {
                conv: Conv1d::new(&(&vs / i / 0), Role::Front, sizes)?,
                norm: BatchNorm::new(&(&vs / i / 1), Role::Front, out)?,
                pools: i > 0 && i + 1 < WIDTHS.len(),
            });
            inp = out;
        }
        Ok(Self { cfg: *cfg, stages })
    }

    /// The stages, first to last.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn run(&self, wave: &Tensor, train: bool) -> Result<Tensor> {
        let size = wave.size();
        if size.len() != 2 || size[1] != SAMPLES {
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!("waves [B, {SAMPLES}]"),
                got: format!("{size:?}"),
            });
        }
        let mut x = wave.f_unsqueeze(1)?; // [B, 1, T]
        for stage in &self.stages {
            x = stage.forward(&x, train)?;
        }
        Ok(x.f_transpose(1, 2)?) // [B, 1, D]
    }
}

impl Backbone for SampleCnn {
    fn spec(&self) -> Spec {
        Spec {
            name: NAME,
            input: Input::Wave { rate: RATE },
            dim: 4 * self.cfg.channels,
            frame_rate: None,
            layers: 0,
            embedding: 0,
            window: Some(SAMPLES as u64),
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, train: bool) -> Result<Tensor> {
        layer.number(0)?;
        self.run(x, train).at(|| format!("{NAME}, wave {:?}", x.size()))
    }

    fn linears(&self) -> Vec<&Linear> {
        Vec::new()
    }
}

impl Settings for Config {
    fn build(&self, vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(SampleCnn::new(vs, self)?))
    }

    /// The projection of the contrastive training is no part of the network.
    fn names(&self) -> NameMap {
        NameMap::new().skip("projector.")
    }

    fn published_head(&self) -> Option<(&'static str, f64)> {
        Some(HEAD)
    }

    fn adopt(&self, file: &WeightFile) -> Result<Option<Vec<(String, Tensor)>>> {
        adopt(file).map(Some)
    }
}

/// The encoder of a published file under our names: of a Lightning checkpoint, which holds it twice beside the
/// optimizer's state, the copy below `model.`; of a file of the network alone, the network.
///
/// # Errors
/// When the file cannot be read.
fn adopt(file: &WeightFile) -> Result<Vec<(String, Tensor)>> {
    const LIGHTNING: [&str; 2] = ["state_dict.model.", "model."];
    let names = file.names();
    let prefix = LIGHTNING.into_iter().find(|p| {
        let encoder = format!("{p}encoder.");
        names.iter().any(|n| n.starts_with(&encoder))
    });
    let prefix = prefix.unwrap_or_default();
    let mut tensors = Vec::new();
    for name in &names {
        if let Some(ours) = name.strip_prefix(prefix) {
            tensors.push((ours.to_owned(), file.tensor(name)?));
        }
    }
    Ok(tensors)
}

/// NT-Xent (Chen et al. 2020, arXiv:2002.05709): rows z_i and z_j `[B, P]` of one number are two views of one clip and
/// should be near each other, and far from all other rows.
///
/// With s the cosine over `temperature`, the loss is the mean over all 2 B rows a of
/// -s(a, its other view) + log of the sum of exp s(a, b) over all b but a. Also the share of rows whose other view is
/// the nearest of all. Both 0-d, float32.
///
/// # Errors
/// Unless both are matrices of one shape.
pub fn nt_xent(z_i: &Tensor, z_j: &Tensor, temperature: f64) -> Result<(Tensor, Tensor)> {
    if z_i.dim() != 2 || z_i.size() != z_j.size() {
        return Err(Error::Shape {
            place: "NT-Xent".to_owned(),
            expected: "two projections [B, P]".to_owned(),
            got: format!("{:?} and {:?}", z_i.size(), z_j.size()),
        });
    }
    let (pairs, device) = (z_i.size()[0], z_i.device());
    let s = similarity(z_i, z_j)?.f_div_scalar(temperature)?;
    let itself = Tensor::f_eye(2 * pairs, (Kind::Bool, device))?;
    let s = s.f_masked_fill(&itself, f64::NEG_INFINITY)?; // [2 B, 2 B]
    let rows = Tensor::f_arange(2 * pairs, (Kind::Int64, device))?;
    let other = rows.f_add_scalar(pairs)?.f_remainder(2 * pairs)?;
    let mean = tch::Reduction::Mean;
    let loss = s.f_cross_entropy_loss(&other, None::<&Tensor>, mean, -100, 0.0)?;
    let right = s.f_argmax(-1, false)?.f_eq_tensor(&other)?;
    Ok((loss, right.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?))
}

/// Cosines of all rows of z_i on top of z_j `[2 B, 2 B]`; lengths below 1e-8 count as 1e-8.
///
/// # Errors
/// When libtorch refuses.
pub fn similarity(z_i: &Tensor, z_j: &Tensor) -> Result<Tensor> {
    let z = Tensor::f_cat(&[z_i, z_j], 0)?.f_to_kind(Kind::Float)?;
    let norms = z.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?.f_clamp_min(1e-8)?;
    let z = z.f_div(&norms)?;
    Ok(z.f_matmul(&z.f_transpose(0, 1)?)?)
}
