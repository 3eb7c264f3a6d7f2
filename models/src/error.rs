//! What can go wrong between a configuration and its logits.

use std::path::PathBuf;

use tch::TchError;

use crate::weights::LoadReport;

/// Errors of this crate. Each names its place, what was expected and what was there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch refused an operation.
    #[error("{}{why}", place.as_ref().map(|p| format!("{p}: ")).unwrap_or_default())]
    Torch {
        /// Where, with the shapes that went in.
        place: Option<String>,
        /// libtorch's own words, without its stack.
        why: String,
    },
    /// A tensor of another shape, or too short or too long.
    #[error("{place}: expected {expected}, got {got}")]
    Shape {
        /// Where.
        place: String,
        /// What the place takes.
        expected: String,
        /// What came.
        got: String,
    },
    /// A setting outside its range, or two that do not go together.
    #[error("{key}: expected {expected}, got {got}")]
    Setting {
        /// The key, as written in a configuration.
        key: String,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// Two variables of one name.
    #[error("model: two variables are called {name}")]
    Twice {
        /// The name.
        name: String,
    },
    /// A tuning method that finds nothing to tune.
    #[error("tuning: {method} finds no place in {backbone}: {hint}")]
    NoSite {
        /// The method.
        method: &'static str,
        /// The backbone.
        backbone: &'static str,
        /// What would work.
        hint: String,
    },
    /// Something a tuning method cannot be asked for.
    #[error("tuning: {method} {cannot}")]
    Cannot {
        /// The method.
        method: &'static str,
        /// What cannot be done, why, and what can.
        cannot: String,
    },
    /// Names or shapes of a weight file that do not fit the model. All of them at once; nothing was loaded.
    #[error("{0}")]
    Names(Box<LoadReport>),
    /// A file that could not be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl From<TchError> for Error {
    fn from(e: TchError) -> Self {
        let why = match e {
            TchError::Torch(text) => {
                let end = text.find("\nException raised from").unwrap_or(text.len());
                text[..end].trim().to_owned()
            }
            other => other.to_string(),
        };
        Error::Torch { place: None, why }
    }
}

/// Says where an operation of libtorch failed.
pub(crate) trait At<T> {
    /// Names the place of an error that has none yet.
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| match e {
            Error::Torch { place: None, why } => Error::Torch { place: Some(place()), why },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn an_error_of_libtorch_is_told_with_its_place_and_without_its_stack() {
        let x = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let out: Result<Tensor> = x.f_matmul(&x).map_err(Error::from);
        let text = out.at(|| format!("test, x {:?}", x.size())).unwrap_err().to_string();
        assert!(text.starts_with("test, x [2, 3]: "), "{text}");
        assert!(text.contains("cannot be multiplied") && !text.contains('\n'), "{text}");
    }
}
