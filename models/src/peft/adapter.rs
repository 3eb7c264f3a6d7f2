//! Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751) where the PEFT paper puts them: on the residual stream,
//! behind the sum that closes an attention or a feed-forward. D width, K bottleneck.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::{Activation, Init, Scope, check_size};
use crate::peft::{After, Method, Role, Site, Term};

/// Settings. The layer norms around attention and feed-forwards train too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// K; default 16.
    #[serde(default = "sixteen")]
    pub bottleneck: i64,
}

fn sixteen() -> i64 {
    16
}

impl Default for Adapter {
    fn default() -> Self {
        Self { bottleneck: sixteen() }
    }
}

impl Method for Adapter {
    fn trains(&self, role: Role, _term: Term) -> bool {
        matches!(role, Role::AttentionNorm | Role::FeedForwardNorm)
    }

    fn check(&self) -> Result<()> {
        check_size("tuning.bottleneck", self.bottleneck)
    }

    fn after(&self, site: &Site, vs: &Scope, block: &str) -> Result<Option<Box<dyn After>>> {
        let vs = vs / format!("{block}_adapter");
        let (down, up) = (&vs / "down", &vs / "up");
        let zero = Init::Const(0.0); // so training starts at the published model
        let param = |vs: &Scope, name, shape: &[i64], init| {
            vs.param(name, shape, init, Role::Other, Term::Weight)
        };
        Ok(Some(Box::new(Bottleneck {
            down: param(&down, "weight", &[self.bottleneck, site.inp], Init::fan_in(site.inp))?,
            down_bias: param(&down, "bias", &[self.bottleneck], zero)?,
            up: param(&up, "weight", &[site.out, self.bottleneck], zero)?,
            up_bias: param(&up, "bias", &[site.out], zero)?,
        })))
    }
}

/// x + up(GELU(down(x)))
#[derive(Debug)]
struct Bottleneck {
    down: Tensor,
    down_bias: Tensor,
    up: Tensor,
    up_bias: Tensor,
}

impl After for Bottleneck {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = Activation::Gelu.forward(&x.f_linear(&self.down, Some(&self.down_bias))?)?; // [B, T, K]
        Ok(x.f_add(&inner.f_linear(&self.up, Some(&self.up_bias))?)?) // [B, T, D]
    }
}
