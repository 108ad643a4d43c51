//! What the eight tile registers do: four hold sums and four operands, and the two sets change places after each block.

use std::arch::asm;

/// A block's way through its slice.
pub(super) struct Walk {
    x: *const u8,
    w: *const u8,
    strides: [isize; 2],
}

impl Walk {
    /// A way of `len` steps over what begins at `[x, w]` and lies `strides` bytes apart.
    pub fn new([x, w]: [*const u8; 2], strides: [usize; 2], len: usize, backwards: bool) -> Walk {
        let [a, b] = strides.map(|s| s as isize);
        let last = len as isize - 1;
        if backwards {
            Walk { x: x.wrapping_offset(last * a), w: w.wrapping_offset(last * b), strides: [-a, -b] }
        } else {
            Walk { x, w, strides: [a, b] }
        }
    }

    /// Goes to the next step.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.x = self.x.wrapping_offset(self.strides[0]);
        self.w = self.w.wrapping_offset(self.strides[1]);
    }
}

/// One of the two ways to use the registers. Everything needs tiles to be configured.
pub(super) trait Roles {
    /// Sums of zero.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn start();

    /// One step: 32 elements of 32 rows of x times those of two panels, one part of w.
    ///
    /// # Safety
    /// Two tiles at each address.
    unsafe fn one_part(at: &Walk);

    /// As `one_part`, with both parts of w.
    ///
    /// # Safety
    /// Two tiles of x and four of w.
    unsafe fn two_parts(at: &Walk);

    /// Loads the sums of the other roles from `from`, or starts them where it is null, and stores these at `to`.
    ///
    /// # Safety
    /// Four tiles at each address.
    unsafe fn turn(to: *mut u8, from: *const u8);

    /// Stores a tile that nobody reads: the unit that does it sleeps after 0.7 us without work and then takes 0.3 us to wake.
    ///
    /// # Safety
    /// A tile at the address.
    unsafe fn awake(idle: *mut u8);
}

/// Sums in the first four registers.
pub(super) struct Low;

/// Sums in the last four registers.
pub(super) struct High;

macro_rules! roles {
    ($name:ident, [$s0:literal, $s1:literal, $s2:literal, $s3:literal], [$x0:literal, $x1:literal, $w0:literal, $w1:literal]) => {
        impl Roles for $name {
            #[inline(always)]
            unsafe fn start() {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        concat!("tilezero ", $s0), concat!("tilezero ", $s1),
                        concat!("tilezero ", $s2), concat!("tilezero ", $s3),
                        options(nostack, nomem, preserves_flags)
                    );
                }
            }

            #[inline(always)]
            unsafe fn one_part(at: &Walk) {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        concat!("tileloadd ", $w0, ", [{w} + {row}*1]"),
                        concat!("tileloaddt1 ", $x0, ", [{x} + {row}*1]"),
                        concat!("tdpbf16ps ", $s0, ", ", $x0, ", ", $w0),
                        concat!("tileloadd ", $w1, ", [{w} + {row}*1 + 1024]"),
                        concat!("tdpbf16ps ", $s1, ", ", $x0, ", ", $w1),
                        concat!("tileloaddt1 ", $x1, ", [{x} + {row}*1 + 1024]"),
                        concat!("tdpbf16ps ", $s3, ", ", $x1, ", ", $w1),
                        concat!("tdpbf16ps ", $s2, ", ", $x1, ", ", $w0),
                        x = in(reg) at.x, w = in(reg) at.w, row = in(reg) 64usize,
                        options(nostack, readonly, preserves_flags)
                    );
                }
            }

            #[inline(always)]
            unsafe fn two_parts(at: &Walk) {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        concat!("tileloadd ", $w0, ", [{w} + {row}*1 + 2048]"),
                        concat!("tileloaddt1 ", $x0, ", [{x} + {row}*1]"),
                        concat!("tdpbf16ps ", $s0, ", ", $x0, ", ", $w0),
                        concat!("tileloadd ", $w1, ", [{w} + {row}*1 + 3072]"),
                        concat!("tdpbf16ps ", $s1, ", ", $x0, ", ", $w1),
                        concat!("tileloaddt1 ", $x1, ", [{x} + {row}*1 + 1024]"),
                        concat!("tdpbf16ps ", $s2, ", ", $x1, ", ", $w0),
                        concat!("tileloadd ", $w0, ", [{w} + {row}*1]"),
                        concat!("tdpbf16ps ", $s3, ", ", $x1, ", ", $w1),
                        concat!("tileloadd ", $w1, ", [{w} + {row}*1 + 1024]"),
                        concat!("tdpbf16ps ", $s0, ", ", $x0, ", ", $w0),
                        concat!("tdpbf16ps ", $s2, ", ", $x1, ", ", $w0),
                        concat!("tdpbf16ps ", $s1, ", ", $x0, ", ", $w1),
                        concat!("tdpbf16ps ", $s3, ", ", $x1, ", ", $w1),
                        x = in(reg) at.x, w = in(reg) at.w, row = in(reg) 64usize,
                        options(nostack, readonly, preserves_flags)
                    );
                }
            }

            #[inline(always)]
            unsafe fn turn(to: *mut u8, from: *const u8) {
                // SAFETY: the caller's promise.
                unsafe {
                    if from.is_null() {
                        asm!(
                            concat!("tilezero ", $x0), concat!("tilezero ", $x1),
                            concat!("tilezero ", $w0), concat!("tilezero ", $w1),
                            options(nostack, nomem, preserves_flags)
                        );
                    } else {
                        asm!(
                            concat!("tileloadd ", $x0, ", [{s} + {row}*1]"),
                            concat!("tileloadd ", $x1, ", [{s} + {row}*1 + 1024]"),
                            concat!("tileloadd ", $w1, ", [{s} + {row}*1 + 3072]"),
                            concat!("tileloadd ", $w0, ", [{s} + {row}*1 + 2048]"),
                            s = in(reg) from, row = in(reg) 64usize, options(nostack, readonly, preserves_flags)
                        );
                    }
                    asm!(
                        concat!("tilestored [{s} + {row}*1], ", $s0),
                        concat!("tilestored [{s} + {row}*1 + 1024], ", $s1),
                        concat!("tilestored [{s} + {row}*1 + 3072], ", $s3),
                        concat!("tilestored [{s} + {row}*1 + 2048], ", $s2),
                        s = in(reg) to, row = in(reg) 64usize, options(nostack, preserves_flags)
                    );
                }
            }

            #[inline(always)]
            unsafe fn awake(idle: *mut u8) {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        concat!("tilestored [{s} + {row}*1], ", $x1),
                        s = in(reg) idle, row = in(reg) 64usize, options(nostack, preserves_flags)
                    );
                }
            }
        }
    };
}

// The operands of one are the sums of the other, in the same order.
roles!(Low, ["tmm0", "tmm1", "tmm2", "tmm3"], ["tmm4", "tmm5", "tmm6", "tmm7"]);
roles!(High, ["tmm4", "tmm5", "tmm6", "tmm7"], ["tmm0", "tmm1", "tmm2", "tmm3"]);
