//! Ctrl-C, and the signals that ask to end: the first asks the running command to stop, a later one ends the program at once.
//! While the program only waits for input the first does that too.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code of a command that Ctrl-C ended, by the shells' convention of 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// What comes this soon after the first says the same: `timeout` sends its signal twice, and a terminal that closes sends
/// more than one.
const ECHO: Duration = Duration::from_millis(500);

static CANCEL: AtomicBool = AtomicBool::new(false);

/// The program waits for input: nobody looks at the flag, and there is nothing to clean up.
static WAITING: AtomicBool = AtomicBool::new(false);

/// The flag that commands look at.
pub type Cancel = &'static AtomicBool;

/// A command was ended by Ctrl-C after it cleaned up.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Starts listening for SIGINT, SIGTERM and, but under `nohup`, SIGHUP.
pub fn install() -> anyhow::Result<Cancel> {
    #[cfg(unix)]
    let ignored = hangup::is_ignored();
    let mut first = Instant::now();
    ctrlc::set_handler(move || {
        let again = CANCEL.swap(true, Ordering::SeqCst);
        if !again {
            first = Instant::now();
        }
        if WAITING.load(Ordering::SeqCst) || (again && first.elapsed() > ECHO) {
            std::process::exit(EXIT_CODE.into());
        }
    })
    .context("cannot listen for Ctrl-C")?;
    #[cfg(unix)]
    if ignored {
        hangup::ignore();
    }
    Ok(&CANCEL)
}

/// SIGHUP, which `nohup` has a program ignore, and which the handler would take from it.
#[cfg(unix)]
mod hangup {
    pub fn is_ignored() -> bool {
        // SAFETY: plain bits, which the call fills; it changes nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
        }
    }

    pub fn ignore() {
        // SAFETY: no handler is installed; refusal leaves the old one.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
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
