//! Plans the corpus before a note is written: performers, albums, tracks, clips, formats, splits, broken files.
//!
//! Folders `0`..`f` decide the split, as in MagnaTagATune: `0` to `b` train, `c` valid, `d` to `f` test. Albums never
//! cross splits. Most performers do not either; a few do, as the published corpus has it.

use crate::bad::Bad;
use crate::culture::{Culture, Style};
use crate::encode::{FORMATS, Format};
use crate::names;
use crate::performer::Performer;
use crate::rng::{Deck, Rng, mix};
use crate::voices::Family;

/// Fewest clips: one a folder.
pub const FEWEST: usize = 16;
/// Clips of an album, about.
const ALBUM: usize = 4;
/// Share of valid and test albums whose performer also plays in train.
const LEAKS: f64 = 0.25;
/// One file in this many is broken.
const BAD_EVERY: usize = 40;

/// Who may train on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Folders 0 to b.
    Train,
    /// Folder c.
    Valid,
    /// Folders d to f.
    Test,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// First folder and number of folders.
    fn folders(self) -> (usize, usize) {
        match self {
            Self::Train => (0, 12),
            Self::Valid => (12, 1),
            Self::Test => (13, 3),
        }
    }

    /// Split of a folder.
    pub fn of(folder: usize) -> Self {
        match folder {
            0..12 => Self::Train,
            12 => Self::Valid,
            _ => Self::Test,
        }
    }
}

/// A record: one performer, one format, one folder.
#[derive(Debug, Clone)]
pub struct Album {
    /// Lower case with underscores.
    pub name: String,
    /// Index of the performer.
    pub performer: usize,
    /// 0 to 15.
    pub folder: usize,
    /// Of all its files.
    pub format: Format,
}

/// A piece on an album.
#[derive(Debug, Clone)]
pub struct Track {
    /// Index of the album.
    pub album: usize,
    /// From 1 within the album.
    pub number: u32,
    /// Lower case with underscores.
    pub title: String,
    /// Line-up, an index into the style's bands.
    pub band: usize,
    /// Composes it.
    pub seed: u64,
    /// Beats in a bar, one of the style's metres.
    pub metre: u32,
    /// Tempo, 0 slow to 1 fast within the style.
    pub pace: f64,
    /// Mastering, 0 soft to 1 loud within the style.
    pub level: f64,
    /// Number of clip lengths the piece lasts.
    pub slots: u32,
}

/// A clip of a track: annotated and with a file, or only listed.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Ascending, with gaps.
    pub id: u32,
    /// Index of the track.
    pub track: usize,
    /// Which stretch of the track.
    pub slot: u32,
    /// Whether it has a file and annotations.
    pub annotated: bool,
    /// How its file is broken, if it is.
    pub bad: Option<Bad>,
    /// The clip whose bytes it repeats.
    pub twin: Option<usize>,
}

/// The whole plan.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Performers; some may have no album.
    pub performers: Vec<Performer>,
    /// Albums.
    pub albums: Vec<Album>,
    /// Tracks, album by album.
    pub tracks: Vec<Track>,
    /// Clips by ascending id.
    pub clips: Vec<Clip>,
}

impl Catalogue {
    /// Plans `clips` annotated clips, at least [`FEWEST`].
    pub fn plan(culture: &Culture, clips: usize, seed: u64) -> Self {
        let mut plan = Self {
            performers: Vec::new(),
            albums: Vec::new(),
            tracks: Vec::new(),
            clips: Vec::new(),
        };
        let mut formats = Deck::new(
            &FORMATS.iter().map(|f| f.1).collect::<Vec<_>>(),
            Rng::new(seed, "formats", &[]),
        );
        let valid = (clips * 15 / 100).clamp(1, clips - 15);
        let test = (clips * 23 / 100).clamp(3, clips - 12 - valid);
        for (split, count) in
            [(Split::Train, clips - valid - test), (Split::Valid, valid), (Split::Test, test)]
        {
            let first = plan.albums.len();
            plan.sign(culture, split, count, seed, &mut formats);
            plan.record(culture, split, first, count, seed);
            plan.spread(culture, split);
            plan.count_in(culture, split);
        }
        plan.number(seed);
        plan.spoil(seed);
        plan
    }

    /// Split of a clip.
    pub fn split(&self, clip: &Clip) -> Split {
        Split::of(self.albums[self.tracks[clip.track].album].folder)
    }

    /// Style of a track.
    pub fn style<'a>(&self, culture: &'a Culture, track: &Track) -> &'a Style {
        &culture.styles[self.performers[self.albums[track.album].performer].style]
    }

    /// Albums of one split, with their performers.
    fn sign(
        &mut self,
        culture: &Culture,
        split: Split,
        clips: usize,
        seed: u64,
        formats: &mut Deck,
    ) {
        let (base, folders) = split.folders();
        let count = clips.div_ceil(ALBUM).clamp(folders, clips);
        let mut rng = Rng::new(seed, "albums", &[base as u64]);
        let mut styles =
            Deck::new(&vec![1; culture.styles.len()], Rng::new(seed, "styles", &[base as u64]));
        // The performer of each style who still has albums to make, and how many.
        let mut busy: Vec<Option<(usize, usize)>> = vec![None; culture.styles.len()];
        let known = self.performers.len();
        for index in 0..count {
            let style = styles.draw();
            let performer = match busy[style] {
                Some((performer, left)) => {
                    busy[style] = (left > 1).then_some((performer, left - 1));
                    performer
                }
                None => {
                    let performer = self.engage(culture, style, seed);
                    let more = rng.below(3);
                    busy[style] = (more > 0).then_some((performer, more));
                    performer
                }
            };
            let heard: Vec<usize> = (0..known)
                .filter(|&p| self.performers[p].style == style && self.plays(p, Split::Train))
                .collect();
            let leak = split != Split::Train && !heard.is_empty() && rng.chance(LEAKS);
            let performer = if leak { *rng.pick(&heard) } else { performer };
            let taken: Vec<String> = self.albums.iter().map(|album| album.name.clone()).collect();
            let name = names::album(&mut rng, &taken);
            let format = FORMATS[formats.draw()].0;
            self.albums.push(Album { name, performer, folder: base + index % folders, format });
        }
    }

    /// A new performer of a style.
    fn engage(&mut self, culture: &Culture, style: usize, seed: u64) -> usize {
        let index = self.performers.len();
        let taken: Vec<String> = self.performers.iter().map(|p| p.name.clone()).collect();
        let name = names::performer(&mut Rng::new(seed, "name", &[index as u64]), &taken);
        self.performers.push(Performer::new(seed, index, name, style, &culture.styles[style]));
        index
    }

    /// Whether a performer has an album in a split.
    fn plays(&self, performer: usize, split: Split) -> bool {
        self.albums
            .iter()
            .any(|album| album.performer == performer && Split::of(album.folder) == split)
    }

    /// Tracks and clips of the albums from `first` on: `clips` in all, evenly dealt.
    fn record(&mut self, culture: &Culture, split: Split, first: usize, clips: usize, seed: u64) {
        let albums = self.albums.len() - first;
        let mut bands: Vec<Deck> = culture
            .styles
            .iter()
            .enumerate()
            .map(|(index, style)| {
                let copies: Vec<u32> = style.bands.iter().map(|band| band.copies).collect();
                Deck::new(&copies, Rng::new(seed, "bands", &[split as u64, index as u64]))
            })
            .collect();
        // Fifths of the range in turn, so that few tracks already reach from slow to fast and from soft to loud.
        let mut fifths = ["paces", "levels"]
            .map(|name| Deck::new(&[1; 5], Rng::new(seed, name, &[split as u64])));
        for index in 0..albums {
            let album = first + index;
            let mut rng = Rng::new(seed, "tracks", &[album as u64]);
            let mut left = clips / albums + usize::from(index < clips % albums);
            let performer = &self.performers[self.albums[album].performer];
            let metres = culture.styles[performer.style].metres;
            let (style, own) = (performer.style, [performer.pace, performer.level]);
            let mut number = rng.below(3) as u32;
            while left > 0 {
                let count = (*rng.pick(&[1, 2, 2, 3])).min(left);
                left -= count;
                number += 1 + rng.below(2) as u32;
                let start = rng.below(3) as u32;
                let listed = usize::from(rng.chance(0.4));
                let track = self.tracks.len();
                let drawn = [0, 1].map(|i| (fifths[i].draw() as f64 + rng.unit()) / 5.0);
                let [pace, level] = [0, 1].map(|i| 0.35 * own[i] + 0.65 * drawn[i]);
                self.tracks.push(Track {
                    album,
                    number,
                    title: names::piece(&mut rng),
                    band: bands[style].draw(),
                    seed: mix(seed, "track", &[track as u64]),
                    metre: metres[rng.weighted(metres.iter().map(|m| m.1))].0,
                    pace,
                    level,
                    slots: start + (count + listed) as u32,
                });
                for slot in 0..count + listed {
                    let clip = Clip {
                        id: 0,
                        track,
                        slot: start + slot as u32,
                        annotated: slot < count,
                        bad: None,
                        twin: None,
                    };
                    self.clips.push(clip);
                }
            }
        }
    }

    /// Exchanges line-ups of a split until every instrument is played on two of its tracks at least, if the split is
    /// large enough to hold them all.
    fn spread(&mut self, culture: &Culture, split: Split) {
        let here: Vec<usize> = (0..self.tracks.len())
            .filter(|&t| Split::of(self.albums[self.tracks[t].album].folder) == split)
            .collect();
        let lead = |style: &Style, band: usize| -> Vec<Family> {
            style.bands[band]
                .seats
                .iter()
                .filter(|seat| seat.from <= 0.5)
                .map(|seat| seat.family)
                .collect()
        };
        let mut wanted: Vec<Family> = culture
            .styles
            .iter()
            .flat_map(|s| (0..s.bands.len()).flat_map(|b| lead(s, b)))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for &family in &wanted {
            for _ in 0..2 {
                let mut counts: Vec<(Family, usize)> = wanted.iter().map(|&f| (f, 0)).collect();
                for &t in &here {
                    let played = lead(self.style(culture, &self.tracks[t]), self.tracks[t].band);
                    counts.iter_mut().filter(|c| played.contains(&c.0)).for_each(|c| c.1 += 1);
                }
                let count = |f: Family| counts.iter().find(|c| c.0 == f).map_or(0, |c| c.1);
                if count(family) >= 2 {
                    break;
                }
                let exchange = here.iter().find_map(|&t| {
                    let style = self.style(culture, &self.tracks[t]);
                    let now = lead(style, self.tracks[t].band);
                    let spare = !now.contains(&family) && now.iter().all(|&f| count(f) > 2);
                    let band = (0..style.bands.len()).find(|&b| lead(style, b).contains(&family));
                    band.filter(|_| spare).map(|band| (t, band))
                });
                if let Some((track, band)) = exchange {
                    self.tracks[track].band = band;
                }
            }
        }
    }

    /// Changes the metre of tracks of a split until every metre is played on two tracks quick enough to hear it.
    fn count_in(&mut self, culture: &Culture, split: Split) {
        let offers = |style: &Style, metre: u32| style.metres.iter().any(|m| m.0 == metre);
        let mut metres: Vec<u32> =
            culture.styles.iter().flat_map(|style| style.metres.iter().map(|m| m.0)).collect();
        metres.sort_unstable();
        metres.dedup();
        let mut here: Vec<usize> = (0..self.tracks.len())
            .filter(|&t| Split::of(self.albums[self.tracks[t].album].folder) == split)
            .filter(|&t| self.tracks[t].pace > 0.4)
            .collect();
        here.sort_by(|&a, &b| self.tracks[b].pace.total_cmp(&self.tracks[a].pace));
        for metre in metres {
            let played = here.iter().filter(|&&t| self.tracks[t].metre == metre).count();
            let able: Vec<usize> = here
                .iter()
                .copied()
                .filter(|&t| {
                    self.tracks[t].metre != metre
                        && offers(self.style(culture, &self.tracks[t]), metre)
                })
                .collect();
            for &track in able.iter().take(2usize.saturating_sub(played)) {
                self.tracks[track].metre = metre;
            }
        }
    }

    /// Deals out ids: albums in a random order, ids ascending with gaps.
    fn number(&mut self, seed: u64) {
        let mut rng = Rng::new(seed, "ids", &[]);
        let mut order: Vec<usize> = (0..self.albums.len()).collect();
        rng.shuffle(&mut order);
        let mut rank = vec![0; order.len()];
        for (place, &album) in order.iter().enumerate() {
            rank[album] = place;
        }
        self.clips.sort_by_key(|clip| (rank[self.tracks[clip.track].album], clip.track, clip.slot));
        let mut id = 1;
        for clip in &mut self.clips {
            id += 1 + rng.below(4) as u32;
            clip.id = id;
        }
    }

    /// Chooses the broken files: mostly in train, some in valid and test.
    fn spoil(&mut self, seed: u64) {
        let mut rng = Rng::new(seed, "bad", &[]);
        let mut order: Vec<usize> =
            (0..self.clips.len()).filter(|&c| self.clips[c].annotated).collect();
        rng.shuffle(&mut order);
        let count = (order.len() / BAD_EVERY).max(1);
        for index in 0..count {
            let bad = Bad::ALL[index % Bad::ALL.len()];
            let split = match bad {
                Bad::Text | Bad::Duplicate => Split::Test,
                Bad::Short if count > 16 => Split::Valid,
                _ => Split::Train,
            };
            let free = |clip: &Clip| clip.bad.is_none();
            let found = order
                .iter()
                .position(|&c| free(&self.clips[c]) && self.split(&self.clips[c]) == split);
            let Some(chosen) = found.map(|place| order.remove(place)) else { continue };
            if bad == Bad::Duplicate {
                let from_train = |c: &usize| {
                    free(&self.clips[*c]) && self.split(&self.clips[*c]) == Split::Train
                };
                let Some(place) = order.iter().position(from_train) else { continue };
                self.clips[chosen].twin = Some(order.remove(place)); // taken out, so it stays whole
            }
            self.clips[chosen].bad = Some(bad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::western::WESTERN;
    use std::collections::BTreeSet;

    fn annotated(plan: &Catalogue) -> Vec<&Clip> {
        plan.clips.iter().filter(|clip| clip.annotated).collect()
    }

    #[test]
    fn every_size_has_exactly_its_clips_and_all_sixteen_folders() {
        for clips in [16, 17, 24, 60, 240, 320, 1000] {
            let plan = Catalogue::plan(&WESTERN, clips, 3);
            assert_eq!(annotated(&plan).len(), clips);
            let folders: BTreeSet<_> = annotated(&plan)
                .iter()
                .map(|c| plan.albums[plan.tracks[c.track].album].folder)
                .collect();
            assert_eq!(folders.len(), 16, "{clips} clips");
            assert!(plan.clips.windows(2).all(|w| w[0].id < w[1].id));
            let signed: BTreeSet<_> = plan.albums.iter().map(|a| a.performer).collect();
            assert!(signed.len() >= 12, "{} performers", signed.len());
        }
    }

    #[test]
    fn few_performers_leak_from_train_and_most_do_not() {
        let mut leaks = 0;
        for seed in 0..5 {
            let plan = Catalogue::plan(&WESTERN, 320, seed);
            let signed: BTreeSet<_> = plan.albums.iter().map(|a| a.performer).collect();
            let crossing = signed
                .iter()
                .filter(|&&p| Split::ALL.iter().filter(|&&s| plan.plays(p, s)).count() > 1)
                .count();
            assert!(crossing * 3 < signed.len(), "{crossing} of {}", signed.len());
            leaks += crossing;
        }
        assert!(leaks >= 5, "{leaks} performers leak in five corpora");
    }

    #[test]
    fn every_instrument_is_planned_for_every_split() {
        for seed in 0..5 {
            let plan = Catalogue::plan(&WESTERN, 320, seed);
            for split in Split::ALL {
                let mut played: BTreeSet<Family> = BTreeSet::new();
                for track in
                    plan.tracks.iter().filter(|t| Split::of(plan.albums[t.album].folder) == split)
                {
                    played.extend(
                        plan.style(&WESTERN, track).bands[track.band]
                            .seats
                            .iter()
                            .map(|s| s.family),
                    );
                }
                assert_eq!(played.len(), 20, "seed {seed}, {split:?}: {played:?}");
            }
        }
    }

    #[test]
    fn two_to_three_of_a_hundred_files_are_broken_and_a_duplicate_crosses_splits() {
        let plan = Catalogue::plan(&WESTERN, 320, 0);
        let bad: Vec<_> = plan.clips.iter().filter(|c| c.bad.is_some()).collect();
        assert_eq!(bad.len(), 8);
        let twin = bad.iter().find(|c| c.bad == Some(Bad::Duplicate)).unwrap();
        let source = &plan.clips[twin.twin.unwrap()];
        assert!(source.bad.is_none() && source.annotated);
        assert_ne!(plan.split(twin), plan.split(source));
    }
}
