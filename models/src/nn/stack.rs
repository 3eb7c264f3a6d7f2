//! Equal layers one behind the other, with gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): in training only
//! the input of each layer is kept, and the layer runs again for its gradients.
//!
//! A checkpointed pass ends in a leaf, where the gradient of a loss stops; [`Stack::backward`] carries it on, from the
//! last layer to the first. A second run repeats the first to the bit: under the same mixed precision, from the same state
//! of the random generators, and batch norms do not count the batch twice. Letters: B batch, T time, D width.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use etude_aten::{Autocast, rng_state, set_rng_state};
use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::error::{Error, Result};

/// A layer of a stack.
pub trait Block {
    /// What all layers of one pass share, such as the rotations of positions.
    type Shared;

    /// x -> what the next layer takes
    ///
    /// # Errors
    /// When libtorch refuses.
    fn forward(&self, x: &Tensor, shared: &Self::Shared, train: bool) -> Result<Tensor>;
}

/// The layers.
#[derive(Debug)]
pub struct Stack<L: Block> {
    layers: Vec<L>,
    checkpoints: Cell<bool>,
    passes: RefCell<Vec<Pass<L::Shared>>>,
}

/// What is left of a checkpointed pass.
#[derive(Debug)]
struct Pass<S> {
    /// What came in, with whatever graph it has.
    source: Tensor,
    shared: S,
    runs: Vec<Run>,
    /// What went out: a leaf.
    output: Tensor,
    mixed: bool,
}

/// A layer that was run.
#[derive(Debug)]
struct Run {
    layer: usize,
    input: Tensor,
    random: Random,
}

impl<L: Block> Stack<L> {
    /// A stack that keeps what it computes.
    pub fn new(layers: Vec<L>) -> Self {
        Self { layers, checkpoints: Cell::new(false), passes: RefCell::default() }
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[L] {
        &self.layers
    }

    /// Whether passes in training are checkpointed from now on.
    pub fn checkpoint(&self, on: bool) {
        self.checkpoints.set(on);
    }

    /// x through the layers of these numbers; `skips` is asked before each whether it is left out this time.
    pub fn forward(
        &self,
        x: &Tensor,
        layers: Range<usize>,
        shared: L::Shared,
        train: bool,
        mut skips: impl FnMut() -> Result<bool>,
    ) -> Result<Tensor> {
        let checkpoints = train && self.checkpoints.get();
        let guard = checkpoints.then(no_grad_guard);
        let mut runs = Vec::new();
        let mut y = if checkpoints { x.f_detach()? } else { x.shallow_clone() };
        for (layer, part) in self.layers.iter().enumerate().take(layers.end).skip(layers.start) {
            if skips()? {
                continue;
            }
            if checkpoints {
                let random = Random::now(y.device())?;
                runs.push(Run { layer, input: y.shallow_clone(), random });
            }
            y = part.forward(&y, &shared, train)?;
        }
        drop(guard);
        if runs.is_empty() {
            return Ok(if checkpoints { x.shallow_clone() } else { y });
        }
        let output = y.f_detach()?.f_set_requires_grad(true)?;
        let mixed = Autocast::is_on(x.device());
        let source = x.shallow_clone();
        let pass = Pass { source, shared, runs, output: output.shallow_clone(), mixed };
        self.passes.borrow_mut().push(pass);
        Ok(output.f_alias()?)
    }

    /// Carries the gradients that reached the outputs of checkpointed passes to the parameters of the layers, and on into
    /// whatever computed the inputs. Nothing to do where there was no such pass.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn backward(&self) -> Result<()> {
        loop {
            let Some(pass) = self.passes.borrow_mut().pop() else { return Ok(()) };
            self.carry(pass)?;
        }
    }

    fn carry(&self, pass: Pass<L::Shared>) -> Result<()> {
        let Pass { source, shared, runs, output, mixed } = pass;
        let mut grad = output.f_grad()?;
        if !grad.defined() {
            return Ok(());
        }
        let device = source.device();
        let now = Random::now(device)?;
        for (n, run) in runs.into_iter().enumerate().rev() {
            let wanted = n > 0 || source.requires_grad();
            let input = run.input.f_detach()?.f_set_requires_grad(wanted)?;
            run.random.put_back(device)?;
            // no leaf itself: mixed precision would convert it once for all its readers, and add up their gradients rounded
            let output = {
                let _again = Again::begin();
                let _cast = mixed.then(|| Autocast::bf16(device)).transpose().map_err(aten)?;
                self.layers[run.layer].forward(&input.f_alias()?, &shared, true)?
            };
            if !output.requires_grad() {
                break; // nothing trains here
            }
            backward(&output, &grad)?;
            grad = input.f_grad()?;
        }
        now.put_back(device)?;
        if source.requires_grad() { backward(&source, &grad) } else { Ok(()) }
    }
}

/// Carries `grad`, the gradient of `x`, on into what computed x.
fn backward(x: &Tensor, grad: &Tensor) -> Result<()> {
    Ok(x.f_mul(grad)?.f_sum(None::<Kind>)?.f_backward()?)
}

/// State of the generators that a layer may draw from.
#[derive(Debug)]
struct Random {
    host: Vec<u8>,
    device: Option<Vec<u8>>,
}

impl Random {
    fn now(device: Device) -> Result<Self> {
        let host = rng_state(Device::Cpu).map_err(aten)?;
        let own = device.is_cuda().then(|| rng_state(device)).transpose().map_err(aten)?;
        Ok(Self { host, device: own })
    }

    fn put_back(&self, device: Device) -> Result<()> {
        set_rng_state(Device::Cpu, &self.host).map_err(aten)?;
        match &self.device {
            Some(state) => set_rng_state(device, state).map_err(aten),
            None => Ok(()),
        }
    }
}

fn aten(e: etude_aten::Error) -> Error {
    Error::Torch { place: Some("a second run for gradients".to_owned()), why: e.to_string() }
}

thread_local! {
    static AGAIN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a layer for the second time on the same batch.
pub(super) fn again() -> bool {
    AGAIN.get()
}

/// Holds while a layer runs for the second time.
struct Again;

impl Again {
    fn begin() -> Self {
        AGAIN.set(true);
        Self
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        AGAIN.set(false);
    }
}
