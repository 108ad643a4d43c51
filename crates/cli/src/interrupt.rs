//! Ctrl-C: the first asks the running command to stop, the second ends the program at once. While the program only waits
//! for input the first does that too.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a command that Ctrl-C ended, by the shells' convention of 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

static CANCEL: AtomicBool = AtomicBool::new(false);

/// The program waits for input: nobody looks at the flag, and there is nothing to clean up.
static WAITING: AtomicBool = AtomicBool::new(false);

/// The flag that commands look at.
pub type Cancel = &'static AtomicBool;

/// A command was ended by Ctrl-C after it cleaned up.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Starts listening for SIGINT, SIGTERM and SIGHUP.
pub fn install() -> anyhow::Result<Cancel> {
    ctrlc::set_handler(|| {
        if CANCEL.swap(true, Ordering::SeqCst) || WAITING.load(Ordering::SeqCst) {
            std::process::exit(EXIT_CODE.into());
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(&CANCEL)
}

/// Fails once Ctrl-C was pressed.
pub fn check(cancel: Cancel) -> Result<(), Interrupted> {
    if cancel.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// Runs `read`, which waits for input and holds nothing that must be cleaned up.
///
/// # Errors
/// [`Interrupted`] where Ctrl-C was pressed before; pressed during the wait, it ends the program.
pub fn waiting<T>(read: impl FnOnce() -> T) -> Result<T, Interrupted> {
    WAITING.store(true, Ordering::SeqCst);
    // The handler raises the flag before it looks whether we wait, so that one of the two sides sees the other.
    let result = check(&CANCEL).map(|()| read());
    WAITING.store(false, Ordering::SeqCst);
    result
}

/// Forgets an interruption that was dealt with.
pub fn reset(cancel: Cancel) {
    cancel.store(false, Ordering::SeqCst);
}
