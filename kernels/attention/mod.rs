//! `attention: out[r, h, :] = softmax_j(scale * q[r, h, :] . K[j, h / group, :]) V[j, h / group, :]`
//!
//! m tokens, `batch` = H query heads over G kv heads of k elements; token r sees the positions j of its own sequence with
//! `j <= position[r]`, and `j > position[r] - window` where there is a window. q: (m, H k) f32, row stride `ldq`; out: (m, H k) f32,
//! row stride `ldo`, or with `TILED_Y` in bf16 tiles (`matmul::tiled_at`); pools: see `kv`; table: (sequences, max_pages) i32;
//! row_seq, positions: (m) i32.
//! The scores are never stored: online softmax (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_pack;
mod lanes;
mod portable;

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Operand, Params, Role, params};
use crate::{DType, kv};

params! {
    /// Arguments.
    pub struct AttentionParams {
        /// Query heads.
        pub heads: u32,
        /// Key and value heads.
        pub kv_heads: u32,
        /// Elements of a head.
        pub head_dim: u32,
        /// Entries of a page table row.
        pub max_pages: u32,
        /// Elements from one row of q to the next.
        pub ldq: u32,
        /// Elements from one row of out to the next; 0 for bf16 tiles.
        pub ldo: u32,
        /// Positions seen back, the token's own included; 0 for all.
        pub window: u32,
        /// Type of the pools, as its GGUF number.
        pub kv_dtype: u32,
        /// Factor on the scores.
        pub scale: f32,
    }
}

const OUT: usize = 0;
const Q: usize = 1;
const K_POOL: usize = 2;
const V_POOL: usize = 3;
const TABLE: usize = 4;
const ROW_SEQ: usize = 5;
const POSITIONS: usize = 6;

/// The op.
pub static OP: Op = Op {
    name: "attention",
    manifest: include_str!("variants.json"),
    params: AttentionParams::INFO,
    native,
    cases,
    budget,
};

/// Times 1 + 2 std^2, the size of a score's terms. f32: f32 throughout. Others: queries, keys and values to 2^-15, weights rounded
/// to bf16 (2^-9 at most each, and they average).
fn budget(kv: DType) -> f64 {
    if kv == DType::F32 { 3e-6 } else { 3e-3 }
}

fn native(entry: &str) -> Option<Native> {
    match entry {
        "portable" => Some(portable::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "amx_bf16" => Some(amx::NATIVE),
        _ => None,
    }
}

/// The key of an attention.
pub fn key(m: usize, heads: usize, head_dim: usize, kv: DType) -> Key {
    Key {
        op: "attention",
        m,
        n: head_dim,
        k: head_dim,
        batch: heads,
        w: kv,
        act: DType::F32,
        layout: Layout::Row,
        flags: Flags::CAUSAL,
    }
}

/// Where the keys and values of one token's sequence lie.
struct View<'a> {
    p: &'a AttentionParams,
    table: &'a [i32],
    row_bytes: usize,
    keys: *const u8,
    values: *const u8,
}

impl<'a> View<'a> {
    /// # Safety
    /// As `contract::Phase`; `p` are the launch's arguments.
    unsafe fn new(a: &Args<'a>, p: &'a AttentionParams) -> View<'a> {
        let dtype = DType::from_ggml(p.kv_dtype).unwrap_or(DType::F16);
        View {
            p,
            // SAFETY: the caller's promise.
            table: unsafe { a.input::<i32>(TABLE) },
            row_bytes: kv::row_bytes(dtype, p.head_dim as usize).unwrap_or(0),
            keys: a.output::<u8>(K_POOL),
            values: a.output::<u8>(V_POOL),
        }
    }

    /// First byte of the keys and of the values of `head` at position `pos` of sequence `seq`; the rest of the page follows.
    #[inline(always)]
    fn at(&self, seq: usize, head: usize, pos: usize) -> (*const u8, *const u8) {
        let page = self.table[seq * self.p.max_pages as usize + pos / kv::PAGE] as usize;
        let row = (page * self.p.kv_heads as usize + head) * kv::PAGE + pos % kv::PAGE;
        // SAFETY: the page table names pages of the pool.
        unsafe { (self.keys.add(row * self.row_bytes), self.values.add(row * self.row_bytes)) }
    }

    /// Positions that a token at `pos` sees.
    #[inline(always)]
    fn seen(&self, pos: usize) -> std::ops::Range<usize> {
        let first = if self.p.window == 0 { 0 } else { (pos + 1).saturating_sub(self.p.window as usize) };
        first..pos + 1
    }
}

/// What a case tries.
#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    hd: usize,
    window: usize,
    /// Tokens of each sequence in the batch, and how many came before.
    spans: &'static [(usize, usize)],
    std: f32,
}

fn cases() -> Vec<Case> {
    let base = Shape { heads: 6, kv_heads: 2, hd: 64, window: 0, spans: &[(1, 0)], std: 1.0 };
    let shapes = [
        base,
        Shape { spans: &[(1, 63), (1, 64), (1, 200)], ..base },
        Shape { spans: &[(33, 0)], ..base },
        Shape { spans: &[(20, 130), (1, 5), (40, 0)], ..base },
        Shape { window: 17, spans: &[(40, 60), (1, 99)], ..base },
        Shape { heads: 3, kv_heads: 3, hd: 128, spans: &[(5, 70)], ..base },
        Shape { heads: 9, kv_heads: 3, hd: 32, spans: &[(19, 3)], std: 6.0, ..base },
        Shape { heads: 14, kv_heads: 2, hd: 64, spans: &[(70, 1)], std: 0.01, ..base },
        Shape { heads: 2, kv_heads: 1, hd: 96, spans: &[(18, 14)], ..base },
        Shape { heads: 4, kv_heads: 1, spans: &[(21, 600)], ..base },
        Shape { heads: 4, kv_heads: 1, window: 90, spans: &[(35, 560)], ..base },
        Shape { heads: 66, kv_heads: 1, hd: 32, spans: &[(3, 40)], ..base },
    ];
    let plain = kv::DTYPES.iter().flat_map(|&d| shapes.iter().map(move |s| case(d, s)));
    let tiled = [(DType::F16, base), (DType::F16, shapes[3]), (DType::Q8_0, shapes[5]), (DType::F16, shapes[8])];
    let tiled = tiled.map(|(dtype, s)| {
        let c = case(dtype, &s);
        let p = *c.params.get::<AttentionParams>();
        let params = Params::new(&AttentionParams { ldo: 0, ..p });
        cases::in_tiles(c, params, s.heads * s.hd, p.ldo as usize, budget(dtype))
    });
    plain.chain(tiled).collect()
}

fn case(dtype: DType, s: &Shape) -> Case {
    let (hd, group) = (s.hd, s.heads / s.kv_heads);
    let m: usize = s.spans.iter().map(|s| s.0).sum();
    let mut rng = Rng(m as u64 * 31 + hd as u64);
    let (ldq, ldo) = (s.heads * hd + 2 * s.kv_heads * hd, s.heads * hd + 16);
    let q = rng.normals(m * ldq, s.std);
    let max_pages = s.spans.iter().map(|(n, past)| (n + past).div_ceil(kv::PAGE)).max().unwrap_or(1) + 1;
    // Pages in a scrambled order, so that a kernel that ignores the table is wrong.
    let pages = s.spans.len() * max_pages;
    let modulus = if pages.is_multiple_of(7) { pages + 1 } else { pages };
    let table: Vec<i32> = (0..pages).map(|i| ((i * 7 + 3) % modulus) as i32).collect();
    let pool_pages = *table.iter().max().unwrap_or(&0) as usize + 1;
    let row_bytes = kv::row_bytes(dtype, hd).unwrap_or(0);
    let rows = pool_pages * s.kv_heads * kv::PAGE;
    let mut pool = |std| {
        let mut bytes = vec![0u8; rows * row_bytes];
        let mut values = rng.normals(rows * hd, std);
        for (from, to) in values.chunks_exact_mut(hd).zip(bytes.chunks_exact_mut(row_bytes)) {
            // SAFETY: `to` is one row of the pool.
            unsafe {
                kv::store(dtype, from, to.as_mut_ptr());
                kv::load(dtype, to.as_ptr(), from);
            }
        }
        (Operand { role: Role::Input, bytes, dtype }, values)
    };
    let ((keys, k), (values, v)) = (pool(s.std), pool(1.0));
    let scale = 1.0 / (hd as f32).sqrt();
    let (mut row_seq, mut positions) = (vec![], vec![]);
    for (seq, &(n, past)) in s.spans.iter().enumerate() {
        row_seq.extend(std::iter::repeat_n(seq as i32, n));
        positions.extend((past..past + n).map(|p| p as i32));
    }
    let mut e = Expect { operand: OUT, value: vec![], scale: vec![], at: vec![] };
    for r in 0..m {
        let pos = positions[r] as usize;
        let first = if s.window == 0 { 0 } else { (pos + 1).saturating_sub(s.window) };
        for h in 0..s.heads {
            let q = &q[r * ldq + h * hd..][..hd];
            let row = |j: usize| {
                let page = table[row_seq[r] as usize * max_pages + j / kv::PAGE] as usize;
                ((page * s.kv_heads + h / group) * kv::PAGE + j % kv::PAGE) * hd
            };
            let score = |j: usize| {
                let k = &k[row(j)..][..hd];
                q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>() * f64::from(scale)
            };
            let scores: Vec<f64> = (first..=pos).map(score).collect();
            let top = scores.iter().fold(f64::MIN, |m, &s| m.max(s));
            let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            // A score's rounding error is relative to its terms, and moves every weight by that much.
            let size = 1.0 + f64::from(s.std) * f64::from(s.std) * 2.0;
            for d in 0..hd {
                let value = (first..=pos).zip(&weights).map(|(j, w)| w / total * f64::from(v[row(j) + d])).sum::<f64>();
                e.value.push(value);
                e.scale.push(size);
                e.at.push(r * ldo + h * hd + d);
            }
        }
    }
    let params = AttentionParams {
        heads: s.heads as u32,
        kv_heads: s.kv_heads as u32,
        head_dim: hd as u32,
        max_pages: max_pages as u32,
        ldq: ldq as u32,
        ldo: ldo as u32,
        window: s.window as u32,
        kv_dtype: dtype.ggml(),
        scale,
    };
    Case {
        name: format!(
            "{dtype} H={} G={} hd={hd} window={} spans={:?} std={}",
            s.heads, s.kv_heads, s.window, s.spans, s.std
        ),
        key: key(m, s.heads, hd, dtype),
        params: Params::new(&params),
        rows: m,
        operands: vec![
            cases::f32s(Role::Output, &vec![0.0; m * ldo]),
            cases::f32s(Role::Input, &q),
            keys,
            values,
            cases::i32s(Role::Input, &table),
            cases::i32s(Role::Input, &row_seq),
            cases::i32s(Role::Input, &positions),
        ],
        packed: vec![],
        expect: vec![e],
    }
}
