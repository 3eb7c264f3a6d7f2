//! Makes the corpus: plans it, renders clips on all cores, writes tables last and a stamp at the very end.
//!
//! Every clip is a pure function of the configuration and its place in the plan, so neither the number of threads nor
//! their order changes a byte. A killed run leaves whole files and an unfinished stamp; the next run makes them anew.

use crate::bad::Bad;
use crate::catalogue::{Catalogue, Clip, FEWEST, Split};
use crate::composer::{Order, compose};
use crate::culture::Culture;
use crate::encode::{encode, interleave};
use crate::error::{Error, Result, at};
use crate::layout::{ANNOTATIONS, CLIP_INFO, Grid, annotations, clip_info, path};
use crate::mix::{Take, render};
use crate::modal::MODAL;
use crate::readme;
use crate::report::{BadFile, Report, Summary, TagCount};
use crate::rng::mix;
use crate::stamp::{self, Stamp};
use crate::tags::{Heard, annotate, keep, listen};
use crate::western::WESTERN;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// Changes whenever the same configuration gives other bytes.
const VERSION: u32 = 1;

/// What to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Annotated clips, 16 or more; from 240 on every instrument and metre is played in every split.
    pub clips: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Length of a clip, 0.5 to 600 s.
    pub seconds: f64,
    /// Whose music.
    #[serde(default, skip_serializing_if = "CultureName::is_western")]
    pub culture: CultureName,
}

/// The cultures there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CultureName {
    /// Harmony, bars of three and four, nine styles: the music MagnaTagATune's tags are about.
    #[default]
    Western,
    /// One line over a drone in scales of its own, cycles of five to ten beats, five forms.
    Modal,
}

impl CultureName {
    /// Every culture.
    pub const ALL: [Self; 2] = [Self::Western, Self::Modal];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        self.culture().name
    }

    /// The tags of its corpus, in column order.
    pub fn tags(self) -> &'static [&'static str] {
        self.culture().tags
    }

    fn culture(self) -> &'static Culture {
        match self {
            Self::Western => &WESTERN,
            Self::Modal => &MODAL,
        }
    }

    fn is_western(&self) -> bool {
        *self == Self::Western
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { clips: 320, seed: 0, seconds: 10.0, culture: CultureName::Western }
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        let setting = |name, expected: String, got| Err(Error::Setting { name, expected, got });
        if self.clips < FEWEST || self.clips > 100_000 {
            let expected = format!("{FEWEST} (one a folder) to 100000");
            return setting("clips", expected, self.clips.to_string());
        }
        if !(0.5..=600.0).contains(&self.seconds) {
            return setting("seconds", "0.5 to 600".to_string(), self.seconds.to_string());
        }
        Ok(())
    }
}

/// Makes the corpus in `out`, or finds it there. `progress` hears (clips done, clips in all) from several threads.
///
/// # Errors
/// A setting out of range, a folder that holds anything else, a failed write, or `stop` turning true.
pub fn run(
    cfg: &Config,
    out: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    run_on(cfg, out, threads, progress, stop)
}

fn run_on(
    cfg: &Config,
    out: &Path,
    threads: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Report> {
    cfg.check()?;
    let begun = Instant::now();
    let mut stamp = Stamp {
        version: VERSION,
        config: cfg.clone(),
        mp3: cfg!(feature = "lame"),
        summary: None,
        files: Vec::new(),
    };
    let report = |reused, summary| Report {
        dir: out.to_path_buf(),
        reused,
        seconds: begun.elapsed().as_secs_f64(),
        summary,
    };
    if let Some(summary) = stamp::found(out, &stamp)? {
        return Ok(report(true, summary));
    }
    fs::create_dir_all(out).map_err(at(out))?;
    stamp::save(out, &stamp)?;

    let culture = cfg.culture.culture();
    let plan = Catalogue::plan(culture, cfg.clips, cfg.seed);
    let grid = Grid::new(cfg.seconds);
    for folder in 0..16 {
        let dir = out.join(format!("{folder:x}"));
        fs::create_dir_all(&dir).map_err(at(&dir))?;
    }
    let clips: Vec<&Clip> = plan.clips.iter().filter(|clip| clip.annotated).collect();
    let work = Work { cfg, culture, plan: &plan, grid: &grid, out };
    let made = work.all(&clips, threads, progress, stop)?;

    let flags = flags(cfg, culture, &plan, &clips, &made);
    let rows: Vec<_> = clips
        .iter()
        .zip(&flags)
        .zip(&made)
        .map(|((clip, flags), made)| (clip.id, flags.clone(), made.path.clone()))
        .collect();
    let summary = summarise(cfg, culture, &plan, &clips, &flags, &made);
    write(&out.join(ANNOTATIONS), annotations(culture.tags, &rows).as_bytes(), true)?;
    write(&out.join(CLIP_INFO), clip_info(&plan, &grid).as_bytes(), true)?;
    write(&out.join("README.txt"), readme::text(cfg, culture, &summary).as_bytes(), true)?;
    stamp.files = made.into_iter().map(|made| (made.path, made.bytes)).collect();
    stamp.summary = Some(summary.clone());
    stamp::save(out, &stamp)?;
    Ok(report(false, summary))
}

/// Writes a file under a `.part` name and renames it; a `durable` one is on the disk before it has its name.
pub(crate) fn write(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let mut file = File::create(part).map_err(at(part))?;
    file.write_all(bytes).map_err(at(part))?;
    if durable {
        file.sync_data().map_err(at(part))?;
    }
    fs::rename(part, path).map_err(at(path))
}

/// What one clip became.
struct Made {
    path: String,
    bytes: u64,
    heard: Heard,
}

/// Everything a worker reads.
struct Work<'a> {
    cfg: &'a Config,
    culture: &'a Culture,
    plan: &'a Catalogue,
    grid: &'a Grid,
    out: &'a Path,
}

impl Work<'_> {
    /// Makes all clips on `threads` threads; results in the order of `clips`. The first error by that order wins.
    fn all(
        &self,
        clips: &[&Clip],
        threads: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
        stop: &AtomicBool,
    ) -> Result<Vec<Made>> {
        let (next, done, failed) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let results: Vec<Mutex<Option<Result<Made>>>> =
            clips.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, clips.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let halt = stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
                        if halt || index >= clips.len() {
                            return;
                        }
                        let made = self.one(clips[index]);
                        failed.fetch_or(made.is_err(), Ordering::Relaxed);
                        *results[index].lock().unwrap_or_else(|held| held.into_inner()) =
                            Some(made);
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, clips.len());
                    }
                });
            }
        });
        let mut made = Vec::with_capacity(clips.len());
        let mut missing = false;
        for result in results {
            match result.into_inner().unwrap_or_else(|held| held.into_inner()) {
                Some(result) => made.push(result?),
                None => missing = true,
            }
        }
        if missing {
            return Err(Error::Stopped { done: done.into_inner(), of: clips.len() });
        }
        Ok(made)
    }

    /// Composes, renders, listens to, encodes and writes one clip.
    fn one(&self, clip: &Clip) -> Result<Made> {
        let path = path(self.plan, clip, self.grid);
        let source = clip.twin.map_or(clip, |twin| &self.plan.clips[twin]);
        let track = &self.plan.tracks[source.track];
        let album = &self.plan.albums[track.album];
        let performer = &self.plan.performers[album.performer];
        let style = self.plan.style(self.culture, track);
        let usual = album.format;
        let format = clip.bad.map_or(usual, |bad| bad.format(usual));

        let start_s = f64::from(source.slot * self.grid.hop_s);
        let length_s = f64::from(track.slots * self.grid.hop_s) + self.cfg.seconds;
        let score = compose(
            style,
            performer,
            &Order {
                band: track.band,
                metre: track.metre,
                pace: track.pace,
                seed: track.seed,
                seconds: length_s,
            },
        );
        let take = Take {
            rate: format.rate,
            start_s,
            seconds: self.cfg.seconds,
            level: track.level,
            seed: mix(track.seed, "take", &[u64::from(source.slot)]),
        };
        let mix = render(&score, performer, style, &take);
        let span = (start_s, start_s + self.cfg.seconds);
        let heard = listen(self.culture, style, &score, &mix, span);
        let samples = interleave(&mix, format.channels);
        let bytes = match clip.bad {
            Some(bad) => bad.spoil(samples, &format, &path)?,
            None => encode(&samples, &format, &path)?,
        };
        write(&self.out.join(&path), &bytes, false)?;
        Ok(Made { path, bytes: bytes.len() as u64, heard })
    }
}

/// Annotations of all clips: what was heard, less what annotators missed, but two positives a tag and split at least.
fn flags(
    cfg: &Config,
    culture: &Culture,
    plan: &Catalogue,
    clips: &[&Clip],
    made: &[Made],
) -> Vec<Vec<bool>> {
    let mut flags: Vec<_> = clips
        .iter()
        .zip(made)
        .map(|(clip, made)| annotate(culture, &made.heard, cfg.seed, u64::from(clip.id)))
        .collect();
    for split in Split::ALL {
        let mut rows: Vec<_> = flags
            .iter_mut()
            .zip(made)
            .zip(clips)
            .filter(|(_, clip)| plan.split(clip) == split && usable(clip))
            .map(|((flags, made), _)| (flags, &made.heard))
            .collect();
        keep(&mut rows, 2);
    }
    flags
}

/// Whether a clip's file can be trained on.
fn usable(clip: &Clip) -> bool {
    matches!(clip.bad, None | Some(Bad::Duplicate | Bad::Mislabelled))
}

fn summarise(
    cfg: &Config,
    culture: &Culture,
    plan: &Catalogue,
    clips: &[&Clip],
    flags: &[Vec<bool>],
    made: &[Made],
) -> Summary {
    let count = |split: Split, tag: Option<usize>| {
        let of_split = clips.iter().zip(flags).filter(|(clip, _)| plan.split(clip) == split);
        of_split.filter(|(_, flags)| tag.is_none_or(|tag| flags[tag])).count()
    };
    let mut crossing: Vec<(usize, BTreeSet<Split>)> = Vec::new();
    for album in &plan.albums {
        match crossing.iter_mut().find(|c| c.0 == album.performer) {
            Some(c) => drop(c.1.insert(Split::of(album.folder))),
            None => crossing.push((album.performer, BTreeSet::from([Split::of(album.folder)]))),
        }
    }
    let mut bad: Vec<BadFile> = clips
        .iter()
        .zip(made)
        .filter_map(|(clip, made)| clip.bad.map(|kind| BadFile { path: made.path.clone(), kind }))
        .collect();
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    Summary {
        clips: clips.len(),
        splits: Split::ALL.map(|split| count(split, None)),
        performers: crossing.len(),
        leaking: crossing.iter().filter(|c| c.1.len() > 1).count(),
        albums: plan.albums.len(),
        tracks: plan.tracks.len(),
        audio_s: cfg.seconds * clips.len() as f64,
        bytes: made.iter().map(|made| made.bytes).sum(),
        tags: culture
            .tags
            .iter()
            .enumerate()
            .map(|(index, tag)| TagCount {
                tag: (*tag).to_string(),
                train: count(Split::Train, Some(index)),
                valid: count(Split::Valid, Some(index)),
                test: count(Split::Test, Some(index)),
            })
            .collect(),
        bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(dir).unwrap().display().to_string();
                    all.push((name, fs::read(&path).unwrap()));
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    fn annotators_miss_about_six_of_a_hundred_positives_and_imagine_one_of_two_hundred() {
        let root = tempfile::tempdir().unwrap();
        let cfg = Config { clips: 96, seed: 5, seconds: 1.0, ..Config::default() };
        let plan = Catalogue::plan(&WESTERN, cfg.clips, cfg.seed);
        let clips: Vec<&Clip> = plan.clips.iter().filter(|clip| clip.annotated).collect();
        for folder in 0..16 {
            fs::create_dir(root.path().join(format!("{folder:x}"))).unwrap();
        }
        let grid = Grid::new(cfg.seconds);
        let work =
            Work { cfg: &cfg, culture: &WESTERN, plan: &plan, grid: &grid, out: root.path() };
        let made = work.all(&clips, 4, &|_, _| {}, &AtomicBool::new(false)).unwrap();
        let flags = flags(&cfg, &WESTERN, &plan, &clips, &made);
        let seldom = ["no vocals", "waltz", "minor", "major", "bass"];
        let (mut heard, mut missed, mut silent, mut imagined) = (0.0, 0.0, 0.0, 0.0);
        for (flags, made) in flags.iter().zip(&made) {
            for (tag, &flag) in
                flags.iter().enumerate().filter(|(tag, _)| !seldom.contains(&WESTERN.tags[*tag]))
            {
                if made.heard.tags.iter().any(|t| t.0 == tag) {
                    heard += 1.0;
                    missed += f64::from(u8::from(!flag));
                } else {
                    silent += 1.0;
                    imagined += f64::from(u8::from(flag));
                }
            }
        }
        assert!((0.04..0.1).contains(&(missed / heard)), "{missed} of {heard} missed");
        assert!((0.002..0.009).contains(&(imagined / silent)), "{imagined} of {silent} imagined");
    }

    #[test]
    fn threads_do_not_change_a_byte_and_seeds_do() {
        let root = tempfile::tempdir().unwrap();
        let cfg = Config { clips: 16, seed: 1, seconds: 0.5, ..Config::default() };
        let make = |name: &str, cfg: &Config, threads| {
            let dir = root.path().join(name);
            run_on(cfg, &dir, threads, &|_, _| {}, &AtomicBool::new(false)).unwrap();
            bytes(&dir)
        };
        let one = make("one", &cfg, 1);
        assert_eq!(one.len(), 16 + 4);
        assert!(one == make("three", &cfg, 3), "one thread and three disagree");
        // FNV-1a over names and bytes, of the corpus as it was before there was a second culture.
        if cfg!(all(target_arch = "x86_64", target_os = "linux", not(feature = "lame"))) {
            let bytes =
                one.iter().flat_map(|(name, bytes)| name.bytes().chain(bytes.iter().copied()));
            let digest = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            assert_eq!(digest, 0x6f6d_287c_2597_e7e3, "the western corpus has changed");
        }
        assert!(one != make("other", &Config { seed: 2, ..cfg.clone() }, 3), "seeds 1 and 2 agree");
    }
}
