//! `emulate` on systems that the emulator does not know yet: its refusal.

use crate::args::EmulateArgs;
use metallic_device::emulator::{Emulator, Mode};

/// Says where it runs.
pub fn run(_: &EmulateArgs) -> anyhow::Result<()> {
    match Emulator::new(Mode::Checked)? {}
}
