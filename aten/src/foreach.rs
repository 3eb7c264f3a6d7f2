//! One call for a whole list of tensors, as optimizers need it.
//!
//! On CUDA a call is a few kernels for all tensors together, where one call per tensor is one kernel each. On the CPU
//! libtorch goes through the list with the kernels of the single operation: the numbers are the same to the bit. On CUDA
//! lists of one type are fast; mixed ones are taken one by one.
//!
//! Lists that belong together are of one length, and no list is empty: libtorch refuses the rest. Like every change in
//! place, those of leaves that require gradients need gradients to be off.

use std::ffi::{c_int, c_void};

use tch::Tensor;

use crate::{Result, ffi};

/// The operations of the shim, in its order.
#[derive(Clone, Copy)]
enum Op {
    Mul,
    MulEach,
    Sqrt,
    Norm,
    MulBy,
    MulEachBy,
    MulTensorBy,
    DivEachBy,
    AddNumber,
    Add,
    Sub,
    Lerp,
    AddCMul,
    AddCDiv,
}

/// `x * by`
///
/// # Errors
/// When libtorch refuses; so do all functions here.
pub fn mul(x: &[Tensor], by: f64) -> Result<Vec<Tensor>> {
    made(Op::Mul, x, &[by])
}

/// `x[i] * by[i]`
pub fn mul_each(x: &[Tensor], by: &[f64]) -> Result<Vec<Tensor>> {
    made(Op::MulEach, x, by)
}

/// Square roots.
pub fn sqrt(x: &[Tensor]) -> Result<Vec<Tensor>> {
    made(Op::Sqrt, x, &[])
}

/// L2 norm of each, 0-d, of its tensor's type.
pub fn norm(x: &[Tensor]) -> Result<Vec<Tensor>> {
    made(Op::Norm, x, &[])
}

/// `x *= by`
pub fn mul_(x: &mut [Tensor], by: f64) -> Result<()> {
    run(Op::MulBy, x, [&[], &[]], &[by], &mut [])
}

/// `x[i] *= by[i]`
pub fn mul_each_(x: &mut [Tensor], by: &[f64]) -> Result<()> {
    run(Op::MulEachBy, x, [&[], &[]], by, &mut [])
}

/// `x *= by`, a 0-d tensor of the type of `x` on its device: nobody waits for its value.
pub fn mul_tensor_(x: &mut [Tensor], by: &Tensor) -> Result<()> {
    let by = std::slice::from_ref(by);
    run(Op::MulTensorBy, x, [by, &[]], &[], &mut [])
}

/// `x[i] /= by[i]`
pub fn div_each_(x: &mut [Tensor], by: &[f64]) -> Result<()> {
    run(Op::DivEachBy, x, [&[], &[]], by, &mut [])
}

/// `x += number`
pub fn add_number_(x: &mut [Tensor], number: f64) -> Result<()> {
    run(Op::AddNumber, x, [&[], &[]], &[number], &mut [])
}

/// `x[i] += a[i]`
pub fn add_(x: &mut [Tensor], a: &[Tensor]) -> Result<()> {
    run(Op::Add, x, [a, &[]], &[], &mut [])
}

/// `x[i] -= a[i]`
pub fn sub_(x: &mut [Tensor], a: &[Tensor]) -> Result<()> {
    run(Op::Sub, x, [a, &[]], &[], &mut [])
}

/// `x[i] += weight * (a[i] - x[i])`
pub fn lerp_(x: &mut [Tensor], a: &[Tensor], weight: f64) -> Result<()> {
    run(Op::Lerp, x, [a, &[]], &[weight], &mut [])
}

/// `x[i] += a[i] * b[i]`
pub fn addcmul_(x: &mut [Tensor], a: &[Tensor], b: &[Tensor]) -> Result<()> {
    run(Op::AddCMul, x, [a, b], &[], &mut [])
}

/// `x[i] += a[i] / b[i]`
pub fn addcdiv_(x: &mut [Tensor], a: &[Tensor], b: &[Tensor]) -> Result<()> {
    run(Op::AddCDiv, x, [a, b], &[], &mut [])
}

/// One new tensor for each of `x`.
fn made(op: Op, x: &[Tensor], numbers: &[f64]) -> Result<Vec<Tensor>> {
    let mut out = vec![std::ptr::null_mut(); x.len()];
    run(op, x, [&[], &[]], numbers, &mut out)?;
    // SAFETY: after success each is an at::Tensor made by `new` for us, which tch's tensor deletes when dropped.
    Ok(out.into_iter().map(|new| unsafe { Tensor::from_ptr(new.cast()) }).collect())
}

/// What changes `x` is called with a mutable list: a tensor of tch is a pointer, so the list itself stays as it is.
fn run(
    op: Op,
    x: &[Tensor],
    [a, b]: [&[Tensor]; 2],
    numbers: &[f64],
    out: &mut [*mut c_void],
) -> Result<()> {
    let [x, a, b] = [x, a, b].map(pointers);
    ffi::call("tensor lists", |err, n| {
        // SAFETY: tensors of tch are pointers to at::Tensors, alive as long as the borrowed lists; all lists are passed
        // with their lengths, and `out` has room for one tensor per `x` wherever the operation writes there.
        unsafe {
            ffi::etude_foreach(
                op as c_int,
                x.as_ptr(),
                x.len(),
                a.as_ptr(),
                a.len(),
                b.as_ptr(),
                b.len(),
                numbers.as_ptr(),
                numbers.len(),
                out.as_mut_ptr(),
                err,
                n,
            )
        }
    })
}

fn pointers(list: &[Tensor]) -> Vec<*mut c_void> {
    list.iter().map(|t| t.as_ptr().cast_mut().cast()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn list(kind: Kind, seed: f64) -> Vec<Tensor> {
        let sizes: [&[i64]; 4] = [&[5, 7], &[1], &[3, 1, 33], &[0]];
        let one = |size: &&[i64]| {
            let x = Tensor::arange(size.iter().product::<i64>(), (Kind::Float, Device::Cpu));
            (x * 0.37 + seed).sin().abs().view(*size).to_kind(kind)
        };
        sizes.iter().map(one).collect()
    }

    #[test]
    fn a_list_gets_the_bits_of_its_tensors_taken_one_by_one() {
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            let (x, a, b) = (list(kind, 0.1), list(kind, 0.7), list(kind, 1.3));
            let each = [0.3, -1.7, 2.0, 0.1];
            let zipped = |f: &dyn Fn(usize, &Tensor) -> Tensor| -> Vec<Tensor> {
                x.iter().enumerate().map(|(i, t)| f(i, &t.copy())).collect()
            };
            let one = |f: &dyn Fn(usize, &mut Tensor)| {
                zipped(&|i, t| {
                    let mut t = t.shallow_clone();
                    f(i, &mut t);
                    t
                })
            };
            let all = |f: &dyn Fn(&mut [Tensor]) -> Result<()>| {
                let mut x: Vec<Tensor> = x.iter().map(Tensor::copy).collect();
                f(&mut x).unwrap();
                x
            };
            let scale = Tensor::from(0.77).to_kind(kind);
            for (name, got, want) in [
                ("mul", mul(&x, 0.1).unwrap(), zipped(&|_, t| t * 0.1)),
                ("mul_each", mul_each(&x, &each).unwrap(), zipped(&|i, t| t * each[i])),
                ("sqrt", sqrt(&x).unwrap(), zipped(&|_, t| t.sqrt())),
                ("norm", norm(&x).unwrap(), zipped(&|_, t| t.norm())),
                ("mul_", all(&|x| mul_(x, 0.9)), one(&|_, t| *t *= 0.9)),
                ("mul_each_", all(&|x| mul_each_(x, &each)), one(&|i, t| *t *= each[i])),
                ("mul_tensor_", all(&|x| mul_tensor_(x, &scale)), one(&|_, t| *t *= &scale)),
                ("div_each_", all(&|x| div_each_(x, &each)), one(&|i, t| *t /= each[i])),
                ("add_number_", all(&|x| add_number_(x, 1e-3)), one(&|_, t| *t += 1e-3)),
                ("add_", all(&|x| add_(x, &a)), one(&|i, t| *t += &a[i])),
                ("sub_", all(&|x| sub_(x, &a)), one(&|i, t| *t -= &a[i])),
                ("lerp_", all(&|x| lerp_(x, &a, 0.1)), one(&|i, t| _ = t.lerp_(&a[i], 0.1))),
                (
                    "addcmul_",
                    all(&|x| addcmul_(x, &a, &b)),
                    one(&|i, t| _ = t.addcmul_(&a[i], &b[i])),
                ),
                (
                    "addcdiv_",
                    all(&|x| addcdiv_(x, &a, &b)),
                    one(&|i, t| _ = t.addcdiv_(&a[i], &b[i])),
                ),
            ] {
                assert_eq!(got.len(), 4);
                for (g, w) in got.iter().zip(&want) {
                    assert!(g.kind() == w.kind() && g.equal(w), "{name} {kind:?}: {g} {w}");
                }
            }
        }
    }

    #[test]
    fn lists_that_do_not_belong_together_are_refused_and_stay_as_they_were() {
        let mut x = list(Kind::Float, 0.1);
        let text = add_(&mut x, &list(Kind::Float, 0.7)[..3]).unwrap_err().to_string();
        assert!(text.contains("same number of tensors"), "{text}");
        assert!(mul_each_(&mut x, &[1.0]).is_err());
        assert!(lerp_(&mut x, &[], 0.5).is_err());
        assert!(mul(&[], 2.0).is_err());
        let before = list(Kind::Float, 0.1);
        assert!(x.iter().zip(&before).all(|(x, b)| x.equal(b)));
    }
}
