//! Gradients between two steps.

use tch::Tensor;

use crate::{Result, ffi};

/// Takes the gradient of a tensor away, as if none had ever reached it: not zeros, which an optimizer would take for
/// news. Its memory is free.
///
/// # Errors
/// When libtorch refuses.
pub fn clear_grad(tensor: &Tensor) -> Result<()> {
    let mut same = tensor.shallow_clone();
    ffi::call("gradient", |err, n| {
        // SAFETY: a tensor of tch is a pointer to an at::Tensor, alive as long as `same`.
        unsafe { ffi::etude_clear_grad(same.as_mut_ptr().cast(), err, n) }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn a_gradient_taken_away_is_none_and_the_next_one_starts_anew() {
        let w = Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true);
        clear_grad(&w).unwrap();
        for _ in 0..2 {
            (&w * 3.0).sum(Kind::Float).backward();
            assert_eq!(Vec::<f32>::try_from(w.grad()).unwrap(), [3.0, 3.0]);
            clear_grad(&w).unwrap();
            assert!(!w.grad().defined());
        }
    }
}
