//! The linear layer every model is made of: the one place where a method can change what a layer computes.

use tch::Tensor;

use crate::error::Result;
use crate::nn::{Half, Init, Scope};
use crate::peft::{Delta, Role, Site, Term};

/// Weight and bias of a layer as published.
#[derive(Debug)]
pub struct Base {
    /// `[out, in]`, or `[out, in, 1]` for a kernel-1 convolution.
    pub weight: Tensor,
    /// `[out]`
    pub bias: Option<Tensor>,
    /// The weight in bfloat16, where it is frozen.
    pub half: Half,
}

impl Base {
    /// A layer of these two.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, half: Half::default() }
    }

    /// The weight as a matrix `[out, in]` (same storage).
    pub fn matrix(&self) -> Result<Tensor> {
        Ok(match self.weight.dim() {
            3 => self.weight.f_squeeze_dim(2)?,
            _ => self.weight.shallow_clone(),
        })
    }

    /// x `[.., in]` -> x W^T + b `[.., out]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.half.of(&self.weight)?;
        let weight = if weight.dim() == 3 { weight.f_squeeze_dim(2)? } else { weight };
        Ok(x.f_linear(&weight, self.bias.as_ref())?)
    }

    /// A layer with the matrix `[out, in]` given, in the shape of this one's weight.
    pub fn with(&self, matrix: &Tensor, bias: Option<Tensor>) -> Result<Base> {
        Ok(Base::new(matrix.f_reshape(self.weight.size())?, bias))
    }

    /// A copy of the bias.
    pub fn bias_copy(&self) -> Option<Tensor> {
        self.bias.as_ref().map(|b| b.detach().copy())
    }
}

/// A linear layer over the last axis, or the kernel-1 convolution that is the same thing, with what the tuning method
/// adds to it.
#[derive(Debug)]
pub struct Linear {
    name: String,
    role: Role,
    base: Base,
    rows: Option<Rows>,
    delta: Option<Box<dyn Delta>>,
}

/// Which rows of a larger layer a layer is.
#[derive(Debug)]
struct Rows {
    whole: String,
    start: i64,
    count: i64,
}

/// A weight or bias with a change folded in.
#[derive(Debug)]
pub struct Merged {
    /// Full name.
    pub name: String,
    /// The tensor, or some rows of it.
    pub tensor: Tensor,
    /// The first of these rows; `None` for all.
    pub start: Option<i64>,
}

impl Linear {
    /// Weight `[out, in]` and bias `[out]`.
    pub fn new(vs: &Scope, site: Site) -> Result<Self> {
        let default = Init::fan_in(site.inp);
        Self::started(vs, site, default, Some(default))
    }

    /// The same with other starting values; without a bias where `bias` has none.
    pub fn started(vs: &Scope, site: Site, weight: Init, bias: Option<Init>) -> Result<Self> {
        let bias = bias.map(|init| vs.param("bias", &[site.out], init, site.role, Term::Bias));
        Self::build(vs, site, &[site.out, site.inp], weight, bias.transpose()?)
    }

    /// As [`Linear::new`], with the weight uniform in `+-sqrt(6 / (in + out))` and the bias zero.
    pub fn glorot(vs: &Scope, site: Site) -> Result<Self> {
        Self::started(vs, site, Init::xavier(site.inp, site.out), Some(Init::Const(0.0)))
    }

    /// The rows of a larger layer from `start` on, as many as the site has outputs. `vs` is the scope of what a method
    /// adds, `name` the larger layer's dotted name.
    pub fn rows(vs: &Scope, site: Site, whole: &Base, name: &str, start: i64) -> Result<Self> {
        let bias = whole.bias.as_ref().map(Tensor::shallow_clone);
        let base = Base::new(whole.weight.shallow_clone(), bias);
        let rows = Rows { whole: format!("{name}."), start, count: site.out };
        let delta = vs.linear(&site)?;
        Ok(Self { name: vs.name(""), role: site.role, base, rows: Some(rows), delta })
    }

    /// A kernel-1 convolution without bias: weight `[out, in, 1]`, applied over the last axis all the same.
    pub fn pointwise(vs: &Scope, site: Site) -> Result<Self> {
        Self::build(vs, site, &[site.out, site.inp, 1], Init::fan_in(site.inp), None)
    }

    fn build(
        vs: &Scope,
        site: Site,
        shape: &[i64],
        init: Init,
        bias: Option<Tensor>,
    ) -> Result<Self> {
        let weight = vs.param("weight", shape, init, site.role, Term::Weight)?;
        let (name, role) = (vs.name(""), site.role);
        let base = Base::new(weight, bias);
        Ok(Self { name, role, base, rows: None, delta: vs.linear(&site)? })
    }

    /// What `f` makes of weight and bias of this layer alone (same storage).
    fn with_base<R>(&self, f: impl FnOnce(&Base) -> Result<R>) -> Result<R> {
        let Some(Rows { start, count, .. }) = &self.rows else { return f(&self.base) };
        let part = |x: &Tensor| x.f_narrow(0, *start, *count);
        let Base { weight, bias, .. } = &self.base;
        f(&Base::new(part(weight)?, bias.as_ref().map(part).transpose()?))
    }

    /// x `[.., in]` -> `[.., out]`
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.with_base(|base| match &self.delta {
            Some(delta) => delta.forward(base, x, train),
            None => base.forward(x),
        })
    }

    /// Its dotted name.
    pub fn name(&self) -> &str {
        self.name.trim_end_matches('.')
    }

    /// What it does in the network.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Lets a change that starts from the published weights see them.
    pub fn settle(&self) -> Result<()> {
        self.delta.as_ref().map_or(Ok(()), |delta| self.with_base(|base| delta.settle(base)))
    }

    /// Weight (and bias) with the change folded in; nothing where nothing was added.
    pub fn merged(&self) -> Result<Vec<Merged>> {
        let Some(delta) = &self.delta else { return Ok(Vec::new()) };
        let Base { weight, bias, .. } = self.with_base(|base| delta.merge(base))?;
        let (scope, start) = match &self.rows {
            Some(rows) => (&rows.whole, Some(rows.start)),
            None => (&self.name, None),
        };
        let named = |last: &str, tensor| Merged { name: format!("{scope}{last}"), tensor, start };
        let mut out = vec![named("weight", weight)];
        out.extend(bias.map(|bias| named("bias", bias)));
        Ok(out)
    }
}
