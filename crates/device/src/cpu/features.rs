//! What this CPU can do, found at run time.

use crate::Error;

/// Every feature name that variants may ask for.
const KNOWN: &[&str] = &[
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512dq",
    "avx512vnni",
    "avx512bf16",
    "amx-tile",
    "amx-bf16",
    "amx-int8",
    "neon",
];

/// Features present and not refused.
pub(super) fn detect(without: &[String]) -> Result<Vec<&'static str>, Error> {
    // `avx512` and `amx` stand for all of theirs; `vnni` is short for `avx512vnni`.
    let names = |w: &str, k: &str| k.starts_with(w) || k.strip_prefix("avx512") == Some(w);
    let unknown = |w: &&String| w.is_empty() || !KNOWN.iter().any(|k| names(w, k));
    if let Some(bad) = without.iter().find(unknown) {
        return Err(Error::Feature { name: bad.clone(), known: KNOWN.join(", ") });
    }
    let refused = |k: &&str| without.iter().any(|w| names(w, k));
    Ok(KNOWN.iter().copied().filter(|k| present(k) && !refused(k)).collect())
}

#[cfg(target_arch = "x86_64")]
fn present(name: &str) -> bool {
    match name {
        "avx2" => is_x86_feature_detected!("avx2"),
        "fma" => is_x86_feature_detected!("fma"),
        "f16c" => is_x86_feature_detected!("f16c"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        "avx512vnni" => is_x86_feature_detected!("avx512vnni"),
        "avx512bf16" => is_x86_feature_detected!("avx512bf16"),
        "amx-tile" | "amx-bf16" | "amx-int8" => amx(name),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn present(name: &str) -> bool {
    name == "neon"
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn present(_name: &str) -> bool {
    false
}

/// AMX needs the processor's bit and, on Linux, the kernel's permission to use tile state
/// (Linux, Documentation/arch/x86/xstate.rst: `ARCH_REQ_XCOMP_PERM` for feature 18, XTILEDATA).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn amx(name: &str) -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    use std::sync::OnceLock;

    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    static PERMITTED: OnceLock<bool> = OnceLock::new();

    if __cpuid(0).eax < 7 {
        return false;
    }
    let edx = __cpuid_count(7, 0).edx;
    let bit = match name {
        "amx-bf16" => 22,
        "amx-tile" => 24,
        _ => 25,
    };
    if edx >> bit & 1 == 0 {
        return false;
    }
    // SAFETY: the call only asks for permission; a kernel that does not know it returns an error.
    *PERMITTED.get_or_init(|| unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn amx(_name: &str) -> bool {
    false
}

/// One worker per core that this process may use.
pub(super) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The processor's own name for itself.
#[cfg(target_arch = "x86_64")]
pub(super) fn brand() -> String {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "x86-64".to_owned();
    }
    let words = (0x8000_0002u32..=0x8000_0004).flat_map(|leaf| {
        let r = __cpuid(leaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    });
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|&b| b != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The processor's own name for itself.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn brand() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_names_refuse_what_they_stand_for() {
        for (name, refused) in [("vnni", "avx512vnni"), ("avx512", "avx512bf16"), ("amx", "amx-tile")] {
            assert!(!super::detect(&[name.to_owned()]).unwrap().contains(&refused), "{name}");
        }
        assert!(super::detect(&["512".to_owned()]).is_err());
    }
}
