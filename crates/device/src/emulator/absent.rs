//! The emulator on systems that it does not know yet: a refusal.

use crate::Error;

use super::{Mode, NAME};

/// Nothing of this type exists here.
pub enum Emulator {}

impl Emulator {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: Mode) -> Result<Emulator, Error> {
        let reason = "it runs on Linux, on x86-64 and arm64".to_owned();
        Err(Error::Unavailable { device: NAME.to_owned(), reason })
    }
}
