//! Writes `msl/params.h` from the ops' argument structs.

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/msl/params.h");
    std::fs::write(path, metallic_kernels::contract::header())
}
