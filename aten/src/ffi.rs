//! Declarations of `shim/` and the one place that turns its return code into a [`Result`].

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::{Error, Result};

unsafe extern "C" {
    pub(crate) fn etude_torch_version() -> *const c_char;
    pub(crate) fn etude_torch_path(
        out: *mut c_char,
        out_len: usize,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_rng_state(
        device: i64,
        out: *mut u8,
        len: *mut usize,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_set_rng_state(
        device: i64,
        data: *const u8,
        len: usize,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_deterministic(on: c_int, err: *mut c_char, n: usize) -> c_int;
    pub(crate) fn etude_is_deterministic() -> c_int;
    pub(crate) fn etude_tf32(on: c_int, err: *mut c_char, n: usize) -> c_int;
    pub(crate) fn etude_is_tf32() -> c_int;
    pub(crate) fn etude_cuda_memory(
        device: i64,
        out: *mut i64,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_autocast_enter(
        cuda: c_int,
        on: c_int,
        before: *mut c_int,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_autocast_is_on(cuda: c_int) -> c_int;
    pub(crate) fn etude_autocast_leave(
        cuda: c_int,
        before: *const c_int,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_clear_grad(tensor: *mut c_void, err: *mut c_char, n: usize) -> c_int;
    pub(crate) fn etude_host_memory(
        numbers: i64,
        pinned: c_int,
        tensor: *mut *mut c_void,
        begin: *mut *mut f32,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_copy_beside(
        host: *const c_void,
        shape: *const i64,
        dims: usize,
        device: i64,
        tensor: *mut *mut c_void,
        event: *mut *mut c_void,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_event_wait(event: *const c_void, err: *mut c_char, n: usize) -> c_int;
    pub(crate) fn etude_event_done(
        event: *const c_void,
        done: *mut c_int,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_event_free(event: *mut c_void);
    pub(crate) fn etude_foreach(
        op: c_int,
        x: *const *mut c_void,
        nx: usize,
        a: *const *mut c_void,
        na: usize,
        b: *const *mut c_void,
        nb: usize,
        number: *const f64,
        numbers: usize,
        out: *mut *mut c_void,
        err: *mut c_char,
        n: usize,
    ) -> c_int;
    pub(crate) fn etude_cuda_reset_peak(device: i64, err: *mut c_char, n: usize) -> c_int;
}

/// Runs one shim function with room for its message; `what` names the action in the error.
pub(crate) fn call(what: &'static str, f: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<()> {
    let mut text = [0 as c_char; 1024];
    if f(text.as_mut_ptr(), text.len()) == 0 {
        return Ok(());
    }
    Err(Error::Torch { what, why: read(&text) })
}

/// A zero-terminated buffer as text.
pub(crate) fn read(text: &[c_char]) -> String {
    // SAFETY: the shim always writes a terminator inside the buffer, and the buffer starts zeroed.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    text.to_string_lossy().trim().to_owned()
}
