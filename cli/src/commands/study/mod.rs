//! `etude study`: a published study in one go. What is done is left alone, so the same command goes on after a stop, a
//! failure or a kill, and ends with the same numbers.

mod overview;
mod published;
mod report;
mod work;

use crate::ui::{FAILED, Ui, exit, print_error, stop_on_signal};
use anyhow::{Result, bail};
use etude_train::study::{Place, Step, Study, StudyConfig};
use overview::Overview;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use work::End;

/// Arguments of `etude study`.
#[derive(clap::Args)]
pub struct Args {
    /// Which study
    #[arg(value_enum)]
    kind: Kind,
    /// Study file; default configs/limited/study.toml and configs/ccml/study.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seeds in place of the study's own
    #[arg(long = "seed", value_name = "N")]
    seeds: Vec<u64>,
    /// Only steps whose names contain one of these, and what they need, e.g. --only vggish_5
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Override one key of every experiment, e.g. --set run.device=cpu
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Train and score nothing: draw what there is
    #[arg(long)]
    draw: bool,
    /// Folder of the runs; figures and tables go to the study's folder below it
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// The studies there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Networks that learned from little data, probed on several tasks
    Limited,
    /// Networks carried from one musical culture to another
    Transfer,
}

/// Unfolds the study, does what is missing in order, and draws what there is.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    super::begin();
    let stop = stop_on_signal()?;
    let default = match args.kind {
        Kind::Limited => "configs/limited/study.toml",
        Kind::Transfer => "configs/ccml/study.toml",
    };
    let study = Study::read(&args.config.unwrap_or_else(|| default.into()))?;
    let kind = match study.config {
        StudyConfig::Limited(_) => Kind::Limited,
        StudyConfig::Transfer(_) => Kind::Transfer,
    };
    if kind != args.kind {
        bail!("{}: expected a study of kind {:?}, got {kind:?}", study.path.display(), args.kind);
    }
    let seeds = (!args.seeds.is_empty()).then_some(args.seeds);
    let place = Place { runs: args.runs, sets: args.sets, seeds };
    if args.draw {
        let drawn = report::write(&study, &place)?;
        ui.result(&drawn.text, &json!({ "files": drawn.files }))?;
        return Ok(exit(false));
    }
    let plan = study.plan(&place)?;
    let wanted = wanted(&plan, &args.only)?;
    let ends = go(&study, &plan, &wanted, ui, &stop)?;
    let drawn = report::write(&study, &place)?;
    let told = tell(&plan, &ends);
    let value = json!({ "study": study.name, "steps": told.1, "files": drawn.files });
    ui.result(&format!("{}{}", drawn.text, told.0), &value)?;
    if ends.iter().flatten().any(|end| matches!(end, End::Stopped)) {
        bail!("stopped; the same command goes on");
    }
    let failed = ends.iter().flatten().any(|end| matches!(end, End::Failed(_) | End::Waits(_)));
    Ok(if failed { ExitCode::from(FAILED) } else { exit(false) })
}

/// Which steps are asked for: those whose names contain one of the words, and all they need.
fn wanted(plan: &[Step], only: &[String]) -> Result<Vec<bool>> {
    let mut wanted: Vec<bool> = plan
        .iter()
        .map(|step| only.is_empty() || only.iter().any(|word| step.name.contains(word.as_str())))
        .collect();
    if let Some(word) = only.iter().find(|w| plan.iter().all(|s| !s.name.contains(w.as_str()))) {
        let names: Vec<&str> = plan.iter().take(8).map(|s| s.name.as_str()).collect();
        bail!("--only {word}: no step of that name; the first are {}", names.join(", "));
    }
    for at in (0..plan.len()).rev().filter(|_| !only.is_empty()) {
        if wanted[at] {
            plan[at].needs.iter().for_each(|&need| wanted[need] = true);
        }
    }
    Ok(wanted)
}

/// What became of each step; `None` for those not asked for. A failed step stops only what needs it.
fn go(
    study: &Study,
    plan: &[Step],
    wanted: &[bool],
    ui: &Ui,
    stop: &AtomicBool,
) -> Result<Vec<Option<End>>> {
    let total = wanted.iter().filter(|on| **on).count();
    let open: Vec<bool> = plan
        .iter()
        .zip(wanted)
        .map(|(step, on)| *on && !work::done(study, step).unwrap_or(false))
        .collect();
    let mut overview = Overview::new(ui, total as u64);
    let mut ends: Vec<Option<End>> = Vec::with_capacity(plan.len());
    let mut times = Times::default();
    for (at, step) in plan.iter().enumerate() {
        if !wanted[at] {
            ends.push(None);
            continue;
        }
        let held = step.needs.iter().find(|&&need| !matches!(ends[need], Some(End::Done { .. })));
        let end = match held {
            Some(&need) if matches!(ends[need], Some(End::Stopped)) => End::Stopped,
            Some(&need) => End::Waits(plan[need].name.clone()),
            None => match work::done(study, step) {
                Ok(true) => End::Done { before: true },
                Ok(false) if stop.load(Ordering::Relaxed) => End::Stopped,
                Ok(false) => {
                    overview.begin(&step.name, times.left(&plan[at..], &open[at..]));
                    let begun = Instant::now();
                    let end = work::run(study, step, &mut overview, stop);
                    times.add(&step.sort, begun.elapsed());
                    end.unwrap_or_else(End::Failed)
                }
                Err(error) => End::Failed(error),
            },
        };
        if let End::Failed(error) = end {
            let error = error.context(step.name.clone());
            overview.aside(|| print_error(&error));
            ends.push(Some(End::Failed(error)));
        } else {
            ends.push(Some(end));
        }
        overview.done();
    }
    overview.finish();
    Ok(ends)
}

/// How long steps of each sort took.
#[derive(Default)]
struct Times(BTreeMap<String, (Duration, u32)>);

impl Times {
    fn add(&mut self, sort: &str, time: Duration) {
        let (sum, count) = self.0.entry(sort.to_owned()).or_default();
        *sum += time;
        *count += 1;
    }

    /// Time that the open steps take, and whether it is of all of them: a sort of which none was done yet is not known.
    fn left(&self, plan: &[Step], open: &[bool]) -> Option<(Duration, bool)> {
        let (mut left, mut all) = (Duration::ZERO, true);
        for (step, _) in plan.iter().zip(open).filter(|(_, on)| **on) {
            match self.0.get(&step.sort) {
                Some((sum, count)) => left += *sum / *count,
                None => all = false,
            }
        }
        (left.as_secs() > 0).then_some((left, all))
    }
}

/// Counts of what became of the steps, failures in words; and every step for programs.
fn tell(plan: &[Step], ends: &[Option<End>]) -> (String, Value) {
    let (mut text, mut values) = (String::new(), Vec::new());
    let (mut done, mut failed, mut open) = (0, 0, 0);
    for (step, end) in plan.iter().zip(ends) {
        let Some(end) = end else { continue };
        let (state, why) = match end {
            End::Done { before: true } => ("done before", None),
            End::Done { .. } => ("done", None),
            End::Stopped => ("to do", None),
            End::Waits(need) => ("to do", Some(format!("needs {need}"))),
            End::Failed(error) => ("failed", Some(format!("{error:#}"))),
        };
        match state {
            "failed" => failed += 1,
            "to do" => open += 1,
            _ => done += 1,
        }
        if let End::Failed(error) = end {
            text += &format!("failed: {error:#}\n");
        }
        values.push(json!({ "step": step.name, "state": state, "why": why }));
    }
    text = format!("{done} steps done, {failed} failed, {open} to do\n{text}");
    (text, Value::Array(values))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use etude_train::study::Work;

    fn step(name: &str, needs: &[usize]) -> Step {
        let work = Work::Deformed { run: "r".into(), shards: "s".into(), name: "d".into() };
        Step { name: name.into(), sort: name.into(), needs: needs.to_vec(), work }
    }

    #[test]
    fn only_some_steps_bring_what_they_need_with_them() {
        let plan = [step("a_1", &[]), step("b_1", &[0]), step("a_2", &[]), step("c_2", &[2, 0])];
        assert_eq!(wanted(&plan, &[]).unwrap(), [true; 4]);
        assert_eq!(wanted(&plan, &["b_".into()]).unwrap(), [true, true, false, false]);
        assert_eq!(wanted(&plan, &["c_2".into()]).unwrap(), [true, false, true, true]);
        let text = wanted(&plan, &["x".into()]).unwrap_err().to_string();
        assert!(text.contains("--only x: no step of that name; the first are a_1"), "{text}");
    }

    #[test]
    fn time_left_counts_the_sorts_already_seen() {
        let plan = [step("a", &[]), step("b", &[]), step("a", &[])];
        let mut times = Times::default();
        assert_eq!(times.left(&plan, &[true; 3]), None);
        times.add("a", Duration::from_secs(4));
        times.add("a", Duration::from_secs(2));
        assert_eq!(times.left(&plan, &[true; 3]), Some((Duration::from_secs(6), false)));
        assert_eq!(times.left(&plan, &[true, false, true]), Some((Duration::from_secs(6), true)));
        // a step that was done before takes no time, and nothing known is nothing to tell
        assert_eq!(times.left(&plan, &[false, false, true]), Some((Duration::from_secs(3), true)));
        assert_eq!(times.left(&plan, &[false, true, false]), None);
    }
}
