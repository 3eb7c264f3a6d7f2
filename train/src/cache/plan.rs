//! What goes into a cache, and in which order.

use super::{
    ABOUT, About, CacheConfig, CacheNumber, FILE_BYTES, FILE_WINDOWS, Filler, Kept, Key, ROW_BYTES,
    Training, VERSION, disk,
};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::log::Log;
use crate::setup::Setup;
use crate::trainer::event;
use etude_manifests::Split;
use etude_models::Start;
use etude_shards::{Index, Kind, Loader, LoaderConfig, Number, Spec, Window, windows};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// A cache and what is to go into it.
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    /// What the names of caches of one shard set and backbone begin with.
    pub(super) family: String,
    pub(super) key: Key,
    digest: String,
    file_bytes: u64,
    /// The whole cache; one group for each batch of the first epoch to begin with.
    pub(super) groups: Vec<Group>,
    /// Rows that go through the network at least: a shorter pass is filled up.
    pub(super) rows: usize,
}

/// What is computed and stored together with one batch of the run.
pub(super) struct Group {
    /// Windows that go through the network together; those of the batch first.
    pub(super) passes: Vec<Vec<Place>>,
}

/// A window in the order of a cache.
pub(super) struct Place {
    pub(super) window: Window,
    /// Whether it is stored: an earlier place has it otherwise.
    pub(super) new: bool,
}

impl Group {
    /// The windows that it stores, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Window> {
        self.passes.iter().flatten().filter(|place| place.new).map(|place| &place.window)
    }
}

impl Plan {
    /// For the training windows, in the order of the first epoch.
    pub(super) fn of_run(exp: &Experiment, setup: &Setup) -> Result<Self> {
        let cfg = exp.train_loader();
        let loader = Loader::train(&setup.index, &setup.view, &cfg, exp.run.seed)?;
        Self::new(exp, setup, Split::Train, &cfg, &loader)
    }

    /// For the windows of a split, in the order in which it is scored.
    pub(super) fn of_split(
        exp: &Experiment,
        setup: &Setup,
        split: Split,
        cfg: &LoaderConfig,
    ) -> Result<Self> {
        let loader = Loader::tracks(&setup.index, &setup.view, split, cfg)?;
        Self::new(exp, setup, split, cfg, &loader)
    }

    fn new(
        exp: &Experiment,
        setup: &Setup,
        split: Split,
        &LoaderConfig { crop, batch, .. }: &LoaderConfig,
        loader: &Loader,
    ) -> Result<Self> {
        let CacheConfig { dtype, dir, file_bytes, .. } = exp.data.cache.clone().unwrap_or_default();
        let model = &setup.model;
        let waves = !matches!(setup.index.spec().kind, Kind::Embedding { .. });
        let state = model.fixed_state().filter(|_| waves).ok_or_else(|| Error::Cache {
            text: format!(
                "data.cache: expected a network with a frozen beginning, got {} under {} on {}",
                model.backbone.spec().name,
                exp.tuning.name(),
                exp.data.shards,
            ),
        })?;
        let all = windows(&setup.index, &setup.view, split, &crop)?;
        let mut listed = blake3::Hasher::new();
        for w in &all {
            listed.update(format!("{} {} {}\n", w.track, w.start, w.steps).as_bytes());
        }
        let backbone = serde_json::to_value(&exp.model.without_weights()?.backbone);
        let key = Key {
            version: VERSION,
            backbone: backbone.map_err(garbage)?,
            weights: match &setup.identity.base {
                Some(digest) => digest.clone(),
                None => format!("seed {}", exp.run.seed),
            },
            state,
            precision: format!("{:?}", model.precision).to_lowercase(),
            dtype,
            shards: setup.identity.shards_hash.clone(),
            split,
            windows: (all.len(), listed.finalize().to_hex().to_string()),
            batch,
        };
        let text = serde_json::to_vec(&key).map_err(garbage)?;
        let digest = blake3::hash(&text).to_hex().to_string();
        let family = format!("{}-{}", exp.data.shards, exp.model.backbone.name());
        let root = dir.unwrap_or_else(|| exp.data.dir.join("cache"));
        let dir = root.join(format!("{family}-{}", &digest[..16]));
        let batches = (0..loader.batches_per_epoch()).map(|n| loader.batch_windows(n));
        let groups = order(batches.collect(), &all, batch);
        let file_bytes = file_bytes.unwrap_or(FILE_BYTES);
        // In another order other windows are in the short batch; what is scored has one order.
        let rows = if split == Split::Train { batch } else { 1 };
        Ok(Self { dir, family, key, digest, file_bytes, groups, rows })
    }

    /// Finds the cache, or fills it: the groups of the first `batches` at once and the rest batch by batch, or everything
    /// at once. `None` when asked to stop.
    pub(super) fn open(
        self,
        setup: &Setup,
        batches: Option<usize>,
        log: &mut dyn Log,
        stop: &AtomicBool,
    ) -> Result<Option<Training>> {
        fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
        let Some(lock) = disk::lock(&self.dir, log, stop)? else { return Ok(None) };
        let about = match self.about()? {
            Some(about) => about,
            None => super::fill::begin(&self, setup)?,
        };
        let spec = self.spec(setup, &about);
        let bytes: u64 = self.files(&about, &spec).iter().map(|(_, bytes)| bytes).sum();
        let place = format!(
            "cache {}: hidden state {} of {} windows, {} as {}",
            self.dir.display(),
            self.key.state,
            self.key.windows.0,
            disk::size(bytes),
            if spec.number == Number::F32 { "f32" } else { "bf16" },
        );
        if let Some(kept) = self.finished(setup, &about) {
            log.row(&event(0, "cache", format!("{place}; all there")));
            return Ok(Some(Training::Full(kept)));
        }
        let others = disk::others(&self)?;
        let when = if batches.is_some() { "; filled during the first epoch" } else { "" };
        log.row(&event(0, "cache", format!("{place}{when}{others}")));
        let mut filler = Filler::new(self, setup, about, spec, lock)?;
        if !filler.fill(setup, batches, log, stop)? {
            return Ok(None);
        }
        Ok(Some(match batches {
            Some(_) => Training::Filling(Box::new(filler)),
            None => Training::Full(filler.finish()?),
        }))
    }

    /// What an earlier run has kept of all the windows.
    pub(super) fn full(&self, setup: &Setup) -> Result<Option<Kept>> {
        Ok(self.about()?.and_then(|about| self.finished(setup, &about)))
    }

    /// Whether all of these windows are in it.
    pub(super) fn holds(&self, windows: &[Window]) -> bool {
        let held: HashSet<_> = self.groups.iter().flat_map(Group::stored).collect();
        windows.iter().all(|w| held.contains(w))
    }

    fn finished(&self, setup: &Setup, about: &About) -> Option<Kept> {
        let index = Index::open(&self.dir).ok()?;
        (*index.spec() == self.spec(setup, about)).then(|| (index, self.start(about)))
    }

    pub(super) fn start(&self, about: &About) -> Start {
        let kind = if about.kind == "bf16" { tch::Kind::BFloat16 } else { tch::Kind::Float };
        Start { state: self.key.state, kind }
    }

    /// What is known of the cache from an earlier run.
    fn about(&self) -> Result<Option<About>> {
        let path = self.dir.join(ABOUT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let about = serde_json::from_slice::<About>(&text).ok();
        Ok(about.filter(|about| about.made_from == self.key))
    }

    fn spec(&self, setup: &Setup, about: &About) -> Spec {
        let fps = setup.model.backbone.spec().frame_rate.unwrap_or(0.0);
        Spec {
            corpus: setup.index.spec().corpus.clone(),
            kind: Kind::Embedding { fps, dim: about.dim },
            number: match self.key.dtype {
                CacheNumber::Bf16 => Number::Bf16,
                CacheNumber::F32 => Number::F32,
            },
            block_s: if fps > 0.0 { (about.frames as f64 + 1.0) / fps } else { 1.0 }, // a window is a row
            row_group_bytes: FILE_BYTES,
            resampler: "none".to_owned(),
            config_digest: self.digest.clone(),
            manifest_hash: setup.index.spec().manifest_hash.clone(),
        }
    }

    /// Groups file by file, and the bytes of each; a file ends with a group.
    pub(super) fn files(&self, about: &About, spec: &Spec) -> Vec<(Range<usize>, u64)> {
        let window_bytes = about.frames * spec.step_bytes() as u64 + ROW_BYTES;
        let most = (self.file_bytes / window_bytes).min(FILE_WINDOWS);
        let mut files: Vec<(Range<usize>, u64)> = Vec::new(); // groups, windows
        for (n, group) in self.groups.iter().enumerate() {
            let more = group.stored().count() as u64;
            match files.last_mut() {
                Some((groups, windows)) if more == 0 || *windows + more <= most => {
                    groups.end = n + 1;
                    *windows += more;
                }
                _ => files.push((n..n + 1, more)),
            }
        }
        files.into_iter().map(|(groups, windows)| (groups, windows * window_bytes)).collect()
    }
}

/// Batches of an epoch -> a group for each: its windows as they are, then the windows of its tracks that the epoch does
/// not draw, `batch` at a time; behind them groups of all that are left.
fn order(batches: Vec<Vec<Window>>, all: &[Window], batch: usize) -> Vec<Group> {
    let drawn: HashSet<Window> = batches.iter().flatten().copied().collect();
    let mut rest = BTreeMap::<usize, Vec<Window>>::new();
    for w in all.iter().filter(|w| !drawn.contains(w)) {
        rest.entry(w.track).or_default().push(*w);
    }
    let mut seen = HashSet::new();
    let mut pass = |windows: &[Window]| -> Vec<Place> {
        let place = |&window: &Window| Place { window, new: seen.insert(window) };
        windows.iter().map(place).collect()
    };
    let mut groups = Vec::with_capacity(batches.len());
    for own in &batches {
        let more: Vec<Window> =
            own.iter().filter_map(|w| rest.remove(&w.track)).flatten().collect();
        let passes = std::iter::once(own.as_slice()).chain(more.chunks(batch));
        groups.push(Group { passes: passes.map(&mut pass).collect() });
    }
    let rest: Vec<Window> = rest.into_values().flatten().collect();
    groups.extend(rest.chunks(batch).map(|windows| Group { passes: vec![pass(windows)] }));
    groups
}

fn garbage(e: serde_json::Error) -> Error {
    Error::Cache { text: format!("data.cache: {e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of these tracks and places.
    fn of(places: &[(usize, u64)]) -> Vec<Window> {
        places.iter().map(|&(track, start)| Window { track, start, steps: 10 }).collect()
    }

    /// Track, place and whether it is stored.
    fn plain(groups: &[Group]) -> Vec<Vec<Vec<(usize, u64, bool)>>> {
        let place = |p: &Place| (p.window.track, p.window.start, p.new);
        let pass = |pass: &Vec<Place>| pass.iter().map(place).collect();
        groups.iter().map(|group| group.passes.iter().map(pass).collect()).collect()
    }

    #[test]
    fn a_batch_brings_the_places_of_its_tracks_that_are_not_drawn_and_the_rest_comes_last() {
        let all = of(&[(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
        let batches = vec![of(&[(2, 1), (0, 0)]), of(&[(1, 0)])];
        assert_eq!(
            plain(&order(batches, &all, 2)),
            [
                vec![
                    vec![(2, 1, true), (0, 0, true)],
                    vec![(2, 0, true), (0, 1, true)],
                    vec![(0, 2, true)]
                ],
                vec![vec![(1, 0, true)], vec![(1, 1, true)]],
                vec![vec![(3, 0, true), (3, 1, true)]], // never drawn
            ]
        );
    }

    #[test]
    fn a_window_that_is_drawn_twice_is_stored_once_and_pieces_of_a_track_come_with_their_batches() {
        let all = of(&[(0, 0), (0, 5), (1, 0)]);
        let batches = vec![of(&[(0, 5), (1, 0), (1, 0)]), of(&[(1, 0), (0, 0)])];
        assert_eq!(
            plain(&order(batches, &all, 3)),
            [
                vec![vec![(0, 5, true), (1, 0, true), (1, 0, false)]],
                vec![vec![(1, 0, false), (0, 0, true)]],
            ]
        );
    }
}
