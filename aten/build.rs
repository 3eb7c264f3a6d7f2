//! Compiles the C++ shim against the headers of the libtorch in use and sets its run path.

use std::env;
use std::path::PathBuf;

fn main() {
    etude_link::emit();
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let home = env::var_os("LIBTORCH").map(PathBuf::from).or_else(|| {
        env::var_os("DEP_TCH_LIBTORCH_LIB")
            .and_then(|lib| PathBuf::from(lib).parent().map(PathBuf::from))
    });
    let Some(home) = home else {
        println!(
            "cargo:warning=libtorch not found: set LIBTORCH to the directory that holds include/ and lib/"
        );
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .files(["shim/shim.cpp", "shim/foreach.cpp", "shim/copy.cpp"])
        .include(home.join("include"))
        .include(home.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .warnings(false)
        .compile("etude_shim");
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    if cfg!(target_os = "linux") {
        println!("cargo:rustc-link-lib=dl");
    }
}
