//! What `bench` measures with: the limits of the machine and the arithmetic of a model.

pub mod compute;
pub mod cost;
pub mod limits;
pub mod read;
