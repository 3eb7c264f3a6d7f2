//! Parameters in lists that one call can take (`etude_aten::foreach`).

use super::Param;
use crate::error::Result;
use etude_aten::foreach;
use tch::{Kind, Tensor};

/// Numbers of a list at most, but one tensor always: an update holds two temporaries of its list. A GPU is given much at
/// once; a processor goes through a list tensor by tensor, and what a list holds should stay in its cache.
const NUMBERS_GPU: usize = 1 << 25;
const NUMBERS_CPU: usize = 1 << 16;

/// Parameters of one type that have a gradient, in the order they were given.
pub(crate) struct List {
    /// Place of each among all parameters.
    pub(crate) at: Vec<usize>,
    /// The parameters themselves.
    pub(crate) weights: Vec<Tensor>,
    /// Their gradients.
    pub(crate) grads: Vec<Tensor>,
    /// Type of all of them.
    pub(crate) kind: Kind,
    numbers: usize,
}

/// The parameters that have a gradient.
pub(crate) fn lists(params: &[Param]) -> Result<Vec<List>> {
    let mut lists: Vec<List> = Vec::new();
    for (i, p) in params.iter().enumerate() {
        let grad = p.tensor.f_grad()?;
        if !grad.defined() {
            continue;
        }
        let (kind, numbers) = (p.tensor.kind(), p.tensor.numel());
        let most = if p.tensor.device().is_cuda() { NUMBERS_GPU } else { NUMBERS_CPU };
        // The last list of this type; those before it are full.
        let open = lists.iter().rposition(|l| l.kind == kind);
        let open = open.filter(|&n| lists[n].numbers + numbers <= most).unwrap_or_else(|| {
            let (at, weights, grads) = Default::default();
            lists.push(List { at, weights, grads, kind, numbers: 0 });
            lists.len() - 1
        });
        let list = &mut lists[open];
        list.at.push(i);
        list.weights.push(p.tensor.shallow_clone());
        list.grads.push(grad);
        list.numbers += numbers;
    }
    Ok(lists)
}

impl List {
    /// Weight decay as an L2 penalty: the list's gradients are `g + by w` from here on, those of the parameters stay.
    pub(crate) fn decay(&mut self, by: f64) -> Result<()> {
        if by != 0.0 {
            let mut sums = foreach::mul(&self.weights, by)?;
            foreach::add_(&mut sums, &self.grads)?;
            self.grads = sums;
        }
        Ok(())
    }

    /// `f` of each parameter.
    pub(crate) fn each<T>(&self, params: &[Param], f: impl Fn(&Param) -> T) -> Vec<T> {
        self.at.iter().map(|&i| f(&params[i])).collect()
    }

    /// What `all` holds for each parameter, sharing its memory.
    pub(crate) fn pick(&self, all: &[Tensor]) -> Vec<Tensor> {
        self.at.iter().map(|&i| all[i].shallow_clone()).collect()
    }
}
