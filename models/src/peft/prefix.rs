//! Prefix tuning (Li and Liang 2021, arXiv:2101.00190): every attention sees P learned keys and values before its own.
//!
//! Keys and values come from an embedding through a small network. The first D columns of its output are keys, the
//! rest values; both join the projected keys and values before the heads are split, without any position.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::{Init, Scope, check_size};
use crate::peft::{Linear, Method, Prefix, Role, Site, Term};

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefixes {
    /// P; default 32.
    #[serde(default = "tokens")]
    pub tokens: i64,
    /// Width between the two layers of the network; default 512.
    #[serde(default = "bottleneck")]
    pub bottleneck: i64,
}

fn tokens() -> i64 {
    32
}

fn bottleneck() -> i64 {
    512
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { tokens: tokens(), bottleneck: bottleneck() }
    }
}

impl Method for Prefixes {
    fn check(&self) -> Result<()> {
        check_size("tuning.tokens", self.tokens)?;
        check_size("tuning.bottleneck", self.bottleneck)
    }

    fn prefix(&self, site: &Site, vs: &Scope) -> Result<Option<Box<dyn Prefix>>> {
        let (dim, inner) = (site.inp, self.bottleneck);
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        let wte = vs / "wte";
        let wte = wte.param("weight", &[self.tokens, dim], normal, Role::Other, Term::Weight)?;
        let layer = |n: i64, inp, out| {
            Linear::new(
                &(vs / "control_trans" / n),
                Site { role: Role::Other, layer: None, inp, out },
            )
        };
        Ok(Some(Box::new(Learned {
            wte,
            first: layer(0, dim, inner)?,
            second: layer(2, inner, 2 * dim)?,
        })))
    }
}

/// second(tanh(first(wte))): `[P, 2 D]`
#[derive(Debug)]
struct Learned {
    wte: Tensor,
    first: Linear,
    second: Linear,
}

impl Prefix for Learned {
    fn keys_values(&self) -> Result<(Tensor, Tensor)> {
        let inner = self.first.forward(&self.wte, true)?.f_tanh()?;
        let both = self.second.forward(&inner, true)?; // [P, 2 D]
        let dim = both.size()[1] / 2;
        Ok((both.f_narrow(1, 0, dim)?, both.f_narrow(1, dim, dim)?))
    }
}
