//! Progress bars on standard error, where that is a terminal, for what takes long enough to wonder about.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What is over by then needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar that appears once something takes long, and disappears when it is dropped.
pub struct Bar {
    bar: ProgressBar,
    since: Instant,
}

/// A bar that counts bytes.
pub fn bytes(what: &'static str) -> Bar {
    styled(what, "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}")
}

/// A bar that counts things.
pub fn counted(what: &'static str) -> Bar {
    styled(what, "{msg} {wide_bar} {pos}/{len} {eta}")
}

/// A bar that tells how much is done.
pub fn percent(what: &'static str) -> Bar {
    styled(what, "{msg} {wide_bar} {percent} % {eta}")
}

fn styled(what: &'static str, template: &str) -> Bar {
    let bar = ProgressBar::hidden();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    Bar { bar, since: Instant::now() }
}

impl Bar {
    /// Moves it to `done` of `total`.
    pub fn at(&self, done: u64, total: u64) {
        if self.bar.is_hidden() && self.since.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    /// Takes it off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
