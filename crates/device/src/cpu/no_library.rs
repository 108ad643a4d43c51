//! Built without the `libraries` feature: no library's variants run.

use metallic_kernels::contract::{Limits, Native};

/// Nothing to allow.
pub(super) fn allow(_limits: &mut Limits) {}

/// Nothing to run.
pub(super) fn native(_library: &str, _entry: &str) -> Option<Native> {
    None
}
