//! rope: rotates the queries and keys of each token by its position, and appends its keys and values to the cache
//!
//! m tokens, H query heads, G kv heads of k elements. qkv: (m, (H + 2G) k) f32, row stride `ld`: queries (rotated in place),
//! keys (rotated in place), values. angles: (m, dims / 2, 2) f32, cosine and sine of each pair. slots: (m) i32, page * PAGE +
//! slot, where the token goes. Pools: see `kv`. RoFormer: Su et al. 2021.

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Operand, Params, Role, params};
use crate::vector::widest;
use crate::{DType, kv};

/// Which elements of a head form a pair.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// (2i, 2i + 1): GGUF's llama.
    Interleaved = 0,
    /// (i, i + dims / 2): Hugging Face, GPT-NeoX.
    Halves = 1,
}

params! {
    /// Arguments.
    pub struct RopeParams {
        /// Query heads.
        pub heads: u32,
        /// Key and value heads.
        pub kv_heads: u32,
        /// Elements of a head.
        pub head_dim: u32,
        /// Rotated elements of a head; the rest stays.
        pub dims: u32,
        /// Elements from one row of qkv to the next.
        pub ld: u32,
        /// A `Pairing`.
        pub pairing: u32,
        /// Type of the pools, as its GGUF number.
        pub kv_dtype: u32,
    }
}

/// The op.
pub static OP: Op =
    Op { name: "rope", manifest: include_str!("variants.json"), params: RopeParams::INFO, native, cases, budget };

fn budget(kv: DType) -> f64 {
    match kv {
        DType::F32 => 4e-7,
        DType::F16 => 4.9e-4,
        // Half a step of the block's largest magnitude, which `scale` is for this type.
        _ => 4.5e-3,
    }
}

fn native(entry: &str) -> Option<Native> {
    (entry == "rope_append").then_some(Native { phases: &[rope_append], scratch: |_, _| 0 })
}

widest!(rope_append, tokens);

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn tokens(a: &Args<'_>) {
    let p = *a.params.get::<RopeParams>();
    let Some(dtype) = DType::from_ggml(p.kv_dtype) else { return };
    let (heads, kv_heads, hd) = (p.heads as usize, p.kv_heads as usize, p.head_dim as usize);
    let (dims, all) = (p.dims as usize, heads + 2 * kv_heads);
    let row_bytes = kv::row_bytes(dtype, hd).unwrap_or(0);
    // SAFETY: the contract's buffers; a unit is one head of one token, which no other unit touches.
    let (angles, slots) = unsafe { (a.input::<f32>(3), a.input::<i32>(4)) };
    for unit in a.share(a.rows * all, all) {
        let (r, h) = (unit / all, unit % all);
        // SAFETY: as above.
        let v = unsafe { std::slice::from_raw_parts_mut(a.output::<f32>(0).add(r * p.ld as usize + h * hd), hd) };
        if h < heads + kv_heads {
            rotate(v, &angles[r * dims..][..dims], p.pairing);
        }
        if h >= heads {
            let (pool, head) = if h < heads + kv_heads { (1, h - heads) } else { (2, h - heads - kv_heads) };
            let slot = slots[r] as usize;
            let row = (slot / kv::PAGE * kv_heads + head) * kv::PAGE + slot % kv::PAGE;
            // SAFETY: the slot lies in the pool.
            unsafe { kv::store(dtype, v, a.output::<u8>(pool).add(row * row_bytes)) };
        }
    }
}

#[inline(always)]
fn rotate(v: &mut [f32], angles: &[f32], pairing: u32) {
    let half = angles.len() / 2;
    let (pairs, _) = angles.as_chunks::<2>();
    if pairing == Pairing::Halves as u32 {
        let (low, high) = v.split_at_mut(half);
        for ((x, y), [c, s]) in low.iter_mut().zip(high).zip(pairs) {
            (*x, *y) = (*x * c - *y * s, *y * c + *x * s);
        }
    } else {
        let (elements, _) = v.as_chunks_mut::<2>();
        for ([x, y], [c, s]) in elements.iter_mut().zip(pairs) {
            (*x, *y) = (*x * c - *y * s, *y * c + *x * s);
        }
    }
}

/// The key of a rope: `heads` counts queries, keys and values.
pub fn key(m: usize, heads: usize, head_dim: usize, kv: DType) -> Key {
    Key {
        op: "rope",
        m,
        n: head_dim,
        k: head_dim,
        batch: heads,
        w: kv,
        act: DType::F32,
        layout: Layout::Row,
        flags: Flags::NONE,
    }
}

fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for dtype in kv::DTYPES {
        for (pairing, dims) in [(Pairing::Halves, 64), (Pairing::Interleaved, 64), (Pairing::Halves, 32)] {
            list.push(case(dtype, pairing, dims));
        }
    }
    list
}

fn case(dtype: DType, pairing: Pairing, dims: usize) -> Case {
    let (m, heads, kv_heads, hd, pages) = (5, 3, 2, 64, 3);
    let all = heads + 2 * kv_heads;
    let mut rng = Rng(3);
    let x = rng.normals(m * all * hd, 2.0);
    let angles: Vec<f32> = (0..m * dims / 2)
        .flat_map(|_| {
            let t = rng.uniform() * 6.3;
            [t.cos(), t.sin()]
        })
        .collect();
    let slots = [70, 0, 191, 63, 64];
    let mut y: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    for r in 0..m {
        for h in 0..heads + kv_heads {
            for i in 0..dims / 2 {
                let (i0, i1) = if pairing == Pairing::Halves { (i, i + dims / 2) } else { (2 * i, 2 * i + 1) };
                let at = (r * all + h) * hd;
                let (c, s) = (f64::from(angles[r * dims + 2 * i]), f64::from(angles[r * dims + 2 * i + 1]));
                let (a, b) = (y[at + i0], y[at + i1]);
                (y[at + i0], y[at + i1]) = (a * c - b * s, b * c + a * s);
            }
        }
    }
    let pool_rows = pages * kv_heads * kv::PAGE;
    let bytes = kv::row_bytes(dtype, hd).unwrap_or(0) * pool_rows;
    let pool = || Operand { role: Role::Output, bytes: vec![0; bytes], dtype };
    let stored = |first: usize| {
        let mut e = Expect { operand: 1, value: vec![], scale: vec![], at: vec![] };
        for r in 0..m {
            for h in 0..kv_heads {
                let row = (slots[r] as usize / kv::PAGE * kv_heads + h) * kv::PAGE + slots[r] as usize % kv::PAGE;
                let from = &y[(r * all + first + h) * hd..][..hd];
                e.value.extend(from);
                e.at.extend(row * hd..(row + 1) * hd);
                e.scale.extend(from.chunks(32).flat_map(|b| {
                    let max = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                    vec![max; b.len()]
                }));
            }
        }
        e
    };
    let (keys, values) = (stored(heads), Expect { operand: 2, ..stored(heads + kv_heads) });
    let params = RopeParams {
        heads: heads as u32,
        kv_heads: kv_heads as u32,
        head_dim: hd as u32,
        dims: dims as u32,
        ld: (all * hd) as u32,
        pairing: pairing as u32,
        kv_dtype: dtype.ggml(),
    };
    Case {
        name: format!("{dtype} {pairing:?} dims={dims}"),
        key: key(m, all, hd, dtype),
        params: Params::new(&params),
        rows: m,
        operands: vec![
            cases::f32s(Role::InOut, &x),
            pool(),
            pool(),
            cases::f32s(Role::Input, &angles),
            cases::i32s(Role::Input, &slots),
        ],
        packed: vec![],
        expect: vec![Expect { operand: 0, scale: vec![8.0; y.len()], value: y, at: vec![] }, keys, values],
    }
}
