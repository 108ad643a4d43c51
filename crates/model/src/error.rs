//! What can be wrong with a model file.

use metallic_kernels::DType;
use std::path::PathBuf;

/// Why a model file was refused, or why writing one stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written; nothing of it was left behind.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file as it was to be called.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An error inside one file of a model.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
    /// The file ends before something that it announces.
    #[error("cut file: at byte {offset} expected {expected} ({need} bytes), but the file ends at byte {len}")]
    Truncated {
        /// Where the missing item starts.
        offset: u64,
        /// What should stand there.
        expected: String,
        /// How many bytes it should take.
        need: u64,
        /// Length of the file.
        len: u64,
    },
    /// Bytes that cannot be what the format asks for at this place.
    #[error("at byte {offset}: {what}: expected {expected}, got {got}")]
    Malformed {
        /// Where.
        offset: u64,
        /// Which item.
        what: String,
        /// What is allowed.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A metadata key that is missing, of the wrong type or out of range.
    #[error("metadata key `{key}`: expected {expected}, got {got}")]
    Key {
        /// Name of the key.
        key: String,
        /// What is allowed.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A tensor that is missing, of the wrong shape or type, or outside its file.
    #[error("tensor `{name}`: expected {expected}, got {got}")]
    Tensor {
        /// Canonical (GGUF) name.
        name: String,
        /// What is needed.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A model family that this program does not know.
    #[error("unknown architecture `{found}`; known are {known}")]
    UnknownArch {
        /// As the file writes it.
        found: String,
        /// The known ones, comma separated.
        known: String,
    },
    /// A named shape that `synth` does not know.
    #[error("unknown shape `{found}`; known are {known}")]
    UnknownShape {
        /// As it was asked for.
        found: String,
        /// The known ones, comma separated.
        known: String,
    },
    /// A type that tensors cannot be converted to or from.
    #[error("cannot convert from {from} to {to}")]
    CannotConvert {
        /// Stored type.
        from: DType,
        /// Asked-for type.
        to: DType,
    },
    /// Values that cannot be stored in the wanted type.
    #[error("tensor `{name}`: {source}")]
    Quant {
        /// Canonical name.
        name: String,
        /// What is wrong with the values.
        source: metallic_kernels::quant::QuantError,
    },
    /// The cancel flag was raised; nothing was left behind.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Write { path, source }
    }

    pub(crate) fn within(path: impl Into<PathBuf>) -> impl FnOnce(Error) -> Error {
        let path = path.into();
        move |source| Error::In { path, source: Box::new(source) }
    }

    pub(crate) fn key(key: &str, expected: impl ToString, got: impl ToString) -> Error {
        Error::Key { key: key.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn tensor(name: &str, expected: impl ToString, got: impl ToString) -> Error {
        Error::Tensor { name: name.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn malformed(offset: usize, what: &str, expected: impl ToString, got: impl ToString) -> Error {
        Error::Malformed {
            offset: offset as u64,
            what: what.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}
