//! Linker flags for libtorch, and the compiler's version for `versions.txt`.
use std::process::Command;

fn main() {
    etude_link::emit();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
    println!("cargo:rustc-env=ETUDE_RUSTC={}", String::from_utf8_lossy(&said).trim());
}
