//! Batch memory that a GPU copies from while everybody goes on.

use etude_aten::Staging;
use etude_shards::{Lender, Loader, Memory};
use std::sync::{Arc, Mutex, PoisonError};
use tch::Device;

/// One buffer of a loader.
#[derive(Debug)]
pub(crate) struct Pinned(pub(crate) Staging);

impl Memory for Pinned {
    fn numbers(&self) -> &[f32] {
        self.0.numbers()
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        self.0.numbers_mut()
    }
}

/// Where loaders get the memory for batches that go to one device. For a GPU it is pinned: [`crate::inputs`] copies out of
/// it beside the running kernels, and the loader fills a buffer anew only after that. For the CPU it is their own.
#[derive(Debug, Default)]
pub struct BatchMemory {
    pinned: Option<Arc<Pin>>,
}

/// Lends pinned memory, and remembers the first time that there was none.
#[derive(Debug, Default)]
struct Pin {
    refused: Mutex<Refusal>,
}

#[derive(Debug, Default)]
enum Refusal {
    #[default]
    Never,
    New(String),
    Told,
}

impl BatchMemory {
    /// For batches that go to `device`.
    pub fn of(device: Device) -> Self {
        Self { pinned: device.is_cuda().then(Arc::default) }
    }

    /// The loader, its batches in this memory.
    pub fn lend(&self, loader: Loader) -> Loader {
        match &self.pinned {
            Some(pin) => loader.with_lender(pin.clone()),
            None => loader,
        }
    }

    /// A line on memory that could not be pinned, once: copies out of such memory make the processor wait.
    pub fn news(&self) -> Option<String> {
        self.pinned.as_ref()?.news()
    }
}

impl Pin {
    fn news(&self) -> Option<String> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *refused, Refusal::Told) {
            Refusal::New(why) => Some(format!("batches are in memory that is not pinned: {why}")),
            before => {
                *refused = before;
                None
            }
        }
    }
}

impl Lender for Pin {
    fn lend(&self, numbers: usize) -> Option<Box<dyn Memory>> {
        let staging = Staging::new(numbers).ok()?;
        if let Some(why) = staging.refused() {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if let Refusal::Never = *refused {
                *refused = Refusal::New(why.to_owned());
            }
        }
        Some(Box::new(Pinned(staging)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs;
    use etude_manifests::{Example, Split, Target, View, Vocab};
    use etude_shards::{Batch, Crop, Index, Kind, LoaderConfig, Number, ShardFile, Spec, TrackRow};
    use tch::Tensor;

    const TRACKS: usize = 12;

    fn key(track: usize) -> String {
        format!("toy:{track:02}")
    }

    fn toy(dir: &std::path::Path) -> Index {
        let spec = Spec {
            corpus: "toy".into(),
            kind: Kind::Wave { rate: 1000 },
            number: Number::S16,
            block_s: 1.0,
            row_group_bytes: 1 << 20,
            resampler: "none".into(),
            config_digest: "c".into(),
            manifest_hash: "m".into(),
        };
        let mut file = ShardFile::create(dir, 0, &spec).unwrap();
        for track in 0..TRACKS {
            let wave: Vec<f32> =
                (0..20_000).map(|i| ((track * 7919 + i * 31) % 4001) as f32 / 4001.0).collect();
            let row = TrackRow { key: &key(track), variant: "orig", tags: &[], split: None };
            file.push(&row, &wave).unwrap();
        }
        let file = file.finish().unwrap();
        Index::assemble(dir, &spec, vec![file]).unwrap()
    }

    fn loader(index: &Index) -> Loader {
        let example = |track| Example {
            key: key(track),
            track: key(track),
            variant: "orig".into(),
            split: Split::Train,
            target: Target::None,
        };
        let view = View {
            name: "toy".into(),
            corpus: "toy".into(),
            vocab: Vocab { id: "toy".into(), classes: Vec::new(), order: "published".into() },
            examples: (0..TRACKS).map(example).collect(),
            sources: Default::default(),
        };
        let crop = Crop::Random { steps: 9000 };
        let cfg = LoaderConfig { batch: 4, crop, prefetch_bytes: 400_000, ..Default::default() };
        Loader::train(index, &view, &cfg, 3).unwrap()
    }

    fn host(x: &Tensor) -> Vec<f32> {
        Vec::try_from(x.to_device(Device::Cpu).view(-1)).unwrap()
    }

    /// Many batches through few buffers, given back while the device is still busy with work that was given before.
    fn arrive_as_from_plain_memory(device: Device) -> BatchMemory {
        let dir = tempfile::tempdir().unwrap();
        let index = toy(dir.path());
        let memory = BatchMemory { pinned: Some(Arc::default()) };
        let (mut plain, mut lent) = (loader(&index), memory.lend(loader(&index)));
        let work = Tensor::ones([512, 512], (tch::Kind::Float, device));
        let mut arrived: Vec<(Tensor, Vec<f32>)> = Vec::new();
        let next = |loader: &mut Loader| -> Batch { loader.next().unwrap().unwrap() };
        for _ in 0..60 {
            let _busy = (0..8).fold(work.shallow_clone(), |x, _| x.matmul(&work) * 1e-3);
            let (p, l) = (next(&mut plain), next(&mut lent));
            assert!(p.data.lent::<Pinned>().is_none() && l.data.lent::<Pinned>().is_some());
            let x = inputs(&l, device).unwrap().x;
            assert_eq!((x.size(), x.device()), (vec![4, 9000], device));
            arrived.push((&x * 2.0, p.data.iter().map(|x| x * 2.0).collect()));
            plain.recycle(p);
            lent.recycle(l);
        }
        for (x, want) in &arrived {
            assert!(host(x) == *want);
        }
        assert!(lent.stats().allocations <= 6, "{:?}", lent.stats());
        memory
    }

    #[test]
    fn batches_in_tensors_arrive_as_from_plain_memory_and_a_refusal_is_told_once() {
        let memory = arrive_as_from_plain_memory(Device::Cpu);
        let pins = etude_aten::device("cuda").is_ok();
        assert_eq!(memory.news().is_some(), !pins);
        assert_eq!(memory.news(), None);
        assert!(BatchMemory::of(Device::Cpu).pinned.is_none());
    }

    #[test]
    fn copies_to_a_gpu_run_beside_its_kernels_and_hold_what_the_batches_held() {
        match etude_aten::device("cuda") {
            Ok(device) => {
                let memory = arrive_as_from_plain_memory(device);
                assert_eq!(memory.news(), None, "memory is pinned where there is a GPU");
            }
            Err(e) => println!("no GPU to copy to: {e}"),
        }
    }
}
