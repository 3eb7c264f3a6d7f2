//! Windows: the stretches of tracks that a loader may hand over, and sets that hold what became of each of them.
//!
//! What a frozen network makes of a window never changes, so it can be stored once: as the track of the window's
//! [`Window::variant`], in a set of embeddings. A loader with [`crate::Loader::instead`] then reads that set, in the same
//! order, with the same places, targets and states as it would read the waves.

use crate::crop::Crop;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::kind::Kind;
use crate::plan::matched;
use crate::reader::Reader;
use crate::spec::track_name;
use etude_manifests::{Split, View};
use std::collections::HashMap;

/// A stretch of a stored track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Number of the track, as in [`Index::tracks`].
    pub track: usize,
    /// First time step.
    pub start: u64,
    /// Length as a model sees it; what lies behind the end of the track is zero.
    pub steps: u64,
}

impl Window {
    /// What the window is called among the variants of its track: `orig@240000+720000`.
    pub fn variant(&self, of_track: &str) -> String {
        format!("{of_track}@{}+{}", self.start, self.steps)
    }
}

/// Every window that a loader of one split may hand over, each once, sorted.
///
/// # Errors
/// As [`crate::Loader::train`]; [`Error::Config`] for random crops, which have no end of windows, and for whole tracks
/// of different lengths, which a batch pads by its longest.
pub fn windows(index: &Index, view: &View, split: Split, crop: &Crop) -> Result<Vec<Window>> {
    crop.check()?;
    let reader = Reader::new(index);
    let (examples, _) = matched(index, view, split)?;
    let mut all = Vec::new();
    for example in &examples {
        let (track, steps) = (example.track, reader.steps(example.track));
        let starts = crop.starts(steps).ok_or_else(|| Error::Config {
            key: "crop.kind",
            expected: "grid, centre, sliding or whole: a random crop has no end of places",
            got: "random".to_owned(),
        })?;
        let steps = crop.steps().unwrap_or(steps);
        all.extend(starts.into_iter().map(|start| Window { track, start, steps }));
    }
    let lengths = all.iter().map(|w| w.steps);
    if let (Some(least), Some(most)) = (lengths.clone().min(), lengths.max())
        && least != most
    {
        return Err(Error::Config {
            key: "crop.kind",
            expected: "grid or centre: whole tracks of different lengths are padded by their batch",
            got: format!("whole tracks of {least} to {most} time steps"),
        });
    }
    all.sort_unstable();
    all.dedup(); // two examples of one track
    Ok(all)
}

/// A set that holds what became of each window, and where in it.
#[derive(Debug)]
pub(crate) struct Instead {
    pub(crate) reader: Reader,
    pub(crate) kind: Kind,
    /// Number of each window, by track and start, in that set.
    places: HashMap<(usize, u64), usize>,
    /// Time steps of the longest.
    pub(crate) steps: u64,
}

impl Instead {
    /// Finds the windows of `steps` time steps in `kept`.
    pub(crate) fn new(
        source: &Index,
        kept: &Index,
        wanted: impl Iterator<Item = Window>,
    ) -> Result<Self> {
        let stored: HashMap<(&str, &str), usize> =
            kept.tracks().enumerate().map(|(i, t)| ((&*t.key, &*t.variant), i)).collect();
        let tracks: Vec<_> = source.tracks().collect();
        let reader = Reader::new(kept);
        let (mut places, mut steps) = (HashMap::new(), 0);
        for window in wanted {
            let track = tracks[window.track];
            let variant = window.variant(&track.variant);
            let Some(&place) = stored.get(&(&*track.key, &*variant)) else {
                return Err(Error::Mismatch {
                    what: "window".to_owned(),
                    left_name: "the loader".to_owned(),
                    left: track_name(&track.key, &variant),
                    right_name: kept.dir().display().to_string(),
                    right: "no such window".to_owned(),
                });
            };
            steps = reader.steps(place).max(steps);
            places.insert((window.track, window.start), place);
        }
        Ok(Self { reader, kind: kept.spec().kind, places, steps })
    }

    /// Number of a window in the set; every window that a plan can draw was looked up before.
    pub(crate) fn place(&self, track: usize, start: u64) -> Result<usize> {
        self.places.get(&(track, start)).copied().ok_or_else(|| Error::Config {
            key: "crop",
            expected: "a place that was known before",
            got: format!("time step {start} of track {track}"),
        })
    }
}
