//! What `bench` measures with beside `metallic_probe::roofline`: the arithmetic of a model.

pub mod cost;
