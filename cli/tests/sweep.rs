//! Many experiments in one go, and their table.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Place, TINY};
use serde_json::Value;

/// A run of seconds with a published score.
fn scored_row() -> String {
    format!("{TINY}[published]\nmAP = 0.5\n")
}

#[test]
fn a_failed_row_stops_no_other_and_the_sweep_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::with_shards(dir.path(), 32, 3.0, 16_000);
    let configs = dir.path().join("configs/small");
    std::fs::create_dir_all(&configs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(configs.join(name), text).unwrap();
    write("a.toml", &scored_row().replace("demo-16k", "missing-16k"));
    write("b.toml", &scored_row());
    write("c.toml", &scored_row().replace("seed = 1", "seed = 2"));
    let sweep = |extra: &[&str], code| {
        let mut args = vec!["--json", "sweep"];
        args.extend(["configs/small/a.toml", "configs/small/b.toml", "configs/small/c.toml"]);
        args.extend(extra);
        let out = place.run(&args);
        assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
        let rows: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
        rows.iter().map(|r| r["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sweep(&[], 2), ["failed", "done", "done"]);
    let before = place.bytes("runs/small/b");
    write("a.toml", &scored_row());
    assert_eq!(sweep(&["--jobs", "2"], 0), ["done", "done before", "done before"]);
    assert!(before == place.bytes("runs/small/b"), "what is done is left alone");

    std::fs::write(configs.join("d.toml"), scored_row()).unwrap();
    let text = place.done(&["table", "small", "--html", "small.html"]);
    let rows: Vec<&str> = text.lines().filter(|l| l.contains("vggish")).collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[0].contains("ref") || rows[1].contains("ref") || rows[2].contains("ref"));
    assert!(rows[3].contains('–') && rows[3].contains("0.500"), "{text}");
    let page = std::fs::read_to_string(dir.path().join("small.html")).unwrap();
    assert!(page.contains("3 of 4 rows run"));
}

#[test]
fn a_row_comes_after_the_row_whose_weights_it_starts_from() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::with_shards(dir.path(), 32, 3.0, 16_000);
    let configs = dir.path().join("configs/chain");
    std::fs::create_dir_all(&configs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(configs.join(name), text).unwrap();
    let from = |row: &str| {
        scored_row()
            .replace("[tuning]", &format!("weights = \"runs/chain/{row}/1/best\"\n[tuning]"))
    };
    write("a.toml", &from("b").replace("\"full\"", "\"probe\""));
    write("b.toml", &from("c"));
    write("c.toml", &scored_row());
    let sweep = |code: i32| {
        let rows = ["a", "b", "c"].map(|row| format!("configs/chain/{row}.toml"));
        let out = place.run(&["--json", "sweep", &rows[0], &rows[1], &rows[2], "--jobs", "2"]);
        assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
        let rows: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
        let told = |r: &Value| (r["experiment"].to_string(), r["error"].to_string());
        (String::from_utf8(out.stderr).unwrap(), rows.iter().map(told).collect::<Vec<_>>())
    };
    let (_, rows) = sweep(0);
    let order: Vec<bool> =
        rows.iter().zip(["c", "b", "a"]).map(|(r, n)| r.0.contains(&format!("/{n}."))).collect();
    assert_eq!(order, [true; 3], "{rows:?}");

    std::fs::remove_dir_all(dir.path().join("runs")).unwrap();
    write("c.toml", &scored_row().replace("demo-16k", "missing-16k"));
    let (_, rows) = sweep(2);
    assert!(rows[1].1.contains("configs/chain/c.toml, which is not done"), "{rows:?}");
    assert!(rows[2].1.contains("configs/chain/b.toml, which is not done"), "{rows:?}");

    write("c.toml", &from("a"));
    let out = place.run(&[
        "sweep",
        "configs/chain/a.toml",
        "configs/chain/b.toml",
        "configs/chain/c.toml",
    ]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains("lead back to its own run"), "{said}");
}
