//! Strict loading: every name and every shape is compared before a byte is copied, and everything that does not fit is
//! told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tch::{Tensor, no_grad_guard};

use crate::error::{Error, Result};
use crate::nn::{Part, Store, Variable};
use crate::weights::{NameMap, WeightFile};

/// Names of a kind that a message shows.
const SHOWN: usize = 8;

/// A tensor whose shape in the file is not the model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Misshapen {
    /// Our name.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<i64>,
    /// The file's shape.
    pub got: Vec<i64>,
}

/// How the names and shapes of a file fit a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LoadReport {
    /// The file, or what the tensors came from.
    pub source: PathBuf,
    /// Tensors that fit.
    pub matched: usize,
    /// In the model, not in the file.
    pub missing: Vec<String>,
    /// In the file, not in the model; our names.
    pub extra: Vec<String>,
    /// In both, with different shapes.
    pub misshapen: Vec<Misshapen>,
    /// In the file and left out on purpose, such as layers above the depth built; the file's names.
    pub skipped: Vec<String>,
}

impl LoadReport {
    /// Whether everything fits.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty()
    }

    /// What most likely is the matter, and what to do about it.
    fn hint(&self) -> Option<String> {
        if self.fits() {
            return None;
        }
        let head = |name: &String| name.starts_with("head.");
        let misshapen: Vec<&String> = self.misshapen.iter().map(|m| &m.name).collect();
        if self.missing.iter().chain(&self.extra).chain(misshapen).all(head) {
            return Some(
                "only the head differs: it belongs to other classes; leave out model.head_weights"
                    .to_owned(),
            );
        }
        if self.matched == 0 && self.misshapen.is_empty() {
            return Some(
                "this is another network: compare model.backbone.name with the file".to_owned(),
            );
        }
        let deep = self.missing.iter().map(|name| layer(name)).collect::<Option<Vec<_>>>();
        if let Some(first) = deep
            .filter(|_| self.misshapen.is_empty() && self.extra.is_empty())
            .and_then(|d| d.into_iter().min())
        {
            return Some(format!(
                "the file has {first} encoder layers; set model.backbone.layers to {first} or fewer"
            ));
        }
        (!self.misshapen.is_empty()).then(|| {
            "this is the network at another size: take model.backbone from the config.json beside the file".to_owned()
        })
    }
}

/// Loads the published part of a model from a safetensors or a PyTorch file: every variable of it from the file, but for
/// those that the configuration gives ([`Variable::computed`]), and nothing of the file left over that `names` does not
/// leave out. Types are converted to the model's. Nothing is
/// copied unless every name and shape fits.
///
/// # Errors
/// [`Error::Names`] with all that is missing, extra or misshapen; [`Error::File`] when the file cannot be read.
pub fn load(vs: &Store, file: &Path, names: &NameMap) -> Result<LoadReport> {
    load_part(vs, file, names, |_, v| v.part == Part::Base)
}

/// As [`load`], for the variables that `keep` picks.
///
/// # Errors
/// As [`load`].
pub fn load_part(
    vs: &Store,
    file: &Path,
    names: &NameMap,
    keep: impl Fn(&str, &Variable) -> bool,
) -> Result<LoadReport> {
    let tensors = WeightFile::open(file)?;
    let mut report = LoadReport { source: file.to_owned(), ..LoadReport::default() };
    let mut theirs = BTreeMap::new();
    for name in tensors.names() {
        match names.apply(&name) {
            Some(ours) => {
                if theirs.insert(ours.clone(), name).is_some() {
                    return Err(Error::Twice { name: ours });
                }
            }
            None => report.skipped.push(name),
        }
    }
    let shape = |name: &String| tensors.shape(name).unwrap_or_default();
    let shapes = theirs.iter().map(|(ours, name)| (ours.clone(), shape(name))).collect();
    let wanted = |n: &str, v: &Variable| keep(n, v) && (!v.computed || theirs.contains_key(n));
    let pairs = compare(vs.select(wanted), shapes, &mut report)?;
    copy(pairs, |ours, into| tensors.copy(&theirs[ours], into))?;
    Ok(report)
}

/// Puts tensors back by our names, such as a checkpoint of what a run trained: exactly the variables that `keep`
/// picks. Nothing is copied unless every name and shape fits.
///
/// # Errors
/// [`Error::Names`] with all that is missing, extra or misshapen.
pub fn restore(
    vs: &Store,
    tensors: &[(String, Tensor)],
    keep: impl Fn(&str, &Variable) -> bool,
) -> Result<LoadReport> {
    let mut report = LoadReport { source: "tensors".into(), ..LoadReport::default() };
    let theirs: BTreeMap<&String, &Tensor> = tensors.iter().map(|(n, t)| (n, t)).collect();
    let shapes = theirs.iter().map(|(n, t)| ((*n).clone(), t.size())).collect();
    let pairs = compare(vs.select(keep), shapes, &mut report)?;
    copy(pairs, |ours, into| Ok(into.f_copy_(theirs[&ours.to_owned()])?))?;
    Ok(report)
}

/// Fills the report; the variables to copy to when everything fits.
fn compare(
    ours: Vec<(String, Tensor)>,
    mut theirs: BTreeMap<String, Vec<i64>>,
    report: &mut LoadReport,
) -> Result<Vec<(String, Tensor)>> {
    for (name, tensor) in &ours {
        match theirs.remove(name) {
            None => report.missing.push(name.clone()),
            Some(got) if got == tensor.size() => report.matched += 1,
            Some(got) => {
                let expected = tensor.size();
                report.misshapen.push(Misshapen { name: name.clone(), expected, got });
            }
        }
    }
    report.extra = theirs.into_keys().collect();
    if report.fits() { Ok(ours) } else { Err(Error::Names(Box::new(report.clone()))) }
}

fn copy(
    pairs: Vec<(String, Tensor)>,
    fill: impl Fn(&str, &mut Tensor) -> Result<()>,
) -> Result<()> {
    let _guard = no_grad_guard();
    for (name, mut tensor) in pairs {
        fill(&name, &mut tensor)?; // converts the type; shapes are equal by now
    }
    Ok(())
}

/// The first names of a kind, and how many more there are.
fn some(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    names: impl ExactSizeIterator<Item = impl fmt::Display>,
) -> fmt::Result {
    let more = names.len().saturating_sub(SHOWN);
    for name in names.take(SHOWN) {
        write!(f, "\n  {kind}{name}")?;
    }
    if more > 0 { write!(f, "\n  {kind}and {more} more") } else { Ok(()) }
}

/// Number of the encoder layer that a name belongs to.
fn layer(name: &str) -> Option<usize> {
    let (_, rest) = name.split_once("layers.")?;
    rest.split('.').next()?.parse().ok()
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, matched, missing, extra, misshapen, skipped } = self;
        write!(f, "{}: {matched} tensors fit", source.display())?;
        if self.fits() && skipped.is_empty() {
            return Ok(());
        }
        write!(
            f,
            ", {} missing, {} extra, {} misshapen, {} left out",
            missing.len(),
            extra.len(),
            misshapen.len(),
            skipped.len()
        )?;
        some(f, "missing    ", missing.iter())?;
        some(f, "extra      ", extra.iter())?;
        let shapes =
            |m: &Misshapen| format!("{}: expected {:?}, got {:?}", m.name, m.expected, m.got);
        some(f, "misshapen  ", misshapen.iter().map(shapes))?;
        match self.hint() {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tch::{Device, Kind};

    use super::*;
    use crate::nn::{Init, Scope};
    use crate::peft::{Full, Role, Term};
    use crate::weights::write;

    fn store() -> Store {
        let (store, full) = (Store::new(Device::Cpu), Full {});
        let vs = Scope::root(&store, &full, 0, false);
        for (name, shape) in [("a", [2, 3]), ("b", [1, 3]), ("c", [4, 4])] {
            let _ = vs.param(name, &shape, Init::Const(0.0), Role::Other, Term::Weight).unwrap();
        }
        store
    }

    fn tensor(shape: [i64; 2], kind: Kind) -> Tensor {
        Tensor::ones(shape, (kind, Device::Cpu))
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once_and_nothing_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        // b is broadcastable to the model's shape and must still be refused
        let tensors = [
            ("a", tensor([2, 3], Kind::Float)),
            ("b", tensor([1, 1], Kind::Float)),
            ("x.y", tensor([1, 1], Kind::Float)),
            ("layers.7.w", tensor([1, 1], Kind::Float)),
        ];
        write(&path, &tensors.map(|(n, t)| (n.to_owned(), t)), &BTreeMap::new()).unwrap();
        let vs = store();
        let error = load(&vs, &path, &NameMap::new().skip_from("layers.", 6)).unwrap_err();
        let Error::Names(report) = &error else { panic!("{error}") };
        assert_eq!((report.matched, report.skipped.len()), (1, 1));
        let text = error.to_string();
        assert!(
            text.contains("1 tensors fit, 1 missing, 1 extra, 1 misshapen, 1 left out"),
            "{text}"
        );
        for line in ["missing    c", "extra      x.y", "misshapen  b: expected [1, 3], got [1, 1]"]
        {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(vs.get("a").unwrap().sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn types_become_the_models_and_modules_see_the_new_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let tensors = [
            ("m.a", tensor([2, 3], Kind::Half)),
            ("m.b", tensor([1, 3], Kind::Double)),
            ("m.c", tensor([4, 4], Kind::BFloat16)),
        ];
        write(&path, &tensors.map(|(n, t)| (n.to_owned(), t)), &BTreeMap::new()).unwrap();
        let vs = store();
        let held = vs.get("c").unwrap();
        let report = load(&vs, &path, &NameMap::new().strip("m.")).unwrap();
        assert_eq!((report.matched, report.fits()), (3, true));
        assert_eq!((held.kind(), held.sum(Kind::Float).double_value(&[])), (Kind::Float, 16.0));
        assert!(held.requires_grad());
    }

    #[test]
    fn restoring_takes_exactly_the_variables_asked_for() {
        let vs = store();
        let a = vec![("a".to_owned(), tensor([2, 3], Kind::Float))];
        restore(&vs, &a, |name, _| name == "a").unwrap();
        assert_eq!(vs.get("a").unwrap().sum(Kind::Float).double_value(&[]), 6.0);
        assert!(matches!(restore(&vs, &a, |_, _| true), Err(Error::Names(_))));
        assert!(matches!(restore(&vs, &a, |_, _| false), Err(Error::Names(_))));
    }
}
