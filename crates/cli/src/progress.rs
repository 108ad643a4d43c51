//! Progress bars on standard error, where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar that counts bytes.
pub fn bytes(what: &'static str) -> ProgressBar {
    styled(what, "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}")
}

/// A bar that counts things.
pub fn counted(what: &'static str) -> ProgressBar {
    styled(what, "{msg} {wide_bar} {pos}/{len} {eta}")
}

fn styled(what: &'static str, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

/// Moves `bar` to `done` of `total`.
pub fn at(bar: &ProgressBar, done: u64, total: u64) {
    if bar.length() != Some(total) {
        bar.set_length(total);
    }
    bar.set_position(done);
}
