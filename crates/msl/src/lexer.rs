//! From text to tokens: lines spliced, comments gone, nothing expanded.

use crate::Diagnostic;
use crate::token::{FIRST, Kind, Pos, SPACE, Spellings, Token};

/// Punctuators of three and two characters, longest first; every other is a single character.
const PUNCTUATORS: &[&str] = &[
    "...", "<<=", ">>=", "->*", "::", "##", "->", ".*", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||",
    "*=", "/=", "%=", "+=", "-=", "&=", "^=", "|=",
];

/// Text without backslash-newlines, and the physical place of each of its bytes.
struct Spliced {
    bytes: Vec<u8>,
    /// Offset in `bytes` at which a physical line begins.
    lines: Vec<usize>,
}

impl Spliced {
    fn new(text: &str) -> Spliced {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes();
        let mut bytes = Vec::with_capacity(text.len() + 1);
        let mut lines = vec![0];
        let mut i = 0;
        while i < text.len() {
            match text[i] {
                b'\\' if matches!(text.get(i + 1), Some(b'\n')) => {
                    lines.push(bytes.len());
                    i += 2;
                    continue;
                }
                b'\\' if text.get(i + 1..i + 3) == Some(b"\r\n") => {
                    lines.push(bytes.len());
                    i += 3;
                    continue;
                }
                b'\r' if matches!(text.get(i + 1), Some(b'\n')) => {}
                b'\n' => {
                    bytes.push(b'\n');
                    lines.push(bytes.len());
                }
                b => bytes.push(b),
            }
            i += 1;
        }
        Spliced { bytes, lines }
    }
}

/// Lexes a file. `file` is its index in the unit's list.
pub(crate) fn lex(text: &str, file: u32, spellings: &mut Spellings, mut complain: impl FnMut(Pos, &str)) -> Vec<Token> {
    let spliced = Spliced::new(text);
    let b = &spliced.bytes;
    let mut tokens = Vec::with_capacity(b.len() / 4);
    let (mut i, mut line) = (0, 0);
    let mut flags = FIRST;
    while i < b.len() {
        while spliced.lines.get(line + 1).is_some_and(|&start| start <= i) {
            line += 1;
        }
        let at = Pos { file, line: line as u32 + 1, column: (i - spliced.lines[line]) as u32 + 1 };
        match b[i] {
            b'\n' => {
                flags = FIRST;
                i += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {
                flags |= SPACE;
                i += 1;
                continue;
            }
            b'/' if b.get(i + 1) == Some(&b'/') => {
                while i < b.len() && b[i] != b'\n' {
                    i += 1;
                }
                flags |= SPACE;
                continue;
            }
            b'/' if b.get(i + 1) == Some(&b'*') => {
                i = match find(&b[i + 2..], b"*/") {
                    Some(n) => i + 2 + n + 2,
                    None => {
                        complain(at, "this comment has no end");
                        b.len()
                    }
                };
                flags |= SPACE;
                continue;
            }
            _ => {}
        }
        let (kind, end) = token(b, i);
        let text = String::from_utf8_lossy(&b[i..end]);
        tokens.push(Token { kind, flags, sym: spellings.intern(&text), at, from: at });
        flags = 0;
        i = end;
    }
    tokens
}

/// Kind and end of the token at `i`.
fn token(b: &[u8], i: usize) -> (Kind, usize) {
    let c = b[i];
    let next = b.get(i + 1).copied().unwrap_or(0);
    if ident_start(c) {
        return (Kind::Ident, i + b[i..].iter().take_while(|c| ident_part(**c)).count());
    }
    if c.is_ascii_digit() || c == b'.' && next.is_ascii_digit() {
        let mut j = i + 1;
        while j < b.len() {
            let sign = matches!(b[j], b'+' | b'-') && matches!(b[j - 1], b'e' | b'E' | b'p' | b'P');
            let hex_e = matches!(b[j - 1], b'e' | b'E') && c == b'0' && matches!(next, b'x' | b'X');
            let quote = b[j] == b'\'' && b.get(j + 1).is_some_and(|c| ident_part(*c));
            if !(ident_part(b[j]) || b[j] == b'.' || sign && !hex_e || quote) {
                break;
            }
            j += 1;
        }
        return (Kind::Number, j);
    }
    if matches!(c, b'"' | b'\'') {
        let mut j = i + 1;
        while j < b.len() && b[j] != b'\n' {
            match b[j] {
                b'\\' => j += 1,
                q if q == c => return (if c == b'"' { Kind::Str } else { Kind::Char }, j + 1),
                _ => {}
            }
            j += 1;
        }
        return (Kind::Other, i + 1);
    }
    if let Some(p) = PUNCTUATORS.iter().find(|p| b[i..].starts_with(p.as_bytes())) {
        return (Kind::Punct, i + p.len());
    }
    let known = b"()[]{}<>,;:=*&.#?~-+!/%|^".contains(&c);
    (if known { Kind::Punct } else { Kind::Other }, i + 1)
}

fn ident_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_' || c == b'$' || c >= 0x80
}

fn ident_part(c: u8) -> bool {
    ident_start(c) || c.is_ascii_digit()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// The one token that `text` is, for `##`.
pub(crate) fn single(text: &str) -> Option<Kind> {
    let b = text.as_bytes();
    if b.is_empty() || text.starts_with("//") || text.starts_with("/*") {
        return None;
    }
    match token(b, 0) {
        (Kind::Other, _) => None,
        (kind, end) => (end == b.len()).then_some(kind),
    }
}

/// The error for a character that no token starts with.
pub(crate) fn stray(token: &Token, text: &str, files: &[std::sync::Arc<str>]) -> Diagnostic {
    let what = match text {
        "\"" | "'" => format!("this {text} has no closing {text} on its line"),
        _ => format!("stray {text:?} in the source"),
    };
    Diagnostic::error(token.from.place(files), what)
}
