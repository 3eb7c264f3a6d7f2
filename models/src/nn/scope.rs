//! Variables of a model by dotted name, and the place where the next one is created.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Div;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::Init;
use crate::peft::{After, Delta, Method, Prefix, Role, Site, Term};

/// Whose a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The published network.
    Base,
    /// What the tuning method added to it.
    Added,
    /// The head.
    Head,
}

/// One tensor of a model.
#[derive(Debug)]
pub struct Variable {
    /// The tensor; modules hold the same storage.
    pub tensor: Tensor,
    /// Whose it is.
    pub part: Part,
    /// Whether it is learnable at all; running statistics, windows and codebooks are not.
    pub learnable: bool,
    /// Whether training may change it: trained, or a running statistic that is kept up to date.
    pub changes: bool,
    /// Whether the configuration alone gives its values, as those of a window or a filterbank: a file may lack it.
    pub computed: bool,
    /// Number of the first hidden state that depends on it; 0 for heads, which none depends on.
    pub state: usize,
}

/// What [`Variable`] says of a tensor, as it is created.
#[derive(Default)]
struct Kept {
    learnable: bool,
    changes: bool,
    computed: bool,
}

/// All variables of a model, in the order of their names.
#[derive(Debug)]
pub struct Store {
    device: Device,
    variables: RefCell<BTreeMap<String, Variable>>,
}

impl Store {
    /// An empty store; variables are created on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, variables: RefCell::default() }
    }

    /// Where the variables live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Names and tensors (same storage) of the variables that `keep` picks, in the order of their names.
    pub fn select(&self, keep: impl Fn(&str, &Variable) -> bool) -> Vec<(String, Tensor)> {
        let variables = self.variables.borrow();
        let kept = variables.iter().filter(|(name, v)| keep(name, v));
        kept.map(|(name, v)| (name.clone(), v.tensor.shallow_clone())).collect()
    }

    /// The tensor of that name (same storage).
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.variables.borrow().get(name).map(|v| v.tensor.shallow_clone())
    }

    /// Elements of the variables that `keep` picks.
    pub fn count(&self, keep: impl Fn(&str, &Variable) -> bool) -> usize {
        let variables = self.variables.borrow();
        let kept = variables.iter().filter(|(name, v)| keep(name, v));
        kept.map(|(_, v)| v.tensor.numel()).sum()
    }

    /// Number of the first hidden state that training may change; `None` when it changes none.
    pub fn first_changed(&self) -> Option<usize> {
        let variables = self.variables.borrow();
        let changed = variables.values().filter(|v| v.changes && v.part != Part::Head);
        changed.map(|v| v.state).min()
    }

    fn insert(&self, name: String, variable: Variable) -> Result<()> {
        let mut variables = self.variables.borrow_mut();
        if variables.contains_key(&name) {
            return Err(Error::Twice { name });
        }
        variables.insert(name, variable);
        Ok(())
    }
}

/// Where the next variables of a model are created, and under which rules: the tuning method, the seed, and whether
/// this part of the network is in training mode when the model trains.
#[derive(Clone)]
pub struct Scope<'a> {
    store: &'a Store,
    method: &'a dyn Method,
    seed: u64,
    batch_stats: bool,
    blank: bool,
    part: Part,
    state: usize,
    path: String,
}

impl<'a> Scope<'a> {
    /// The root of the published network. With `batch_stats` frozen parts run in training mode too.
    pub fn root(store: &'a Store, method: &'a dyn Method, seed: u64, batch_stats: bool) -> Self {
        let path = String::new();
        Self { store, method, seed, batch_stats, blank: false, part: Part::Base, state: 0, path }
    }

    /// The same place, with nothing in particular where the published network would start from the seed: for a network
    /// whose weights all come from a file, writing hundreds of millions of numbers first is waste.
    pub fn blank(self) -> Self {
        Self { blank: true, ..self }
    }

    /// The same place for another part of the model.
    pub fn part(&self, part: Part) -> Self {
        Self { part, ..self.clone() }
    }

    /// The same place, where what is created goes into hidden state `state` and no earlier one. A model that never says
    /// so is one whole.
    pub fn leads_to(self, state: usize) -> Self {
        Self { state, ..self }
    }

    /// What the tuning method changes at a linear layer whose scope this is.
    ///
    /// # Errors
    /// When a variable cannot be made.
    pub fn linear(&self, site: &Site) -> Result<Option<Box<dyn Delta>>> {
        self.ask(|method, vs| method.linear(site, vs))
    }

    /// What the tuning method adds behind a residual sum of the encoder layer whose scope this is.
    ///
    /// # Errors
    /// When a variable cannot be made.
    pub fn after(&self, site: &Site, block: &str) -> Result<Option<Box<dyn After>>> {
        self.ask(|method, vs| method.after(site, vs, block))
    }

    /// What the tuning method puts before keys and values of the encoder layer whose scope this is.
    ///
    /// # Errors
    /// When a variable cannot be made.
    pub fn prefix(&self, site: &Site) -> Result<Option<Box<dyn Prefix>>> {
        self.ask(|method, vs| method.prefix(site, vs))
    }

    /// Methods tune the published network only, not heads and not each other.
    fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Method, &Scope) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        match self.part {
            Part::Base => question(self.method, &self.part(Part::Added)),
            Part::Added | Part::Head => Ok(None),
        }
    }

    /// Whether dropout and batch statistics are on here while the model trains.
    pub fn live(&self) -> bool {
        self.part != Part::Base || self.batch_stats || self.method.trains_base()
    }

    /// Where variables are created.
    pub fn device(&self) -> Device {
        self.store.device
    }

    /// The dotted name of `last` here.
    pub fn name(&self, last: &str) -> String {
        if self.path.is_empty() { last.to_owned() } else { format!("{}.{last}", self.path) }
    }

    /// A float32 variable that can be learned; the method decides whether it is.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn param(
        &self,
        last: &str,
        shape: &[i64],
        init: Init,
        role: Role,
        term: Term,
    ) -> Result<Tensor> {
        let trains = match self.part {
            Part::Base => role != Role::Unused && self.method.trains(role, term),
            Part::Added | Part::Head => true,
        };
        let tensor = self.start(last, shape, init)?.f_set_requires_grad(trains)?;
        let kept = Kept { learnable: true, changes: trains, computed: false };
        self.add(self.name(last), tensor, kept)
    }

    /// A variable whose values follow from the configuration: never learned, left alone by training.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn constant(&self, last: &str, tensor: Tensor) -> Result<Tensor> {
        let tensor = tensor.f_to_device(self.device())?;
        self.add(self.name(last), tensor, Kept { computed: true, ..Kept::default() })
    }

    /// A variable that is never learned, with values from the seed: a random projection, a codebook.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn drawn(&self, last: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        self.add(self.name(last), self.start(last, shape, init)?, Kept::default())
    }

    /// A running statistic: never learned, and kept up to date where this part of the network is live.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn statistic(&self, last: &str, shape: &[i64], value: f64, kind: Kind) -> Result<Tensor> {
        let tensor = Tensor::f_full(shape, value, (kind, self.device()))?;
        self.add(self.name(last), tensor, Kept { changes: self.live(), ..Kept::default() })
    }

    fn start(&self, last: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        if self.blank && self.part == Part::Base {
            return Ok(Tensor::f_empty(shape, (Kind::Float, self.device()))?);
        }
        let values = init.values(numel(shape), self.seed, &self.name(last));
        Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(self.device())?)
    }

    fn add(&self, name: String, tensor: Tensor, kept: Kept) -> Result<Tensor> {
        let Kept { learnable, changes, computed } = kept;
        let (same, part, state) = (tensor.shallow_clone(), self.part, self.state);
        let variable = Variable { tensor, part, learnable, changes, computed, state };
        self.store.insert(name, variable)?;
        Ok(same)
    }
}

impl<'a, N: Display> Div<N> for &Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, last: N) -> Scope<'a> {
        Scope { path: self.name(&last.to_string()), ..self.clone() }
    }
}

impl<'a, N: Display> Div<N> for Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, last: N) -> Scope<'a> {
        &self / last
    }
}

fn numel(shape: &[i64]) -> usize {
    shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peft::Full;

    #[test]
    fn names_are_dotted_and_a_second_one_of_a_name_is_an_error() {
        let (store, full) = (Store::new(Device::Cpu), Full {});
        let vs = Scope::root(&store, &full, 0, false) / "conv" / 0;
        let add = |last| vs.param(last, &[2], Init::Const(0.0), Role::Other, Term::Weight);
        let _ = add("weight").unwrap();
        let _ = add("bias").unwrap();
        assert_eq!(
            add("bias").unwrap_err().to_string(),
            "model: two variables are called conv.0.bias"
        );
        let names: Vec<_> = store.select(|_, _| true).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["conv.0.bias", "conv.0.weight"]);
    }
}
