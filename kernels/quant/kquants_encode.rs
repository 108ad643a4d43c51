//! Encoders of the super-block formats: the search, then the packing that `kquants` reads.

use super::Encode;
use super::kquants::{BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K, BlockQ6K, sub_block};
use super::search::{affine, symmetric};

/// Largest finite half; scales of scales stay far below it for values up to this.
const LIMIT: f32 = 65504.0;

impl Encode for BlockQ2K {
    const LIMIT: f32 = LIMIT;

    #[inline(always)]
    fn encode(values: &[f32; 256]) -> BlockQ2K {
        let fit = affine::<16, 16>(bytemuck::cast_ref(values), 3.0, 15.0);
        BlockQ2K {
            scales: std::array::from_fn(|sub| fit.scales[sub] | fit.mins[sub] << 4),
            qs: planes(|sub, l| fit.q[sub][l]),
            d: fit.d,
            dmin: fit.dmin,
        }
    }
}

impl Encode for BlockQ3K {
    const LIMIT: f32 = LIMIT;

    #[inline(always)]
    fn encode(values: &[f32; 256]) -> BlockQ3K {
        let fit = symmetric::<16, 16>(bytemuck::cast_ref(values), 4.0, 32.0);
        let mut hmask = [0; 32];
        for (sub, q) in fit.q.iter().enumerate() {
            for (l, q) in q.iter().enumerate() {
                hmask[sub % 2 * 16 + l] |= (q >> 2) << (sub / 2);
            }
        }
        let mut scales = [0; 12];
        for (i, s) in fit.scales.iter().enumerate() {
            let s = (s + 32) as u8;
            scales[i % 8] |= (s & 15) << (i / 8 * 4);
            scales[8 + i % 4] |= (s >> 4) << (i / 4 * 2);
        }
        BlockQ3K { hmask, qs: planes(|sub, l| fit.q[sub][l] & 3), scales, d: fit.d }
    }
}

impl Encode for BlockQ4K {
    const LIMIT: f32 = LIMIT;

    #[inline(always)]
    fn encode(values: &[f32; 256]) -> BlockQ4K {
        let fit = affine::<32, 8>(bytemuck::cast_ref(values), 15.0, 63.0);
        BlockQ4K { d: fit.d, dmin: fit.dmin, scales: pack_scale_min(&fit.scales, &fit.mins), qs: pairs(&fit.q) }
    }
}

impl Encode for BlockQ5K {
    const LIMIT: f32 = LIMIT;

    #[inline(always)]
    fn encode(values: &[f32; 256]) -> BlockQ5K {
        let fit = affine::<32, 8>(bytemuck::cast_ref(values), 31.0, 63.0);
        let mut qh = [0; 32];
        for (sub, q) in fit.q.iter().enumerate() {
            for (high, q) in qh.iter_mut().zip(q) {
                *high |= (q >> 4) << sub;
            }
        }
        BlockQ5K { d: fit.d, dmin: fit.dmin, scales: pack_scale_min(&fit.scales, &fit.mins), qh, qs: pairs(&fit.q) }
    }
}

impl Encode for BlockQ6K {
    const LIMIT: f32 = LIMIT;

    #[inline(always)]
    fn encode(values: &[f32; 256]) -> BlockQ6K {
        let fit = symmetric::<16, 16>(bytemuck::cast_ref(values), 32.0, 128.0);
        // Of each half's eight sub-blocks, the first four fill the low halves of its 64 bytes.
        let ql = std::array::from_fn(|i| {
            let (sub, l) = (i / 64 * 8 + i % 64 / 16, i % 16);
            fit.q[sub][l] & 15 | fit.q[sub + 4][l] << 4
        });
        BlockQ6K { ql, qh: planes(|sub, l| fit.q[sub][l] >> 4), scales: fit.scales, d: fit.d }
    }
}

/// Four two-bit quants a byte; `q` tells the quant of a sub-block of 16 values and a lane.
#[inline(always)]
fn planes(q: impl Fn(usize, usize) -> u8) -> [u8; 64] {
    std::array::from_fn(|i| (0..4).fold(0, |byte, plane| byte | q(sub_block(i / 16, plane), i % 16) << (2 * plane)))
}

/// The low four bits of two sub-blocks of 32 values in 32 bytes.
#[inline(always)]
fn pairs(q: &[[u8; 32]; 8]) -> [u8; 128] {
    std::array::from_fn(|i| q[i / 32 * 2][i % 32] & 15 | q[i / 32 * 2 + 1][i % 32] << 4)
}

/// The inverse of [`super::scale_min`].
#[inline(always)]
fn pack_scale_min(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales[i] | (scales[i + 4] >> 4) << 6;
        packed[i + 4] = mins[i] | (mins[i + 4] >> 4) << 6;
        packed[i + 8] = scales[i + 4] & 15 | mins[i + 4] << 4;
    }
    packed
}
