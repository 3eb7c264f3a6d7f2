//! Which part of a track becomes a sample: pure functions of seed, epoch, example and track length.
//! Lengths and starts are in time steps (samples, frames, vectors).

use crate::error::{Error, Result};
use crate::mix::{below, key};
use serde::{Deserialize, Serialize};

/// How tracks are cut. A track shorter than the crop is padded with zeros at its end; `Batch::lengths` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Tagged", into = "Tagged")]
pub enum Crop {
    /// The track as it is; a batch is as long as its longest track.
    #[default]
    Whole,
    /// A piece at a random place, another one in every epoch.
    Random {
        /// Length of the piece.
        steps: u64,
    },
    /// A piece at a random place, the same one in every epoch, as one study cuts its pieces before training.
    Once {
        /// Length of the piece.
        steps: u64,
    },
    /// The piece in the middle.
    Centre {
        /// Length of the piece.
        steps: u64,
    },
    /// A piece at one of a few places, drawn anew in every epoch. Unlike random pieces there are finitely many, so that
    /// what a frozen network makes of them can be kept.
    Grid {
        /// Length of the piece.
        steps: u64,
        /// Number of places: evenly spaced from the beginning of the track to its end; one is in the middle.
        windows: u64,
    },
    /// All pieces, `hop` apart, each a sample of its own.
    Sliding {
        /// Length of a piece.
        steps: u64,
        /// From the start of one piece to the start of the next.
        hop: u64,
        /// What happens to the end of the track.
        tail: Tail,
    },
}

/// The end of a track that does not fill a sliding piece. A track shorter than one piece always gives one padded piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// It is left out.
    Drop,
    /// It is filled up with zeros.
    Pad,
}

/// The form in configurations: `{ kind = "random", steps = 720000 }`; here every variant refuses stray keys.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Whole {},
    Random { steps: u64 },
    Once { steps: u64 },
    Centre { steps: u64 },
    Grid { steps: u64, windows: u64 },
    Sliding { steps: u64, hop: u64, tail: Tail },
}

impl From<Tagged> for Crop {
    fn from(t: Tagged) -> Self {
        match t {
            Tagged::Whole {} => Crop::Whole,
            Tagged::Random { steps } => Crop::Random { steps },
            Tagged::Once { steps } => Crop::Once { steps },
            Tagged::Centre { steps } => Crop::Centre { steps },
            Tagged::Grid { steps, windows } => Crop::Grid { steps, windows },
            Tagged::Sliding { steps, hop, tail } => Crop::Sliding { steps, hop, tail },
        }
    }
}

impl From<Crop> for Tagged {
    fn from(c: Crop) -> Self {
        match c {
            Crop::Whole => Tagged::Whole {},
            Crop::Random { steps } => Tagged::Random { steps },
            Crop::Once { steps } => Tagged::Once { steps },
            Crop::Centre { steps } => Tagged::Centre { steps },
            Crop::Grid { steps, windows } => Tagged::Grid { steps, windows },
            Crop::Sliding { steps, hop, tail } => Tagged::Sliding { steps, hop, tail },
        }
    }
}

impl Crop {
    /// Refuses crops of nothing.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        let zero = |key| {
            Err(Error::Config { key, expected: "at least 1 time step", got: "0".to_string() })
        };
        match self {
            Crop::Random { steps: 0 } | Crop::Once { steps: 0 } => zero("crop.steps"),
            Crop::Centre { steps: 0 } => zero("crop.steps"),
            Crop::Grid { steps: 0, .. } | Crop::Sliding { steps: 0, .. } => zero("crop.steps"),
            Crop::Grid { windows: 0, .. } => Err(Error::Config {
                key: "crop.windows",
                expected: "at least 1 place",
                got: "0".to_string(),
            }),
            Crop::Sliding { hop: 0, .. } => zero("crop.hop"),
            _ => Ok(()),
        }
    }

    /// Length of every sample; `None` for whole tracks.
    pub fn steps(&self) -> Option<u64> {
        match *self {
            Crop::Whole => None,
            Crop::Random { steps }
            | Crop::Once { steps }
            | Crop::Centre { steps }
            | Crop::Grid { steps, .. }
            | Crop::Sliding { steps, .. } => Some(steps),
        }
    }

    /// Samples that a track of `track_steps` gives: 1, or its number of sliding pieces, never 0.
    pub fn windows(&self, track_steps: u64) -> u64 {
        let Crop::Sliding { steps, hop, tail } = *self else { return 1 };
        let rest = track_steps.saturating_sub(steps);
        match tail {
            Tail::Drop => rest / hop + 1,
            // With a hop above the length, the last piece must still begin inside the track.
            Tail::Pad => (rest.div_ceil(hop) + 1).min(track_steps.div_ceil(hop).max(1)),
        }
    }

    /// Where sample `window` of a track begins. `example` is the place of the example in its split, in key order.
    pub fn start(&self, seed: u64, epoch: u64, example: u64, window: u64, track_steps: u64) -> u64 {
        match *self {
            Crop::Whole => 0,
            Crop::Random { steps } => {
                let places = track_steps.saturating_sub(steps) + 1;
                below(key("etude shards crop v1", "", &[seed, epoch, example]), places)
            }
            Crop::Once { steps } => {
                Crop::Random { steps }.start(seed, 0, example, window, track_steps)
            }
            Crop::Centre { steps } => track_steps.saturating_sub(steps) / 2,
            Crop::Grid { steps, windows } => {
                let place =
                    below(key("etude shards grid v1", "", &[seed, epoch, example]), windows);
                grid(track_steps.saturating_sub(steps), windows, place)
            }
            Crop::Sliding { hop, .. } => window * hop,
        }
    }

    /// Every place where a sample of a track may begin, each once, in order; `None` for random pieces, which may begin
    /// anywhere.
    pub fn starts(&self, track_steps: u64) -> Option<Vec<u64>> {
        let mut starts: Vec<u64> = match *self {
            Crop::Random { .. } | Crop::Once { .. } => return None,
            Crop::Grid { steps, windows } => {
                let room = track_steps.saturating_sub(steps);
                (0..windows).map(|place| grid(room, windows, place)).collect()
            }
            _ => {
                let windows = 0..self.windows(track_steps);
                windows.map(|window| self.start(0, 0, 0, window, track_steps)).collect()
            }
        };
        starts.dedup(); // a track that is hardly longer than a piece
        Some(starts)
    }
}

/// Place `place` of `windows` in a track that is `room` longer than the piece.
fn grid(room: u64, windows: u64, place: u64) -> u64 {
    match windows {
        0 | 1 => room / 2,
        _ => (u128::from(room) * u128::from(place) / u128::from(windows - 1)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sliding(steps: u64, hop: u64, tail: Tail) -> Crop {
        Crop::Sliding { steps, hop, tail }
    }

    #[test]
    fn sliding_pieces_are_counted() {
        // Published Jamendo protocol: all consecutive windows.
        assert_eq!(sliding(10, 10, Tail::Drop).windows(35), 3);
        assert_eq!(sliding(10, 10, Tail::Pad).windows(35), 4);
        assert_eq!(sliding(10, 10, Tail::Pad).windows(30), 3);
        assert_eq!(sliding(10, 5, Tail::Drop).windows(24), 3);
        assert_eq!(sliding(10, 5, Tail::Pad).windows(24), 4);
        for tail in [Tail::Drop, Tail::Pad] {
            assert_eq!(sliding(10, 3, tail).windows(1), 1);
            assert_eq!(sliding(10, 3, tail).windows(10), 1);
        }
        assert_eq!(sliding(10, 100, Tail::Pad).windows(50), 1);
        assert_eq!(sliding(10, 100, Tail::Pad).windows(101), 2);
        assert_eq!(Crop::Whole.windows(99), 1);
    }

    #[test]
    fn the_centre_is_the_centre() {
        let crop = Crop::Centre { steps: 10 };
        assert_eq!([10, 11, 12, 30, 3].map(|n| crop.start(0, 0, 0, 0, n)), [0, 0, 1, 10, 0]);
    }

    #[test]
    fn random_places_are_pinned_and_differ_by_seed_epoch_and_example() {
        let crop = Crop::Random { steps: 720_000 };
        let at = |seed, epoch, example| crop.start(seed, epoch, example, 0, 5_760_000);
        assert_eq!(at(321, 0, 0), PINNED);
        let all = [at(321, 0, 0), at(322, 0, 0), at(321, 1, 0), at(321, 0, 1)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "{all:?}");
        }
        let once = Crop::Once { steps: 720_000 };
        let again = |epoch, example| once.start(321, epoch, example, 0, 5_760_000);
        assert_eq!([again(0, 0), again(7, 0), again(7, 1)], [all[0], all[0], all[3]]);
    }

    const PINNED: u64 = 4_004_869;

    #[test]
    fn random_places_reach_both_ends_evenly() {
        let crop = Crop::Random { steps: 10 };
        let mut count = [0i32; 4];
        (0..8000).for_each(|e| count[crop.start(1, e, 5, 0, 13) as usize] += 1);
        assert!(count.iter().all(|c| (c - 2000).abs() < 200), "{count:?}");
    }

    #[test]
    fn a_grid_reaches_both_ends_and_is_drawn_anew_in_every_epoch() {
        let crop = Crop::Grid { steps: 10, windows: 4 };
        assert_eq!(crop.starts(40).unwrap(), [0, 10, 20, 30]);
        assert_eq!(crop.starts(12).unwrap(), [0, 1, 2]);
        assert_eq!(crop.starts(7).unwrap(), [0]);
        assert_eq!(Crop::Grid { steps: 10, windows: 1 }.starts(30).unwrap(), [10]);
        let mut count = [0i32; 4];
        (0..8000).for_each(|e| count[crop.start(1, e, 5, 0, 40) as usize / 10] += 1);
        assert!(count.iter().all(|c| (c - 2000).abs() < 200), "{count:?}");
        assert!(Crop::Grid { steps: 0, windows: 1 }.check().is_err());
        let text = Crop::Grid { steps: 1, windows: 0 }.check().unwrap_err().to_string();
        assert_eq!(text, "crop.windows: expected at least 1 place, got 0");
    }

    #[test]
    fn all_places_are_known_unless_they_are_random() {
        assert_eq!(Crop::Random { steps: 3 }.starts(9), None);
        assert_eq!(Crop::Whole.starts(9).unwrap(), [0]);
        assert_eq!(Crop::Centre { steps: 3 }.starts(9).unwrap(), [3]);
        assert_eq!(sliding(3, 2, Tail::Pad).starts(6).unwrap(), [0, 2, 4]);
    }

    proptest! {
        #[test]
        fn every_drawn_place_is_among_those_known(
            steps in 1u64..50, windows in 1u64..9, track in 1u64..500, epoch: u64, example: u64,
        ) {
            let crop = Crop::Grid { steps, windows };
            let start = crop.start(3, epoch, example, 0, track);
            prop_assert!(crop.starts(track).unwrap().contains(&start));
            prop_assert!(start + steps <= track.max(steps));
        }

        #[test]
        fn every_piece_begins_inside_and_only_the_last_is_short(
            steps in 1u64..50, hop in 1u64..60, track in 1u64..500, pad: bool,
        ) {
            let crop = sliding(steps, hop, if pad { Tail::Pad } else { Tail::Drop });
            let n = crop.windows(track);
            prop_assert!(n >= 1);
            for w in 0..n {
                let start = crop.start(0, 0, 0, w, track);
                prop_assert!(start < track);
                prop_assert!(w + 1 == n || start + steps <= track);
                prop_assert!(pad || track < steps || start + steps <= track);
            }
            if pad && hop <= steps {
                prop_assert!(crop.start(0, 0, 0, n - 1, track) + steps >= track);
            }
        }

        #[test]
        fn random_pieces_lie_inside(steps in 1u64..100, track in 1u64..1000, epoch: u64) {
            let start = Crop::Random { steps }.start(3, epoch, 1, 0, track);
            prop_assert!(start + steps <= track.max(steps));
        }
    }

    #[test]
    fn configurations_name_the_crop_and_refuse_stray_keys() {
        let read = |text| serde_json::from_str::<Crop>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"kind":"whole"}"#), Ok(Crop::Whole));
        assert_eq!(read(r#"{"kind":"random","steps":5}"#), Ok(Crop::Random { steps: 5 }));
        let crop = sliding(5, 2, Tail::Pad);
        assert_eq!(read(r#"{"kind":"sliding","steps":5,"hop":2,"tail":"pad"}"#), Ok(crop));
        assert_eq!(
            serde_json::from_str::<Crop>(&serde_json::to_string(&crop).unwrap()).unwrap(),
            crop
        );
        assert!(read(r#"{"kind":"whole","steps":5}"#).unwrap_err().contains("unknown field"));
        assert!(read(r#"{"kind":"centre","step":5}"#).unwrap_err().contains("unknown field"));
        assert!(read(r#"{"kind":"center","steps":5}"#).unwrap_err().contains("`centre`"));
        assert!(Crop::Random { steps: 0 }.check().is_err());
        assert!(sliding(4, 0, Tail::Drop).check().is_err());
    }
}
