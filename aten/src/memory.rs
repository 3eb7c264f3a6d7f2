//! Memory of libtorch's CUDA allocator.

use crate::{Error, Result, cuda, ffi};

/// Bytes held by libtorch's allocator on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// In tensors, now.
    pub allocated: i64,
    /// In tensors, at most since the start or the last reset.
    pub allocated_peak: i64,
    /// Taken from the driver, now.
    pub reserved: i64,
    /// Taken from the driver, at most since the start or the last reset.
    pub reserved_peak: i64,
}

/// Memory of CUDA device `index`.
///
/// # Errors
/// [`Error::NoCuda`] when CUDA cannot be used.
pub fn cuda_memory(index: usize) -> Result<Memory> {
    let device = checked(index)?;
    let mut out = [0i64; 4];
    ffi::call("CUDA memory", |err, n| {
        // SAFETY: the shim writes exactly four numbers.
        unsafe { ffi::etude_cuda_memory(device, out.as_mut_ptr(), err, n) }
    })?;
    let [allocated, allocated_peak, reserved, reserved_peak] = out;
    Ok(Memory { allocated, allocated_peak, reserved, reserved_peak })
}

/// Makes the peaks start again from what is held now.
///
/// # Errors
/// [`Error::NoCuda`] when CUDA cannot be used.
pub fn cuda_reset_peak(index: usize) -> Result<()> {
    let device = checked(index)?;
    ffi::call("CUDA memory peak", |err, n| {
        // SAFETY: no memory of ours is touched beyond the message buffer.
        unsafe { ffi::etude_cuda_reset_peak(device, err, n) }
    })
}

fn checked(index: usize) -> Result<i64> {
    match cuda::why_not() {
        None => Ok(i64::try_from(index).unwrap_or(i64::MAX)),
        Some(why) => Err(Error::NoCuda { asked: format!("cuda:{index}"), why }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_where_there_is_a_gpu_and_explained_where_there_is_none() {
        match cuda::why_not() {
            Some(why) => assert!(cuda_memory(0).unwrap_err().to_string().contains(&why)),
            None => {
                cuda_reset_peak(0).unwrap();
                let before = cuda_memory(0).unwrap();
                let _x = tch::Tensor::zeros([1024, 1024], (tch::Kind::Float, tch::Device::Cuda(0)));
                let after = cuda_memory(0).unwrap();
                assert_eq!(after.allocated - before.allocated, 4 << 20);
                assert!(after.allocated_peak >= after.allocated);
            }
        }
    }
}
