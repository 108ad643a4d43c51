//! Random data by the hundreds of megabytes: elements or blocks drawn out of a table.

use metallic_kernels::DType;
use metallic_kernels::cases::{self, Rng};
use metallic_kernels::quant;

use super::parallel;

/// Entries of the table.
const TABLE: usize = 4096;

/// Elements of a piece that one thread draws.
const PIECE: usize = 1 << 20;

/// `elements` of a stored type, near `std` in size; whole blocks.
pub fn stored(dtype: DType, elements: usize, std: f32, seed: u64) -> Vec<u8> {
    let table = cases::stored(&mut Rng(seed), dtype, TABLE, dtype.block(), std).bytes;
    let (size, blocks) = (dtype.block_bytes(), elements / dtype.block());
    let piece = PIECE / dtype.block();
    let draw = |part: usize| {
        let count = piece.min(blocks - part * piece);
        let mut state = Rng(seed ^ (part as u64 + 1) << 32).bits();
        let mut out = Vec::with_capacity(count * size);
        for _ in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 52) as usize * size;
            out.extend_from_slice(&table[at..at + size]);
        }
        out
    };
    parallel(blocks.div_ceil(piece), draw).concat()
}

/// Every element of stored bytes; nothing for a type without values.
pub fn values(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let decode = |bytes: &[u8]| -> Vec<f32> {
        let mut out = vec![0.0; bytes.len() / dtype.block_bytes() * dtype.block()];
        match quant::dequantize(dtype, bytes, &mut out) {
            Ok(()) => out,
            Err(_) => Vec::new(),
        }
    };
    let piece = PIECE / dtype.block() * dtype.block_bytes();
    if bytes.len() <= piece {
        return decode(bytes);
    }
    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
    parallel(pieces.len(), |i| decode(pieces[i])).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_random_repeatable_and_of_the_size_asked_for() {
        for dtype in [DType::F16, DType::F32, DType::Q8_0] {
            let bytes = stored(dtype, 1 << 21, 0.5, 3);
            assert_eq!(Some(bytes.len()), dtype.bytes(1 << 21));
            assert_eq!(bytes, stored(dtype, 1 << 21, 0.5, 3));
            assert_ne!(bytes, stored(dtype, 1 << 21, 0.5, 4));
            let values = values(dtype, &bytes);
            let square = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
            assert!((0.3..0.8).contains(&square.sqrt()), "{dtype} {square}");
            assert_ne!(values[..PIECE / 2], values[PIECE..PIECE + PIECE / 2]);
        }
    }
}
