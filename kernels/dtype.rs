//! Element types of tensors, with the block geometry of the GGUF formats.
//!
//! Source: the GGUF specification and the `ggml_type` numbering it fixes.

use std::fmt;

/// Element type of a stored tensor. Quantized types store whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, non_camel_case_types)]
pub enum DType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    MXFP4,
    I32,
}

/// One row of the type table: everything about a type derives from here.
struct Row {
    dtype: DType,
    name: &'static str,
    ggml: u32,
    block: usize,
    bytes: usize,
}

const fn row(dtype: DType, name: &'static str, ggml: u32, block: usize, bytes: usize) -> Row {
    Row { dtype, name, ggml, block, bytes }
}

#[rustfmt::skip]
const TABLE: [Row; 16] = [
    row(DType::F32,    "f32",     0,   1,   4),
    row(DType::F16,    "f16",     1,   1,   2),
    row(DType::BF16,   "bf16",   30,   1,   2),
    row(DType::Q8_0,   "q8_0",    8,  32,  34),
    row(DType::Q4_0,   "q4_0",    2,  32,  18),
    row(DType::Q4_1,   "q4_1",    3,  32,  20),
    row(DType::Q5_0,   "q5_0",    6,  32,  22),
    row(DType::Q5_1,   "q5_1",    7,  32,  24),
    row(DType::Q2_K,   "q2_k",   10, 256,  84),
    row(DType::Q3_K,   "q3_k",   11, 256, 110),
    row(DType::Q4_K,   "q4_k",   12, 256, 144),
    row(DType::Q5_K,   "q5_k",   13, 256, 176),
    row(DType::Q6_K,   "q6_k",   14, 256, 210),
    row(DType::IQ4_NL, "iq4_nl", 20,  32,  18),
    row(DType::MXFP4,  "mxfp4",  39,  32,  17),
    row(DType::I32,    "i32",    26,   1,   4),
];

impl DType {
    /// Every type, in the order of the table.
    pub fn all() -> impl Iterator<Item = DType> {
        TABLE.iter().map(|r| r.dtype)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Lower-case name as users write it, e.g. `q8_0`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The type named `name`, in any case.
    pub fn from_name(name: &str) -> Option<DType> {
        TABLE.iter().find(|r| r.name.eq_ignore_ascii_case(name)).map(|r| r.dtype)
    }

    /// Number of this type in GGUF files.
    pub fn ggml(self) -> u32 {
        self.row().ggml
    }

    /// The type with GGUF number `id`.
    pub fn from_ggml(id: u32) -> Option<DType> {
        TABLE.iter().find(|r| r.ggml == id).map(|r| r.dtype)
    }

    /// Elements in one block (1 for plain types).
    pub fn block(self) -> usize {
        self.row().block
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        self.row().bytes
    }

    /// Bytes of `elements` consecutive elements, or `None` where they are no whole blocks or the product overflows.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        let r = self.row();
        if !elements.is_multiple_of(r.block) {
            return None;
        }
        (elements / r.block).checked_mul(r.bytes)
    }

    /// True for the block-quantized types.
    pub fn is_quantized(self) -> bool {
        self.block() > 1
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_indexed_by_discriminant() {
        for (i, r) in TABLE.iter().enumerate() {
            assert_eq!(r.dtype as usize, i, "{}", r.name);
            assert_eq!(DType::from_ggml(r.ggml), Some(r.dtype));
            assert_eq!(DType::from_name(r.name), Some(r.dtype));
        }
    }

    #[test]
    fn bytes_refuses_partial_blocks_and_overflow() {
        assert_eq!(DType::Q8_0.bytes(64), Some(68));
        assert_eq!(DType::Q8_0.bytes(33), None);
        assert_eq!(DType::F32.bytes(usize::MAX), None);
    }
}
