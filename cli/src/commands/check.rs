//! `etude check`: verifies a manifest, a view or a shard set; exit code 2 when something is wrong.

use crate::ui::{FAILED, Ui, exit};
use anyhow::{Context, Result, bail};
use etude_manifests::{Findings, Level, Track, View};
use etude_shards::Index;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `etude check`.
#[derive(clap::Args)]
pub struct Args {
    /// A shard set (folder with index.json), a `.tracks.parquet`, a view's `.parquet`, or a folder of those
    path: PathBuf,
    /// An artist in two splits is an error
    #[arg(long)]
    artist_disjoint: bool,
}

/// What was looked at, and what was found.
struct Outcome {
    /// The first thing that is wrong.
    wrong: Option<String>,
    text: String,
    value: Value,
}

/// Checks the path for what it is.
pub fn run(args: Args, ui: &Ui) -> Result<ExitCode> {
    let outcomes = if args.path.join("index.json").exists() {
        vec![shard_set(&args.path)?]
    } else if args.path.is_dir() {
        manifests(&args.path)?
            .iter()
            .map(|path| table(path, args.artist_disjoint))
            .collect::<Result<_>>()?
    } else {
        vec![table(&args.path, args.artist_disjoint)?]
    };
    let wrong = outcomes.iter().find_map(|o| o.wrong.as_ref());
    let text: Vec<&str> = outcomes.iter().map(|o| o.text.trim_end()).collect();
    let values: Vec<&Value> = outcomes.iter().map(|o| &o.value).collect();
    ui.result(&text.join("\n\n"), &json!({"wrong": wrong.is_some(), "checked": values}))?;
    if let Some(first) = wrong {
        eprintln!("error: {} is not sound: {first}", args.path.display());
        return Ok(ExitCode::from(FAILED));
    }
    Ok(exit(false))
}

fn manifests(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!("{}: expected index.json or manifests (*.parquet), found neither", dir.display());
    }
    Ok(paths)
}

fn shard_set(dir: &Path) -> Result<Outcome> {
    let index = Index::open(dir)?;
    let damage: Vec<String> = index.damage().iter().map(ToString::to_string).collect();
    let (files, tracks) = (index.files().len(), index.tracks().count());
    let refused = index.refused().count();
    let mut text = format!(
        "{}: {files} files, {tracks} tracks, {refused} refused, every byte read",
        dir.display()
    );
    for line in &damage {
        text.push_str(&format!("\n! {line}"));
    }
    if damage.is_empty() {
        text.push_str("\n✓ every digest is right");
    }
    let value = json!({
        "path": dir, "kind": "shards", "files": files, "tracks": tracks, "refused": refused,
        "damage": damage,
    });
    Ok(Outcome { wrong: damage.into_iter().next(), text, value })
}

fn table(path: &Path, artist_disjoint: bool) -> Result<Outcome> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (kind, rows, findings) = if name.ends_with(".tracks.parquet") {
        let tracks = etude_manifests::read_tracks(path)?;
        ("tracks", tracks.len(), etude_manifests::check_tracks(&tracks))
    } else {
        let view = etude_manifests::read_view(path)?;
        view.validate()?;
        let tracks = tracks_of(path, &view)?;
        let findings = etude_manifests::check_view(&view, &tracks, artist_disjoint);
        ("view", view.examples.len(), findings)
    };
    let wrong = findings.iter().find(|f| f.level == Level::Error).map(|f| f.text.clone());
    let sound = if wrong.is_some() { "" } else { "\n✓ schema, order and hashes are right" };
    let text = format!("{}: {kind}, {rows} rows\n{findings}{sound}", path.display());
    let value =
        json!({"path": path, "kind": kind, "rows": rows, "findings": findings_of(&findings)?});
    Ok(Outcome { wrong, text, value })
}

/// The tracks a view is about, in the same folder.
fn tracks_of(path: &Path, view: &View) -> Result<Vec<Track>> {
    let name = format!("{}.tracks.parquet", view.corpus);
    let tracks = path.with_file_name(&name);
    etude_manifests::read_tracks(&tracks)
        .with_context(|| format!("the tracks of view {} should be in {name}", view.name))
}

fn findings_of(findings: &Findings) -> Result<Value> {
    Ok(serde_json::to_value(findings)?)
}
