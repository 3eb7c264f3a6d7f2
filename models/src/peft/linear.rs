//! The linear layer every model is made of: the one place where a method can change what a layer computes.

use tch::Tensor;

use crate::error::Result;
use crate::nn::{Init, Scope};
use crate::peft::{Delta, Role, Site, Term};

/// Weight and bias of a layer as published.
#[derive(Debug)]
pub struct Base {
    /// `[out, in]`, or `[out, in, 1]` for a kernel-1 convolution.
    pub weight: Tensor,
    /// `[out]`
    pub bias: Option<Tensor>,
}

impl Base {
    /// The weight as a matrix `[out, in]` (same storage).
    pub fn matrix(&self) -> Result<Tensor> {
        Ok(match self.weight.dim() {
            3 => self.weight.f_squeeze_dim(2)?,
            _ => self.weight.shallow_clone(),
        })
    }

    /// x `[.., in]` -> x W^T + b `[.., out]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.matrix()?, self.bias.as_ref())?)
    }

    /// A layer with the matrix `[out, in]` given, in the shape of this one's weight.
    pub fn with(&self, matrix: &Tensor, bias: Option<Tensor>) -> Result<Base> {
        Ok(Base { weight: matrix.f_reshape(self.weight.size())?, bias })
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
    delta: Option<Box<dyn Delta>>,
}

impl Linear {
    /// Weight `[out, in]` and bias `[out]`.
    pub fn new(vs: &Scope, site: Site) -> Result<Self> {
        let bias = vs.param("bias", &[site.out], Init::fan_in(site.inp), site.role, Term::Bias)?;
        Self::build(vs, site, &[site.out, site.inp], Init::fan_in(site.inp), Some(bias))
    }

    /// As [`Linear::new`], with the weight uniform in `+-sqrt(6 / (in + out))` and the bias zero.
    pub fn glorot(vs: &Scope, site: Site) -> Result<Self> {
        let bias = vs.param("bias", &[site.out], Init::Const(0.0), site.role, Term::Bias)?;
        let bound = (6.0 / (site.inp + site.out).max(1) as f64).sqrt();
        Self::build(vs, site, &[site.out, site.inp], Init::Uniform(bound), Some(bias))
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
        Ok(Self { name, role, base: Base { weight, bias }, delta: vs.linear(&site)? })
    }

    /// x `[.., in]` -> `[.., out]`
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.delta {
            Some(delta) => delta.forward(&self.base, x, train),
            None => self.base.forward(x),
        }
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
        self.delta.as_ref().map_or(Ok(()), |delta| delta.settle(&self.base))
    }

    /// Weight (and bias) by full name with the change folded in; `None` where nothing was added.
    pub fn merged(&self) -> Result<Option<Vec<(String, Tensor)>>> {
        let Some(delta) = &self.delta else { return Ok(None) };
        let Base { weight, bias } = delta.merge(&self.base)?;
        let mut out = vec![(format!("{}weight", self.name), weight)];
        out.extend(bias.map(|bias| (format!("{}bias", self.name), bias)));
        Ok(Some(out))
    }
}
