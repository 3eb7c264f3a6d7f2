//! IA3 (Liu et al. 2022, arXiv:2205.05638): learned factors on keys, values and the inner features of feed-forwards.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::{Init, Scope};
use crate::peft::lora::Target;
use crate::peft::{Base, Delta, Method, Role, Site, Term};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ia3 {
    /// Layers with factors; default key, value and down. Layers of an attention and convolutions scale their output,
    /// layers of a feed-forward their input.
    #[serde(default = "published")]
    pub targets: Vec<Target>,
}

fn published() -> Vec<Target> {
    vec![Target::Key, Target::Value, Target::Down]
}

impl Default for Ia3 {
    fn default() -> Self {
        Self { targets: published() }
    }
}

impl Method for Ia3 {
    fn linear(&self, site: &Site, vs: &Scope) -> Result<Option<Box<dyn Delta>>> {
        if !self.targets.iter().any(|t| t.is(site.role)) {
            return Ok(None);
        }
        let on_input = site.role.in_feed_forward();
        let width = if on_input { site.inp } else { site.out };
        let one = Init::Const(1.0); // so training starts at the published model
        let factor = vs.param("ia3_l", &[width], one, Role::Other, Term::Weight)?;
        Ok(Some(Box::new(Factor { factor, on_input })))
    }
}

/// Factors on the output, bias included, or on the input.
#[derive(Debug)]
struct Factor {
    factor: Tensor,
    on_input: bool,
}

impl Delta for Factor {
    fn forward(&self, base: &Base, x: &Tensor, _train: bool) -> Result<Tensor> {
        if self.on_input {
            return base.forward(&x.f_mul(&self.factor)?);
        }
        Ok(base.forward(x)?.f_mul(&self.factor)?)
    }

    fn merge(&self, base: &Base) -> Result<Base> {
        let matrix = base.matrix()?;
        if self.on_input {
            return base.with(&matrix.f_mul(&self.factor)?, base.bias_copy());
        }
        let bias = base.bias.as_ref().map(|b| b.f_mul(&self.factor)).transpose()?;
        base.with(&matrix.f_mul(&self.factor.f_unsqueeze(1)?)?, bias)
    }
}
