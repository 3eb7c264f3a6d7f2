//! Linker flags for libtorch; the compiler's version and the commit for `versions.txt`.
use std::path::Path;
use std::process::Command;

fn main() {
    etude_link::emit();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    println!("cargo:rustc-env=ETUDE_RUSTC={}", said(Command::new(rustc).arg("--version")));
    let ours = !git(&["ls-files", "build.rs"]).is_empty(); // not the repository around an unpacked archive
    let commit = if ours { git(&["rev-parse", "--short=12", "HEAD"]) } else { String::new() };
    println!("cargo:rustc-env=ETUDE_COMMIT={commit}");
    // moves with every commit and checkout
    let head = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]);
    if ours && Path::new(&head).is_file() {
        println!("cargo:rerun-if-changed={head}");
    }
}

/// What git says; nothing where there is none, or no repository.
fn git(args: &[&str]) -> String {
    said(Command::new("git").args(args))
}

fn said(command: &mut Command) -> String {
    let out = command.output().ok().filter(|out| out.status.success());
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}
