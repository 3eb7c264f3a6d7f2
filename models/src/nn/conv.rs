//! Convolutions under PyTorch's names. Kernel-1 convolutions over features are [`crate::peft::Linear::pointwise`].

use tch::Tensor;

use crate::error::Result;
use crate::nn::{Half, Init, Scope};
use crate::peft::{Role, Term};

/// A 2-d convolution with bias.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: [i64; 2],
}

impl Conv2d {
    /// `kernel` x `kernel` with bias, from `inp` to `out` channels.
    pub fn new(
        vs: &Scope,
        role: Role,
        (inp, out): (i64, i64),
        kernel: i64,
        stride: i64,
        padding: i64,
    ) -> Result<Self> {
        let conv = Self::rect(vs, role, (inp, out), [kernel; 2], [padding; 2])?;
        Ok(Self { stride, ..conv })
    }

    /// Another kernel and padding for either axis; stride 1.
    pub fn rect(
        vs: &Scope,
        role: Role,
        (inp, out): (i64, i64),
        kernel: [i64; 2],
        padding: [i64; 2],
    ) -> Result<Self> {
        let [height, width] = kernel;
        let init = Init::fan_in(inp * height * width);
        let weight = vs.param("weight", &[out, inp, height, width], init, role, Term::Weight)?;
        let bias = vs.param("bias", &[out], init, role, Term::Bias)?;
        Ok(Self { weight, bias, stride: 1, padding })
    }

    /// x `[B, C, H, W]` -> `[B, C', H', W']`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, &self.weight, &self.bias)
    }

    /// The same with another weight and bias of the same shapes.
    pub(crate) fn forward_with(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor> {
        let s = [self.stride; 2];
        Ok(x.f_conv2d(weight, Some(bias), s, self.padding, [1, 1], 1)?)
    }

    /// Whether nothing of it trains.
    pub(crate) fn is_frozen(&self) -> bool {
        !self.weight.requires_grad() && !self.bias.requires_grad()
    }

    /// Weight and bias.
    pub(crate) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Whether its weight is trained.
    pub fn trains(&self) -> bool {
        self.weight.requires_grad()
    }
}

/// A 1-d convolution.
#[derive(Debug)]
pub struct Conv1d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    groups: i64,
    half: Half,
}

/// Sizes of a [`Conv1d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv1dSizes {
    /// Channels in.
    pub inp: i64,
    /// Channels out.
    pub out: i64,
    /// Taps.
    pub kernel: i64,
    /// Samples from one output to the next.
    pub stride: i64,
    /// Zeros at each end.
    pub padding: i64,
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv1dSizes {
    /// Stride 1, with bias, one group: the usual layer of a CNN; an odd kernel keeps the length.
    pub fn same(inp: i64, out: i64, kernel: i64) -> Self {
        Self { inp, out, kernel, stride: 1, padding: kernel / 2, groups: 1, bias: true }
    }
}

impl Conv1d {
    /// A convolution of the sizes given.
    pub fn new(vs: &Scope, role: Role, s: Conv1dSizes) -> Result<Self> {
        let default = Init::fan_in(s.inp / s.groups * s.kernel);
        Self::started(vs, role, s, default)
    }

    /// The same with other starting values of the weight.
    pub fn started(vs: &Scope, role: Role, s: Conv1dSizes, start: Init) -> Result<Self> {
        let inp = s.inp / s.groups;
        let weight = vs.param("weight", &[s.out, inp, s.kernel], start, role, Term::Weight)?;
        let default = Init::fan_in(inp * s.kernel);
        let bias = match s.bias {
            true => Some(vs.param("bias", &[s.out], default, role, Term::Bias)?),
            false => None,
        };
        let half = Half::default();
        Ok(Self { weight, bias, stride: s.stride, padding: s.padding, groups: s.groups, half })
    }

    /// `[C', C / groups, taps]`
    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// x `[B, C, T]` -> `[B, C', T']`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (s, p) = ([self.stride], [self.padding]);
        let weight = self.half.of(&self.weight)?;
        Ok(x.f_conv1d(&weight, self.bias.as_ref(), s, p, [1], self.groups)?)
    }
}
