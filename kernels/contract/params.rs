//! Argument structs: declared once in Rust, written out as the header that kernels include.

/// A field of an argument struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, the same in Rust and in MSL.
    pub name: &'static str,
    /// Its type in MSL.
    pub msl: &'static str,
    /// First byte.
    pub offset: usize,
    /// Its documentation.
    pub doc: &'static str,
}

/// What an op's argument struct looks like in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamsInfo {
    /// Name of the struct, the same in Rust and in MSL.
    pub name: &'static str,
    /// Its size.
    pub bytes: usize,
    /// Its fields in order; there is no padding between them.
    pub fields: &'static [Field],
}

impl ParamsInfo {
    /// No arguments.
    pub const NONE: ParamsInfo = ParamsInfo { name: "", bytes: 0, fields: &[] };
}

/// A Rust type that an argument struct may hold, and its MSL twin.
pub trait Scalar {
    /// The type's name in MSL.
    const MSL: &'static str;
}

impl Scalar for u32 {
    const MSL: &'static str = "uint";
}

impl Scalar for i32 {
    const MSL: &'static str = "int";
}

impl Scalar for f32 {
    const MSL: &'static str = "float";
}

/// Declares an op's argument struct, `#[repr(C)]` plain data, with `INFO` describing it.
macro_rules! params {
    ($(#[doc = $about:literal])* pub struct $name:ident {
        $($(#[doc = $doc:literal])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $about])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $ty,)*
        }

        impl $name {
            /// The struct as kernels in other languages see it.
            pub const INFO: crate::contract::ParamsInfo = crate::contract::ParamsInfo {
                name: stringify!($name),
                bytes: size_of::<$name>(),
                fields: &[$(crate::contract::Field {
                    name: stringify!($field),
                    msl: <$ty as crate::contract::Scalar>::MSL,
                    offset: std::mem::offset_of!($name, $field),
                    doc: concat!($($doc),*),
                },)*],
            };
        }
    };
}

pub(crate) use params;

/// The text of `msl/params.h`: every op's argument struct.
pub fn header() -> String {
    let mut out = String::from(
        "// Argument structs of the ops. Written by `cargo run -p metallic-kernels --example params_header`; do not edit.\n\
         #pragma once\n",
    );
    out +=
        &format!("\nconstant constexpr uint KV_PAGE = {}; // Positions in a page of the KV cache.\n", crate::kv::PAGE);
    for op in crate::OPS {
        let info = op.params;
        out += &format!("\nstruct {} {{\n", info.name);
        for f in info.fields {
            out += &format!("    {} {}; //{}\n", f.msl, f.name, f.doc);
        }
        out += "};\n";
    }
    out
}
