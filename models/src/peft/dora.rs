//! DoRA (Liu et al. 2024, arXiv:2402.09353): LoRA turns the direction of each row of a weight, a learned number per
//! output sets its length.
//!
//! y = m / n * (x (W + s B A)^T) + b, with n the row lengths of W + s B A, through which no gradient flows.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad_guard};

use crate::error::Result;
use crate::nn::{Init, Scope};
use crate::peft::lora::LowRank;
use crate::peft::{Base, Delta, Lora, Method, Role, Site, Term};

/// The settings of LoRA.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dora {
    /// Rank, strength, targets.
    pub low_rank: Lora,
}

impl Method for Dora {
    fn check(&self) -> Result<()> {
        self.low_rank.check()
    }

    fn linear(&self, site: &Site, vs: &Scope) -> Result<Option<Box<dyn Delta>>> {
        let Some(low_rank) = self.low_rank.at(site, vs)? else { return Ok(None) };
        let one = Init::Const(1.0); // the row lengths take its place once the weights are there
        let name = "lora_magnitude_vector";
        let magnitude = vs.param(name, &[site.out], one, Role::Other, Term::Weight)?;
        Ok(Some(Box::new(Turned { low_rank, magnitude })))
    }
}

#[derive(Debug)]
struct Turned {
    low_rank: LowRank,
    magnitude: Tensor,
}

impl Turned {
    /// m / n `[out]`
    fn stretch(&self, base: &Base) -> Result<Tensor> {
        let turned = base.matrix()?.f_add(&self.low_rank.matrix()?)?.f_detach()?;
        Ok(self.magnitude.f_div(&lengths(&turned)?)?)
    }
}

/// A weight `[out, in]` with rows of the lengths m `[out]`.
pub(crate) fn stretched(turned: &Tensor, magnitude: &Tensor) -> Result<Tensor> {
    Ok(turned.f_mul(&magnitude.f_div(&lengths(turned)?)?.f_unsqueeze(1)?)?)
}

/// W `[out, in]` -> length of each row `[out]`
fn lengths(weight: &Tensor) -> Result<Tensor> {
    Ok(weight.f_norm_scalaropt_dim_dtype(2.0, [1i64].as_slice(), false, Kind::Float)?)
}

impl Delta for Turned {
    fn forward(&self, base: &Base, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = x.f_linear(&base.matrix()?, None::<&Tensor>)?; // [.., out]
        let y = y.f_add(&self.low_rank.update(x, train)?)?.f_mul(&self.stretch(base)?)?;
        Ok(match &base.bias {
            Some(bias) => y.f_add(bias)?,
            None => y,
        })
    }

    fn merge(&self, base: &Base) -> Result<Base> {
        let turned = base.matrix()?.f_add(&self.low_rank.matrix()?)?;
        base.with(&stretched(&turned, &self.magnitude)?, base.bias_copy())
    }

    fn settle(&self, base: &Base) -> Result<()> {
        let _guard = no_grad_guard();
        Ok(self.magnitude.shallow_clone().f_copy_(&lengths(&base.matrix()?)?)?)
    }
}
