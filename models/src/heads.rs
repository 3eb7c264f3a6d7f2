//! From hidden states to outputs. Letters: B batch, T' hidden states, D width, C outputs.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Activation, Dropout, Init, Scope, check_probability, check_size};
use crate::peft::{self, Role, Site};

/// The heads by the name a configuration gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeadConfig {
    /// Mean over time, dropout, one linear layer `head.linear`.
    Linear(Linear),
    /// Mean over time, linear `head.proj.0`, dropout, ReLU, linear `head.proj.3`.
    Mlp(Mlp),
    /// Mean over time, then the probes of MIR_REF: one linear layer `head.linear`, or two with a ReLU between them.
    Probe(ProbeHead),
    /// The layer with which the published model classifies.
    Published(Published),
    /// Mean over time, linear `head.projector.0`, ReLU, linear `head.projector.2`: what contrastive training compares.
    Projection(Projection),
    /// No head: for objectives that learn the backbone itself.
    None(NoHead),
}

/// Settings of the linear head.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Dropout before the layer; default 0.
    #[serde(default)]
    pub dropout: f64,
}

/// Settings of the head of the PEFT paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Width between the two layers; default the backbone's.
    #[serde(default)]
    pub hidden: Option<i64>,
    /// Dropout between the two layers; default 0.5.
    #[serde(default = "half")]
    pub dropout: f64,
}

impl Default for Mlp {
    fn default() -> Self {
        Self { hidden: None, dropout: half() }
    }
}

fn half() -> f64 {
    0.5
}

/// Settings of the probes that the limited-data study puts on embeddings (those of MIR_REF): weights start Glorot
/// uniform, biases at zero, there is no dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeHead {
    /// How many layers.
    pub layers: Depth,
    /// Width between the two layers; default half way between the embedding's and the number of outputs,
    /// even.
    #[serde(default)]
    pub hidden: Option<i64>,
}

/// Layers of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// One linear layer.
    Slp,
    /// Two, with a ReLU between them.
    Mlp,
}

/// `floor(C + (D - C) / 2)`, rounded up to an even number.
pub fn between(dim: i64, outputs: i64) -> i64 {
    let half = (dim + outputs).div_euclid(2);
    half + half.rem_euclid(2)
}

/// The published classifier has no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {}

/// Settings of the projection of SimCLR and CLMR; its layers have no bias, the first is as wide as the backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Width of what is compared; default 64.
    #[serde(default = "sixty_four")]
    pub dim: i64,
}

impl Default for Projection {
    fn default() -> Self {
        Self { dim: sixty_four() }
    }
}

fn sixty_four() -> i64 {
    64
}

/// No head has no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoHead {}

/// A head as built: optional first layer, dropout, ReLU after the first layer, last layer.
#[derive(Debug)]
pub struct Head {
    first: Option<peft::Linear>,
    dropout: Dropout,
    last: peft::Linear,
}

impl HeadConfig {
    /// Builds the head, if any, for hidden states of width `dim`. `published` is what the backbone's own classifier is
    /// called and its dropout.
    ///
    /// # Errors
    /// For settings outside their range, and for `published` where the backbone has no classifier.
    pub fn build(
        &self,
        vs: &Scope,
        dim: i64,
        outputs: i64,
        published: Option<(&str, f64)>,
    ) -> Result<Option<Head>> {
        let site = |inp, out| Site { role: Role::Other, layer: None, inp, out };
        let (first, p, last, inner) = match *self {
            HeadConfig::Linear(Linear { dropout }) => (None, dropout, vs / "linear", dim),
            HeadConfig::Mlp(Mlp { hidden, dropout }) => {
                let hidden = hidden.unwrap_or(dim);
                check_size("head.hidden", hidden)?;
                let first = peft::Linear::new(&(vs / "proj" / 0), site(dim, hidden))?;
                (Some(first), dropout, vs / "proj" / 3, hidden)
            }
            HeadConfig::Probe(ProbeHead { layers: Depth::Slp, .. }) => {
                let last = peft::Linear::glorot(&(vs / "linear"), site(dim, outputs))?;
                return Ok(Some(Head { first: None, dropout: Dropout::new(vs, 0.0), last }));
            }
            HeadConfig::Probe(ProbeHead { layers: Depth::Mlp, hidden }) => {
                let hidden = hidden.unwrap_or(between(dim, outputs));
                check_size("head.hidden", hidden)?;
                let first = peft::Linear::glorot(&(vs / "proj" / 0), site(dim, hidden))?;
                let last = peft::Linear::glorot(&(vs / "proj" / 3), site(hidden, outputs))?;
                return Ok(Some(Head { first: Some(first), dropout: Dropout::new(vs, 0.0), last }));
            }
            HeadConfig::Projection(Projection { dim: out }) => {
                check_size("head.dim", out)?;
                let layer = |n: i64, out| {
                    let vs = vs / "projector" / n;
                    peft::Linear::started(&vs, site(dim, out), Init::fan_in(dim), None)
                };
                let (first, last) = (Some(layer(0, dim)?), layer(2, out)?);
                return Ok(Some(Head { first, dropout: Dropout::new(vs, 0.0), last }));
            }
            HeadConfig::None(NoHead {}) => return Ok(None),
            HeadConfig::Published(Published {}) => {
                let (name, dropout) = published.ok_or_else(|| Error::Setting {
                    key: "head.kind".to_owned(),
                    expected: "linear or mlp: this backbone was published without a classifier"
                        .to_owned(),
                    got: "published".to_owned(),
                })?;
                (None, dropout, vs / name, dim)
            }
        };
        check_probability("head.dropout", p)?;
        check_size("outputs of the head", outputs)?;
        let last = peft::Linear::new(&last, site(inner, outputs))?;
        Ok(Some(Head { first, dropout: Dropout::new(vs, p), last }))
    }
}

impl Head {
    /// hidden `[B, T', D]` -> logits `[B, C]`
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn forward(&self, hidden: &Tensor, train: bool) -> Result<Tensor> {
        let x = hidden.f_mean_dim([1i64].as_slice(), false, None::<Kind>)?; // [B, D]
        let Some(first) = &self.first else {
            return self.last.forward(&self.dropout.forward(&x, train)?, train);
        };
        let x = self.dropout.forward(&first.forward(&x, train)?, train)?; // [B, hidden]
        self.last.forward(&Activation::Relu.forward(&x)?, train) // [B, C]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Part, Store};
    use crate::peft::Full;
    use tch::Device;

    #[test]
    fn the_width_of_a_probe_is_half_way_and_even() {
        let table = [(512, 50, 282), (200, 50, 126), (768, 24, 396), (512, 14, 264), (4, 3, 4)];
        for (dim, outputs, hidden) in table {
            assert_eq!(between(dim, outputs), hidden, "{dim} {outputs}");
        }
    }

    #[test]
    fn probes_start_glorot_uniform_with_biases_at_zero() {
        let (store, full) = (Store::new(Device::Cpu), Full {});
        let vs = Scope::root(&store, &full, 1, false).part(Part::Head) / "head";
        let cfg = HeadConfig::Probe(ProbeHead { layers: Depth::Mlp, hidden: None });
        let head = cfg.build(&vs, 512, 50, None).unwrap().unwrap();
        let get = |name: &str| store.get(&format!("head.{name}")).unwrap();
        assert_eq!(get("proj.0.weight").size(), [282, 512]);
        assert_eq!(get("proj.3.weight").size(), [50, 282]);
        for (name, fans) in [("proj.0", 512 + 282), ("proj.3", 282 + 50)] {
            let bound = (6.0 / f64::from(fans)).sqrt();
            let most = get(&format!("{name}.weight")).abs().max().double_value(&[]);
            assert!(most <= bound && most > 0.99 * bound, "{name}: {most} of {bound}");
            assert_eq!(get(&format!("{name}.bias")).abs().max().double_value(&[]), 0.0);
        }
        let x = Tensor::ones([2, 1, 512], tch::kind::FLOAT_CPU);
        assert_eq!(head.forward(&x, true).unwrap().size(), [2, 50]);
    }
}
