//! `etude mel --corpus`: one `.npy` a track, in the published form of the cross-cultural transfer study.
//!
//! `{id}.npy` holds `(F, T)` float32, C order; id is the track's file name up to its first dot. Files that are there
//! already are left alone; a track that cannot be used, or whose name another track has, is a line of the report.

use super::mels::{Front, Maker};
use super::pack::read_manifest;
use super::pool::{self, Bounds};
use super::tables::allowed;
use super::{Lock, cost, decode, write};
use crate::config::Config;
use crate::corpus::Durations;
use crate::error::{Error, Result};
use crate::npy;
use crate::policy;
use crate::progress::{Progress, Step};
use crate::report::{Refused, Report};
use etude_manifests::{Status, Track};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Writes the mel files of every usable track into `out`. The front end is `shards.mel`, or `vgg_16k_db` if the config
/// names none; `shards.cap_s` holds here too.
///
/// # Errors
/// No manifest, or one made from another config; a folder that cannot be written or that another run writes to; a
/// refused file under `bad = "fail"`; [`Error::Stopped`]. Refused tracks are lines of the report otherwise.
pub fn run(cfg: &Config, out: &Path, progress: &dyn Progress, stop: &AtomicBool) -> Result<Report> {
    let begun = Instant::now();
    if !cfg.tracks_path().exists() {
        return Err(Error::NoManifest { path: cfg.tracks_path() });
    }
    let cfg = &with_front_end(cfg);
    let tracks = read_manifest(cfg)?;
    let front = Front::plan(cfg, &tracks)?;
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let _lock = Lock::take(&out.with_file_name(format!(".{name}.lock")))?;
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let wanted = |t: &Track| t.status.usable() || t.status == Status::Unchecked;
    let tracks: Vec<Track> = tracks.into_iter().filter(wanted).collect();
    let (targets, mut refused) = targets(&tracks, out);
    let (there, todo): (Vec<_>, Vec<_>) = targets.into_iter().partition(|(_, path)| path.exists());
    progress.start("mel", tracks.len() as u64);
    let skipped = there.iter().map(|_| true).chain(refused.iter().map(|_| false));
    skipped.for_each(|ok| progress.done(&Step { audio_s: 0.0, bytes: 0, ok }));
    let bands = cfg.shards.kind().width();
    let written = Mutex::new((0u64, 0.0, Vec::new()));
    let complete = pool::run(
        std::slice::from_ref(&(0..todo.len())),
        Bounds { threads: cfg.workers(), lanes: 1, bytes: cfg.memory_mb << 20 },
        stop,
        |n| {
            let track = &tracks[todo[n].0];
            cost(
                &track.path,
                track.facts.file_bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0),
            )
        },
        || Maker::new(cfg, front.clone()),
        |maker, n| {
            let (i, path) = &todo[n];
            let frames = frames(cfg, maker, &tracks[*i])?;
            if let Ok(frames) = &frames {
                write(path, &npy::write(frames, bands))?;
            }
            Ok::<_, Error>(frames.map(|f| f.len() / bands))
        },
        |_, feed| {
            while let Some((n, made)) = feed.next() {
                let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                let made = made?;
                let audio_s = match &made {
                    Ok(steps) => *steps as f64 / cfg.shards.kind().steps_per_s(),
                    Err(_) => 0.0,
                };
                progress.done(&Step { audio_s, bytes: 0, ok: made.is_ok() });
                match made {
                    Ok(_) => written.0 += 1,
                    Err((status, text)) => {
                        let track = &tracks[todo[n].0];
                        written.2.push(Refused::new(track, status, Some(&text)));
                    }
                }
                written.1 += audio_s;
            }
            Ok::<(), Error>(())
        },
    )?;
    let (new, audio_s, failed) = written.into_inner().unwrap_or_else(PoisonError::into_inner);
    let reused = there.len() as u64;
    if !complete {
        return Err(Error::Stopped { done: reused + new, total: tracks.len() as u64 });
    }
    progress.finish();
    refused.extend(failed);
    let report = Report {
        stage: "mel".into(),
        dataset: cfg.dataset.clone(),
        dir: out.to_path_buf(),
        nothing_to_do: todo.is_empty(),
        tracks: tracks.len() as u64,
        stored: reused + new,
        reused,
        refused,
        audio_s,
        ..Report::default()
    };
    Ok(report.closed(cfg.ingest.max_bad, begun.elapsed().as_secs_f64()))
}

/// The config of a mel set, the published one if it is not of another.
fn with_front_end(cfg: &Config) -> Config {
    let mut cfg = cfg.clone();
    cfg.shards.features = None;
    cfg.shards.mel.get_or_insert_with(|| npy::FRONT_END.to_owned());
    cfg
}

/// Where each track goes, and the tracks whose place is taken.
fn targets(tracks: &[Track], out: &Path) -> (Vec<(usize, PathBuf)>, Vec<Refused>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let (mut targets, mut refused) = (Vec::new(), Vec::new());
    for (i, track) in tracks.iter().enumerate() {
        let file = track.path.rsplit('/').next().unwrap_or_default();
        let id = file.split('.').next().unwrap_or_default();
        let taken = match seen.get(id) {
            Some(by) => format!("{by} has the name {id}.npy already"),
            None if id.is_empty() => "the file name is empty up to its first dot".to_owned(),
            None => {
                seen.insert(id, &track.path);
                targets.push((i, out.join(format!("{id}.npy"))));
                continue;
            }
        };
        refused.push(Refused::new(track, Status::Excluded, Some(&taken)));
    }
    (targets, refused)
}

/// Mel frames `[T, F]` of one track, or why there are none.
fn frames(
    cfg: &Config,
    maker: &mut Maker,
    track: &Track,
) -> Result<Result<Vec<f32>, (Status, String)>> {
    let (content, outcome) = decode(cfg, track);
    let mut judged = track.clone();
    policy::apply(cfg.ingest.bad, &Durations::Unknown, outcome, &mut judged);
    allowed(cfg, &judged)?;
    if !judged.status.usable() {
        return Ok(Err((judged.status, judged.status_text.unwrap_or_default())));
    }
    maker.run(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_up_to_the_first_dot_and_the_second_of_a_name_is_told() {
        let track = |path: &str| Track { path: path.into(), key: path.into(), ..Track::default() };
        let tracks = ["a/x.LOFI.mp3", "b/y.mp3", "c/x.wav", "d/.mp3"].map(track);
        let (targets, refused) = targets(&tracks, Path::new("out"));
        let paths: Vec<_> = targets.iter().map(|t| (t.0, t.1.to_str())).collect();
        assert_eq!(paths, [(0, Some("out/x.npy")), (1, Some("out/y.npy"))]);
        let texts: Vec<&str> = refused.iter().map(|r| r.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "a/x.LOFI.mp3 has the name x.npy already",
                "the file name is empty up to its first dot"
            ]
        );
    }
}
