//! What happens to a run does not show in its result: kills, full disks, folders that cannot be written, two runs at once,
//! any size of corpus. Runs that have to die are this test program again, with one test and an environment variable.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "shared/corpus.rs"]
#[allow(dead_code, reason = "other test files make more of it")]
mod corpus;

use corpus::{Corpus, assert_same, contents, ingest, shards};
use etude_ingest::{Bad, Config, Error, Progress, Step, stage};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// `<stage> <config> [key=value…]`, one per line.
const CHILD: &str = "ETUDE_TEST_STAGE";

/// Prints the report and the peak memory, or the error with exit code 2.
#[test]
fn a_child_process_runs_the_stage_it_is_told() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let mut lines = text.lines();
    let (stage, config) = (lines.next().unwrap(), lines.next().unwrap());
    let config =
        Config::read(Path::new(config), &lines.map(str::to_owned).collect::<Vec<_>>()).unwrap();
    match if stage == "ingest" { ingest(&config) } else { shards(&config) } {
        Ok(report) => println!("{report}\npeak {}", peak_kib()),
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(2);
        }
    }
}

/// Largest resident set of this process so far.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn command(stage: &str, corpus: &Corpus, sets: &[String]) -> String {
    [&[stage.to_owned(), corpus.config.display().to_string()], sets].concat().join("\n")
}

/// A child that runs a stage, under `prefix` of a shell if there is one.
fn child(stage: &str, corpus: &Corpus, sets: &[String], prefix: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{prefix} exec \"$0\" --exact --nocapture \"$1\"")])
        .arg(program)
        .arg("a_child_process_runs_the_stage_it_is_told")
        .env(CHILD, command(stage, corpus, sets))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell.spawn().unwrap()
}

fn output(stage: &str, corpus: &Corpus, sets: &[String], prefix: &str) -> Output {
    child(stage, corpus, sets, prefix).wait_with_output().unwrap()
}

fn into(corpus: &Corpus, data: &str) -> Vec<String> {
    vec![format!("data={:?}", corpus.dir.path().join(data))]
}

/// Kills a stage at `kills` moments spread over its run; when it ends before that, it begins afresh. The last run is left
/// alone. Returns how many runs ended whole.
fn kill(stage: &str, corpus: &Corpus, kills: u32, afresh: impl Fn(), check: impl Fn()) -> u32 {
    let sets = into(corpus, "killed");
    let begun = Instant::now();
    assert!(output(stage, corpus, &sets, "").status.success());
    let whole = begun.elapsed();
    afresh();
    let (mut seed, mut killed, mut ended) = (12_345u32, 0, 0);
    while killed < kills {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let share = f64::from(seed >> 8) / f64::from(1 << 24);
        let mut run = child(stage, corpus, &sets, "");
        std::thread::sleep(whole.mul_f64(share));
        run.kill().unwrap();
        if run.wait().unwrap().success() {
            ended += 1;
            check();
            afresh();
        } else {
            killed += 1;
        }
    }
    let last = output(stage, corpus, &sets, "");
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    check();
    ended
}

#[test]
fn an_ingest_killed_at_twenty_five_moments_ends_with_the_bytes_of_an_undisturbed_one() {
    let corpus = Corpus::new(120);
    let undisturbed = corpus.out("undisturbed", Bad::Skip);
    ingest(&undisturbed).unwrap();
    let killed = corpus.dir.path().join("killed");
    let afresh = || fs::remove_dir_all(&killed).unwrap();
    let check = || assert_same(&undisturbed.data, &killed, "ingest");
    kill("ingest", &corpus, 25, afresh, check);
}

#[test]
fn shards_killed_at_twenty_five_moments_end_with_the_bytes_of_undisturbed_ones() {
    for (check, kind, kills) in
        [("decode", "", 25), ("header", "", 25), ("header", "mel = \"vgg_16k_db\"\n", 8)]
    {
        let corpus = Corpus::new(120);
        let text = fs::read_to_string(&corpus.config).unwrap();
        let text = text.replace("[ingest]\n", &format!("[ingest]\ncheck = \"{check}\"\n"));
        let text = text.replace("[shards]\n", &format!("[shards]\n{kind}"));
        fs::write(&corpus.config, text).unwrap();
        let undisturbed = corpus.out("undisturbed", Bad::Skip);
        ingest(&undisturbed).unwrap();
        let tables = contents(&undisturbed.data);
        shards(&undisturbed).unwrap();
        let killed = corpus.dir.path().join("killed");
        ingest(&corpus.out("killed", Bad::Skip)).unwrap();
        let afresh = || {
            fs::remove_dir_all(&killed).unwrap();
            ingest(&corpus.out("killed", Bad::Skip)).unwrap();
            assert_eq!(contents(&killed), tables);
        };
        let same = || assert_same(&undisturbed.data, &killed, check);
        kill("shards", &corpus, kills, afresh, same);
    }
}

#[test]
fn a_full_disk_is_one_clear_error_and_a_second_run_completes() {
    let corpus = Corpus::new(60);
    let undisturbed = corpus.out("undisturbed", Bad::Skip);
    ingest(&undisturbed).unwrap();
    shards(&undisturbed).unwrap();
    let sets = into(&corpus, "full");
    for (stage, blocks, file) in [("ingest", 16, ".tones.journal"), ("shards", 400, "shard-0000")] {
        // A file may not grow beyond `blocks` times 512 bytes; without the signal that is an error of the write.
        let limit = format!("trap '' XFSZ; ulimit -f {blocks};");
        let full = output(stage, &corpus, &sets, &limit);
        let why = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(2), "{why}");
        let line = why.lines().find(|l| l.contains(file)).unwrap_or_else(|| panic!("{why}"));
        assert!(line.contains("File too large") && line.contains("make room"), "{line}");
        let again = output(stage, &corpus, &sets, "");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    }
    assert_same(&undisturbed.data, &corpus.dir.path().join("full"), "after a full disk");
}

#[test]
fn a_folder_that_cannot_be_made_is_one_error_with_its_path() {
    let corpus = Corpus::new(3);
    let file = corpus.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let cfg = corpus.out("file/data", Bad::Skip);
    let why = ingest(&cfg).unwrap_err();
    assert!(matches!(&why, Error::Io { path, .. } if path.starts_with(&file)), "{why}");
}

/// Tells when a stage has begun and holds it until it may go on.
struct Gate {
    begun: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl Progress for Gate {
    fn start(&self, _: &str, _: u64) {
        self.begun.lock().unwrap().send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
    }
    fn done(&self, _: &Step) {}
    fn finish(&self) {}
}

#[test]
fn of_two_runs_into_one_folder_the_second_is_refused_and_the_first_completes() {
    let corpus = Corpus::new(6);
    let cfg = corpus.with(&[]);
    let stages: [fn(&_, &dyn Progress, &AtomicBool) -> _; 2] =
        [stage::tables::run, stage::pack::run];
    for run in stages {
        let ((begun, has_begun), (go, go_on)) = (channel(), channel());
        let gate = Gate { begun: Mutex::new(begun), go_on: Mutex::new(go_on) };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| run(&cfg, &gate, &AtomicBool::new(false)));
            has_begun.recv_timeout(Duration::from_secs(20)).unwrap();
            let why = run(&cfg, &(), &AtomicBool::new(false)).unwrap_err();
            assert!(matches!(why, Error::Locked { .. }), "{why}");
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap().stored, 6);
        });
    }
}

#[test]
fn memory_does_not_grow_with_the_audio_of_the_corpus() {
    if peak_kib() == 0 {
        eprintln!("skipped: this system does not tell the peak memory of a process");
        return;
    }
    let peak = |clips: usize| {
        let corpus = Corpus::new(clips);
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let long = corpus.dir.path().join("long.wav");
        let mut wav = hound::WavWriter::create(&long, spec).unwrap();
        (0..44_100 * 10).for_each(|n| wav.write_sample((n % 2000) as i16 * 8).unwrap());
        wav.finalize().unwrap();
        for i in 0..clips {
            fs::remove_file(corpus.clip(i)).unwrap();
            fs::hard_link(&long, corpus.clip(i)).unwrap();
        }
        let sets = ["shards.rate=44100", "shards.number=f32", "memory_mb=16", "threads=4"]
            .map(String::from);
        ["ingest", "shards"].map(|stage| {
            let done = output(stage, &corpus, &sets, "");
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            let peak = text
                .lines()
                .find_map(|l| l.strip_prefix("peak "))
                .unwrap_or_else(|| panic!("{text}"));
            peak.parse::<u64>().unwrap()
        })
    };
    let (small, large) = (peak(20), peak(200));
    // 180 more clips are 317 MB of samples
    for (small, large) in small.into_iter().zip(large) {
        assert!(large < small + 30_000, "{small} KiB with 20 clips, {large} KiB with 200");
    }
}
