//! Attention on AMX tiles: lanes of (token, head) pairs as in `lanes`, both products in bf16 parts, softmax in f32.
//!
//! For a block of 32 keys: S^T (keys, lanes) = K Q^T, keys in the order they lie in; then O^T (elements, lanes) += V^T P^T, V turned
//! once for all tiles of the unit. Queries and keys enter in two bf16 parts (three products: an error in a score is an error in
//! an exponent), values in two, weights rounded to bf16 and summed as rounded.

use std::arch::asm;
use std::arch::x86_64::*;

use super::lanes::{BLOCK, LANES, Sight, Unit, most_tiles, sight, units};
use super::{AttentionParams, OUT, Q, View};
use crate::DType;
use crate::amx::{TILE, configure_tiles};
use crate::contract::{Args, Native};
use crate::kv;
use crate::x86::{exp, interleave_index, narrow, split};

pub(super) const NATIVE: Native =
    Native { phases: &[attend], scratch: |key, workers| workers * Shape::new(key.k, most_tiles(key.batch)).bytes() };

/// Sizes of one worker's memory.
#[derive(Clone, Copy)]
struct Shape {
    hd: usize,
    tiles: usize,
}

impl Shape {
    fn new(hd: usize, tiles: usize) -> Shape {
        Shape { hd, tiles }
    }

    /// Tiles along the elements of a head, as the reduced dimension.
    fn steps(self) -> usize {
        self.hd / 32
    }

    /// Bytes of one part of Q^T of a tile, and of 16 keys.
    fn part(self) -> usize {
        self.steps() * TILE
    }

    /// Bytes of O^T of a tile, and of one part of V^T.
    fn out(self) -> usize {
        self.hd / 16 * TILE
    }

    fn bytes(self) -> usize {
        let per_tile = 2 * self.part() + self.out() + 3 * 64;
        let per_block = 4 * self.part() + 2 * self.out() + 2 * TILE + TILE;
        let rows = 2 * BLOCK * self.hd * 4;
        self.tiles * per_tile + per_block + rows
    }
}

/// One worker's memory, as addresses.
#[derive(Clone, Copy)]
struct Work {
    s: Shape,
    /// Per tile: Q^T in two parts.
    q: *mut u8,
    /// Per tile: O^T.
    out: *mut u8,
    /// Per tile: position of each lane.
    positions: *mut [i32; LANES],
    /// Per tile: highest score and sum of weights of each lane.
    top: *mut f32,
    total: *mut f32,
    /// K of 32 keys: two tiles of 16 keys, in two parts.
    keys: *mut u8,
    /// V^T of 32 keys in two parts.
    values: *mut u8,
    /// S^T of 32 keys.
    scores: *mut f32,
    /// P^T.
    weights: *mut u8,
    /// Keys and values of the block in f32.
    rows: *mut f32,
}

impl Work {
    /// # Safety
    /// `base` has room for `s.bytes()`.
    unsafe fn at(base: *mut u8, s: Shape) -> Work {
        let mut next = base;
        let mut take = |bytes: usize| {
            let at = next;
            next = next.wrapping_add(bytes);
            at
        };
        Work {
            s,
            q: take(s.tiles * 2 * s.part()),
            out: take(s.tiles * s.out()),
            positions: take(s.tiles * 64).cast(),
            top: take(s.tiles * 64).cast(),
            total: take(s.tiles * 64).cast(),
            keys: take(4 * s.part()),
            values: take(2 * s.out()),
            scores: take(2 * TILE).cast(),
            weights: take(TILE),
            rows: take(2 * BLOCK * s.hd * 4).cast(),
        }
    }
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 BF16 and AMX BF16, and head_dim is a multiple of 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")]
unsafe fn attend(a: &Args<'_>) {
    let p = *a.params.get::<AttentionParams>();
    let s = Shape::new(p.head_dim as usize, most_tiles(p.heads as usize));
    // SAFETY: the caller's promise; each worker has its own scratch, each unit its own heads of its own rows.
    unsafe {
        let w = Work::at(a.scratch.ptr.add(a.worker * s.bytes()), s);
        let view = View::new(a, &p);
        configure_tiles();
        units(a, &p, |unit| one_unit(a, &view, &unit, w));
        asm!("tilerelease", options(nostack));
    }
}

/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")]
unsafe fn one_unit(a: &Args<'_>, view: &View<'_>, unit: &Unit, w: Work) {
    let p = view.p;
    let s = w.s;
    let dtype = DType::from_ggml(p.kv_dtype).unwrap_or(DType::F16);
    // SAFETY: the caller's promise.
    unsafe {
        for tile in 0..unit.tiles() {
            pack_queries(a, p, unit, tile, w);
            *w.positions.add(tile) = unit.positions(tile);
            std::ptr::write_bytes(w.out.add(tile * s.out()), 0, s.out());
            _mm512_storeu_ps(w.top.add(tile * LANES), _mm512_set1_ps(f32::NEG_INFINITY));
            _mm512_storeu_ps(w.total.add(tile * LANES), _mm512_setzero_ps());
        }
        let range = unit.keys(view);
        for start in range.clone().step_by(BLOCK) {
            let count = BLOCK.min(range.end - start);
            let (keys, values) = view.at(unit.seq, unit.kv_head, start);
            load_rows(dtype, keys, view.row_bytes, count, w.rows, s.hd);
            pack_keys(w);
            load_rows(dtype, values, view.row_bytes, count, w.rows.add(BLOCK * s.hd), s.hd);
            pack_values(w);
            for tile in 0..unit.tiles() {
                let positions = &*w.positions.add(tile);
                let sight = sight(positions, p.window, start, range.end);
                if sight == Sight::Nothing {
                    continue;
                }
                score(w, tile);
                if sight == Sight::Some {
                    mask(w.scores, positions, p.window, start);
                }
                weigh(w, tile);
                gather(w, tile);
            }
        }
        for tile in 0..unit.tiles() {
            write_out(a, p, unit, tile, w);
        }
    }
}

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
unsafe fn load_rows(dtype: DType, from: *const u8, stride: usize, count: usize, to: *mut f32, hd: usize) {
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

/// Q^T of one tile: rows are pairs of elements, columns lanes; the score's factor is in it.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_queries(a: &Args<'_>, p: &AttentionParams, unit: &Unit, tile: usize, w: Work) {
    // SAFETY: the caller's promise.
    unsafe {
        let q = a.input::<f32>(Q).as_ptr();
        let scale = _mm512_set1_ps(p.scale);
        let to = w.q.add(tile * 2 * w.s.part());
        for step in 0..w.s.steps() {
            let mut parts = [[_mm512_setzero_si512(); LANES]; 2];
            for (l, (t, h)) in (0..LANES).map_while(|l| Some((l, unit.lane(tile, l)?))) {
                let at = q.add((unit.first_row + t) * p.ldq as usize + h * w.s.hd + step * 32);
                let low = _mm512_mul_ps(_mm512_loadu_ps(at), scale);
                let high = _mm512_mul_ps(_mm512_loadu_ps(at.add(16)), scale);
                [parts[0][l], parts[1][l]] = split(low, high);
            }
            for (i, part) in parts.into_iter().enumerate() {
                for (row, v) in transpose(part).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add(i * w.s.part() + step * TILE + row * 64).cast(), v);
                }
            }
        }
    }
}

/// K of the block: per part, two tiles of sixteen keys for each step.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_keys(w: Work) {
    // SAFETY: the caller's promise.
    unsafe {
        for j in 0..BLOCK {
            for step in 0..w.s.steps() {
                let at = w.rows.add(j * w.s.hd + step * 32);
                let to = w.keys.add(j / 16 * w.s.part() + step * TILE + j % 16 * 64);
                let [first, second] = split(_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16)));
                _mm512_storeu_si512(to.cast(), first);
                _mm512_storeu_si512(to.add(2 * w.s.part()).cast(), second);
            }
        }
    }
}

/// V^T of the block: per part, a tile of 32 keys for each sixteen elements.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_values(w: Work) {
    let order = interleave_index();
    // SAFETY: the caller's promise.
    unsafe {
        let rows = w.rows.add(BLOCK * w.s.hd);
        for e in 0..w.s.hd / 16 {
            let mut parts = [[_mm512_setzero_si512(); LANES]; 2];
            for pair in 0..16 {
                let at = rows.add(2 * pair * w.s.hd + e * 16);
                let both = split(_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(w.s.hd)));
                for (part, v) in parts.iter_mut().zip(both) {
                    part[pair] = _mm512_permutexvar_epi16(order, v);
                }
            }
            for (i, part) in parts.into_iter().enumerate() {
                for (row, v) in transpose(part).into_iter().enumerate() {
                    _mm512_storeu_si512(w.values.add(i * w.s.out() + e * TILE + row * 64).cast(), v);
                }
            }
        }
    }
}

/// S^T of the block and one tile.
///
/// # Safety
/// As `attend`, with the block's keys packed.
#[inline]
unsafe fn score(w: Work, tile: usize) {
    // SAFETY: addresses lie in the worker's memory; tiles are configured.
    unsafe {
        let part = w.s.part();
        asm!(
            "tilezero tmm0", "tilezero tmm1",
            "2:",
            "tileloadd tmm6, [{q} + {row}*1]",
            "tileloadd tmm2, [{k0} + {row}*1]",
            "tileloadd tmm3, [{k1} + {row}*1]",
            "tdpbf16ps tmm0, tmm2, tmm6", "tdpbf16ps tmm1, tmm3, tmm6",
            "tileloadd tmm7, [{r} + {row}*1]",
            "tdpbf16ps tmm0, tmm2, tmm7", "tdpbf16ps tmm1, tmm3, tmm7",
            "tileloadd tmm4, [{l0} + {row}*1]",
            "tileloadd tmm5, [{l1} + {row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm5, tmm6",
            "add {q}, 1024", "add {r}, 1024", "add {k0}, 1024", "add {k1}, 1024", "add {l0}, 1024", "add {l1}, 1024",
            "dec {n}", "jnz 2b",
            "tilestored [{s} + {row}*1], tmm0", "tilestored [{s} + {row}*1 + 1024], tmm1",
            q = inout(reg) w.q.add(tile * 2 * part) => _, r = inout(reg) w.q.add(tile * 2 * part + part) => _,
            k0 = inout(reg) w.keys => _, k1 = inout(reg) w.keys.add(part) => _,
            l0 = inout(reg) w.keys.add(2 * part) => _, l1 = inout(reg) w.keys.add(3 * part) => _,
            n = inout(reg) w.s.steps() => _, s = in(reg) w.scores, row = in(reg) 64usize, options(nostack)
        );
    }
}

/// Takes away what a lane does not see.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f")]
unsafe fn mask(scores: *mut f32, positions: &[i32; LANES], window: u32, start: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let at = _mm512_loadu_si512(positions.as_ptr().cast());
        let oldest = if window == 0 { i32::MIN / 2 } else { 1 - window as i32 };
        let first = _mm512_add_epi32(at, _mm512_set1_epi32(oldest));
        for j in 0..BLOCK {
            let key = _mm512_set1_epi32((start + j) as i32);
            let hidden = _mm512_cmpgt_epi32_mask(key, at) | _mm512_cmplt_epi32_mask(key, first);
            _mm512_mask_storeu_ps(scores.add(j * LANES), hidden, _mm512_set1_ps(f32::NEG_INFINITY));
        }
    }
}

/// Turns scores into P^T against the highest score so far, and rescales O^T where that rose.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn weigh(w: Work, tile: usize) {
    let order = interleave_index();
    // SAFETY: the caller's promise.
    unsafe {
        let (top, total) = (w.top.add(tile * LANES), w.total.add(tile * LANES));
        let before = _mm512_loadu_ps(top);
        let mut high = [before; 4];
        for j in 0..BLOCK {
            high[j % 4] = _mm512_max_ps(high[j % 4], _mm512_loadu_ps(w.scores.add(j * LANES)));
        }
        let high = _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3]));
        _mm512_storeu_ps(top, high);
        // A lane that has seen nothing yet stays at -inf; any finite value serves as its reference.
        let reference = _mm512_max_ps(high, _mm512_set1_ps(f32::MIN));
        let mut sum = _mm512_loadu_ps(total);
        if _mm512_cmp_ps_mask::<_CMP_NEQ_OQ>(before, high) != 0 {
            let keep = exp(_mm512_sub_ps(before, reference));
            sum = _mm512_mul_ps(sum, keep);
            let out = w.out.add(tile * w.s.out()).cast::<f32>();
            for d in 0..w.s.hd {
                let at = out.add(d * LANES);
                _mm512_storeu_ps(at, _mm512_mul_ps(_mm512_loadu_ps(at), keep));
            }
        }
        let upper = _mm512_set1_epi32(0xFFFF_0000u32 as i32);
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for pair in 0..BLOCK / 2 {
            let at = w.scores.add(2 * pair * LANES);
            let p0 = exp(_mm512_sub_ps(_mm512_loadu_ps(at), reference));
            let p1 = exp(_mm512_sub_ps(_mm512_loadu_ps(at.add(LANES)), reference));
            let row = _mm512_permutexvar_epi16(order, narrow(p0, p1));
            _mm512_storeu_si512(w.weights.add(pair * 64).cast(), row);
            even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(row)));
            odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(row, upper)));
        }
        _mm512_storeu_ps(total, _mm512_add_ps(sum, _mm512_add_ps(even, odd)));
    }
}

/// O^T += V^T P^T of the block for one tile, 32 elements at a time.
///
/// # Safety
/// As `attend`, with the block's values packed and the tile's weights written.
#[inline]
unsafe fn gather(w: Work, tile: usize) {
    // SAFETY: addresses lie in the worker's memory; tiles are configured; head_dim is a multiple of 32.
    unsafe {
        asm!(
            "tileloadd tmm6, [{p} + {row}*1]",
            "2:",
            "tileloadd tmm0, [{o} + {row}*1]", "tileloadd tmm1, [{o} + {row}*1 + 1024]",
            "tileloadd tmm2, [{v} + {row}*1]", "tileloadd tmm3, [{v} + {row}*1 + 1024]",
            "tdpbf16ps tmm0, tmm2, tmm6", "tdpbf16ps tmm1, tmm3, tmm6",
            "tileloadd tmm4, [{l} + {row}*1]", "tileloadd tmm5, [{l} + {row}*1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm5, tmm6",
            "tilestored [{o} + {row}*1], tmm0", "tilestored [{o} + {row}*1 + 1024], tmm1",
            "add {o}, 2048", "add {v}, 2048", "add {l}, 2048",
            "dec {n}", "jnz 2b",
            p = in(reg) w.weights, o = inout(reg) w.out.add(tile * w.s.out()) => _,
            v = inout(reg) w.values => _, l = inout(reg) w.values.add(w.s.out()) => _,
            n = inout(reg) w.s.hd / 32 => _, row = in(reg) 64usize, options(nostack)
        );
    }
}

/// Writes the outputs of one tile, turned back, over the sums of their weights.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f")]
unsafe fn write_out(a: &Args<'_>, p: &AttentionParams, unit: &Unit, tile: usize, w: Work) {
    // SAFETY: the caller's promise.
    unsafe {
        let inverse = _mm512_div_ps(_mm512_set1_ps(1.0), _mm512_loadu_ps(w.total.add(tile * LANES)));
        let out = w.out.add(tile * w.s.out()).cast::<f32>();
        for e in 0..w.s.hd / 16 {
            let rows: [__m512i; 16] = std::array::from_fn(|d| {
                _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(out.add((e * 16 + d) * LANES)), inverse))
            });
            for (l, v) in transpose(rows).into_iter().enumerate() {
                let Some((t, h)) = unit.lane(tile, l) else { break };
                let at = (unit.first_row + t) * p.ldo as usize + h * w.s.hd + e * 16;
                _mm512_storeu_ps(a.output::<f32>(OUT).add(at), _mm512_castsi512_ps(v));
            }
        }
    }
}
