//! Batches in memory from outside: the same numbers, the same few buffers, and never written to while somebody reads.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{spec, view, write_set};
use etude_manifests::Split;
use etude_shards::{Batch, Crop, Index, Lender, Loader, LoaderConfig, Memory};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const STEPS: [usize; 11] = [2500, 1000, 1, 3999, 12_345, 800, 801, 5000, 2000, 3000, 999];

/// A block that a thread copies from behind the consumer's back, late and slowly, as a GPU does.
#[derive(Debug)]
struct Block {
    numbers: Vec<f32>,
    /// Copies that have not ended, and who waits for them.
    copies: Arc<(Mutex<usize>, Condvar)>,
    lent: Arc<Counts>,
}

/// What a lender lent.
#[derive(Debug, Default)]
struct Counts {
    blocks: AtomicUsize,
    back: AtomicUsize,
    waits: AtomicUsize,
}

impl Block {
    /// Begins a copy of the first `len` numbers and returns at once.
    fn copy(&self, len: usize) -> JoinHandle<Vec<f32>> {
        let begin = self.numbers[..len].as_ptr() as usize;
        let copies = self.copies.clone();
        *copies.0.lock().unwrap() += 1;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(3));
            // SAFETY: the block waits for this copy before it is written to or freed.
            let copy = unsafe { std::slice::from_raw_parts(begin as *const f32, len) }.to_vec();
            *copies.0.lock().unwrap() -= 1;
            copies.1.notify_all();
            copy
        })
    }

    fn wait(&self) {
        let mut running = self.copies.0.lock().unwrap();
        if *running > 0 {
            self.lent.waits.fetch_add(1, SeqCst);
        }
        while *running > 0 {
            running = self.copies.1.wait(running).unwrap();
        }
    }
}

impl Memory for Block {
    fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        self.wait();
        &mut self.numbers
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.wait();
        self.lent.back.fetch_add(1, SeqCst);
    }
}

/// Lends blocks that are `more` numbers longer than asked for.
#[derive(Debug, Default)]
struct Blocks {
    more: isize,
    lent: Arc<Counts>,
}

impl Lender for Blocks {
    fn lend(&self, numbers: usize) -> Option<Box<dyn Memory>> {
        self.lent.blocks.fetch_add(1, SeqCst);
        let (copies, lent) = (Arc::default(), self.lent.clone());
        // Not zeros: the loader has to write its padding.
        let numbers = vec![7.5; numbers.checked_add_signed(self.more)?];
        Some(Box::new(Block { numbers, copies, lent }))
    }
}

fn toy() -> (tempfile::TempDir, Index) {
    let dir = tempfile::tempdir().unwrap();
    let index = write_set(dir.path(), &spec(), &STEPS, 3);
    (dir, index)
}

fn loader(index: &Index, crop: Crop) -> Loader {
    let cfg = LoaderConfig { batch: 4, crop, prefetch_bytes: 50_000, ..LoaderConfig::default() };
    Loader::train(index, &view(STEPS.len(), |_| Split::Train), &cfg, 42).unwrap()
}

fn crops() -> [Crop; 2] {
    [Crop::Random { steps: 900 }, Crop::Whole]
}

#[test]
fn batches_in_lent_memory_are_those_in_vectors_and_every_block_comes_back() {
    let (_dir, index) = toy();
    for crop in crops() {
        let blocks = Arc::new(Blocks { more: 5, ..Blocks::default() });
        let mut plain = loader(&index, crop);
        let mut lent = loader(&index, crop).with_lender(blocks.clone());
        for _ in 0..60 {
            let (p, l) = (plain.next().unwrap().unwrap(), lent.next().unwrap().unwrap());
            assert_eq!(p, l);
            assert!(p.data.lent::<Block>().is_none());
            let block = l.data.lent::<Block>().unwrap();
            assert_eq!(block.numbers().as_ptr(), l.data.as_ptr());
            let copy = l.clone();
            assert!(copy == l && copy.data.lent::<Block>().is_none());
            plain.recycle(p);
            lent.recycle(l);
        }
        let (plain, stats) = (plain.stats(), lent.stats());
        if let Crop::Random { .. } = crop {
            assert!(stats.allocations <= 6, "{} allocations for 60 batches", stats.allocations);
        }
        assert!(stats.prefetch_peak <= plain.prefetch_peak.max(50_000) + 20 * 4, "{stats:?}");
        drop(lent);
        let Counts { blocks, back, .. } = &*blocks.lent;
        assert_eq!((blocks.load(SeqCst), stats.allocations > 0), (back.load(SeqCst), true));
    }
}

#[test]
fn a_recycled_batch_is_filled_anew_only_after_the_copies_of_it_have_ended() {
    let (_dir, index) = toy();
    for crop in crops() {
        let blocks = Arc::new(Blocks::default());
        let mut loader = loader(&index, crop).with_lender(blocks.clone());
        let copied = |batch: &Batch| batch.data.lent::<Block>().unwrap().copy(batch.data.len());
        let mut copies = Vec::new();
        for _ in 0..60 {
            let batch = loader.next().unwrap().unwrap();
            copies.push((batch.data.to_vec(), copied(&batch), copied(&batch)));
            loader.recycle(batch);
        }
        for (want, first, second) in copies {
            assert!(first.join().unwrap() == want && second.join().unwrap() == want);
        }
        assert!(blocks.lent.waits.load(SeqCst) > 0, "no thread was ever too early");
    }
}

#[test]
fn a_lender_without_enough_memory_leaves_the_loader_with_vectors() {
    let (_dir, index) = toy();
    let blocks = Arc::new(Blocks { more: -1, ..Blocks::default() });
    let mut plain = loader(&index, Crop::Random { steps: 900 });
    let mut lent = loader(&index, Crop::Random { steps: 900 }).with_lender(blocks.clone());
    for (p, l) in plain.by_ref().zip(lent.by_ref()).take(9) {
        let (p, l) = (p.unwrap(), l.unwrap());
        assert!(p == l && l.data.lent::<Block>().is_none());
    }
    assert!(blocks.lent.blocks.load(SeqCst) > 0);
}
