//! What goes wrong on real machines, and what étude does about it.
#![cfg(feature = "data")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, assert_done, assert_fails};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const KILLS: usize = 20;

/// Kills `args` after each of `KILLS` delays spread over the time one undisturbed run takes, then lets it finish.
fn kill_and_finish(place: &Place, args: &[&str], whole: Duration) -> usize {
    let mut killed = 0;
    for n in 0..KILLS {
        let mut child = place.start(args);
        // Golden-ratio steps: spread over the run, in no order.
        let share = (n as f64 * 0.618_034).fract();
        std::thread::sleep(whole.mul_f64(share));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap(); // SIGKILL
            killed += 1;
        }
        child.wait().unwrap();
    }
    assert_done(&place.run(args), &args.join(" "));
    killed
}

#[test]
fn ingest_and_shards_killed_at_random_end_with_the_bytes_of_an_undisturbed_run() {
    let (calm, wild) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let calm = Place::new(calm.path(), 48, 4.0);
    let wild = Place::new(wild.path(), 48, 4.0);
    for (stage, made) in [("ingest", "data/manifests"), ("shards", "data/shards")] {
        let args = [stage, "demo.toml", "--set", "shards.file_mb=1"];
        let begun = Instant::now();
        assert_done(&calm.run(&args), stage);
        let whole = begun.elapsed();
        let killed = kill_and_finish(&wild, &args, whole);
        assert!(
            killed >= KILLS / 4,
            "{stage}: only {killed} of {KILLS} kills hit a running process"
        );
        let (calm, wild) = (published(&calm, made), published(&wild, made));
        assert!(!calm.is_empty());
        assert_eq!(calm.keys().collect::<Vec<_>>(), wild.keys().collect::<Vec<_>>(), "{stage}");
        for (name, bytes) in &calm {
            assert!(bytes == &wild[name], "{stage}: {} differs", name.display());
        }
    }
}

/// Files a user reads: no journals, locks or stamps of the machinery.
fn published(place: &Place, sub: &str) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut files = place.bytes(sub);
    files.retain(|path, _| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        !name.starts_with('.')
    });
    files
}

#[test]
fn a_full_disk_is_one_clear_error_and_the_next_run_completes() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 24, 4.0);
    place.done(&["ingest", "demo.toml"]);
    // A file size limit makes writes fail the way a full disk does, once its signal is ignored.
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 600; exec \"$@\"";
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_etude"), "shards", "demo.toml"]);
    limited.current_dir(&place.dir);
    assert_fails(&limited.output().unwrap(), &["shard-00000.parquet", "data/shards/demo-16k"]);
    place.done(&["shards", "demo.toml"]);
    place.done(&["check", "data/shards/demo-16k"]);
}

#[test]
fn an_output_that_cannot_be_written_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 24, 1.0);
    // A file where the folder should be: holds for root too, whom permissions do not stop.
    std::fs::write(dir.path().join("data/manifests"), "in the way").unwrap();
    assert_fails(&place.run(&["ingest", "demo.toml"]), &["data/manifests"]);
}

#[test]
fn damaged_shards_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 24, 2.0);
    place.done(&["ingest", "demo.toml"]);
    place.done(&["shards", "demo.toml"]);
    let shards = "data/shards/demo-16k";
    let file = place.dir.join(shards).join("shard-00000.parquet");
    let whole = std::fs::read(&file).unwrap();

    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    assert_fails(&place.run(&["check", shards]), &["shard-00000.parquet"]);

    std::fs::write(&file, &whole[..middle]).unwrap();
    assert_fails(&place.run(&["check", shards]), &["shard-00000.parquet"]);

    std::fs::remove_file(&file).unwrap();
    assert_fails(&place.run(&["check", shards]), &["shard-00000.parquet"]);

    // Making them again repairs the set, to the same bytes.
    place.done(&["shards", "demo.toml"]);
    assert!(std::fs::read(&file).unwrap() == whole);
    place.done(&["check", shards]);
}

#[test]
fn two_runs_into_one_folder_are_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 64, 4.0);
    let args = ["ingest", "demo.toml", "--set", "threads=1"];
    let mut first = begun(&place, &args);
    let pid = rustix::process::Pid::from_child(&first);
    let send = |signal| rustix::process::kill_process(pid, signal).unwrap();
    send(rustix::process::Signal::STOP); // however long the second takes to start, the first is still there
    let second = place.run(&args);
    send(rustix::process::Signal::CONT);
    assert!(first.wait().unwrap().success(), "the first run is not disturbed");
    assert_fails(&second, &["another étude run"]);
}

/// Starts an ingest and waits until it holds its folder.
fn begun(place: &Place, args: &[&str]) -> Child {
    let child = place.start(args);
    let since = Instant::now();
    while !place.dir.join("data/manifests/.demo.lock").exists() {
        assert!(since.elapsed() < Duration::from_secs(30), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn ctrl_c_ends_cleanly_and_the_next_run_completes() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), 64, 4.0);
    let args = ["ingest", "demo.toml", "--set", "threads=1"];
    let mut child = begun(&place, &args);
    let pid = rustix::process::Pid::from_child(&child);
    // It may have ended by itself in the meantime.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let status = child.wait().unwrap();
    assert!(status.code().is_some(), "it ended by itself: {status}");
    place.done(&args);
}
