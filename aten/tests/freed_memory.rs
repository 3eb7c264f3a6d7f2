//! Freed memory is used again without going back to the system. Without the test harness, which runs tests on threads of
//! their own: it is about the heap of the main thread, where networks compute.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// Pages that this thread has been given so far: field 10 of `/proc/thread-self/stat`; `None` elsewhere than on Linux.
fn faults() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?; // the name may hold anything
    rest.split(' ').nth(7)?.parse().ok()
}

fn main() {
    if faults().is_none() || cfg!(not(target_env = "gnu")) {
        println!("nothing to see: no glibc, or no /proc");
        return;
    }
    etude_aten::set_threads(1);
    etude_aten::host_keep_freed();
    let pages = || {
        let before = faults().unwrap();
        let blocks = [64, 48, 40, 33]; // MiB: glibc would map each of them on its own
        let blocks = blocks.map(|mib| tch::Tensor::ones([mib << 18], tch::kind::FLOAT_CPU));
        assert!(blocks.iter().all(|block| block.double_value(&[0]) == 1.0));
        faults().unwrap() - before
    };
    let first = pages();
    let again: Vec<u64> = (0..6).map(|_| pages()).collect();
    assert!(again[3..].iter().all(|&n| n * 20 < first), "{first} pages, then {again:?}");
}
