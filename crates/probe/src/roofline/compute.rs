//! Bursts of arithmetic in registers, one for each kind of instruction that kernels multiply with.

/// One kind of instruction.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// For people.
    pub name: &'static str,
    /// Computes for some tens of microseconds and gives the number of operations, a multiplication and an addition
    /// counting as two.
    pub run: fn() -> f64,
}

impl PartialEq for Burst {
    fn eq(&self, other: &Burst) -> bool {
        self.name == other.name
    }
}

/// The instructions that a kernel which needs `features` multiplies with; where it needs nothing more, the widest f32 ones of a
/// device that has `present`. The features must be there: they are those of a variant that dispatch chose.
pub fn burst(features: &[String], present: &[&str]) -> Burst {
    let needs = |name: &str| features.iter().any(|f| f == name);
    let kinds = ["amx-int8", "amx-bf16", "avx512vnni"].into_iter().find(|kind| needs(kind));
    of(kinds.or_else(|| ["avx512f", "fma"].into_iter().find(|kind| present.contains(kind))))
}

#[cfg(target_arch = "x86_64")]
fn of(kind: Option<&str>) -> Burst {
    match kind {
        Some("amx-int8") => Burst { name: "AMX int8", run: x86::amx_int8 },
        Some("amx-bf16") => Burst { name: "AMX bf16", run: x86::amx_bf16 },
        Some("avx512vnni") => Burst { name: "AVX-512 VNNI int8", run: x86::vnni },
        Some("avx512f") => Burst { name: "AVX-512 f32", run: x86::avx512 },
        Some("fma") => Burst { name: "AVX2 f32", run: x86::avx2 },
        _ => Burst { name: "f32", run: portable },
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn of(_kind: Option<&str>) -> Burst {
    Burst { name: "f32", run: portable }
}

/// Independent sums, as many as hide the latency of one behind the others.
fn portable() -> f64 {
    const LANES: usize = 4;
    const CHAINS: usize = if cfg!(target_arch = "aarch64") { 24 } else { 12 };
    const TURNS: usize = 1 << 14;
    let (a, b) = std::hint::black_box((0.999_9f32, 1e-4f32));
    let mut sums = [[0.5f32; LANES]; CHAINS];
    for _ in 0..TURNS {
        // Elsewhere a fused operation that the processor lacks would be a call.
        sums = sums.map(|sum| sum.map(|v| if cfg!(target_arch = "aarch64") { v.mul_add(a, b) } else { v * a + b }));
    }
    std::hint::black_box(sums);
    (2 * TURNS * LANES * CHAINS) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    const TURNS: usize = 1 << 14;
    const CHAINS: usize = 12;

    /// `TURNS` rounds of one instruction on twelve accumulators, all registers zero at the start.
    macro_rules! rounds {
        ($instruction:literal, $register:literal) => {
            // SAFETY: only registers are touched, and all of them are named; whoever calls has the instructions.
            unsafe {
                asm!(
                    "vpxor xmm12, xmm12, xmm12", "vpxor xmm13, xmm13, xmm13",
                    "vpxor xmm0, xmm0, xmm0", "vpxor xmm1, xmm1, xmm1", "vpxor xmm2, xmm2, xmm2",
                    "vpxor xmm3, xmm3, xmm3", "vpxor xmm4, xmm4, xmm4", "vpxor xmm5, xmm5, xmm5",
                    "vpxor xmm6, xmm6, xmm6", "vpxor xmm7, xmm7, xmm7", "vpxor xmm8, xmm8, xmm8",
                    "vpxor xmm9, xmm9, xmm9", "vpxor xmm10, xmm10, xmm10", "vpxor xmm11, xmm11, xmm11",
                    "2:",
                    concat!($instruction, " ", $register, "mm0, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm1, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm2, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm3, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm4, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm5, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm6, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm7, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm8, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm9, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm10, ", $register, "mm12, ", $register, "mm13"),
                    concat!($instruction, " ", $register, "mm11, ", $register, "mm12, ", $register, "mm13"),
                    "dec {n}", "jnz 2b", "vzeroupper",
                    n = inout(reg) TURNS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack)
                )
            }
        };
    }

    pub fn avx512() -> f64 {
        rounds!("vfmadd231ps", "z");
        (2 * 16 * CHAINS * TURNS) as f64
    }

    pub fn avx2() -> f64 {
        rounds!("vfmadd231ps", "y");
        (2 * 8 * CHAINS * TURNS) as f64
    }

    pub fn vnni() -> f64 {
        rounds!("vpdpbusd", "z");
        (2 * 64 * CHAINS * TURNS) as f64
    }

    /// Eight whole tiles: 16 rows of 64 bytes (Intel's manual, volume 1, 18.3.1, tile configuration).
    #[repr(C, align(64))]
    struct Tiles([u8; 64]);

    fn tiles() -> Tiles {
        const COLUMN_BYTES: usize = 16;
        const ROWS: usize = 48;
        let mut t = Tiles([0; 64]);
        t.0[0] = 1;
        for i in 0..8 {
            t.0[COLUMN_BYTES + 2 * i] = 64;
            t.0[ROWS + i] = 16;
        }
        t
    }

    /// `TILE_TURNS` rounds of one tile instruction on six accumulators.
    macro_rules! tile_rounds {
        ($instruction:literal) => {
            // SAFETY: the configuration is 64 bytes; tiles are used by nobody else and released; whoever calls has AMX, and
            // the system's permission for it.
            unsafe {
                asm!(
                    "ldtilecfg [{tiles}]",
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", "tilezero tmm4", "tilezero tmm5",
                    "tilezero tmm6", "tilezero tmm7",
                    "2:",
                    concat!($instruction, " tmm0, tmm6, tmm7"), concat!($instruction, " tmm1, tmm6, tmm7"),
                    concat!($instruction, " tmm2, tmm6, tmm7"), concat!($instruction, " tmm3, tmm6, tmm7"),
                    concat!($instruction, " tmm4, tmm6, tmm7"), concat!($instruction, " tmm5, tmm6, tmm7"),
                    "dec {n}", "jnz 2b", "tilerelease",
                    tiles = in(reg) &tiles(), n = inout(reg) TILE_TURNS => _,
                    options(nostack, readonly)
                )
            }
        };
    }

    const TILE_TURNS: usize = 1 << 10;
    const TILE_CHAINS: usize = 6;

    pub fn amx_int8() -> f64 {
        tile_rounds!("tdpbssd");
        (2 * 16 * 16 * 64 * TILE_CHAINS * TILE_TURNS) as f64
    }

    pub fn amx_bf16() -> f64 {
        tile_rounds!("tdpbf16ps");
        (2 * 16 * 16 * 32 * TILE_CHAINS * TILE_TURNS) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_the_features_of_the_variant() {
        let of = |needs: &[&str], present: &[&str]| {
            burst(&needs.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), present)
        };
        assert_eq!(of(&[], &[]).name, "f32");
        assert!((of(&[], &[]).run)() > 0.0);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(of(&[], &["fma"]).name, "AVX2 f32");
            assert_eq!(of(&["amx-tile", "amx-bf16", "avx512f"], &["avx512f"]).name, "AMX bf16");
            assert_eq!(of(&["avx512f", "avx512vnni"], &["avx512f"]).name, "AVX-512 VNNI int8");
        }
    }
}
