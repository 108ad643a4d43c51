//! Many rows of x against panels on AMX tiles in bf16, sums in f32.
//!
//! Phase 1 splits x into bf16 tiles: one part, rounded, or two that hold 16 bits of it. Phase 2: a worker owns panels. For each
//! slice of k it converts two panels into tiles that stay in the first-level cache and multiplies them with all of x's tiles,
//! 32 x 32 outputs at a time in four tile registers; between slices the sums wait in the second-level cache. The lines of y
//! that a block will write are asked for before it is computed, so that memory works while the tiles do.
//! An f16 weight is two bf16 parts, exactly.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::store;
use super::unpack::{self, Tiles};
use super::{GATE, MatmulParams, W, X, Y, pack};
use crate::DType;
use crate::amx::{TILE, configure_tiles};
use crate::contract::{Args, Key, Native};
use crate::x86::{gate, narrow, split};

/// x rounded to bf16.
pub(super) const NATIVE: Native = Native { phases: &[split_x::<1>, multiply::<1>], scratch: scratch::<1> };

/// x in two bf16 parts: float weights to 2^-16.
pub(super) const NATIVE_X2: Native = Native { phases: &[split_x::<2>, multiply::<2>], scratch: scratch::<2> };

/// Tiles along k in a slice at most, by parts of a weight: what two panels of it take stays mostly in the first-level cache.
const SLICE: [usize; 2] = [22, 11];
/// Bytes of sums that stay in the second-level cache, beside one slice of x.
const SUM_BYTES: usize = 768 << 10;
/// Rows of a pair of tiles.
const PAIR: usize = 32;

/// How one problem is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// Tiles along k.
    steps: usize,
    /// Tiles along k in one slice.
    slice: usize,
    /// Pairs of x tiles.
    pairs: usize,
    /// bf16 parts of x.
    x_parts: usize,
    /// bf16 parts of w.
    w_parts: usize,
    /// Pairs of panels whose sums wait at a time.
    group: usize,
}

impl Cut {
    fn new<const XP: usize>(dtype: DType, rows: usize, k: usize) -> Cut {
        let steps = k.div_ceil(32);
        let w_parts = unpack::parts(dtype);
        let slice = steps.div_ceil(steps.div_ceil(SLICE[w_parts - 1]));
        let pairs = rows.div_ceil(PAIR);
        let group = (SUM_BYTES / (pairs * 4 * TILE)).clamp(1, 64);
        Cut { steps, slice, pairs, x_parts: XP, w_parts, group }
    }

    fn x_part_bytes(&self) -> usize {
        self.pairs * 2 * self.steps * TILE
    }

    fn weight_bytes(&self) -> usize {
        self.slice * 2 * self.w_parts * TILE
    }

    fn worker_bytes(&self) -> usize {
        self.weight_bytes() + 4 * TILE + self.group * self.pairs * 4 * TILE
    }
}

fn scratch<const XP: usize>(key: &Key, workers: usize) -> usize {
    let c = Cut::new::<XP>(key.w, key.m, key.k);
    // A step of fewer rows makes larger groups, whose sums take SUM_BYTES at most all the same.
    let sums = (c.group * c.pairs * 4 * TILE).max(SUM_BYTES);
    c.x_parts * c.x_part_bytes() + workers * (c.weight_bytes() + 4 * TILE + sums)
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn split_x<const XP: usize>(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let k = p.k as usize;
    let c = Cut::new::<XP>(p.dtype(), a.rows, k);
    // SAFETY: the contract's buffers; a unit is one tile row of scratch in each part.
    unsafe {
        let x = a.output::<f32>(X).cast_const();
        for r in a.share(c.pairs * PAIR, 1) {
            let row = x.add(r * p.ldx as usize);
            for s in 0..c.steps {
                let left = if r < a.rows { (k - s * 32).min(32) } else { 0 };
                let mask = if left == 32 { !0u32 } else { (1u32 << left) - 1 };
                let at = row.wrapping_add(s * 32);
                let low = _mm512_maskz_loadu_ps(mask as u16, at);
                let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, at.wrapping_add(16));
                let out = a.scratch.ptr.add(((r / 16) * c.steps + s) * TILE + r % 16 * 64);
                if XP == 1 {
                    _mm512_storeu_si512(out.cast(), narrow(low, high));
                } else {
                    let [first, second] = split(low, high);
                    _mm512_storeu_si512(out.cast(), first);
                    _mm512_storeu_si512(out.add(c.x_part_bytes()).cast(), second);
                }
            }
        }
    }
}

/// # Safety
/// As `contract::Phase`, after `split_x`; the CPU has AMX BF16 and the process may use tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
unsafe fn multiply<const XP: usize>(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let (n, k, dtype) = (p.n as usize, p.k as usize, p.dtype());
    let c = Cut::new::<XP>(dtype, a.rows, k);
    let bytes = pack::panel_bytes(dtype, k);
    let panels = n.div_ceil(pack::ROWS);
    // Two panels side by side, or the same panel of both matrices.
    let mine = a.share(if p.gated == 1 { panels } else { panels.div_ceil(2) }, 1);
    // SAFETY: the contract's buffers; a worker has its own part of scratch behind x's tiles, and its own columns of y.
    unsafe {
        let (w, v) = (a.input::<u8>(W).as_ptr(), a.input::<u8>(GATE).as_ptr());
        let weights = a.scratch.ptr.add(c.x_parts * c.x_part_bytes() + a.worker * c.worker_bytes());
        let ready = weights.add(c.weight_bytes());
        let waiting = ready.add(4 * TILE);
        configure_tiles();
        for group in mine.clone().step_by(c.group) {
            let end = (group + c.group).min(mine.end);
            for from in (0..c.steps).step_by(c.slice) {
                let to = (from + c.slice).min(c.steps);
                for pair in group..end {
                    for i in 0..2 {
                        let (from_w, panel) = match (p.gated, i) {
                            (1, 0) => (w, pair),
                            (1, _) => (v, pair),
                            _ => (w, (pair * 2 + i).min(panels - 1)),
                        };
                        let first = weights.add(i * c.slice * TILE);
                        let tiles = Tiles { first, second: first.wrapping_add(c.slice * 2 * TILE) };
                        unpack::to_bf16(dtype, from_w.add(panel * bytes), from * 32, (to * 32).min(k), tiles);
                    }
                    let block = Block { c, from, to, x: a.scratch.ptr, weights };
                    let sums = waiting.add((pair - group) * c.pairs * 4 * TILE);
                    for m in 0..c.pairs {
                        let sums = sums.add(m * 4 * TILE);
                        if to < c.steps {
                            block.multiply(m, [sums, sums], Lines { at: weights, stride: 0 });
                        } else {
                            let rows = m * PAIR..(m * PAIR + PAIR).min(a.rows);
                            let width = if p.gated == 1 { 1 } else { 2 };
                            let at = rows.start * p.ldy as usize + pair * width * pack::ROWS;
                            let lines =
                                Lines { at: a.output::<f32>(Y).wrapping_add(at).cast(), stride: p.ldy as usize * 4 };
                            block.multiply(m, [sums, ready], lines);
                            epilogue(a, p, rows, pair, ready.cast());
                        }
                    }
                }
            }
        }
        asm!("tilerelease", options(nostack));
    }
}

/// Writes the sums of up to 32 rows and one pair of panels to y.
///
/// # Safety
/// As `multiply`; `sums` holds four tiles.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn epilogue(a: &Args<'_>, p: &MatmulParams, rows: Range<usize>, pair: usize, sums: *const f32) {
    if p.gated == 1 {
        for r in rows {
            let at = r % PAIR / 16 * 512 + r % 16 * 16;
            // SAFETY: row and column are inside y.
            unsafe {
                let (x, y) = (_mm512_loadu_ps(sums.add(at)), _mm512_loadu_ps(sums.add(at + 256)));
                store(a, p, r, pair * pack::ROWS, gate(x, y));
            }
        }
        return;
    }
    for r in rows {
        for i in 0..2 {
            let j = (pair * 2 + i) * pack::ROWS;
            if j < p.n as usize {
                let tile = r % PAIR / 16 * 2 + i;
                // SAFETY: row and column are inside y.
                unsafe { store(a, p, r, j, _mm512_loadu_ps(sums.add(tile * 256 + r % 16 * 16))) };
            }
        }
    }
}

/// Lines of y that a block will write: two rows of 128 bytes are asked for at each step of its loop.
#[derive(Clone, Copy)]
struct Lines {
    at: *const u8,
    stride: usize,
}

/// One slice of two panels, converted.
struct Block {
    c: Cut,
    from: usize,
    to: usize,
    x: *const u8,
    weights: *const u8,
}

impl Block {
    /// Adds 32 rows of x times the slice to the four tiles at `sums[0]`, into those at `sums[1]`; the first slice starts them.
    ///
    /// # Safety
    /// As `multiply`, with tiles configured; m is a pair of x tiles.
    #[inline]
    unsafe fn multiply(&self, m: usize, [before, after]: [*mut u8; 2], lines: Lines) {
        let c = &self.c;
        // SAFETY: addresses lie in x's tiles, the converted slice, and the sums.
        unsafe {
            if self.from == 0 {
                asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
            } else {
                asm!(
                    "tileloadd tmm0, [{s} + {row}*1]", "tileloadd tmm1, [{s} + {row}*1 + 1024]",
                    "tileloadd tmm2, [{s} + {row}*1 + 2048]", "tileloadd tmm3, [{s} + {row}*1 + 3072]",
                    s = in(reg) before, row = in(reg) 64usize, options(nostack, readonly)
                );
            }
            let x0 = self.x.add((m * 2 * c.steps + self.from) * TILE);
            let x1 = x0.add(c.steps * TILE);
            let (w0, w1) = (self.weights, self.weights.add(c.slice * TILE));
            let steps = self.to - self.from;
            let second_x = c.x_part_bytes();
            let second_w = c.slice * 2 * TILE;
            let (v0, v1) = (w0.wrapping_add(second_w), w1.wrapping_add(second_w));
            match c.w_parts {
                1 => one_part([x0, x1], [w0, w1], steps, lines),
                _ => two_parts([x0, x1], [w0, w1, v0, v1], steps, lines),
            }
            if c.x_parts == 2 {
                one_part([x0.add(second_x), x1.add(second_x)], [w0, w1], steps, lines);
            }
            asm!(
                "tilestored [{s} + {row}*1], tmm0", "tilestored [{s} + {row}*1 + 1024], tmm1",
                "tilestored [{s} + {row}*1 + 2048], tmm2", "tilestored [{s} + {row}*1 + 3072], tmm3",
                s = in(reg) after, row = in(reg) 64usize, options(nostack)
            );
        }
    }
}

/// x times w, one part each. x comes from the second-level cache and is used once a slice: its loads say so (`t1`), so that the
/// weights stay in the first.
///
/// # Safety
/// `steps` tiles at each address; tiles configured.
#[inline]
unsafe fn one_part(x: [*const u8; 2], w: [*const u8; 2], steps: usize, y: Lines) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "2:",
            "tileloadd tmm6, [{w0} + {row}*1]",
            "tileloadd tmm7, [{w1} + {row}*1]",
            "tileloaddt1 tmm4, [{x0} + {row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {ldy}",
            "tileloaddt1 tmm5, [{x1} + {row}*1]",
            "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {ldy}",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {x0}, 1024", "add {x1}, 1024", "add {w0}, 1024", "add {w1}, 1024",
            "dec {n}", "jnz 2b",
            x0 = inout(reg) x[0] => _, x1 = inout(reg) x[1] => _, w0 = inout(reg) w[0] => _, w1 = inout(reg) w[1] => _,
            n = inout(reg) steps => _, row = in(reg) 64usize, y = inout(reg) y.at => _, ldy = in(reg) y.stride,
            options(nostack, readonly)
        );
    }
}

/// x times both parts of w.
///
/// # Safety
/// As `one_part`.
#[inline]
unsafe fn two_parts(x: [*const u8; 2], w: [*const u8; 4], steps: usize, y: Lines) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "2:",
            "tileloadd tmm6, [{v0} + {row}*1]",
            "tileloadd tmm7, [{v1} + {row}*1]",
            "tileloaddt1 tmm4, [{x0} + {row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {ldy}",
            "tileloaddt1 tmm5, [{x1} + {row}*1]",
            "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {ldy}",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "tileloadd tmm6, [{w0} + {row}*1]",
            "tileloadd tmm7, [{w1} + {row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {x0}, 1024", "add {x1}, 1024", "add {w0}, 1024", "add {w1}, 1024", "add {v0}, 1024", "add {v1}, 1024",
            "dec {n}", "jnz 2b",
            x0 = inout(reg) x[0] => _, x1 = inout(reg) x[1] => _, w0 = inout(reg) w[0] => _, w1 = inout(reg) w[1] => _,
            v0 = inout(reg) w[2] => _, v1 = inout(reg) w[3] => _,
            n = inout(reg) steps => _, row = in(reg) 64usize, y = inout(reg) y.at => _, ldy = in(reg) y.stride,
            options(nostack, readonly)
        );
    }
}
