//! What transformers adds to Jinja for chat templates.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        strftime(format, now)
    });
    environment.add_filter("tojson", to_json);
}

/// What a template says with `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn raise_exception(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.clone()).with_source(Refusal(reason)))
}

/// The reason, if the template failed by refusing.
pub(super) fn refusal(error: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(Refusal(reason)) = error.downcast_ref() {
            return Some(reason.clone());
        }
        cause = error.source();
    }
    None
}

/// Makes the marks around what the assistant wrote, which serve training only, into conditions that always hold.
pub(super) fn without_generation_marks(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start..start + length]);
        out.push_str(before);
        match tag[2..].trim_matches(['-', '+', ' ', '\t', '\n', '\r']) {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = &rest[start + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`, which models were trained on.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    const MOST: usize = 16;
    let indent: Option<usize> = options.get("indent")?;
    // Text is never escaped to ASCII; some templates say so.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = [b' '; MOST];
            let formatter = PrettyFormatter::with_indent(&spaces[..indent.min(MOST)]);
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    }
    .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

/// Separates with `, ` and `: ` as Python does.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Python's `strftime` in English and UTC, of `now` in seconds since 1970. A code it does not know stays as written.
fn strftime(format: &str, now: u64) -> String {
    let (days, second) = (now / 86_400, now % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (month_name, day_name) = (MONTHS[(month - 1) as usize % 12], DAYS[(days % 7) as usize]);
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = rest.next();
        let bare = code == Some('-');
        if bare {
            code = rest.next();
        }
        let two = |n: u64| if bare { n.to_string() } else { format!("{n:02}") };
        match code {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&two(year % 100)),
            Some('m') => out.push_str(&two(month)),
            Some('d') => out.push_str(&two(day)),
            Some('H') => out.push_str(&two(hour)),
            Some('I') => out.push_str(&two((hour + 11) % 12 + 1)),
            Some('M') => out.push_str(&two(minute)),
            Some('S') => out.push_str(&two(second % 60)),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('B') => out.push_str(month_name),
            Some('b') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(day_name),
            Some('a') => out.push_str(&day_name[..3]),
            Some('%') => out.push('%'),
            other => {
                out.push('%');
                out.extend(bare.then_some('-'));
                out.extend(other);
            }
        }
    }
    out
}

/// Year, month and day of a day counted from 1 January 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Every 400 years are 146,097 days.
    let (mut year, mut day) = (1970 + days / 146_097 * 400, days % 146_097);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let format = "%A %a %d %-d %B %b %m %Y %y %H:%M:%S %I %p %% %q";
        assert_eq!(strftime(format, 0), "Thursday Thu 01 1 January Jan 01 1970 70 00:00:00 12 AM % %q");
        assert_eq!(strftime(format, 1_709_210_096), "Thursday Thu 29 29 February Feb 02 2024 24 12:34:56 12 PM % %q");
        assert_eq!(strftime("%d %b %Y", 4_107_542_399), "28 Feb 2100");
        assert_eq!(strftime("%d %b %Y", 4_107_542_400), "01 Mar 2100");
        assert_eq!(strftime("%", 0), "%");
    }

    #[test]
    fn json_is_spelled_as_python_spells_it() {
        let value = Value::from(minijinja::value::Serde(serde_json::json!({"b": [1, 2.5, null], "a": "<é>\n"})));
        let json = to_json(&value, Kwargs::from_iter::<[(&str, Value); 0]>([])).unwrap();
        assert_eq!(json.as_str(), Some(r#"{"b": [1, 2.5, null], "a": "<é>\n"}"#));
    }

    #[test]
    fn generation_marks_keep_their_white_space_control() {
        let marked = "{% if x %}{%- generation -%} a {% endgeneration %}{% endif %}{% generation";
        assert_eq!(without_generation_marks(marked), "{% if x %}{%- if true -%} a {% endif %}{% endif %}{% generation");
        let plain = "{% if add_generation_prompt %}a{% endif %}";
        assert_eq!(without_generation_marks(plain), plain);
    }
}
