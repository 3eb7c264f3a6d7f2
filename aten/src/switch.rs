//! Process-wide switches of libtorch.

use std::ffi::c_int;

use crate::{Result, ffi};

/// With `true`, operations that have no deterministic kernel become errors, and cuDNN picks deterministic ones.
///
/// # Errors
/// When libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<()> {
    ffi::call("deterministic algorithms", |err, n| {
        // SAFETY: a plain switch.
        unsafe { ffi::etude_deterministic(c_int::from(on), err, n) }
    })
}

/// Whether only deterministic algorithms are allowed.
pub fn is_deterministic() -> bool {
    // SAFETY: reads one flag.
    unsafe { ffi::etude_is_deterministic() != 0 }
}

/// With `true`, float32 matrix products and convolutions on CUDA may round their inputs to TF32 (10 bits of mantissa).
///
/// # Errors
/// When libtorch refuses.
pub fn set_tf32(on: bool) -> Result<()> {
    ffi::call("TF32", |err, n| {
        // SAFETY: a plain switch.
        unsafe { ffi::etude_tf32(c_int::from(on), err, n) }
    })
}

/// Whether both matrix products and convolutions may use TF32.
pub fn is_tf32() -> bool {
    // SAFETY: reads two flags.
    unsafe { ffi::etude_is_tf32() != 0 }
}

/// Threads inside one operation, for the whole process; at least 1.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn switches_read_back_as_they_were_set() {
        let before = (is_deterministic(), is_tf32());
        for on in [true, false] {
            set_deterministic(on).unwrap();
            assert_eq!(is_deterministic(), on);
            set_tf32(on).unwrap();
            assert_eq!(is_tf32(), on);
        }
        set_deterministic(before.0).unwrap();
        set_tf32(before.1).unwrap();
    }
}
