//! What is made of weights that do not train, once: their bfloat16 form, and convolutions with the batch norm behind
//! them folded in. It is made when first used, and anew when a weight was written to since.

use std::cell::RefCell;

use etude_aten::Autocast;
use tch::{Kind, Tensor, no_grad_guard};

use crate::error::Result;

/// Something made of a few frozen tensors.
#[derive(Debug)]
pub(crate) struct Made<T>(RefCell<Option<(Vec<i64>, T)>>);

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T> Made<T> {
    /// What `make` made of `from` when they were last written to, passed to `use_it`.
    pub(crate) fn with<R>(
        &self,
        from: &[&Tensor],
        make: impl FnOnce() -> Result<T>,
        use_it: impl FnOnce(&T) -> Result<R>,
    ) -> Result<R> {
        let mut versions = Vec::with_capacity(from.len());
        for tensor in from {
            versions.push(tensor.f_internal_version()?);
        }
        let mut made = self.0.borrow_mut();
        if made.as_ref().is_none_or(|(then, _)| *then != versions) {
            let _guard = no_grad_guard();
            *made = None; // freed before the new one is made
            *made = Some((versions, make()?));
        }
        let (_, made) = made.as_ref().expect("it was made above where it was not there");
        use_it(made)
    }
}

/// The bfloat16 form of a frozen weight. Mixed precision converts weights in every forward pass; this is done once.
#[derive(Debug, Default)]
pub struct Half(Made<Tensor>);

impl Half {
    /// The weight as products and convolutions of this thread compute with it.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn of(&self, weight: &Tensor) -> Result<Tensor> {
        if weight.requires_grad() || !Autocast::is_on(weight.device()) {
            return Ok(weight.shallow_clone());
        }
        let make = || Ok(weight.f_to_kind(Kind::BFloat16)?);
        self.0.with(&[weight], make, |half| Ok(half.shallow_clone()))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_frozen_weight_is_converted_once_and_again_when_it_was_written_to() {
        let half = Half::default();
        let mut weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        assert_eq!(half.of(&weight).unwrap().kind(), Kind::Float, "without mixed precision");
        let _mixed = Autocast::bf16(Device::Cpu).unwrap();
        let (first, second) = (half.of(&weight).unwrap(), half.of(&weight).unwrap());
        assert_eq!((first.kind(), first.data_ptr()), (Kind::BFloat16, second.data_ptr()));
        let _ = weight.fill_(3.0);
        assert_eq!(half.of(&weight).unwrap().sum(Kind::Float).double_value(&[]), 12.0);
        let trained = weight.set_requires_grad(true);
        assert_eq!(half.of(&trained).unwrap().kind(), Kind::Float);
    }
}
