//! What attention on tiles brings into them, and out: queries, keys and values as bf16 parts, outputs as rows.

use std::arch::x86_64::*;

use super::amx::Work;
use super::lanes::{BLOCK, LANES, Unit};
use super::{AttentionParams, OUT, Q};
use crate::amx::TILE;
use crate::contract::Args;
use crate::matmul::tiled_at;
use crate::x86::{interleave_index, narrow, split};
use crate::{DType, kv};

/// Sixteen rows of sixteen 32-bit elements, turned.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut t = r;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut u = t;
    for i in 0..4 {
        let b = 4 * i;
        u[b] = _mm512_unpacklo_epi64(t[b], t[b + 2]);
        u[b + 1] = _mm512_unpackhi_epi64(t[b], t[b + 2]);
        u[b + 2] = _mm512_unpacklo_epi64(t[b + 1], t[b + 3]);
        u[b + 3] = _mm512_unpackhi_epi64(t[b + 1], t[b + 3]);
    }
    // u[4 i + c] holds, in its four quarters q, column 4 q + c of rows 4 i..4 i + 4.
    let mut out = r;
    for c in 0..4 {
        let low = [_mm512_shuffle_i32x4::<0x88>(u[c], u[4 + c]), _mm512_shuffle_i32x4::<0xDD>(u[c], u[4 + c])];
        let high =
            [_mm512_shuffle_i32x4::<0x88>(u[8 + c], u[12 + c]), _mm512_shuffle_i32x4::<0xDD>(u[8 + c], u[12 + c])];
        out[c] = _mm512_shuffle_i32x4::<0x88>(low[0], high[0]);
        out[8 + c] = _mm512_shuffle_i32x4::<0xDD>(low[0], high[0]);
        out[4 + c] = _mm512_shuffle_i32x4::<0x88>(low[1], high[1]);
        out[12 + c] = _mm512_shuffle_i32x4::<0xDD>(low[1], high[1]);
    }
    out
}

/// Decodes `count` rows of `hd` elements; the rest of the block is zero.
///
/// # Safety
/// As `attend`; the rows lie in one page.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
pub(super) unsafe fn load_rows(dtype: DType, from: *const u8, stride: usize, count: usize, to: *mut f32, hd: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for j in 0..count {
            let (from, to) = (from.add(j * stride), to.add(j * hd));
            if dtype == DType::F16 {
                for d in (0..hd).step_by(16) {
                    let half = _mm256_loadu_si256(from.add(d * 2).cast());
                    _mm512_storeu_ps(to.add(d), _mm512_cvtph_ps(half));
                }
            } else {
                kv::load(dtype, from, std::slice::from_raw_parts_mut(to, hd));
            }
        }
        std::ptr::write_bytes(to.add(count * hd), 0, (BLOCK - count) * hd);
    }
}

/// Q^T of one tile: rows are pairs of elements, columns lanes; the score's factor is in it, and log2 e for `exp2_short`.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_queries(a: &Args<'_>, p: &AttentionParams, unit: &Unit, tile: usize, w: Work) {
    // SAFETY: the caller's promise.
    unsafe {
        let q = a.input::<f32>(Q).as_ptr();
        let scale = _mm512_set1_ps(p.scale * std::f32::consts::LOG2_E);
        for step in 0..w.s.steps() {
            let mut parts = [[_mm512_setzero_si512(); LANES]; 2];
            for (l, (t, h)) in unit.lanes(tile).enumerate() {
                let at = q.add((unit.first_row + t) * p.ldq as usize + h * w.s.hd + step * 32);
                let low = _mm512_mul_ps(_mm512_loadu_ps(at), scale);
                let high = _mm512_mul_ps(_mm512_loadu_ps(at.add(16)), scale);
                [parts[0][l], parts[1][l]] = split(low, high);
            }
            for (i, part) in parts.into_iter().enumerate() {
                let to = w.q.add(tile * w.s.queries() + (step * 2 + i) * TILE);
                for (row, v) in transpose(part).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add(row * 64).cast(), v);
                }
            }
        }
    }
}

/// K of a block.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_keys(w: Work, keys: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        for j in 0..BLOCK {
            for step in 0..w.s.steps() {
                let at = w.rows.add(j * w.s.hd + step * 32);
                let to = keys.add((step * 4 + j / 16) * TILE + j % 16 * 64);
                let [first, second] = split(_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16)));
                _mm512_storeu_si512(to.cast(), first);
                _mm512_storeu_si512(to.add(2 * TILE).cast(), second);
            }
        }
    }
}

/// V^T of a block.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_values(w: Work, values: *mut u8) {
    let order = interleave_index();
    // SAFETY: the caller's promise.
    unsafe {
        for e in 0..w.s.hd / 16 {
            let mut parts = [[_mm512_setzero_si512(); LANES]; 2];
            for pair in 0..16 {
                let at = w.rows.add(2 * pair * w.s.hd + e * 16);
                let both = split(_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(w.s.hd)));
                for (part, v) in parts.iter_mut().zip(both) {
                    part[pair] = _mm512_permutexvar_epi16(order, v);
                }
            }
            for (i, part) in parts.into_iter().enumerate() {
                let to = values.add((e / 2 * 4 + i * 2 + e % 2) * TILE);
                for (row, v) in transpose(part).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add(row * 64).cast(), v);
                }
            }
        }
    }
}

/// Writes the outputs of one tile, turned back, over the sums of their weights.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn write_out(a: &Args<'_>, p: &AttentionParams, unit: &Unit, tile: usize, w: Work) {
    // SAFETY: the caller's promise.
    unsafe {
        let inverse = _mm512_div_ps(_mm512_set1_ps(1.0), _mm512_loadu_ps(w.total.add(tile * LANES)));
        let out = w.out.add(tile * w.s.out()).cast::<f32>();
        let cols = p.heads as usize * w.s.hd;
        for e in 0..w.s.hd / 16 {
            let rows: [__m512i; 16] = std::array::from_fn(|d| {
                _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(out.add((e * 16 + d) * LANES)), inverse))
            });
            for ((t, h), v) in unit.lanes(tile).zip(transpose(rows)) {
                let (row, col, v) = (unit.first_row + t, h * w.s.hd + e * 16, _mm512_castsi512_ps(v));
                if p.ldo == 0 {
                    let half = _mm512_castsi512_si256(narrow(v, v));
                    _mm256_storeu_si256(a.output::<u16>(OUT).add(tiled_at(cols, row, col)).cast(), half);
                } else {
                    _mm512_storeu_ps(a.output::<f32>(OUT).add(row * p.ldo as usize + col), v);
                }
            }
        }
    }
}
