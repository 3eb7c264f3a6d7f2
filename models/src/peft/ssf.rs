//! SSF (Lian et al. 2022, arXiv:2210.08823): each output of a linear layer of an encoder layer is scaled and shifted.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::{Init, Scope};
use crate::peft::{Base, Delta, Method, Role, Site, Term};

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssf {
    /// Standard deviation of the starting scales around 1 and shifts around 0; default 0.02, as published. With 0
    /// training starts exactly at the published model.
    #[serde(default = "published")]
    pub init_std: f64,
}

fn published() -> f64 {
    0.02
}

impl Default for Ssf {
    fn default() -> Self {
        Self { init_std: published() }
    }
}

impl Method for Ssf {
    fn linear(&self, site: &Site, vs: &Scope) -> Result<Option<Box<dyn Delta>>> {
        if !site.role.in_encoder() {
            return Ok(None);
        }
        let param = |name, mean| {
            let init = Init::Normal { mean, std: self.init_std };
            vs.param(name, &[site.out], init, Role::Other, Term::Weight)
        };
        let scale = param("scale", 1.0)?;
        // convolutions have no bias, so they are not shifted either
        let shift = if site.role == Role::Pointwise { None } else { Some(param("shift", 0.0)?) };
        Ok(Some(Box::new(ScaleShift { scale, shift })))
    }
}

/// scale * (W x + b) + shift
#[derive(Debug)]
struct ScaleShift {
    scale: Tensor,
    shift: Option<Tensor>,
}

impl ScaleShift {
    fn apply(&self, y: &Tensor) -> Result<Tensor> {
        let y = y.f_mul(&self.scale)?;
        Ok(match &self.shift {
            Some(shift) => y.f_add(shift)?,
            None => y,
        })
    }
}

impl Delta for ScaleShift {
    fn forward(&self, base: &Base, x: &Tensor, _train: bool) -> Result<Tensor> {
        self.apply(&base.forward(x)?)
    }

    fn merge(&self, base: &Base) -> Result<Base> {
        let matrix = base.matrix()?.f_mul(&self.scale.f_unsqueeze(1)?)?;
        let bias = match (&base.bias, &self.shift) {
            (Some(bias), _) => Some(self.apply(bias)?),
            (None, shift) => shift.as_ref().map(|s| s.detach().copy()),
        };
        base.with(&matrix, bias)
    }
}
