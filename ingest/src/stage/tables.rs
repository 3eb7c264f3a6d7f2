//! `etude ingest`: corpus to tracks and views, with one full decode of every file.
//!
//! Facts are kept in a journal as they come; files whose size and time have not changed since are not decoded again.

use super::journal::{Journal, Stamp};
use super::manifest::{self, Note, Saved};
use super::mels::Content;
use super::pool::{self, Bounds};
use super::{Lock, cost, decode, hidden, open_journal};
use crate::config::{Bad, Check, Config};
use crate::corpus::Durations;
use crate::error::{Error, Result};
use crate::limited;
use crate::policy::{self, Outcome, name};
use crate::progress::{Progress, Step};
use crate::report::{Refused, Report};
use etude_manifests::{Facts, Status, Track, read_tracks};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Fills `<data>/manifests` with the tables of the data set.
///
/// # Errors
/// Annotation files that are not in their published form, an output folder that cannot be written or that another run
/// writes to, no usable track at all, a refused file under `bad = "fail"`, and [`Error::Stopped`]. Refused files are
/// lines of the report otherwise.
pub fn run(cfg: &Config, progress: &dyn Progress, stop: &AtomicBool) -> Result<Report> {
    let begun = Instant::now();
    let corpus = cfg.corpus();
    let mut tracks = corpus.tracks(&cfg.place())?;
    let _lock = Lock::take(&hidden(cfg, "lock"))?;
    let stamps = Stamp::of_all(&cfg.root, &tracks);
    let now = Note::now(cfg, corpus.as_ref(), &tracks, &stamps)?;
    if !cfg.force
        && let Some(note) = Note::read(cfg).filter(|note| note.holds(&now, cfg))
    {
        let tracks = read_tracks(&cfg.tracks_path())?;
        let reused = tracks.len() as u64;
        return Ok(Report { nothing_to_do: true, ..report(cfg, &tracks, note.outputs, reused) }
            .closed(cfg.ingest.max_bad, begun.elapsed().as_secs_f64()));
    }
    if cfg.limited.is_some() {
        limited::views(cfg, &corpus.views(&cfg.place(), &tracks)?)?; // a mistake shall not show after hours
    }
    progress.start("ingest", tracks.len() as u64);
    let reused = match cfg.ingest.check {
        Check::Header => {
            headers(cfg, &mut tracks, &stamps, progress);
            0
        }
        Check::Decode => {
            let durations = corpus.durations(&cfg.place())?;
            decode_all(cfg, &mut tracks, &stamps, &durations, progress, stop)?
        }
    };
    progress.finish();
    if !tracks.iter().any(listed) {
        return Err(manifest::nothing_left(&tracks));
    }
    let Saved { outputs, findings } = manifest::save(cfg, corpus.as_ref(), &mut tracks, now)?;
    Ok(Report { findings, ..report(cfg, &tracks, outputs, reused) }
        .closed(cfg.ingest.max_bad, begun.elapsed().as_secs_f64()))
}

/// Existence and size only; a file that is missing or empty gets the status it would get from a decode.
fn headers(cfg: &Config, tracks: &mut [Track], stamps: &[Option<Stamp>], progress: &dyn Progress) {
    for (track, stamp) in tracks.iter_mut().zip(stamps) {
        let outcome = match stamp.map(|s| s.bytes) {
            None | Some(0) => decode(cfg, track).1,
            Some(bytes) => Outcome {
                facts: Facts { file_bytes: i64::try_from(bytes).ok(), ..Facts::default() },
                status: Status::Unchecked,
                ..Outcome::default()
            },
        };
        policy::apply(Bad::Skip, &Durations::Unknown, outcome, track);
        progress.done(&Step { audio_s: 0.0, bytes: 0, ok: listed(track) });
    }
}

/// Decodes what the journal does not know; returns how many tracks it knew.
fn decode_all(
    cfg: &Config,
    tracks: &mut [Track],
    stamps: &[Option<Stamp>],
    durations: &Durations,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<u64> {
    let journal = open_journal(cfg)?;
    let mut todo = Vec::new();
    for (i, (track, stamp)) in tracks.iter_mut().zip(stamps).enumerate() {
        let published = track.published_digest.clone();
        let known = stamp.and_then(|s| journal.get(&track.path, s, published.as_deref()));
        match known {
            None => todo.push(i),
            Some(outcome) => {
                policy::apply(cfg.ingest.bad, durations, outcome.clone(), track);
                allowed(cfg, track)?;
                progress.done(&Step { audio_s: 0.0, bytes: 0, ok: track.status.usable() });
            }
        }
    }
    let reused = (tracks.len() - todo.len()) as u64;
    let done = AtomicU64::new(reused);
    let outcomes = Mutex::new(Vec::with_capacity(todo.len()));
    let complete = {
        let (tracks, outcomes, journal) = (&*tracks, &outcomes, &journal);
        pool::run(
            std::slice::from_ref(&(0..todo.len())),
            Bounds { threads: cfg.workers(), lanes: 1, bytes: cfg.memory_mb << 20 },
            stop,
            |n| cost(&tracks[todo[n]].path, stamps[todo[n]].map_or(0, |s| s.bytes)),
            || (),
            |(), n| {
                let (track, stamp) = (&tracks[todo[n]], stamps[todo[n]]);
                let outcome = keep(cfg, journal, track, stamp)?;
                done.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Error>(outcome)
            },
            |_, feed| {
                while let Some((n, outcome)) = feed.next() {
                    let outcome: Outcome = outcome?;
                    let mut track = tracks[todo[n]].clone();
                    policy::apply(cfg.ingest.bad, durations, outcome.clone(), &mut track);
                    allowed(cfg, &track)?;
                    progress.done(&Step {
                        audio_s: track.facts.duration_s.unwrap_or(0.0),
                        bytes: stamps[todo[n]].map_or(0, |s| s.bytes),
                        ok: track.status.usable(),
                    });
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
                Ok::<(), Error>(())
            },
        )?
    };
    journal.sync()?;
    if !complete {
        let (done, total) = (done.into_inner(), tracks.len() as u64);
        return Err(Error::Stopped { done, total });
    }
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (&i, outcome) in todo.iter().zip(outcomes) {
        policy::apply(cfg.ingest.bad, durations, outcome, &mut tracks[i]);
    }
    Ok(reused)
}

/// Decodes a file for its facts and keeps them.
fn keep(cfg: &Config, journal: &Journal, track: &Track, stamp: Option<Stamp>) -> Result<Outcome> {
    let (content, outcome) = decode(cfg, track);
    if let Content::Wave(pcm) = content {
        pcm.recycle();
    }
    journal.put(&track.path, stamp, track.published_digest.as_deref(), outcome)
}

/// Under `bad = "fail"` a track that cannot be used is an error.
pub(super) fn allowed(cfg: &Config, track: &Track) -> Result<()> {
    if cfg.ingest.bad != Bad::Fail || track.status.usable() {
        return Ok(());
    }
    Err(Error::BadFile {
        key: track.key.clone(),
        path: track.path.clone(),
        status: name(&track.status),
        text: track.status_text.clone().unwrap_or_default(),
    })
}

/// Whether a track is used, or may turn out to be.
fn listed(track: &Track) -> bool {
    track.status.usable() || track.status == Status::Unchecked
}

fn report(cfg: &Config, tracks: &[Track], files: Vec<String>, reused: u64) -> Report {
    let refused = tracks.iter().filter(|t| !listed(t));
    let mut report = Report {
        stage: "ingest".into(),
        dataset: cfg.dataset.clone(),
        dir: cfg.manifests_dir(),
        files,
        tracks: tracks.len() as u64,
        stored: tracks.iter().filter(|t| listed(t)).count() as u64,
        reused,
        refused: refused.map(|t| Refused::new(t, t.status, t.status_text.as_deref())).collect(),
        ..Report::default()
    };
    report.count(tracks.iter().filter(|t| listed(t)));
    report
}
