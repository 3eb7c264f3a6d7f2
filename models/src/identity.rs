//! No network at all: stored embeddings in, the same out, so that a probe on them goes through the same trainer.
//! Letters: B batch, T' vectors, D width.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbone::{Backbone, Input, Layer, Settings, Spec};
use crate::error::{Error, Result};
use crate::nn::{Scope, check_size};
use crate::peft::Linear;

/// Name in a configuration.
pub(crate) const NAME: &str = "identity";

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// D, width of the stored vectors.
    pub dim: i64,
}

/// Gives back what it gets; it has no variables, so weights and tuning methods other than `probe` and `full`, which
/// are the same here, do not apply.
#[derive(Debug)]
pub struct Identity {
    dim: i64,
}

impl Identity {
    /// # Errors
    /// For a width below 1.
    pub fn new(cfg: &Config) -> Result<Self> {
        check_size("backbone.dim", cfg.dim)?;
        Ok(Self { dim: cfg.dim })
    }
}

impl Settings for Config {
    fn build(&self, _vs: &Scope) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Identity::new(self)?))
    }
}

impl Backbone for Identity {
    fn spec(&self) -> Spec {
        let input = Input::Embedding { dim: self.dim };
        Spec {
            name: NAME,
            input,
            dim: self.dim,
            frame_rate: None,
            layers: 0,
            embedding: 0,
            window: None,
        }
    }

    fn hidden(&self, x: &Tensor, layer: Layer, _train: bool) -> Result<Tensor> {
        layer.number(0)?;
        let shape = x.size(); // [B, T', D]
        if shape.len() != 3 || shape[2] != self.dim {
            return Err(Error::Shape {
                place: NAME.to_owned(),
                expected: format!("embeddings [B, T', {}]", self.dim),
                got: format!("{shape:?}"),
            });
        }
        Ok(x.shallow_clone())
    }

    fn linears(&self) -> Vec<&Linear> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_another_width_is_refused() {
        let x = Tensor::rand([2, 5, 3], (Kind::Float, Device::Cpu));
        let identity = Identity::new(&Config { dim: 3 }).unwrap();
        assert!(identity.hidden(&x, Layer::Last, true).unwrap().equal(&x));
        assert!(identity.hidden(&x, Layer::At(1), true).is_err());
        let other = Identity::new(&Config { dim: 4 }).unwrap();
        let text = other.hidden(&x, Layer::Last, true).unwrap_err().to_string();
        assert_eq!(text, "identity: expected embeddings [B, T', 4], got [2, 5, 3]");
        assert!(Identity::new(&Config { dim: 0 }).is_err());
    }
}
