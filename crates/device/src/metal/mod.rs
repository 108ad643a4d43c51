//! Apple GPUs through Metal. Type-checked and linted on Linux (`tools/check_metal.sh`), **not yet run on Apple hardware**.
//!
//! A plan is one command buffer with one concurrent compute encoder: launches overlap, with a memory barrier only where one
//! touches what an earlier one wrote. Where every pipeline allows it, the launches are recorded once into an indirect command buffer,
//! and a step costs one call. A library's product makes its own encoder between ours. Operands are buffers 0 to k-1, the op's
//! arguments buffer k, the row count buffer k+1.

#[cfg(any(target_vendor = "apple", metal_check, test))]
mod barriers;
#[cfg(any(target_vendor = "apple", metal_check))]
mod buffer;
#[cfg(any(target_vendor = "apple", metal_check))]
mod device;
#[cfg(any(target_vendor = "apple", metal_check))]
mod indirect;
#[cfg(any(target_vendor = "apple", metal_check))]
mod mps;
#[cfg(any(target_vendor = "apple", metal_check))]
mod program;
#[cfg(any(target_vendor = "apple", metal_check))]
mod queue;
#[cfg(any(target_vendor = "apple", metal_check, test))]
mod text;
#[cfg(any(target_vendor = "apple", metal_check))]
mod timing;

use crate::{Device, Error};

const NAME: &str = "metal";

/// How a plan's launches reach the GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Indirect where every pipeline of a plan allows it.
    #[default]
    Auto,
    /// Encoded anew every step.
    Direct,
    /// Recorded once; a plan that cannot be is an error.
    Indirect,
}

/// How arithmetic may be rearranged by Metal's compiler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Math {
    /// As written: what the oracle's budgets assume.
    #[default]
    Safe,
    /// Metal's own default, which assumes that there are no infinities and no NaNs.
    Fast,
}

/// How to set the Metal device up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How launches are encoded.
    pub encoding: Encoding,
    /// How kernels are compiled.
    pub math: Math,
    /// Whether variants of Metal Performance Shaders run here.
    pub libraries: bool,
}

/// The system's default Metal device.
///
/// # Errors
/// [`Error::Unavailable`] where there is none, and [`Error::Call`] where Metal refuses to set it up.
#[cfg(any(target_vendor = "apple", metal_check))]
pub fn open(options: Options) -> Result<Box<dyn Device>, Error> {
    Ok(Box::new(device::Metal::new(options)?))
}

/// As on Apple's systems: here there is no Metal.
///
/// # Errors
/// Always [`Error::Unavailable`].
#[cfg(not(any(target_vendor = "apple", metal_check)))]
pub fn open(_: Options) -> Result<Box<dyn Device>, Error> {
    let reason = "this program was not built for an Apple system".to_owned();
    Err(Error::Unavailable { device: NAME.to_owned(), reason })
}

#[cfg(all(test, not(any(target_vendor = "apple", metal_check))))]
mod tests {
    #[test]
    fn absence_is_an_error_that_says_so() {
        let error = super::open(super::Options::default()).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("metal is not available: this program was not built for an Apple system"));
    }
}
