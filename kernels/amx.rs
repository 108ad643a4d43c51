//! AMX tiles, by inline assembly: sizes and the one configuration that kernels use.

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
