//! Single notes of the demo's instruments, in TinySOL's published layout: `TinySOL_metadata.csv` and one WAV a note at
//! 44.1 kHz, 16 bits, mono, `audio/<family>/<instrument>/ordinario/<abbr>-ord-<pitch>-<dynamics>-N-N.wav`.
//!
//! Ten instruments, up to 24 semitones each, two of the three dynamics a semitone, dealt so that every dynamics meets
//! every pitch class. Folds are a seeded deal of five, as even as they come. A note is a pure function of the seed and
//! its place; a killed run leaves whole files and no stamp, and the next one makes them anew.

use crate::corpus::write;
use crate::dsp::hertz;
use crate::encode::{Codec, Format, encode};
use crate::error::{Error, Result, at};
use crate::rng::{Rng, mix};
use crate::voices::{Cue, Family, Patch, play};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Changes whenever the same seed gives other bytes.
const VERSION: u32 = 1;
/// Name of the stamp, written last.
const STAMP: &str = "etude-demo-notes.json";
/// Name of the table.
const METADATA: &str = "TinySOL_metadata.csv";
/// Folder that the paths of the table start at.
const AUDIO: &str = "audio";
/// Length of a file, and of what is played of it before the release, seconds.
const LENGTH_S: (f64, f64) = (1.2, 0.8);
/// Samples per second.
const RATE: u32 = 44_100;
/// Most semitones of an instrument.
const SEMITONES: u32 = 24;
/// Folds.
const FOLDS: usize = 5;
/// Name, published number and force of the dynamics.
const DYNAMICS: [(&str, u32, f32); 3] = [("pp", 0, 0.25), ("mf", 2, 0.55), ("ff", 4, 0.95)];
/// Family and name in the table, abbreviation, voice.
const INSTRUMENTS: [(&str, &str, &str, Family); 10] = [
    ("Brass", "Trumpet", "Tp", Family::Brass),
    ("Keyboards", "Organ", "Org", Family::Organ),
    ("Keyboards", "Piano", "Pn", Family::Piano),
    ("Plucked", "Guitar", "Gtr", Family::Guitar),
    ("Plucked", "Harp", "Hp", Family::Harp),
    ("Plucked", "Lute", "Lt", Family::Lute),
    ("Strings", "Fiddle", "Fd", Family::Fiddle),
    ("Voices", "Singer", "Vo", Family::Singer),
    ("Winds", "Flute", "Fl", Family::Flute),
    ("Winds", "Reed", "Rd", Family::Reed),
];

/// A note to be made.
struct Plan {
    instrument: usize,
    /// Note number, 69 = 440 Hz.
    pitch: u32,
    dynamics: usize,
    fold: usize,
}

/// What lies in a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    version: u32,
    seed: u64,
    /// Path and bytes of every note.
    files: Vec<(String, u64)>,
}

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotesReport {
    /// Folder of the notes.
    pub dir: PathBuf,
    /// The notes were there already and nothing was written.
    pub reused: bool,
    /// Seconds the run took.
    pub seconds: f64,
    /// Notes, each with a file.
    pub notes: usize,
    /// Instruments.
    pub instruments: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

impl fmt::Display for NotesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.reused {
            true => "already complete".to_owned(),
            false => format!("{:.1} s", self.seconds),
        };
        writeln!(f, "{}  {done}", self.dir.display())?;
        let (notes, instruments, mb) = (self.notes, self.instruments, self.bytes as f64 / 1e6);
        write!(f, "  {notes} notes of {instruments} instruments, {FOLDS} folds, {mb:.1} MB")
    }
}

/// Makes the notes in `out`, or finds them there. `progress` hears (notes done, notes in all).
///
/// # Errors
/// A folder that holds anything else, a failed write, or `stop` turning true.
pub fn notes(
    seed: u64,
    out: &Path,
    progress: &dyn Fn(usize, usize),
    stop: &AtomicBool,
) -> Result<NotesReport> {
    let begun = Instant::now();
    let report = |reused, files: &[(String, u64)]| NotesReport {
        dir: out.to_path_buf(),
        reused,
        seconds: begun.elapsed().as_secs_f64(),
        notes: files.len(),
        instruments: INSTRUMENTS.len(),
        bytes: files.iter().map(|f| f.1).sum(),
    };
    if let Some(stamp) = found(out, seed)? {
        return Ok(report(true, &stamp.files));
    }
    let plans = plan(seed);
    let mut files = Vec::with_capacity(plans.len());
    let mut table = String::from(
        "Path,Fold,Family,Instrument (abbr.),Instrument (in full),Technique (abbr.),Technique (in full),Pitch,Pitch ID,\
         Dynamics,Dynamics ID,Instance ID,String ID (if applicable),Needed digital retuning\r\n",
    );
    let path = out.join(STAMP);
    fs::create_dir_all(out).map_err(at(out))?;
    save(&path, &Stamp { version: VERSION, seed, files: Vec::new() })?;
    for (index, plan) in plans.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped { done: index, of: plans.len() });
        }
        let name = format!("{AUDIO}/{}", plan.path());
        let file = out.join(&name);
        let folder = file.parent().unwrap_or(out);
        fs::create_dir_all(folder).map_err(at(folder))?;
        let format = Format { codec: Codec::Wav(16), rate: RATE, channels: 1 };
        let bytes = encode(&plan.play(seed), &format, &name)?;
        write(&file, &bytes, false)?;
        table.push_str(&plan.row());
        files.push((name, bytes.len() as u64));
        progress(index + 1, plans.len());
    }
    write(&out.join(METADATA), table.as_bytes(), true)?;
    let report = report(false, &files);
    save(&path, &Stamp { version: VERSION, seed, files })?;
    Ok(report)
}

fn save(path: &Path, stamp: &Stamp) -> Result<()> {
    let text = serde_json::to_string(stamp).map_err(|why| at(path)(why.into()))?;
    write(path, format!("{text}\n").as_bytes(), true)
}

/// The stamp of whole notes of this seed; an error if something else is there.
fn found(out: &Path, seed: u64) -> Result<Option<Stamp>> {
    let occupied = |got: String| Err(Error::Occupied { path: out.to_path_buf(), got });
    let first = match fs::read_dir(out) {
        Ok(entries) => entries.flatten().map(|e| e.file_name()).next(),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(at(out)(why)),
    };
    let path = out.join(STAMP);
    if !path.exists() {
        let other = first.filter(|name| *name != *format!("{STAMP}.part"));
        return other.map_or(Ok(None), |name| {
            occupied(format!("{} and no {STAMP}", name.to_string_lossy()))
        });
    }
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let stamp = match serde_json::from_str::<Stamp>(&text) {
        Ok(stamp) if (stamp.version, stamp.seed) == (VERSION, seed) => stamp,
        Ok(there) => {
            return occupied(format!("notes of seed {}, version {}", there.seed, there.version));
        }
        Err(_) => return occupied(format!("a {STAMP} that this version does not read")),
    };
    let size = |name: &str| fs::metadata(out.join(name)).map(|m| m.len()).ok();
    let whole = !stamp.files.is_empty()
        && size(METADATA).is_some()
        && stamp.files.iter().all(|(name, bytes)| size(name) == Some(*bytes));
    Ok(whole.then_some(stamp))
}

/// Every note, in the order of the table.
fn plan(seed: u64) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (instrument, entry) in INSTRUMENTS.iter().enumerate() {
        let (low, high) = entry.3.compass();
        let (low, count) = (low as u32, (high - low) as u32 + 1);
        let first = low + count.saturating_sub(SEMITONES) / 2;
        for (place, pitch) in (first..first + count.min(SEMITONES)).enumerate() {
            // twelve semitones on, the place has moved by one: each class meets all three
            let left_out = (place + place / 12 + instrument) % DYNAMICS.len();
            for dynamics in (0..DYNAMICS.len()).filter(|&d| d != left_out) {
                plans.push(Plan { instrument, pitch, dynamics, fold: 0 });
            }
        }
    }
    let mut folds: Vec<usize> = (0..plans.len()).map(|i| i % FOLDS).collect();
    Rng::new(seed, "folds", &[]).shuffle(&mut folds);
    plans.iter_mut().zip(folds).for_each(|(plan, fold)| plan.fold = fold);
    plans
}

impl Plan {
    /// `F#4`.
    fn pitch_name(&self) -> String {
        let names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
        format!("{}{}", names[self.pitch as usize % 12], self.pitch / 12 - 1)
    }

    /// Below [`AUDIO`].
    fn path(&self) -> String {
        let (family, name, abbr, _) = INSTRUMENTS[self.instrument];
        let (pitch, dynamics) = (self.pitch_name(), DYNAMICS[self.dynamics].0);
        format!("{family}/{name}/ordinario/{abbr}-ord-{pitch}-{dynamics}-N-N.wav")
    }

    fn row(&self) -> String {
        let (family, name, abbr, _) = INSTRUMENTS[self.instrument];
        let (dynamics, id, _) = DYNAMICS[self.dynamics];
        let (path, fold, pitch) = (self.path(), self.fold, self.pitch_name());
        let number = self.pitch;
        format!(
            "{path},{fold},{family},{abbr},{name},ord,ordinario,{pitch},{number},{dynamics},{id},0,,FALSE\r\n"
        )
    }

    /// The samples of the note; one player an instrument, a few cents off the pitch.
    fn play(&self, seed: u64) -> Vec<f32> {
        let family = INSTRUMENTS[self.instrument].3;
        let place = [self.instrument as u64, u64::from(self.pitch), self.dynamics as u64];
        let mut rng = Rng::new(seed, "note", &place);
        let rate = f64::from(RATE);
        let cue = Cue {
            rate,
            hz: hertz(f64::from(self.pitch) + 0.03 * rng.normal()),
            len_s: LENGTH_S.1 * rng.range(0.9, 1.1),
            force: DYNAMICS[self.dynamics].2 * rng.range(0.9, 1.05) as f32,
            seed: mix(seed, "sound", &place),
            patch: Patch::draw(&mut Rng::new(seed, "player", &place[..1])),
        };
        let mut wave = Vec::new();
        play(family, &cue, &mut wave);
        wave.resize((LENGTH_S.0 * rate) as usize, 0.0);
        let fade = (0.05 * rate) as usize;
        let from = wave.len() - fade;
        for (i, x) in wave.iter_mut().enumerate() {
            *x *= 0.8;
            if i >= from {
                *x *= 1.0 - (i + 1 - from) as f32 / fade as f32;
            }
        }
        wave
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::rms;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn instruments_pitch_classes_dynamics_and_folds_are_dealt_evenly() {
        let plans = plan(0);
        assert_eq!(plans.len(), 480);
        let mut classes = BTreeMap::new();
        let mut folds = [0; FOLDS];
        let mut met = BTreeSet::new();
        for plan in &plans {
            *classes.entry(plan.pitch % 12).or_insert(0) += 1;
            folds[plan.fold] += 1;
            met.insert((plan.instrument, plan.pitch % 12, plan.dynamics));
        }
        assert!(classes.len() == 12 && classes.values().all(|n| *n == 40), "{classes:?}");
        assert_eq!(folds, [96; FOLDS]);
        assert_eq!(met.len(), 10 * 12 * 3);
        let paths: BTreeSet<String> = plans.iter().map(Plan::path).collect();
        assert_eq!(paths.len(), plans.len());
        assert!(paths.contains("Winds/Flute/ordinario/Fl-ord-A5-ff-N-N.wav"));
    }

    #[test]
    fn loud_notes_are_louder_and_no_note_is_silent_or_over_full_scale() {
        for plan in plan(1).iter().step_by(7) {
            let wave = plan.play(1);
            let peak = wave.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!((0.005..1.0).contains(&peak), "{} {peak}", plan.path());
        }
        let level = |dynamics| {
            let plan = Plan { instrument: 8, pitch: 76, dynamics, fold: 0 };
            rms(&plan.play(1))
        };
        assert!(level(0) * 1.5 < level(1) && level(1) * 1.3 < level(2));
    }

    #[test]
    fn the_folder_holds_the_published_layout_and_a_second_run_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("notes");
        let run = |seed| notes(seed, &out, &|_, _| {}, &AtomicBool::new(false));
        let report = run(3).unwrap();
        assert_eq!((report.notes, report.reused), (480, false));
        let table = fs::read_to_string(out.join(METADATA)).unwrap();
        let mut lines = table.split("\r\n");
        assert!(lines.next().unwrap().starts_with("Path,Fold,Family,Instrument (abbr.),"));
        for row in lines.filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!(fields.len(), 14, "{row}");
            let reader = hound::WavReader::open(out.join(AUDIO).join(fields[0])).unwrap();
            assert_eq!((reader.spec().sample_rate, reader.duration()), (44_100, 52_920));
            let named: u32 = fields[8].parse().unwrap();
            assert!(fields[0].contains(&format!("-{}-", fields[7])) && (45..97).contains(&named));
        }
        assert_eq!(table.lines().count(), 481);
        assert!(run(3).unwrap().reused);
        assert!(matches!(run(4), Err(Error::Occupied { .. })));
        fs::remove_file(out.join("audio/Winds/Flute/ordinario/Fl-ord-A5-ff-N-N.wav")).unwrap();
        assert!(!run(3).unwrap().reused);
        assert_eq!(fs::read_to_string(out.join(METADATA)).unwrap(), table);
    }
}
