//! Runs a kernel's loops with the widest vectors this CPU has.

/// Defines `$name`, a phase that runs `$body` compiled for each vector extension that pulp knows, chosen at run time. `$body` is
/// `#[inline(always)]`, so that its loops are compiled anew for each.
macro_rules! widest {
    ($name:ident, $body:path) => {
        /// # Safety
        /// As `contract::Phase`.
        unsafe fn $name(a: &crate::contract::Args<'_>) {
            struct Job<'a>(&'a crate::contract::Args<'a>);
            impl pulp::WithSimd for Job<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _simd: S) {
                    // SAFETY: the caller's promise.
                    unsafe { $body(self.0) }
                }
            }
            pulp::Arch::new().dispatch(Job(a));
        }
    };
}

pub(crate) use widest;
