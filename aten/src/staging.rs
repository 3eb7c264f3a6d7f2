//! Host memory that a GPU copies from while everybody goes on.
//!
//! A copy from ordinary memory makes the processor wait for all that the GPU has been told before. Out of pinned memory,
//! on a stream of its own, it runs beside the kernels of the step before, and the processor does not wait at all. Then
//! the memory must not be written to before the copy has ended: here it cannot be.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Tensor};

use crate::{Result, ffi};

/// Float32 numbers in host memory, pinned where that is possible. Writing to them and freeing them wait for the copies
/// that were begun.
#[derive(Debug)]
pub struct Staging {
    begin: NonNull<f32>,
    numbers: usize,
    refused: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Owns the memory; nothing outside this file ever holds a share of it.
    host: Tensor,
    /// Copies that may still be reading.
    copies: Vec<Copying>,
}

/// A copy that was begun; the pointer is a c10::Event.
#[derive(Debug)]
struct Copying(NonNull<c_void>);

// SAFETY: the memory at `begin` is written to through `&mut Staging` only; what reads it beside us are copies of a device,
// which both that way and `drop` wait for. The tensor and the events are behind the lock.
unsafe impl Send for Staging {}
// SAFETY: as above: a shared reference gives reading and `to`, which takes the lock.
unsafe impl Sync for Staging {}
// SAFETY: an event belongs to no thread; it is used by one at a time, under the lock or through `&mut`.
unsafe impl Send for Copying {}

impl Staging {
    /// Room for so many numbers, all zero. Where memory cannot be pinned, on a machine without a GPU for one, it is
    /// ordinary memory: see [`Staging::refused`].
    ///
    /// libtorch hands out pinned memory in powers of two, up to twice what is asked for, and keeps what is freed for the
    /// next who asks.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(numbers: usize) -> Result<Self> {
        let (refused, (host, begin)) = match memory(numbers, true) {
            Ok(memory) => (None, memory),
            Err(e) => (Some(e.to_string()), memory(numbers, false)?),
        };
        let state = Mutex::new(State { host, copies: Vec::new() });
        Ok(Self { begin, numbers, refused, state })
    }

    /// Why the memory is not pinned; `None` if it is.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// All numbers.
    pub fn numbers(&self) -> &[f32] {
        // SAFETY: `begin` points to so many initialised numbers that live as long as `self`; beside them only copies of
        // a device run, which read.
        unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.numbers) }
    }

    /// All numbers, to write to; waits for the copies that were begun.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        self.wait();
        // SAFETY: as above, and no copy runs any more; `&mut self` lets none begin while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.begin.as_ptr(), self.numbers) }
    }

    /// The first numbers as a new tensor of this shape on `device`. To a GPU the copy is only begun: work given to the
    /// device from now on comes after it, and the processor goes on.
    ///
    /// # Errors
    /// When the shape has more numbers than there are, or libtorch refuses.
    pub fn to(&self, shape: &[i64], device: Device) -> Result<Tensor> {
        let mut state = self.state();
        let State { host, copies } = &mut *state;
        let Device::Cuda(index) = device else {
            let copy = || {
                host.f_narrow(0, 0, shape.iter().product())?.f_view(shape)?.f_to_device_(
                    device,
                    host.kind(),
                    false,
                    true,
                )
            };
            return copy().map_err(|e| crate::Error::Torch { what: "copy", why: e.to_string() });
        };
        copies.retain(|copy| !copy.done());
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let (mut tensor, mut event) = (ptr::null_mut(), ptr::null_mut());
        ffi::call("copy to the GPU", |err, n| {
            // SAFETY: `host` is alive and the shape has the length given; after success both results are ours.
            unsafe {
                ffi::etude_copy_beside(
                    host.as_ptr().cast(),
                    shape.as_ptr(),
                    shape.len(),
                    index,
                    &mut tensor,
                    &mut event,
                    err,
                    n,
                )
            }
        })?;
        copies.extend(NonNull::new(event).map(Copying));
        // SAFETY: an at::Tensor made by `new` for us, which tch's tensor deletes when dropped.
        Ok(unsafe { Tensor::from_ptr(tensor.cast()) })
    }

    fn wait(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for copy in state.copies.drain(..) {
            copy.wait();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.wait();
    }
}

impl Copying {
    fn wait(&self) {
        // A refusal means that the device is lost: nothing reads any more, and its next use says why.
        let _ = ffi::call("copy to the GPU", |err, n| {
            // SAFETY: the event is alive until dropped.
            unsafe { ffi::etude_event_wait(self.0.as_ptr(), err, n) }
        });
    }

    fn done(&self) -> bool {
        let mut done = 0;
        let asked = ffi::call("copy to the GPU", |err, n| {
            // SAFETY: the event is alive until dropped; the shim writes one number.
            unsafe { ffi::etude_event_done(self.0.as_ptr(), &mut done, err, n) }
        });
        asked.is_ok() && done != 0
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        // SAFETY: made by the shim, and dropped once.
        unsafe { ffi::etude_event_free(self.0.as_ptr()) }
    }
}

/// Zeros in host memory, and where they begin.
fn memory(numbers: usize, pinned: bool) -> Result<(Tensor, NonNull<f32>)> {
    let (mut tensor, mut begin) = (ptr::null_mut(), ptr::null_mut());
    let size = i64::try_from(numbers).unwrap_or(i64::MAX);
    ffi::call("host memory", |err, n| {
        // SAFETY: the shim writes both pointers, or none and a reason.
        unsafe { ffi::etude_host_memory(size, pinned.into(), &mut tensor, &mut begin, err, n) }
    })?;
    // SAFETY: an at::Tensor made by `new` for us, which tch's tensor deletes when dropped.
    let host = unsafe { Tensor::from_ptr(tensor.cast()) };
    // No numbers have no place: any pointer that is aligned will do.
    Ok((host, NonNull::new(begin).unwrap_or(NonNull::dangling())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::cuda;
    use tch::Kind;

    #[test]
    fn numbers_written_from_any_thread_arrive_in_a_tensor_of_its_own() {
        let mut staging = Staging::new(1000).unwrap();
        assert!(staging.numbers().iter().all(|x| *x == 0.0));
        assert_eq!(staging.refused().is_some(), cuda::why_not().is_some());
        let numbers = |n: usize| (0..n).map(|i| i as f32 - 3.0);
        std::thread::scope(|scope| {
            let filled = scope.spawn(|| {
                staging.numbers_mut().iter_mut().zip(numbers(1000)).for_each(|(to, x)| *to = x)
            });
            filled.join().unwrap();
        });
        assert!(staging.numbers().iter().copied().eq(numbers(1000)));
        let x = staging.to(&[4, 5, 10], Device::Cpu).unwrap();
        assert_eq!((x.size(), x.kind()), (vec![4, 5, 10], Kind::Float));
        staging.numbers_mut().fill(0.5);
        assert!(Vec::<f32>::try_from(x.view(-1)).unwrap().into_iter().eq(numbers(200)));
        let text = staging.to(&[7, 143], Device::Cpu).unwrap_err().to_string();
        assert!(text.contains("1000"), "{text}");
        assert_eq!(Staging::new(0).unwrap().numbers(), [0f32; 0]);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_leaves_the_numbers_alone() {
        if let Some(why) = cuda::why_not() {
            let mut staging = Staging::new(16).unwrap();
            staging.numbers_mut().fill(2.0);
            assert!(staging.to(&[16], Device::Cuda(0)).is_err(), "{why}");
            assert_eq!(staging.numbers(), [2.0; 16]);
        }
    }
}
