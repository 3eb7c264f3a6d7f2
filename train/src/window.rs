//! Losses that are still on the device. Reading one would make every step wait for the device, so they are read
//! together, when a row is logged or a state is saved; the first one that is no number is named with its batch.

use tch::{Kind, TchError, Tensor};

/// Losses since the latest row of the log.
#[derive(Debug)]
pub(crate) struct Window {
    /// Read already.
    losses: Vec<f64>,
    grad_norm: f64,
    unread: Vec<(u64, Vec<String>)>,
    /// Loss and gradient norm of each unread step, on the device.
    values: Vec<Tensor>,
}

/// Why losses could not be read.
#[derive(Debug)]
pub(crate) enum Lost {
    /// A number is none.
    NotFinite(NotFinite),
    /// libtorch failed.
    Torch(TchError),
}

/// The first number that is none.
#[derive(Debug)]
pub(crate) struct NotFinite {
    pub(crate) step: u64,
    pub(crate) keys: Vec<String>,
    pub(crate) what: &'static str,
    pub(crate) value: f64,
}

impl Window {
    /// `losses` are those of a checkpoint.
    pub(crate) fn new(losses: Vec<f64>) -> Self {
        Self { losses, grad_norm: 0.0, unread: Vec::new(), values: Vec::new() }
    }

    /// A step, its batch, its loss and gradient norm, 0-d.
    pub(crate) fn push(&mut self, step: u64, keys: &[String], loss: Tensor, norm: Tensor) {
        self.unread.push((step, keys.to_vec()));
        self.values.push(loss);
        self.values.push(norm);
    }

    /// Waits for the device; the losses that had not been read before.
    pub(crate) fn read(&mut self) -> Result<Vec<f64>, Lost> {
        if self.values.is_empty() {
            return Ok(Vec::new());
        }
        let device = self.values[0].device();
        let values = self.values.drain(..).map(|v| v.f_to_device(device)?.f_to_kind(Kind::Double));
        let values = values.collect::<Result<Vec<_>, _>>().and_then(|v| Tensor::f_stack(&v, 0));
        let values = values.and_then(Vec::<f64>::try_from).map_err(Lost::Torch)?;
        let mut fresh = Vec::with_capacity(self.unread.len());
        for ((step, keys), pair) in self.unread.drain(..).zip(values.chunks(2)) {
            for (what, value) in [("loss", pair[0]), ("gradient norm", pair[1])] {
                if !value.is_finite() {
                    return Err(Lost::NotFinite(NotFinite { step, keys, what, value }));
                }
            }
            fresh.push(pair[0]);
            self.grad_norm = pair[1];
        }
        self.losses.extend(&fresh);
        Ok(fresh)
    }

    /// Losses read and not yet part of a row.
    pub(crate) fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Mean loss and latest gradient norm for a row; the next row starts anew.
    pub(crate) fn take_row(&mut self) -> (f64, f64) {
        let mean = self.losses.iter().sum::<f64>() / self.losses.len().max(1) as f64;
        self.losses.clear();
        (mean, self.grad_norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_is_none_is_named_with_its_batch() {
        let mut w = Window::new(vec![1.0]);
        let keys = |k: &str| vec![k.to_owned()];
        w.push(4, &keys("a"), Tensor::from(3f32), Tensor::from(0.5f32));
        assert_eq!(w.read().unwrap(), [3.0]);
        assert_eq!(w.losses(), [1.0, 3.0]);
        assert_eq!(w.take_row(), (2.0, 0.5));
        w.push(5, &keys("b"), Tensor::from(1f32), Tensor::from(f32::INFINITY));
        w.push(6, &keys("c"), Tensor::from(f32::NAN), Tensor::from(1f32));
        let Err(Lost::NotFinite(lost)) = w.read() else { panic!("infinity went unnoticed") };
        assert_eq!((lost.step, lost.keys, lost.what), (5, keys("b"), "gradient norm"));
    }
}
