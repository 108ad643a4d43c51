//! Number literals.

/// The value of an integer literal and its suffix; `None` for anything else.
pub(crate) fn integer(text: &str) -> Option<(u64, String)> {
    let plain: String = text.chars().filter(|c| *c != '\'').collect();
    let lower = plain.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (&lower[..], 10)
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    if !matches!(suffix, "" | "u" | "l" | "ul" | "lu" | "ll" | "ull" | "llu") {
        return None;
    }
    let value = if digits.is_empty() && radix == 8 { 0 } else { u64::from_str_radix(digits, radix).ok()? };
    Some((value, suffix.to_owned()))
}

/// How C++ must spell a number literal of Metal, where that differs: there is no `double`, and `h` and `bf` are suffixes.
pub(crate) fn lowered(text: &str) -> Option<String> {
    let hex = text.starts_with("0x") || text.starts_with("0X");
    let floating = if hex { text.contains(['p', 'P']) } else { text.contains(['.', 'e', 'E']) };
    if !hex && let Some(value) = text.strip_suffix("bf").or(text.strip_suffix("BF")) {
        return Some(format!("MSL_BFLOAT({}f)", with_point(value)));
    }
    if !hex || floating {
        if let Some(value) = text.strip_suffix(['h', 'H']) {
            return Some(format!("MSL_HALF({}f)", with_point(value)));
        }
        if floating && !text.ends_with(['f', 'F', 'l', 'L']) {
            return Some(format!("{text}f"));
        }
    }
    None
}

fn with_point(value: &str) -> String {
    if value.contains(['.', 'e', 'E', 'p', 'P']) { value.to_owned() } else { format!("{value}.0") }
}
