//! LoRA (Hu et al. 2021, arXiv:2106.09685): a low-rank matrix beside each weight of an encoder layer.
//!
//! Weights stay untouched; the update is added to the output, and folded in only on export. R rank.

use etude_aten::Autocast;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Dropout, Init, Scope, check_probability};
use crate::peft::{Base, Delta, Method, Role, Site, Term};

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// R by kind of layer; default 2 everywhere.
    #[serde(default)]
    pub rank: Rank,
    /// Strength; default 1.
    #[serde(default = "one")]
    pub alpha: f64,
    /// How strength and rank make the factor of the update; default `constant`.
    #[serde(default)]
    pub scaling: Scaling,
    /// Dropout before the update; default 0.
    #[serde(default)]
    pub dropout: f64,
    /// Layers that get an update; default all of an encoder layer.
    #[serde(default = "everywhere")]
    pub targets: Vec<Target>,
}

fn one() -> f64 {
    1.0
}

fn everywhere() -> Vec<Target> {
    use Target::{Down, Key, Out, Pointwise, Query, Up, Value};
    vec![Query, Key, Value, Out, Up, Down, Pointwise]
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: Rank::default(),
            alpha: one(),
            scaling: Scaling::default(),
            dropout: 0.0,
            targets: everywhere(),
        }
    }
}

/// Ranks; 0 leaves layers of that kind alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// Projections of an attention; default 2.
    #[serde(default = "two")]
    pub attention: i64,
    /// Layers of a feed-forward; default 2.
    #[serde(default = "two")]
    pub ffn: i64,
    /// Kernel-1 convolutions; default 2.
    #[serde(default = "two")]
    pub conv: i64,
}

fn two() -> i64 {
    2
}

impl Default for Rank {
    fn default() -> Self {
        Self { attention: two(), ffn: two(), conv: two() }
    }
}

/// Factor of the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// alpha, whatever the rank: as the PEFT paper runs it.
    #[default]
    Constant,
    /// alpha / R, as first published.
    Rank,
    /// alpha / sqrt(R): rank-stabilised (Kalajdzievski 2023, arXiv:2312.03732).
    RootRank,
}

/// A linear layer of an encoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Projection to queries.
    Query,
    /// Projection to keys.
    Key,
    /// Projection to values.
    Value,
    /// Projection of the joined heads.
    Out,
    /// First layer of a feed-forward.
    Up,
    /// Second layer of a feed-forward.
    Down,
    /// Kernel-1 convolution.
    Pointwise,
}

impl Target {
    /// R of such a layer.
    fn rank(self, rank: Rank) -> i64 {
        match self {
            Target::Query | Target::Key | Target::Value | Target::Out => rank.attention,
            Target::Up | Target::Down => rank.ffn,
            Target::Pointwise => rank.conv,
        }
    }

    /// Whether the layer does this.
    pub(crate) fn is(self, role: Role) -> bool {
        role == match self {
            Target::Query => Role::Query,
            Target::Key => Role::Key,
            Target::Value => Role::Value,
            Target::Out => Role::Out,
            Target::Up => Role::Up,
            Target::Down => Role::Down,
            Target::Pointwise => Role::Pointwise,
        }
    }
}

impl Lora {
    /// Factor of an update of that rank.
    pub(crate) fn scale(&self, rank: i64) -> f64 {
        match self.scaling {
            Scaling::Constant => self.alpha,
            Scaling::Rank => self.alpha / rank as f64,
            Scaling::RootRank => self.alpha / (rank as f64).sqrt(),
        }
    }

    /// The update of one layer; `None` where the method has none.
    pub(crate) fn at(&self, site: &Site, vs: &Scope) -> Result<Option<LowRank>> {
        let target = self.targets.iter().find(|t| t.is(site.role));
        let rank = target.map_or(0, |t| t.rank(self.rank));
        if rank == 0 {
            return Ok(None);
        }
        let param =
            |name, shape: &[i64], init| vs.param(name, shape, init, Role::Other, Term::Weight);
        Ok(Some(LowRank {
            a: param("lora_A", &[rank, site.inp], Init::fan_in(site.inp))?,
            b: param("lora_B", &[site.out, rank], Init::Const(0.0))?, // so training starts at the published model
            scale: self.scale(rank),
            dropout: Dropout::new(vs, self.dropout),
        }))
    }
}

impl Method for Lora {
    fn check(&self) -> Result<()> {
        check_probability("tuning.dropout", self.dropout)?;
        let Rank { attention, ffn, conv } = self.rank;
        let setting = |key: &str, expected: &str, got: String| {
            Err(Error::Setting { key: key.to_owned(), expected: expected.to_owned(), got })
        };
        if let Some(r) = [attention, ffn, conv].into_iter().find(|&r| r < 0) {
            return setting("tuning.rank", "0 or more", r.to_string());
        }
        if self.targets.is_empty() {
            return setting("tuning.targets", "at least one kind of layer", "none".to_owned());
        }
        if self.targets.iter().all(|t| t.rank(self.rank) == 0) {
            let got = "0 for all of them: nothing would train but the head".to_owned();
            return setting("tuning.rank", "at least 1 for one of tuning.targets", got);
        }
        if !(self.alpha.is_finite() && self.alpha != 0.0) {
            return setting("tuning.alpha", "a number that is not 0", self.alpha.to_string());
        }
        Ok(())
    }

    fn linear(&self, site: &Site, vs: &Scope) -> Result<Option<Box<dyn Delta>>> {
        Ok(self.at(site, vs)?.map(|d| Box::new(d) as Box<dyn Delta>))
    }
}

/// scale B A, with A `[R, in]` and B `[out, R]`.
#[derive(Debug)]
pub(crate) struct LowRank {
    a: Tensor,
    b: Tensor,
    scale: f64,
    dropout: Dropout,
}

impl LowRank {
    /// x `[.., in]` -> scale x A^T B^T `[.., out]`
    pub(crate) fn update(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.dropout.forward(x, train)?;
        let low = x.f_linear(&self.a, None::<&Tensor>)?; // [.., R]
        Ok(low.f_linear(&self.b, None::<&Tensor>)?.f_mul_scalar(self.scale)?)
    }

    /// scale B A `[out, in]`
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        Ok(self.b.f_matmul(&self.a)?.f_mul_scalar(self.scale)?)
    }
}

impl Delta for LowRank {
    /// One pass over the output: the update is added in place by the product that makes it.
    fn forward(&self, base: &Base, x: &Tensor, train: bool) -> Result<Tensor> {
        let (mut shape, width) = (x.size(), self.a.size()[1]);
        let mut rows = x.f_reshape([-1, width])?; // [N, in]
        if Autocast::is_on(x.device()) {
            rows = rows.f_to_kind(Kind::BFloat16)?; // once for both products
        }
        let mut y = base.forward(&rows)?; // [N, out]
        let low = self.dropout.forward(&rows, train)?.f_linear(&self.a, None::<&Tensor>)?; // [N, R]
        let low = if self.scale == 1.0 { low } else { low.f_mul_scalar(self.scale)? };
        let up = self.b.f_tr()?.f_to_kind(y.kind())?; // [R, out]
        let y = y.f_addmm_(&low.f_to_kind(y.kind())?, &up)?;
        if let Some(last) = shape.last_mut() {
            *last = y.size()[1];
        }
        Ok(y.f_view(shape.as_slice())?)
    }

    fn merge(&self, base: &Base) -> Result<Base> {
        base.with(&base.matrix()?.f_add(&self.matrix()?)?, base.bias_copy())
    }
}
