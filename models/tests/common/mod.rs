//! Fixtures and comparison, shared by the parity tests.
#![allow(dead_code, reason = "each test uses its part")]

pub mod peft;

use std::path::{Path, PathBuf};

use etude_models::weights::TensorFile;
use tch::{Kind, Tensor};

/// A file below `fixtures/`. The networks are tiny, so one thread an operation is fastest: tests run side by side.
pub fn fixture(name: &str) -> PathBuf {
    etude_aten::set_threads(1);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The tensors of a fixture.
pub fn open(name: &str) -> TensorFile {
    TensorFile::open(&fixture(name)).unwrap()
}

/// Largest absolute difference; shapes must be equal.
pub fn gap(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    (got.to_kind(Kind::Double) - want.to_kind(Kind::Double)).abs().max().double_value(&[])
}

/// Fails when any element is further off than `atol`.
pub fn assert_close(name: &str, got: &Tensor, want: &Tensor, atol: f64) {
    assert_eq!(got.size(), want.size(), "{name}: shape");
    let gap = gap(got, want);
    assert!(gap <= atol, "{name}: off by {gap:e}, tolerance {atol:e}");
}

/// The rule of thumb of the MusicFM, MERT and PEFT fixtures: 1e-5 of the largest expected value, plus 1e-6.
pub fn rule(want: &Tensor) -> f64 {
    1e-5 * want.abs().max().double_value(&[]) + 1e-6
}
