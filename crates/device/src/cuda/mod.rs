//! NVIDIA GPUs: the driver and NVRTC, both loaded at run time, so that nothing of CUDA is needed to build.

mod driver;
mod error;
pub mod nvrtc;
mod stream;

pub use driver::{Code, Info, list};
pub use error::{Error, Place};
pub use nvrtc::Nvrtc;
pub use stream::{Event, Graph, Stream};
