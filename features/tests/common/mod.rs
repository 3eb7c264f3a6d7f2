//! Reading golden tensors of `fixtures`.
#![allow(dead_code, reason = "each test uses its part")]

use safetensors::{Dtype, SafeTensors};

/// A fixture file in memory.
pub struct Tensors(Vec<u8>);

impl Tensors {
    pub fn read(name: &str) -> Self {
        Self::below_fixtures(&format!("features/{name}"))
    }

    pub fn below_fixtures(name: &str) -> Self {
        let path = format!("{}/../fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Self(std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}")))
    }

    /// Shape and values of a 32-bit float tensor.
    pub fn get(&self, key: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let view = tensors.tensor(key).unwrap();
        assert_eq!(view.dtype(), Dtype::F32);
        let bytes = view.data().chunks_exact(4);
        (view.shape().to_vec(), bytes.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
    }
}

/// Largest absolute difference and where it is; lengths must agree.
pub fn distance(got: &[f32], want: &[f32]) -> (f64, usize) {
    assert_eq!(got.len(), want.len());
    let mut worst = (0.0, 0);
    for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
        let d = (f64::from(a) - f64::from(b)).abs();
        if d > worst.0 || d.is_nan() {
            worst = (d, i);
        }
    }
    worst
}
