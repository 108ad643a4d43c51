//! Arrangements of a weight matrix. `Layout::Panel16`: sixteen rows of a weight matrix side by side, so that one vector register holds one step of all.
//!
//! A panel takes as many bytes as its sixteen rows take in the file; a last panel that is not full is filled with zeros.
//! - f32: `[k][16]`.
//! - f16, bf16: `[k / 2][16][2]`, the pairs that AMX and bf16 dot products want.
//! - q8_0: per block of 32: 16 scales (f16), then `[16 pairs][16 rows][2]` i8.
//! - q4_0: per block of 32: 16 scales (f16), then `[4][16 rows][2]` 16-bit words; nibble j of word (g, row, e) is element
//!   2 (4 g + j) + e of that row: a shift and a mask give the pairs in order.
//!
//! `Layout::Planes` (q8_0): the quants of all rows, `(n, k)` i8 row-major, then the scales of all rows, `(n, k / 32)` f16: both
//! can be loaded sixteen bytes at a time, and both take together what the rows take in the file.

use half::f16;

use crate::contract::Layout;
use crate::{DType, quant};

/// Rows of a panel.
pub const ROWS: usize = 16;

/// Whether rows of `k` elements of this type have a panel form.
pub fn can_pack(dtype: DType, k: usize) -> bool {
    match dtype {
        DType::F32 => true,
        DType::F16 | DType::BF16 => k.is_multiple_of(2),
        DType::Q8_0 | DType::Q4_0 => k.is_multiple_of(32),
        _ => false,
    }
}

/// Bytes of one panel of rows of `k` elements; 0 where there is no panel form.
pub fn panel_bytes(dtype: DType, k: usize) -> usize {
    if can_pack(dtype, k) { dtype.bytes(k).unwrap_or(0) * ROWS } else { 0 }
}

/// Bytes of an `(n, k)` matrix in `layout`, or `None` where it has no such form or the size overflows.
pub fn bytes(dtype: DType, layout: Layout, n: usize, k: usize) -> Option<usize> {
    match layout {
        Layout::Row => dtype.bytes(k)?.checked_mul(n),
        Layout::Panel16 if can_pack(dtype, k) => dtype.bytes(k)?.checked_mul(n.div_ceil(ROWS).checked_mul(ROWS)?),
        Layout::Planes if dtype == DType::Q8_0 => dtype.bytes(k)?.checked_mul(n),
        Layout::Panel16 | Layout::Planes => None,
    }
}

/// Brings `n` rows of `k` elements into `layout`. `out` has `bytes(dtype, layout, n, k)` bytes and is written wholly; nothing is
/// written where there is no such form, or where a size does not match.
pub fn pack(dtype: DType, layout: Layout, rows: &[u8], n: usize, k: usize, out: &mut [u8]) {
    let sized = bytes(dtype, Layout::Row, n, k) == Some(rows.len()) && bytes(dtype, layout, n, k) == Some(out.len());
    if sized && n > 0 && k > 0 {
        // SAFETY: all rows, and the size of `out` is right.
        unsafe { pack_rows(dtype, layout, rows, (n, k), 0..n, out.as_mut_ptr()) };
    }
}

/// Brings some rows of an `(n, k)` matrix into `layout`; `all` holds every row as in the file. `rows` begins at a multiple of
/// [`ROWS`], and ends at one or at `n`.
///
/// # Safety
/// `to` has room for the whole packed matrix, and nobody else touches the places of these rows.
pub unsafe fn pack_rows(
    dtype: DType,
    layout: Layout,
    all: &[u8],
    (n, k): (usize, usize),
    rows: std::ops::Range<usize>,
    to: *mut u8,
) {
    let stride = all.len() / n;
    let from = &all[rows.start * stride..rows.end * stride];
    // SAFETY: the caller's promise; a layout places these rows at `at`.
    let place = |at: usize, len: usize| unsafe { std::slice::from_raw_parts_mut(to.add(at), len) };
    match layout {
        Layout::Row => place(rows.start * stride, from.len()).copy_from_slice(from),
        Layout::Panel16 => {
            let panel = ROWS * stride;
            for (p, from) in (rows.start / ROWS..).zip(from.chunks(panel)) {
                pack_panel(dtype, from, k, place(p * panel, panel));
            }
        }
        Layout::Planes => {
            for (r, from) in rows.zip(from.chunks_exact(stride)) {
                split_row(from, place(r * k, k), place(n * k + r * (k / 16), k / 16));
            }
        }
    }
}

/// Splits one row of q8_0 blocks into its quants and its scales.
fn split_row(row: &[u8], quants: &mut [u8], scales: &mut [u8]) {
    let planes = quants.chunks_exact_mut(32).zip(scales.chunks_exact_mut(2));
    for (block, (quants, scale)) in row.chunks_exact(34).zip(planes) {
        scale.copy_from_slice(&block[..2]);
        quants.copy_from_slice(&block[2..]);
    }
}

/// Packs up to sixteen rows of `k` elements into one panel. `rows` holds whole rows as in the file; `panel` is
/// `panel_bytes` long and is written wholly.
pub fn pack_panel(dtype: DType, rows: &[u8], k: usize, panel: &mut [u8]) {
    let stride = dtype.bytes(k).unwrap_or(0);
    if stride == 0 || !can_pack(dtype, k) {
        return;
    }
    let count = (rows.len() / stride).min(ROWS);
    if count < ROWS {
        panel.fill(0);
    }
    for (r, row) in rows.chunks_exact(stride).take(ROWS).enumerate() {
        match dtype {
            DType::F32 => scatter::<4>(row, panel, r),
            DType::F16 | DType::BF16 => scatter::<4>(row, panel, r),
            DType::Q8_0 => {
                for (block, group) in row.chunks_exact(34).zip(panel.chunks_exact_mut(34 * ROWS)) {
                    group[2 * r..2 * r + 2].copy_from_slice(&block[..2]);
                    scatter::<2>(&block[2..], &mut group[2 * ROWS..], r);
                }
            }
            DType::Q4_0 => {
                for (block, group) in row.chunks_exact(18).zip(panel.chunks_exact_mut(18 * ROWS)) {
                    group[2 * r..2 * r + 2].copy_from_slice(&block[..2]);
                    pack_nibbles(&block[2..], &mut group[2 * ROWS..], r);
                }
            }
            _ => {}
        }
    }
}

/// Puts each `W`-byte piece of a row at its place among the sixteen rows.
#[inline(always)]
fn scatter<const W: usize>(row: &[u8], panel: &mut [u8], r: usize) {
    for (piece, group) in row.as_chunks::<W>().0.iter().zip(panel.chunks_exact_mut(W * ROWS)) {
        group[W * r..W * r + W].copy_from_slice(piece);
    }
}

/// The sixteen bytes of a q4_0 block hold elements 0..16 in their low nibbles and 16..32 in their high ones.
#[inline(always)]
fn pack_nibbles(block: &[u8], words: &mut [u8], r: usize) {
    let nibble = |i: usize| u16::from(if i < 16 { block[i] & 15 } else { block[i - 16] >> 4 });
    for g in 0..4 {
        for e in 0..2 {
            let word = (0..4).fold(0u16, |w, j| w | nibble(2 * (4 * g + j) + e) << (4 * j));
            let at = ((g * ROWS + r) * 2 + e) * 2;
            words[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Decodes row `row` of a matrix of `k` columns, whatever its type and layout, into `out` (length `k`).
pub fn decode_row(dtype: DType, layout: Layout, w: &[u8], k: usize, row: usize, out: &mut [f32]) {
    let stride = dtype.bytes(k).unwrap_or(0);
    if layout == Layout::Row {
        quant::row_decoder(dtype)(&w[row * stride..(row + 1) * stride], out);
        return;
    }
    if layout == Layout::Planes {
        let n = w.len() / stride;
        let (quants, scales) = (&w[row * k..][..k], &w[n * k + row * (k / 16)..][..k / 16]);
        for ((out, quants), scale) in out.chunks_mut(32).zip(quants.chunks(32)).zip(scales.as_chunks::<2>().0) {
            let scale = f16::from_le_bytes(*scale).to_f32();
            out.iter_mut().zip(quants).for_each(|(v, &q)| *v = scale * f32::from(q as i8));
        }
        return;
    }
    let panel = &w[row / ROWS * stride * ROWS..][..stride * ROWS];
    let r = row % ROWS;
    let half_at = |at: usize| f16::from_le_bytes([panel[at], panel[at + 1]]);
    match dtype {
        DType::F32 => {
            for (i, v) in out.iter_mut().enumerate() {
                let at = (i * ROWS + r) * 4;
                *v = f32::from_le_bytes([panel[at], panel[at + 1], panel[at + 2], panel[at + 3]]);
            }
        }
        DType::F16 | DType::BF16 => {
            for (i, v) in out.iter_mut().enumerate() {
                let bits = half_at((i / 2 * ROWS + r) * 4 + i % 2 * 2);
                *v = if dtype == DType::F16 { bits.to_f32() } else { f32::from_bits(u32::from(bits.to_bits()) << 16) };
            }
        }
        DType::Q8_0 => {
            for (b, block) in out.chunks_exact_mut(32).enumerate() {
                let base = b * 34 * ROWS;
                let scale = half_at(base + 2 * r).to_f32();
                for (i, v) in block.iter_mut().enumerate() {
                    *v = scale * f32::from(panel[base + 2 * ROWS + (i / 2 * ROWS + r) * 2 + i % 2] as i8);
                }
            }
        }
        DType::Q4_0 => {
            for (b, block) in out.chunks_exact_mut(32).enumerate() {
                let base = b * 18 * ROWS;
                let scale = half_at(base + 2 * r).to_f32();
                for (i, v) in block.iter_mut().enumerate() {
                    let (pair, e) = (i / 2, i % 2);
                    let at = base + 2 * ROWS + ((pair / 4 * ROWS + r) * 2 + e) * 2;
                    let word = u16::from_le_bytes([panel[at], panel[at + 1]]);
                    *v = scale * (f32::from(word >> (4 * (pair % 4)) & 15) - 8.0);
                }
            }
        }
        _ => out.fill(f32::NAN),
    }
}
