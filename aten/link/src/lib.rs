//! Linker flags that every package with a torch binary, test or bench needs. Call [`emit`] from its `build.rs`.

use std::env;

/// Adds the directory of the libtorch in use to the run path of the package's own binaries, tests and benches.
///
/// `DEP_TCH_LIBTORCH_LIB` is set by Cargo for packages that depend directly on `torch-sys`.
pub fn emit() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
