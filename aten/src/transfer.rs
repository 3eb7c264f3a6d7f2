//! Small tensors on their way to a device.

use tch::{Device, TchError, Tensor};

/// The tensor on `device`; itself where it is there already. A GPU takes it in the order of what it is told, and the
/// processor need not wait for that: the numbers are out of its memory when this returns, so they may change at once.
///
/// # Errors
/// When libtorch refuses.
pub fn to_device(x: &Tensor, device: Device) -> Result<Tensor, TchError> {
    x.f_to_device_(device, x.kind(), true, false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_change_as_soon_as_they_are_on_their_way() {
        let mut x = Tensor::from_slice(&[1i64, 2, 3]);
        assert_eq!(to_device(&x, Device::Cpu).unwrap().data_ptr(), x.data_ptr());
        let Ok(gpu) = crate::device("cuda") else {
            println!("no GPU to send to");
            return;
        };
        let busy = Tensor::ones([2048, 2048], (tch::Kind::Float, gpu));
        for n in 0..50 {
            let _work = busy.matmul(&busy);
            let _ = x.fill_(n);
            let there = to_device(&x, gpu).unwrap();
            let _ = x.fill_(-1);
            assert_eq!(Vec::<i64>::try_from(there).unwrap(), [n; 3]);
        }
    }
}
