//! AMX tiles, by inline assembly: sizes, the one configuration that kernels use, and the instructions, registers as constants.

use std::arch::asm;

/// Bytes of one tile: 16 rows of 64.
pub(crate) const TILE: usize = 1024;

/// All eight tiles as 16 rows of 64 bytes.
///
/// # Safety
/// The CPU has AMX and the process may use tiles.
pub(crate) unsafe fn configure_tiles() {
    #[repr(C, align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for t in 0..8 {
        config.0[16 + 2 * t] = 64;
        config.0[48 + t] = 16;
    }
    // SAFETY: a whole, valid palette-1 configuration.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, readonly)) };
}

/// Gives the tile registers back.
///
/// # Safety
/// Tiles are configured.
pub(crate) unsafe fn release_tiles() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilerelease", options(nostack)) };
}

/// `register = 0`
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
pub(crate) unsafe fn zero<const REGISTER: u8>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilezero tmm{}", const REGISTER, options(nostack, nomem, preserves_flags)) };
}

/// `register = *from`
///
/// # Safety
/// Tiles are configured; a tile lies at the address.
#[inline(always)]
pub(crate) unsafe fn load<const REGISTER: u8>(from: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tileloadd tmm{}, [{} + {}*1]", const REGISTER, in(reg) from, in(reg) 64usize, options(nostack, readonly, preserves_flags));
    }
}

/// `register = *from`, which leaves the first-level cache to others: for what streams from the second level.
///
/// # Safety
/// As `load`.
#[inline(always)]
pub(crate) unsafe fn stream<const REGISTER: u8>(from: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tileloaddt1 tmm{}, [{} + {}*1]", const REGISTER, in(reg) from, in(reg) 64usize, options(nostack, readonly, preserves_flags));
    }
}

/// `*to = register`
///
/// # Safety
/// Tiles are configured; the address has room for a tile.
#[inline(always)]
pub(crate) unsafe fn store<const REGISTER: u8>(to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tilestored [{} + {}*1], tmm{}", in(reg) to, in(reg) 64usize, const REGISTER, options(nostack, preserves_flags));
    }
}

/// `sums += a b` in bf16, sums in f32: a is (16, 32), b holds pairs of rows side by side.
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
pub(crate) unsafe fn dot<const SUMS: u8, const A: u8, const B: u8>() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const SUMS, const A, const B, options(nostack, nomem, preserves_flags));
    }
}
