//! State of libtorch's random generators, so that a run can stop and go on with the same dropout masks.

use tch::Device;

use crate::{Error, Result, ffi};

/// State of the default generator of `device` (the CPU, or a CUDA device), as opaque bytes.
///
/// # Errors
/// When libtorch has no such generator.
pub fn rng_state(device: Device) -> Result<Vec<u8>> {
    let device = number(device)?;
    let mut len = 0usize;
    ffi::call("generator state", |err, n| {
        // SAFETY: without an output buffer the shim only reports the length.
        unsafe { ffi::etude_rng_state(device, std::ptr::null_mut(), &mut len, err, n) }
    })?;
    let mut state = vec![0u8; len];
    ffi::call("generator state", |err, n| {
        // SAFETY: the buffer has the length just reported, and the shim checks it.
        unsafe { ffi::etude_rng_state(device, state.as_mut_ptr(), &mut len, err, n) }
    })?;
    Ok(state)
}

/// Puts the default generator of `device` into a state taken by [`rng_state`] on the same kind of device.
///
/// # Errors
/// When the bytes are no such state; the generator keeps its own then.
pub fn set_rng_state(device: Device, state: &[u8]) -> Result<()> {
    let device = number(device)?;
    ffi::call("generator state", |err, n| {
        // SAFETY: the pointer is valid for the length given.
        unsafe { ffi::etude_set_rng_state(device, state.as_ptr(), state.len(), err, n) }
    })
}

fn number(device: Device) -> Result<i64> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(index) => Ok(i64::try_from(index).unwrap_or(i64::MAX)),
        other => Err(Error::Device { got: format!("{other:?}") }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn a_restored_generator_repeats_its_numbers_and_refuses_noise() {
        let draw = || Tensor::rand([64], (Kind::Float, Device::Cpu));
        let state = rng_state(Device::Cpu).unwrap();
        let (first, second) = (draw(), draw());
        assert_ne!(first, second);
        set_rng_state(Device::Cpu, &state).unwrap();
        assert_eq!(draw(), first);
        assert_eq!(draw(), second);
        // Bytes that are no state are an error, and the stream goes on undisturbed.
        let state = rng_state(Device::Cpu).unwrap();
        let third = draw();
        set_rng_state(Device::Cpu, &state).unwrap();
        assert!(set_rng_state(Device::Cpu, &[1, 2, 3]).is_err());
        assert_eq!(draw(), third);
    }
}
