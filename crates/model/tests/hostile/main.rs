//! Damaged, cut and lying model files: each gives an error that names what is wrong.

mod corpus;
mod gguf;
mod mini;
mod paths;
mod safetensors;
mod split;
