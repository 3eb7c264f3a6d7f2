//! Whatever happens to the bytes of a file: a status, no panic, no absurd allocation, and the same answer twice.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_ingest::{DecodeLimits, decode};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is allocated and remembers the highest level.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes a damaged file of at most 100 kB may cost. The largest samples of these files are 8 bytes a frame.
const ALLOWED: usize = 32 << 20;

const SEEDS: &[&str] = &[
    "good_reference.flac",
    "good_reference.mp3",
    "vbr_without_xing.mp3",
    "mpeg_layer2_named.mp3",
    "wav_list_chunk_odd_wellformed.wav",
    "eight_channels_extensible.wav",
    "pcm_f64.wav",
    "ogg_truncated.ogg",
    "opus_unsupported.opus",
    "aac_m4a_named.mp3",
    "sample_rate_change_midway.mp3",
    "id3v1_and_ape_at_end.mp3",
];

/// One thing that happens to bytes.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    SetNearStart(usize, u8),
    Zero(usize, usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Cut(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>().prop_map(|i| i.index(100_000));
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(i, b)| Damage::Set(i, b)),
        4 => (0usize..200, any::<u8>()).prop_map(|(i, b)| Damage::SetNearStart(i, b)),
        1 => (at(), 1usize..2000).prop_map(|(i, n)| Damage::Zero(i, n)),
        1 => (at(), 1usize..2000).prop_map(|(i, n)| Damage::Remove(i, n)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..500)).prop_map(|(i, b)| Damage::Insert(i, b)),
        1 => at().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let n = bytes.len();
        if n == 0 {
            return;
        }
        match self {
            Damage::Set(i, b) => bytes[i % n] = *b,
            Damage::SetNearStart(i, b) => bytes[i % n] = *b,
            Damage::Zero(i, len) => {
                let from = i % n;
                bytes[from..(from + len).min(n)].fill(0);
            }
            Damage::Remove(i, len) => {
                let from = i % n;
                bytes.drain(from..(from + len).min(n));
            }
            Damage::Insert(i, new) => {
                let at = i % n;
                bytes.splice(at..at, new.iter().copied());
            }
            Damage::Cut(i) => bytes.truncate(i % n),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/audio-bad")
}

/// Keeps panics that `decode` catches off the terminal: builds with overflow checks have some in the decoders.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_none_or(|at| !at.file().contains("symphonia")) {
                shown(info);
            }
        }));
    });
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.mp3");
    std::fs::write(&path, bytes).unwrap();
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let got = decode(&path, None, &DecodeLimits::default());
    let used = PEAK.load(Relaxed) - before;
    prop_assert!(used < ALLOWED, "{used} bytes allocated for a file of {}", bytes.len());
    prop_assert!(got.pcm.samples.iter().all(|x| x.is_finite()));
    prop_assert_eq!(got.facts.frames.unwrap_or(0) as usize, got.pcm.samples.len());
    prop_assert_eq!(got.status.usable(), got.status_text.is_none());
    prop_assert_eq!(decode(&path, None, &DecodeLimits::default()), got);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_get_a_status_and_cost_no_more_than_their_size_warrants(
        seed in prop::sample::select(SEEDS),
        all in prop::collection::vec(damage(), 1..12),
    ) {
        let mut bytes = std::fs::read(folder().join(seed)).unwrap();
        all.iter().for_each(|d| d.apply(&mut bytes));
        hush();
        check(&bytes)?;
    }
}
