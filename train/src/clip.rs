//! Gradient clipping by the global norm, as torch's `clip_grad_norm_`.

use crate::error::Result;
use crate::optim::{Param, lists};
use etude_aten::foreach;
use tch::{Kind, Tensor};

/// L2 norm over all gradients together, before clipping; gradients are scaled by `max / (norm + 1e-6)` where that is
/// below 1. `None` only measures. The norm stays on the device (0-d float): reading it is the caller's one wait.
pub fn clip_grad_norm(params: &[Param], max: Option<f64>) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let mut lists = lists(params)?;
    let mut norms = Vec::new();
    for list in &lists {
        norms.extend(list.at.iter().zip(foreach::norm(&list.grads)?));
    }
    if norms.is_empty() {
        return Ok(Tensor::from(0f32));
    }
    norms.sort_by_key(|(at, _)| **at); // the sum is taken in the order of the parameters, whatever their types
    let norms: Vec<Tensor> = norms.into_iter().map(|(_, norm)| norm).collect();
    let norm = Tensor::f_stack(&norms, 0)?.f_norm()?.f_to_kind(Kind::Float)?;
    if let Some(max) = max {
        let scale = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max)?.f_clamp_max(1.0)?;
        for list in &mut lists {
            foreach::mul_tensor_(&mut list.grads, &scale.f_to_kind(list.kind)?)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str, grad: &[f32]) -> Param {
        let tensor =
            Tensor::zeros([grad.len() as i64], tch::kind::FLOAT_CPU).set_requires_grad(true);
        (&tensor * Tensor::from_slice(grad)).sum(Kind::Float).backward();
        Param { name: name.to_owned(), tensor, lr_scale: 1.0 }
    }

    #[test]
    fn the_norm_is_over_all_gradients_together() {
        let params = [param("a", &[3.0, 0.0]), param("b", &[4.0])];
        assert_eq!(clip_grad_norm(&params, None).unwrap().double_value(&[]), 5.0);
        assert_eq!(clip_grad_norm(&params, Some(1.0)).unwrap().double_value(&[]), 5.0);
        let after = clip_grad_norm(&params, Some(10.0)).unwrap().double_value(&[]);
        assert!((after - 1.0).abs() < 1e-6, "{after}");
    }

    #[test]
    fn small_gradients_are_left_alone() {
        let params = [param("a", &[0.3, -0.4])];
        let _ = clip_grad_norm(&params, Some(1.0)).unwrap();
        assert_eq!(Vec::<f32>::try_from(params[0].tensor.grad()).unwrap(), [0.3, -0.4]);
    }

    #[test]
    fn without_gradients_the_norm_is_zero() {
        assert_eq!(clip_grad_norm(&[], Some(1.0)).unwrap().double_value(&[]), 0.0);
    }
}
