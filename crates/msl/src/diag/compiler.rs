//! What C++ compilers say about lowered text, as diagnostics of the source: `#line` made the places the user's.

use super::{Diagnostic, Place, Severity};

/// The errors and warnings in the messages of clang or NVRTC, in their order. Notes go to the message before them, lines
/// that show source are left out.
pub fn compiler_diagnostics(messages: &str) -> Vec<Diagnostic> {
    let mut out: Vec<Diagnostic> = Vec::new();
    for line in messages.lines() {
        let Some((place, kind, text)) = message(line) else { continue };
        match kind {
            Kind::Severity(Severity::Error) => out.push(Diagnostic::error(place, text)),
            Kind::Severity(Severity::Warning) => out.push(Diagnostic::warning(place, text)),
            Kind::Note => {
                if let Some(last) = out.last_mut().filter(|d| d.note.is_none()) {
                    last.note = Some(format!("{place}: {text}"));
                }
            }
        }
    }
    out
}

enum Kind {
    Severity(Severity),
    Note,
}

/// `file:line:column: error: text` of clang, `file(line): error: text` and `file(line): error #123-D: text` of NVRTC.
fn message(line: &str) -> Option<(Place, Kind, &str)> {
    let marks = [
        (": fatal error", Severity::Error),
        (": catastrophic error", Severity::Error),
        (": error", Severity::Error),
        (": warning", Severity::Warning),
    ];
    let severity = marks.iter().filter_map(|(mark, s)| Some((line.find(mark)?, mark.len(), Kind::Severity(*s))));
    let note = line.find(": note").map(|at| (at, ": note".len(), Kind::Note));
    let (at, length, kind) = severity.chain(note).min_by_key(|(at, ..)| *at)?;
    let rest = &line[at + length..];
    let (number, text) = rest.split_once(": ")?;
    let numbered = number.is_empty() || number.starts_with(" #");
    Some((place(&line[..at])?, kind, text.trim())).filter(|_| numbered)
}

fn place(text: &str) -> Option<Place> {
    if let Some((file, line)) = text.strip_suffix(')').and_then(|t| t.rsplit_once('(')) {
        return Some(Place { file: file.into(), line: line.parse().ok()?, column: 0 });
    }
    let (rest, last) = text.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    match rest.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?))) {
        Some((file, line)) => Some(Place { file: file.into(), line, column: last }),
        None => Some(Place { file: rest.into(), line: last, column: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_both_compilers() {
        let clang = "a.metal:3:7: error: use of undeclared identifier 'x'\n  x = 1;\n  ^\nlib.h:9: note: declared here\n\
                     a.metal:4:1: warning: unused\n1 error generated.\n";
        let got = compiler_diagnostics(clang);
        assert_eq!(got.len(), 2);
        assert_eq!(
            got[0].to_string(),
            "a.metal:3:7: error: use of undeclared identifier 'x'\n  note: lib.h:9: declared here"
        );
        assert_eq!(got[1].severity, Severity::Warning);
        let nvrtc = "dir/a b.metal(12): error: identifier \"y\" is undefined\n      y = 1;\n      ^\n\n\
                     s.h(53): warning #550-D: variable \"low\" was set but never used\n\n1 error detected in the compilation.\n";
        let got = compiler_diagnostics(nvrtc);
        assert_eq!(got[0].to_string(), "dir/a b.metal:12: error: identifier \"y\" is undefined");
        assert_eq!(got[1].to_string(), "s.h:53: warning: variable \"low\" was set but never used");
        assert_eq!(compiler_diagnostics("nothing to see: here\n: error\n"), []);
    }
}
