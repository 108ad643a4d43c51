//! What Linux tells of the processor while it works, and of its caches.

use std::fs;
use std::path::Path;

use crate::Condition;

/// Clock and temperature now; `None` where the system tells neither.
pub(super) fn now() -> Option<Condition> {
    let condition = Condition { clock: clock(), temperature: temperature(), ..Condition::default() };
    (condition != Condition::default()).then_some(condition)
}

/// Megahertz of the fastest core.
fn clock() -> Option<u32> {
    let kilohertz = number(Path::new("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"));
    kilohertz.map(|k| (k / 1000) as u32).or_else(|| fastest(&fs::read_to_string("/proc/cpuinfo").ok()?))
}

fn fastest(cpuinfo: &str) -> Option<u32> {
    let lines = cpuinfo.lines().filter(|l| l.starts_with("cpu MHz"));
    let clocks = lines.filter_map(|l| l.split_once(':')?.1.trim().parse::<f64>().ok());
    clocks.reduce(f64::max).map(|mhz| mhz.round() as u32)
}

/// Degrees of the hottest package.
fn temperature() -> Option<u32> {
    let zones = fs::read_dir("/sys/class/thermal").ok()?.flatten().map(|z| z.path());
    let package = |zone: &Path| word(&zone.join("type")).is_some_and(|t| t == "x86_pkg_temp" || t.starts_with("cpu"));
    zones.filter(|z| package(z)).filter_map(|z| number(&z.join("temp"))).max().map(|milli| (milli / 1000) as u32)
}

/// Bytes of the largest cache that a core reaches.
pub(super) fn cache_bytes() -> Option<u64> {
    let caches = fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?.flatten();
    caches.filter_map(|c| size(&word(&c.path().join("size"))?)).max()
}

/// `32768K` and its like, in bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn word(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &Path) -> Option<u64> {
    word(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{fastest, size};

    #[test]
    fn what_the_system_writes_is_read() {
        assert_eq!(
            ["32K", "2048K", "33M", "512", "x", "", "4T"].map(size),
            [Some(32 << 10), Some(2 << 20), Some(33 << 20), Some(512), None, None, None]
        );
        let text = "processor\t: 0\ncpu MHz\t\t: 2596.124\nprocessor\t: 1\ncpu MHz\t\t: 3100.6\n";
        assert_eq!(fastest(text), Some(3101));
        assert_eq!(fastest("BogoMIPS: 50\n"), None);
    }
}
