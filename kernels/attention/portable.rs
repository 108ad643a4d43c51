//! Any CPU, any head size: lanes of (token, head) pairs in f32. Each block of keys and values is decoded once for all tiles of a
//! unit; scores, weights and outputs stay `[..][16 lanes]`, so that every step is a vector step.

use half::bf16;
use pulp::{Arch, Simd, WithSimd};

use super::lanes::{BLOCK, LANES, Sight, Unit, most_tiles, sight, units};
use super::{AttentionParams, OUT, Q, View};
use crate::contract::{Args, Key, Native};
use crate::matmul::tiled_at;
use crate::{DType, kv, math};

pub(super) const NATIVE: Native =
    Native { phases: &[portable], scratch: |key, workers| workers * worker_floats(key) * size_of::<f32>() };

/// Tiles that a unit aims at.
const TILES: usize = 32;

type Lanes = [f32; LANES];

fn worker_floats(key: &Key) -> usize {
    // Per tile: q and out (hd lanes each), top, total and positions. Per block: keys, values, scores.
    most_tiles(TILES, key.batch) * (2 * key.k + 3) * LANES + 2 * BLOCK * key.k.next_multiple_of(LANES) + BLOCK * LANES
}

/// One worker's memory.
struct Work<'a> {
    q: &'a mut [Lanes],
    out: &'a mut [Lanes],
    positions: &'a mut [[i32; LANES]],
    top: &'a mut [Lanes],
    total: &'a mut [Lanes],
    keys: &'a mut [f32],
    values: &'a mut [f32],
    scores: &'a mut [Lanes],
}

/// # Safety
/// As `contract::Phase`.
unsafe fn portable(a: &Args<'_>) {
    struct Job<'a>(&'a Args<'a>);
    impl WithSimd for Job<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the caller's promise.
            unsafe { run(simd, self.0) }
        }
    }
    Arch::new().dispatch(Job(a));
}

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn run<S: Simd>(simd: S, a: &Args<'_>) {
    let p = *a.params.get::<AttentionParams>();
    let hd = p.head_dim as usize;
    let tiles = most_tiles(TILES, p.heads as usize);
    let key_floats = hd.next_multiple_of(LANES) * BLOCK;
    let floats = tiles * (2 * hd + 3) * LANES + 2 * key_floats + BLOCK * LANES;
    // SAFETY: the scratch asked for above, a part per worker; Lanes are plain floats.
    unsafe {
        let mut at = a.scratch.ptr.cast::<f32>().add(a.worker * floats);
        let mut lanes = |count: usize| {
            let s = std::slice::from_raw_parts_mut(at.cast::<Lanes>(), count);
            at = at.add(count * LANES);
            s
        };
        let (q, out, top, total) = (lanes(tiles * hd), lanes(tiles * hd), lanes(tiles), lanes(tiles));
        let positions = bytemuck::cast_slice_mut(lanes(tiles));
        let (keys, values) = (lanes(key_floats / LANES), lanes(key_floats / LANES));
        let (keys, values) = (keys.as_flattened_mut(), values.as_flattened_mut());
        let mut work = Work { q, out, positions, top, total, keys, values, scores: lanes(BLOCK) };
        let view = View::new(a, &p);
        units(
            a,
            &p,
            TILES,
            #[inline(always)]
            |unit| one_unit(simd, a, &view, &unit, &mut work),
        );
    }
}

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn one_unit<S: Simd>(simd: S, a: &Args<'_>, view: &View<'_>, unit: &Unit, w: &mut Work<'_>) {
    let p = view.p;
    let hd = p.head_dim as usize;
    let dtype = DType::from_ggml(p.kv_dtype).unwrap_or(DType::F16);
    // SAFETY: the contract's buffers.
    let q = unsafe { a.input::<f32>(Q) };
    for tile in 0..unit.tiles() {
        let to = &mut w.q[tile * hd..][..hd];
        to.fill([0.0; LANES]);
        for (l, (t, h)) in unit.lanes(tile).enumerate() {
            let from = &q[(unit.first_row + t) * p.ldq as usize + h * hd..][..hd];
            for (to, q) in to.iter_mut().zip(from) {
                to[l] = q * p.scale;
            }
        }
        w.out[tile * hd..][..hd].fill([0.0; LANES]);
        w.positions[tile] = unit.positions(tile);
        w.top[tile] = [f32::NEG_INFINITY; LANES];
        w.total[tile] = [0.0; LANES];
    }
    let range = unit.keys(view);
    for start in range.clone().step_by(BLOCK) {
        let count = BLOCK.min(range.end - start);
        let (keys, values) = view.at(unit.seq, unit.kv_head, start);
        for j in 0..BLOCK {
            let (k, v) = (&mut w.keys[j * hd..][..hd], &mut w.values[j * hd..][..hd]);
            if j < count {
                // SAFETY: position start + j lies in the page.
                unsafe {
                    kv::load(dtype, keys.add(j * view.row_bytes), k);
                    kv::load(dtype, values.add(j * view.row_bytes), v);
                }
            } else {
                k.fill(0.0);
                v.fill(0.0);
            }
        }
        for tile in 0..unit.tiles() {
            let positions = &w.positions[tile];
            let sight = sight(positions, p.window, start, range.end);
            if sight == Sight::Nothing {
                continue;
            }
            scores(simd, w.keys, &w.q[tile * hd..][..hd], w.scores);
            if sight == Sight::Some {
                mask(w.scores, positions, p.window, start);
            }
            let keep = weigh(w.scores, &mut w.top[tile], &mut w.total[tile]);
            gather(simd, w.values, w.scores, &keep, &mut w.out[tile * hd..][..hd]);
        }
    }
    for tile in 0..unit.tiles() {
        for (l, (t, h)) in unit.lanes(tile).enumerate() {
            let (row, col) = (unit.first_row + t, h * hd);
            let inverse = 1.0 / w.total[tile][l];
            let values = w.out[tile * hd..][..hd].iter().map(|lanes| lanes[l] * inverse);
            // SAFETY: this head of this row belongs to this unit alone.
            unsafe {
                if p.ldo == 0 {
                    let (out, cols) = (a.output::<bf16>(OUT), p.heads as usize * hd);
                    values.enumerate().for_each(|(d, v)| *out.add(tiled_at(cols, row, col + d)) = bf16::from_f32(v));
                } else {
                    let out = std::slice::from_raw_parts_mut(a.output::<f32>(OUT).add(row * p.ldo as usize + col), hd);
                    out.iter_mut().zip(values).for_each(|(o, v)| *o = v);
                }
            }
        }
    }
}

/// s[j] = sum_d keys[j, d] q[d], eight keys at a time. Vectors lie along the lanes, by name: left to itself, the compiler puts
/// them along the keys and gathers.
#[inline(always)]
fn scores<S: Simd>(simd: S, keys: &[f32], q: &[Lanes], s: &mut [Lanes]) {
    const KEYS: usize = 8;
    let hd = q.len();
    for (first, out) in s.as_chunks_mut::<KEYS>().0.iter_mut().enumerate() {
        let rows: [&[f32]; KEYS] = std::array::from_fn(|i| &keys[(first * KEYS + i) * hd..][..hd]);
        for c in 0..LANES / S::F32_LANES {
            let mut sums = [simd.splat_f32s(0.0); KEYS];
            for d in 0..hd {
                let q = S::as_simd_f32s(&q[d]).0[c];
                for i in 0..KEYS {
                    sums[i] = simd.mul_add_f32s(simd.splat_f32s(rows[i][d]), q, sums[i]);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                S::as_mut_simd_f32s(out).0[c] = sum;
            }
        }
    }
}

/// Takes away what a lane does not see.
#[inline(always)]
fn mask(s: &mut [Lanes], positions: &[i32; LANES], window: u32, start: usize) {
    for (j, row) in s.iter_mut().enumerate() {
        let key = (start + j) as i32;
        for l in 0..LANES {
            let hidden = key > positions[l] || (window > 0 && key <= positions[l] - window as i32);
            row[l] = if hidden { f32::NEG_INFINITY } else { row[l] };
        }
    }
}

/// Turns scores into weights against the highest score so far, and returns what earlier results must be multiplied with.
#[inline(always)]
fn weigh(s: &mut [Lanes], top: &mut Lanes, total: &mut Lanes) -> Lanes {
    let mut high = *top;
    for row in s.iter() {
        for l in 0..LANES {
            high[l] = high[l].max(row[l]);
        }
    }
    let mut keep = [0.0; LANES];
    for l in 0..LANES {
        // A lane that has seen nothing yet stays at -inf; any finite value serves as its reference.
        let reference = high[l].max(f32::MIN);
        keep[l] = math::exp(top[l] - reference);
        top[l] = high[l];
        total[l] *= keep[l];
        high[l] = reference;
    }
    for row in s.iter_mut() {
        for l in 0..LANES {
            row[l] = math::exp(row[l] - high[l]);
            total[l] += row[l];
        }
    }
    keep
}

/// out[d] = out[d] keep + sum_j values[j, d] weights[j], eight elements at a time.
#[inline(always)]
fn gather<S: Simd>(simd: S, values: &[f32], weights: &[Lanes], keep: &Lanes, out: &mut [Lanes]) {
    const ELEMENTS: usize = 8;
    let hd = out.len();
    let (chunks, tail) = out.as_chunks_mut::<ELEMENTS>();
    for (first, out) in chunks.iter_mut().enumerate() {
        for c in 0..LANES / S::F32_LANES {
            let keep = S::as_simd_f32s(keep).0[c];
            let mut sums: [S::f32s; ELEMENTS] =
                std::array::from_fn(|i| simd.mul_f32s(S::as_simd_f32s(&out[i]).0[c], keep));
            for (j, weight) in weights.iter().enumerate() {
                let v = &values[j * hd + first * ELEMENTS..][..ELEMENTS];
                let weight = S::as_simd_f32s(weight).0[c];
                for i in 0..ELEMENTS {
                    sums[i] = simd.mul_add_f32s(simd.splat_f32s(v[i]), weight, sums[i]);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                S::as_mut_simd_f32s(out).0[c] = sum;
            }
        }
    }
    let done = hd - tail.len();
    for (i, sum) in tail.iter_mut().enumerate() {
        for l in 0..LANES {
            let terms = weights.iter().enumerate();
            sum[l] = terms.fold(sum[l] * keep[l], |s, (j, w)| values[j * hd + done + i].mul_add(w[l], s));
        }
    }
}
