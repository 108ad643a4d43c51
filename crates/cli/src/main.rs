//! The `metallic` binary.

fn main() {}
