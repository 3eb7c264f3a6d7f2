//! Memory of this process as the system counts it.

use std::fs;

/// Most memory that this process held since its start or the last [`host_reset_peak`], bytes; `None` where the system
/// does not tell.
pub fn host_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb * 1024)
}

/// Gives free memory back to the system and makes the peak start again from what is held now. Where the system has no
/// such switch nothing happens: [`host_peak`] then stays the peak since the start.
pub fn host_reset_peak() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: glibc's allocator locks itself; only memory that nobody holds is given back.
        unsafe { malloc_trim(0) };
    }
    // 5 is the kernel's word for the peak (proc(5), clear_refs); a kernel without it refuses, which changes nothing
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Lets this process keep the memory it frees for what it asks for next, until it ends or [`host_reset_peak`] gives it
/// back. As it comes, glibc returns every large block to the system when it is freed and gets it back page by page when
/// the next one is asked for, which networks do hundreds of times a step. Elsewhere nothing happens.
pub fn host_keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(param: c_int, value: c_int) -> c_int;
        }
        /// Free bytes at the end of the heap from which on they go back; -1 for never.
        const TRIM_THRESHOLD: c_int = -1;
        /// Blocks that are mapped on their own at most.
        const MMAP_MAX: c_int = -4;
        // SAFETY: glibc's allocator locks itself; both only steer where later blocks come from and go.
        unsafe {
            mallopt(TRIM_THRESHOLD, -1);
            mallopt(MMAP_MAX, 0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_peak_forgets_what_was_freed_before_a_reset() {
        let block = vec![1u8; 256 << 20];
        assert_eq!(block.iter().map(|b| u64::from(*b)).sum::<u64>(), 256 << 20);
        drop(block);
        let Some(before) = host_peak() else { return };
        host_reset_peak();
        let after = host_peak().unwrap();
        if fs::write("/proc/self/clear_refs", "5").is_ok() {
            assert!(after + (128 << 20) < before, "{before} then {after}");
        }
    }
}
