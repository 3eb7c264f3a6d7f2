//! Mixed precision: matrix products, convolutions and attention in bfloat16, sums and normalisations in float32.

use std::ffi::c_int;
use std::marker::PhantomData;

use tch::Device;

use crate::{Result, ffi};

/// While it lives, operations of this thread on one kind of device choose their element type by libtorch's own lists.
/// Guards nest, and end in any way a scope can end. Weights keep their type; each is converted once per outermost
/// guard, so a guard should span one forward pass.
#[derive(Debug)]
pub struct Autocast {
    cuda: c_int,
    before: [c_int; 2],
    /// The setting belongs to the thread that made it.
    thread: PhantomData<*const ()>,
}

impl Autocast {
    /// bfloat16 where that is safe.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn bf16(device: Device) -> Result<Self> {
        Self::enter(device, true)
    }

    /// As if there were no autocast: for what must stay float32.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn off(device: Device) -> Result<Self> {
        Self::enter(device, false)
    }

    /// Whether operations of this thread on such a device choose their element type now.
    pub fn is_on(device: Device) -> bool {
        // SAFETY: reads one flag of this thread.
        unsafe { ffi::etude_autocast_is_on(c_int::from(device.is_cuda())) != 0 }
    }

    fn enter(device: Device, on: bool) -> Result<Self> {
        let cuda = c_int::from(device.is_cuda());
        let mut before = [0; 2];
        ffi::call("autocast", |err, n| {
            // SAFETY: the shim writes exactly two numbers.
            unsafe { ffi::etude_autocast_enter(cuda, c_int::from(on), before.as_mut_ptr(), err, n) }
        })?;
        Ok(Self { cuda, before, thread: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // Restoring what was set before cannot fail where setting did not.
        let _ = ffi::call("autocast", |err, n| {
            // SAFETY: the shim reads exactly two numbers.
            unsafe { ffi::etude_autocast_leave(self.cuda, self.before.as_ptr(), err, n) }
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn products_are_bf16_inside_and_float32_outside_even_after_a_panic() {
        let x = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let kind = || {
            let kind = x.matmul(&x).kind();
            assert_eq!(Autocast::is_on(Device::Cpu), kind == Kind::BFloat16);
            kind
        };
        assert_eq!(kind(), Kind::Float);
        assert!(!Autocast::is_on(Device::Cpu));
        {
            let _on = Autocast::bf16(Device::Cpu).unwrap();
            assert!(Autocast::is_on(Device::Cpu));
            assert_eq!(kind(), Kind::BFloat16);
            {
                let _off = Autocast::off(Device::Cpu).unwrap();
                assert_eq!(kind(), Kind::Float);
            }
            assert_eq!(kind(), Kind::BFloat16);
        }
        assert_eq!(kind(), Kind::Float);
        let caught = std::panic::catch_unwind(|| {
            let _on = Autocast::bf16(Device::Cpu).unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(caught.is_err());
        assert_eq!(kind(), Kind::Float);
    }

    #[test]
    fn a_weight_changed_between_guards_is_converted_anew() {
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        let mut w = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let product = |w: &Tensor| {
            let _on = Autocast::bf16(Device::Cpu).unwrap();
            x.matmul(w).sum(Kind::Float).double_value(&[])
        };
        assert_eq!(product(&w), 8.0);
        tch::no_grad(|| {
            let _ = w.fill_(2.0);
        });
        assert_eq!(product(&w), 16.0);
    }
}
